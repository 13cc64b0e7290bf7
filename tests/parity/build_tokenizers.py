#!/usr/bin/env python3
"""Builds tokenizer folders of every kind that decoder embedders use, for compare_ids.py and the benchmark.

    build_tokenizers.py DATA OUTPUT

DATA: a folder with text in several languages, by whose lines the trained ones are trained (every *.jsonl, *.tsv, *.csv
and *.txt below it). OUTPUT/<name>/ gets tokenizer.json, tokenizer_config.json and what else such a folder has.

Real vocabularies:
  mistral         Mistral-7B-v0.1 (mistral-common's tokenizer.model.v1), as transformers converts it: Prepend, Replace
  mistral_first   the same with Metaspace "first", as newer conversions have it
  mistral_always  the same with Metaspace "always"
  mistral_v3      Mistral-7B-Instruct-v0.3 with its control tokens
  tekken          Mistral-Nemo (tekken.json), byte-level, as transformers converts it
  qwen2           Qwen's byte-level ranks (dashscope's qwen.tiktoken), NFC and the pattern of Qwen2 and Qwen3
  qwen3_embedding the same with the template of Qwen3-Embedding
  qwen_llama3     the same ranks with the pattern, ignore_merges and template of Llama-3
Trained:
  gemma           Replace, Split on spaces, byte fallback, runs of spaces, the template of EmbeddingGemma
  gpt2            ByteLevel's own pattern, prefix space, no byte fallback
  claude_like     NFKC, byte-level, Digits and Punctuation

Needs mistral-common, dashscope, transformers and tokenizers, and downloads nothing.
"""
import base64
import json
import re
import sys
from importlib.resources import files
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers.convert_slow_tokenizer import SentencePieceExtractor, bytes_to_unicode
from transformers.integrations.mistral.tokenizer import MistralConverter

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
                "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
                "<|image_pad|>", "<|video_pad|>"]
QWEN_PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
              "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]


def special(content):
    return AddedToken(content, normalized=False, special=True)


def template(tokenizer, before, after):
    tokens = before + after
    return processors.TemplateProcessing(
        single=" ".join(before + ["$A"] + after), pair=" ".join(before + ["$A"] + after + ["$B:1"]),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in tokens])


def sentencepiece_bpe(file):
    extracted = SentencePieceExtractor(str(file)).extract(BPE)
    vocab, merges = extracted["vocab"], extracted["merges"]
    tokenizer = Tokenizer(BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.add_special_tokens([special(token) for token in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = template(tokenizer, ["<s>"], [])
    return tokenizer


def mistral(file, scheme):
    tokenizer = sentencepiece_bpe(file)
    if scheme == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=False)
    return tokenizer


def byte_level_merges(ranks):
    """Each token's last merge: the two parts that the ranks below its own make of it."""
    spell = bytes_to_unicode()
    text = {token: "".join(spell[byte] for byte in token) for token in ranks}
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 2:
            best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], rank))
            if ranks.get(parts[best] + parts[best + 1], rank) >= rank:
                break
            parts[best:best + 2] = [parts[best] + parts[best + 1]]
        if len(parts) == 2:
            merges.append((text[parts[0]], text[parts[1]]))
    return {text[token]: rank for token, rank in ranks.items()}, merges


def byte_level(vocab, merges, pattern, ignore_merges=False):
    tokenizer = Tokenizer(BPE(vocab, merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def qwen(vocab, merges, embedding):
    tokenizer = byte_level(vocab, merges, QWEN)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([special(token) for token in QWEN_SPECIAL])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in QWEN_PLAIN])
    if embedding:
        tokenizer.post_processor = processors.Sequence(
            [processors.ByteLevel(trim_offsets=False), template(tokenizer, [], ["<|endoftext|>"])])
    return tokenizer


def llama3(vocab, merges):
    tokenizer = byte_level(vocab, merges, LLAMA3, ignore_merges=True)
    tokenizer.add_special_tokens([special(token) for token in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")])
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(), template(tokenizer, ["<|begin_of_text|>"], [])])
    return tokenizer


