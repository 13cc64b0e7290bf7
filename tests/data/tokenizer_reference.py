#!/usr/bin/env python3
"""Makes the tokenizer fixture: tokenizer/tokenizer.model.

The model is a small sentencepiece BPE model trained on WordNet glosses (Debian's wordnet-base), with the
settings of Mistral-7B-v0.1's tokenizer, so that rare characters fall to bytes.
"""
import io
from pathlib import Path

import sentencepiece

WORDNET = Path("/usr/share/wordnet/data.noun")
HERE = Path(__file__).resolve().parent
VOCABULARY = 800


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


def main():
    folder = HERE / "tokenizer"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.model").write_bytes(train_model())


if __name__ == "__main__":
    main()
