#!/usr/bin/env python3
"""Writes the reference vectors of a model folder, which `decovec verify` compares with its own.

    make_reference.py DIR [--output FILE] [--texts FILE] [--prompt-name NAME]... [--dtype float32] [--tolerance 1e-5]

The vectors are those of sentence-transformers on the CPU: each text alone, under no prompt and under each of the
folder's prompts. The file is DIR/decovec_reference.json; docs/verify.md describes it. Needs sentence-transformers; with
--trust-remote-code it runs the code that a folder brings along.
"""
import argparse
import json
import sys
from pathlib import Path

import sentence_transformers
import torch
import transformers

TEXTS = [
    "What is the capital of China?",
    "The capital of China is Beijing.",
    "a",
    "",
    "  Two spaces before, one after ",
    "Größe, naïveté, œuvre — “quoted” … 1,234.5 %",
    "Что такое гравитация?",
    "北京是中华人民共和国的首都。",
    "東京は日本の首都です。",
    "भारत की राजधानी नई दिल्ली है।",
    "def add(a, b):\n    return a + b  # sum",
    "👩‍👩‍👧 e\u0301 \u00e9",
    "Gravity is a force that attracts two bodies towards each other. It gives weight to physical objects and is "
    "responsible for the movement of planets around the sun.",
]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--texts", type=Path, help="texts, one a line, instead of the script's own")
    parser.add_argument("--prompt-name", action="append", help="only this prompt; may be given several times")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--tolerance", type=float, help="largest difference allowed [float32: 1e-5, else 2e-2]")
    parser.add_argument("--trust-remote-code", action="store_true")
    return parser.parse_args()


def case_of(model, prompt_name, texts):
    vectors, ids = [], []
    prompt = model._resolve_prompt(None, prompt_name)
    for text in texts:
        vector = model.encode([text], prompt_name=prompt_name, convert_to_tensor=True)[0].float()
        if not vector.isfinite().all():
            sys.exit(f"prompt {prompt_name!r}, text {text!r}: the vector is not finite")
        vectors.append(vector.tolist())
        ids.append(model.preprocess([text], prompt=prompt)["input_ids"][0].tolist())
    return {**({} if prompt_name is None else {"prompt_name": prompt_name}), "texts": texts, "ids": ids,
            "vectors": vectors}


def main():
    arguments = parse_arguments()
    texts = arguments.texts.read_text(encoding="utf-8").splitlines() if arguments.texts else TEXTS
    model = sentence_transformers.SentenceTransformer(
        str(arguments.folder), device="cpu", trust_remote_code=arguments.trust_remote_code,
        model_kwargs={"dtype": getattr(torch, arguments.dtype)})
    names = arguments.prompt_name or [None, *(name for name, text in model.prompts.items() if text)]
    tolerance = arguments.tolerance
    if tolerance is None:
        tolerance = 1e-5 if arguments.dtype == "float32" else 2e-2
    reference = {
        "dtype": arguments.dtype, "tolerance": tolerance,
        "made_by": {"sentence-transformers": sentence_transformers.__version__,
                    "transformers": transformers.__version__, "torch": torch.__version__},
        "cases": [case_of(model, name, texts) for name in names]}
    output = arguments.output or arguments.folder / "decovec_reference.json"
    output.write_text(json.dumps(reference, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{output}: {len(texts)} texts under {len(names)} prompts, {len(reference['cases'][0]['vectors'][0])} columns")


if __name__ == "__main__":
    main()