def lines_of(folder):
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".jsonl", ".tsv", ".csv", ".txt") or file.parent.name == "tatoeba":
            for line in file.read_text(encoding="utf-8", errors="ignore").splitlines():
                yield line


def gemma(lines):
    tokenizer = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    # Trained on words, so that no piece holds a space but at its beginning; used on whole texts, as Gemma is.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁*[^▁]+|▁+"), behavior="isolated")
    names = ["<pad>", "<eos>", "<bos>", "<unk>"]
    tokenizer.train_from_iterator(lines, BpeTrainer(vocab_size=30000, special_tokens=names + [f"<0x{b:02X}>" for b in range(256)],
                                                    limit_alphabet=2000, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(pair) for pair in model["merges"]]
    for n in range(2, 33):  # runs of spaces and newlines, as Gemma has them
        for letter in "▁\n":
            if letter not in vocab:
                vocab[letter] = len(vocab)
            if letter * n not in vocab:
                vocab[letter * n] = len(vocab)
            merges += [(letter * k, letter * (n - k)) for k in range(n - 1, 0, -1)]
    tokenizer = Tokenizer(BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    tokenizer.add_special_tokens([special(token) for token in names])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in ("<start_of_turn>", "<end_of_turn>", "\n\n\n\n\n", "[@BOS@]")])
    tokenizer.post_processor = template(tokenizer, ["<bos>"], ["<eos>"])
    return tokenizer


def gpt2(lines):
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines, BpeTrainer(vocab_size=20000, special_tokens=["<|endoftext|>"],
                                                    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def mixed(lines):
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation(),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator(lines, BpeTrainer(vocab_size=12000, special_tokens=["<eos>"],
                                                    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_tokens([AddedToken("New York"), AddedToken("ÅNGSTRÖM", single_word=True), AddedToken("the end", lstrip=True),
                          AddedToken("[X]", rstrip=True, normalized=False), AddedToken("cat", single_word=True, normalized=False),
                          AddedToken("ﬁn", rstrip=True, lstrip=True)])
    return tokenizer


def save(output, name, tokenizer, config):
    folder = output / name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    print(name, tokenizer.get_vocab_size(), flush=True)


def main():
    data, output = Path(sys.argv[1]), Path(sys.argv[2])
    llama = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer",
             "add_bos_token": True, "add_eos_token": False}
    qwen2 = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False}
    folder = files("mistral_common") / "data"
    for name, scheme in (("mistral", "legacy"), ("mistral_first", "first"), ("mistral_always", "always")):
        save(output, name, mistral(folder / "tokenizer.model.v1", scheme), llama)
        (output / name / "tokenizer.model").write_bytes((folder / "tokenizer.model.v1").read_bytes())
    v3 = mistral(folder / "mistral_instruct_tokenizer_240323.model.v3", "legacy")
    v3.add_special_tokens([special(token) for token in v3.get_vocab() if re.fullmatch(r"\[/?[A-Z_]+\]", token)])
    save(output, "mistral_v3", v3, llama)

    tekken = MistralConverter(str(folder / "tekken_240911.json")).converted()
    save(output, "tekken", tekken, {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"})

    rows = (files("dashscope") / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (row.split() for row in rows if row)}
    vocab, merges = byte_level_merges(ranks)
    save(output, "qwen2", qwen(vocab, merges, False), qwen2)
    save(output, "qwen3_embedding", qwen(vocab, merges, True), qwen2)
    save(output, "qwen_llama3", llama3(vocab, merges),
         {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "tokenizer_class": "PreTrainedTokenizerFast"})

    lines = list(lines_of(data))[:400_000]
    save(output, "gemma", gemma(lines), {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>",
                                         "tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": True})
    save(output, "gpt2", gpt2(lines), {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "tokenizer_class": "GPT2Tokenizer"})
    save(output, "mixed", mixed(lines), {"eos_token": "<eos>", "tokenizer_class": "PreTrainedTokenizerFast"})


if __name__ == "__main__":
    main()
