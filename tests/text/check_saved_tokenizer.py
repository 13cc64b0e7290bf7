#!/usr/bin/env python3
"""Loads a folder that decovec saved with transformers' AutoTokenizer and compares ids.

    check_saved_tokenizer.py FOLDER IDS.json

IDS.json: [{"text": ..., "ids": [...]}, ...], special tokens not included. Exits with 1 and the texts that
differ. Downloads nothing.
"""
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer  # noqa: E402


def main():
    folder, expected = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8"))
    before = [tokenizer.bos_token_id] if config["add_bos_token"] else []
    after = [tokenizer.eos_token_id] if config["add_eos_token"] else []
    rows = json.loads(Path(expected).read_text(encoding="utf-8"))
    wrong = 0
    for row in rows:
        alone = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        whole = tokenizer(row["text"])["input_ids"]
        if alone != row["ids"] or whole != before + row["ids"] + after:
            wrong += 1
            print(f"{row['text'][:80]!r}: expected {row['ids'][:40]}, got {whole[:40]}")
    print(f"{type(tokenizer).__name__}: {len(rows)} texts, {wrong} differ")
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
