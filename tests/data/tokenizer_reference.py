#!/usr/bin/env python3
"""Makes the tokenizer fixture and the reference values for it.

tokenizer/tokenizer.model: a small sentencepiece BPE model trained on WordNet glosses (Debian's wordnet-base),
with the settings of Mistral-7B-v0.1's tokenizer, so that rare characters fall to bytes.

tokenizer_reference/: tokenizer.json, the same model as the tokenizers library writes it (merges from
transformers' generate_merges, the normalizer of its legacy Llama conversion); ids.json, what that tokenizer, with
and without added tokens, makes of texts; sequences.json, what sentence-transformers makes of prompts and texts
with it; added_tokens.json, the added tokens.

Needs sentencepiece, tokenizers, transformers and sentence-transformers, and downloads nothing.
"""
import io
import json
import random
import tempfile
from pathlib import Path

import sentencepiece
from sentence_transformers.base.modules import Transformer
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE
from transformers import MistralConfig, MistralModel, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

WORDNET = Path("/usr/share/wordnet/data.noun")
HERE = Path(__file__).resolve().parent
VOCABULARY = 800

ADDED = [  # (content, flags); ids follow the model's
    ("[Q]", {"lstrip": True, "special": True}),
    ("[Q][A]", {"rstrip": True, "special": True}),
    ("«", {"special": False}),
    ("«x", {"special": False}),
    ("of the", {"special": True}),
]

TEXTS = [
    "", " ", "  ", "   ", "a", " a", "a ", "a  b", "  a  b  ", "hello world", "Hello, World!", "\t", "\n", "a\tb\nc",
    "\r\n", " \n ", "\u00a0a\u00a0", "\u3000", "the cat sat on the mat", "a substance of the body",
    "THE CAPITAL OF CHINA", "3.14159 and 2,718", "1234567890", "état", "e\u0301tat", "Ångström", "ﬁn", "北京是中国的首都",
    "日本語のテキスト", "한국어", "Привет, мир", "مرحبا بالعالم", "नमस्ते", "😀", "👩‍👩‍👧‍👦 family", "🇨🇳", "\u200b", "\ufeff bom",
    "\x00", "a\x00b", "\x01\x7f", "\u0080", "\uffff", "\U0010ffff", "▁", "▁▁", "a▁b", "▁a", " ▁ ", "<s>", "</s>",
    "<unk>", "a<s>b", "<s>a", "<s> a", "a </s>", "<s></s>", "<s> </s>", "a<unk>b", "<unk> <unk>", "< s>", "<s", "</s",
    "<<s>>", "<</s>s>", "<s><s", "<0x41>", "<0x0A> a", "<0x", "[Q]", "a [Q] b", "a  [Q][A]  b", "[Q][Q][A]", "[Q",
    "[Q][A", " \u3000\u00a0[Q]\t x", "«x»", "««x", "x of the y", "of theof the", "of the", "</s>[Q]\n<s>", "[Q][A] \n\t [Q]",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababab", "....................", "a.b.c.d", "don't", "\"quoted\"",
    "Instruct: Given a word, find its definition\nQuery: capital", "(used in combination); 'a red-faced man'",
    "a very long compound-word-with-many-hyphens", "ß→∞≠≤", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\u2028\u2029\u0085",
]

PROMPTS = ["", "a", "query: ", "query:", " ", "Instruct: find the word\nQuery: ", "to the </s>", "<unk>", "▁", "é"]
SEQUENCE_TEXTS = ["", "a", " a", "the body of the man", "definition: a red substance </s>"]


def glosses():
    lines = [line for line in WORDNET.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")]
    for line in lines[::20]:
        yield line.split("| ", 1)[1].strip()


def train_model():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=glosses(), model_writer=model, model_type="bpe", vocab_size=VOCABULARY,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.9995,
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1, minloglevel=2)
    return model.getvalue()


