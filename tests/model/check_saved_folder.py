#!/usr/bin/env python3
"""Compares folders that decovec saved with what sentence-transformers and transformers make of them.

    check_saved_folder.py (NAME FOLDER VECTORS.jsonl)...

VECTORS.jsonl holds lines {"text": ..., "prompt": ..., "embedding": [...]}; a prompt that is absent or null means the
folder's default. Prints the largest difference to the vectors of sentence-transformers (each text alone, and in one
padded batch), and to the mean or last state of transformers' AutoModel where no prompt is used. Exits 1 where one is
above 1e-5. Needs sentence-transformers 6 and transformers >= 5.2; run it with HF_HUB_OFFLINE=1.
"""
import json
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from transformers import AutoModel, AutoTokenizer

TOLERANCE = 1e-5


def read_vectors(file):
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if not rows:
        sys.exit(f"{file}: no vectors")
    return rows


def difference(got, expected):
    if got.shape != expected.shape:
        sys.exit(f"expected vectors of shape {tuple(expected.shape)}, got {tuple(got.shape)}")
    return (got.double() - expected.double()).abs().nan_to_num(nan=float("inf")).max().item()


def sentence_transformers_vectors(model, rows, batch_size):
    """Rows of one prompt share a batch."""
    vectors = [None] * len(rows)
    for prompt in dict.fromkeys(row.get("prompt") for row in rows):
        places = [i for i, row in enumerate(rows) if row.get("prompt") == prompt]
        texts = [rows[i]["text"] for i in places]
        encoded = model.encode(texts, prompt=prompt, batch_size=batch_size, convert_to_tensor=True)
        for i, vector in zip(places, encoded):
            vectors[i] = vector
    return torch.stack(vectors)


def transformers_vectors(folder, texts, pooling, normalize):
    """The pooled states of the bare AutoModel, with the folder's own tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    vectors = []
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text, truncation=True, return_tensors="pt")
            states = model(**ids).last_hidden_state[0]
            vector = states.mean(0) if pooling == "mean" else states[-1]
            vectors.append(torch.nn.functional.normalize(vector, dim=0) if normalize else vector)
    return torch.stack(vectors)


def check(name, folder, vectors):
    """The largest of the differences, which are printed."""
    rows = read_vectors(vectors)
    expected = torch.tensor([row["embedding"] for row in rows])
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    found = {f"sentence-transformers, {what}": difference(sentence_transformers_vectors(model, rows, size), expected)
             for what, size in (("alone", 1), ("in one batch", len(rows)))}
    default = model.default_prompt_name and model.prompts[model.default_prompt_name]
    plain = [i for i, row in enumerate(rows) if not (row["prompt"] if row.get("prompt") is not None else default)]
    if plain and model[1].pooling_mode in ("mean", "lasttoken") and not any(isinstance(m, Dense) for m in model):
        normalize = any(isinstance(module, Normalize) for module in model)
        texts = [rows[i]["text"] for i in plain]
        vectors = transformers_vectors(folder, texts, model[1].pooling_mode, normalize)
        found["transformers, without prompts"] = difference(vectors, expected[plain])
    print(f"{name}: " + "; ".join(f"{what} {largest:.1e}" for what, largest in found.items()), flush=True)
    return max(found.values())


def main():
    arguments = sys.argv[1:]
    if not arguments or len(arguments) % 3:
        sys.exit(__doc__)
    worst = max(check(arguments[i], Path(arguments[i + 1]), Path(arguments[i + 2])) for i in range(0, len(arguments), 3))
    return 1 if worst > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
