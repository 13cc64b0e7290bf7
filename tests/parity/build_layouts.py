#!/usr/bin/env python3
"""Writes folders of published embedders' layouts with real tokenizers, each with its reference vectors.

    build_layouts.py TOKENIZERS DATA OUTPUT

TOKENIZERS: what build_tokenizers.py wrote. DATA: a folder with text in several languages. OUTPUT/<name>/ gets a model folder
with random weights (tests/data/layouts_reference.py) and decovec_reference.json: vectors of texts from DATA under each of
the model's prompts. Then

    for folder in OUTPUT/*/; do decovec verify "$folder"; done

prints the largest difference of each. Needs what layouts_reference.py needs; run it with HF_HUB_OFFLINE=1.
"""
import json
import sys
from pathlib import Path

import sentence_transformers
import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))
import layouts_parts  # noqa: E402
import layouts_reference  # noqa: E402


def some_texts(data):
    """The ends of files in many languages: headers and ids stand at their beginnings."""
    texts = []
    for file in sorted(data.rglob("*")):
        if file.suffix in (".jsonl", ".tsv", ".csv", ".txt") or file.parent.name == "tatoeba":
            lines = file.read_text(encoding="utf-8", errors="ignore").splitlines()
            texts += [line for line in lines[-40:] if line][-1:]
    return ["", " a", "e\u0301 \u00e9  two  spaces ", "def add(a, b):\n    return a + b", *(text[:400] for text in texts[:24])]


def main():
    tokenizers, data, output = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    layouts_reference.TEXTS = texts = some_texts(data)
    layouts_parts.SMALL["vocab_size"] = 152064  # Qwen's
    versions = {"sentence-transformers": sentence_transformers.__version__, "transformers": transformers.__version__}
    files = {name: str((tokenizers / folder / "tokenizer.json").resolve())
             for name, folder in (("mistral", "mistral"), ("qwen", "qwen2"), ("llama", "qwen_llama3"), ("gemma", "gemma"))}
    for name, case, reference, calls in layouts_reference.cases(**files):
        rows = []
        for call in calls:
            if "chosen" in call:
                continue  # verify loads the folder as it is
            vectors = reference(case, **call)
            rows.append({**({"prompt": call["prompt"]} if "prompt" in call else {}),
                         "texts": [text + call.get("suffix", "") for text in texts], "vectors": vectors.tolist()})
        folder = output / name
        folder.mkdir(parents=True)
        case.write(folder, case.contents, case.pipeline.json)
        (folder / "decovec_reference.json").write_text(json.dumps(
            {"dtype": "float32", "tolerance": 1e-5, "made_by": versions, "cases": rows}, ensure_ascii=False), encoding="utf-8")
        print(name, flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        main()