def convert(serialized):
    """What transformers' Llama conversion makes of a sentencepiece BPE model in its legacy form."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(serialized)
    pieces = list(proto.pieces)
    vocab = {piece.piece: i for i, piece in enumerate(pieces)}
    unmerged = [piece.piece for piece in pieces if piece.type != 1]
    merges = generate_merges(vocab, {piece.piece: piece.score for piece in pieces}, skip_tokens=unmerged)
    tokenizer = Tokenizer(BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(content=" ", left=1)])
    tokenizer.add_special_tokens([AddedToken(piece.piece, normalized=False, special=True)
                                  for piece in pieces if piece.type in (2, 3)])
    return tokenizer


def texts():
    yield from TEXTS
    yield "the quick brown fox of the 北京 </s> jumped; " * 100
    draw = random.Random(1)
    alphabet = ["a", "b", "e", "t", "the", " ", " ", "  ", "ing", "<s>", "</s>", "é", "中", "😀", "\n", "▁", "[Q]", "[Q][A]",
                "«", "x", "of the", "1", "."]
    for _ in range(120):
        yield "".join(draw.choices(alphabet, k=draw.randint(1, 12)))


def added_token(content, flags):
    return AddedToken(content, normalized=False, **flags)


def write(path, value):
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in value)
    path.write_text(f"[\n{lines}\n]\n", encoding="ascii")


def sequences(serialized):
    """ids and prompt lengths as sentence-transformers has them, on a tiny model that is never run."""
    with tempfile.TemporaryDirectory() as folder:
        MistralModel(MistralConfig(vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                   num_attention_heads=1, num_key_value_heads=1)).save_pretrained(folder)
        for bos, eos in [(True, False), (True, True), (False, True), (False, False)]:
            tokenizer = convert(serialized)
            tokenizer.post_processor = processors.TemplateProcessing(
                single=" ".join(["<s>"] * bos + ["$A"] + ["</s>"] * eos),
                special_tokens=[("<s>", 1), ("</s>", 2)])
            PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                                    pad_token="</s>", add_bos_token=bos, add_eos_token=eos).save_pretrained(folder)
            module = Transformer(folder)
            for max_length in (512, 8):
                module.max_seq_length = max_length
                module._prompt_length_mapping.clear()
                for prompt in PROMPTS:
                    for text in SEQUENCE_TEXTS:
                        if not prompt + text and not bos and not eos:
                            continue  # no ids at all: nothing to batch
                        out = module.preprocess([text], prompt=prompt)
                        yield {"bos": bos, "eos": eos, "max_length": max_length, "prompt": prompt, "text": text,
                               "ids": out["input_ids"][0].tolist(), "prompt_length": out.get("prompt_length", 0)}


def main():
    serialized = train_model()
    (HERE / "tokenizer").mkdir(exist_ok=True)
    (HERE / "tokenizer" / "tokenizer.model").write_bytes(serialized)

    folder = HERE / "tokenizer_reference"
    folder.mkdir(exist_ok=True)
    plain, added = convert(serialized), convert(serialized)
    (folder / "tokenizer.json").write_text(plain.to_str(pretty=False) + "\n", encoding="utf-8")
    for content, flags in ADDED:
        added.add_tokens([added_token(content, flags)])
    write(folder / "added_tokens.json",
          [{"id": VOCABULARY + i, "content": content, **flags} for i, (content, flags) in enumerate(ADDED)])

    processor = sentencepiece.SentencePieceProcessor(model_proto=serialized)
    rows = []
    for text in texts():
        ids = plain.encode(text, add_special_tokens=False).ids
        if not any(special in text for special in ("<s>", "</s>", "<unk>")):
            assert ids == processor.encode(text), text
        rows.append({"text": text, "ids": ids, "added_ids": added.encode(text, add_special_tokens=False).ids})
    write(folder / "ids.json", rows)
    write(folder / "sequences.json", sequences(serialized))


if __name__ == "__main__":
    main()
