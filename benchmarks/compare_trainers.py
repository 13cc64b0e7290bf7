"""Trains one folder on the same batches with decovec and with sentence-transformers' trainer, and prints both as a table.

usage: compare_trainers.py DECOVEC TOKENIZER_MODEL ESNLI_FOLDER STSB_FOLDER WORK_FOLDER

A small decoder with random weights learns e-SNLI's triples (premise, entailed, contradicted) in float32; the held-out score is
Spearman's correlation on STS-B's dev set, which `decovec evaluate` measures for all. Needs sentence-transformers 6.2.
"""

import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/data/train"))
from trainer_reference import drawn, train

RUN = {"seed": 3, "stage": "entailment", "batch_size": 64, "steps": 200, "warmup_steps": 20, "learning_rate": 1e-3,
       "weight_decay": 0.01, "temperature": 0.05, "query_prompt": "Instruct: find what follows\nQuery: ",
       "document_prompt": ""}
MODEL = """
[model.new]
tokenizer = "{tokenizer}"
hidden_size = 128
intermediate_size = 256
layers = 3
heads = 4

[embedder]
attention = "bidirectional"
pooling = "mean"
max_length = 128
"""
RECIPE = """
output = "{output}"
seed = {seed}
checkpoint_every = 0
{model}

[[data]]
name = "triples"
files = ["triples.jsonl"]
query_prompt = {query_prompt}
document_prompt = {document_prompt}

[[stage]]
name = "{stage}"
batch_size = {batch_size}
micro_batch_tokens = 2048
steps = {steps}
learning_rate = {learning_rate}
warmup_steps = {warmup_steps}
weight_decay = {weight_decay}
temperature = {temperature}
"""


def triples(folder):
    """A premise with what it entails and what it contradicts; each text once."""
    rows, seen = [], set()
    for part in ("dev", "test"):
        read = lambda name: (folder / f"{name}.{part}").read_text(encoding="utf-8").splitlines()
        by_premise = {}
        for premise, hypothesis, label in zip(read("s1"), read("s2"), read("labels")):
            by_premise.setdefault(premise.strip(), {}).setdefault(label, hypothesis.strip())
        for premise, found in by_premise.items():
            texts = [premise, found.get("entailment"), found.get("contradiction")]
            if None in texts or len(set(texts) | seen) < len(seen) + 3:
                continue
            seen.update(texts)
            rows.append({"query": texts[0], "pos": [texts[1]], "neg": [texts[2]]})
    return rows


def write_task(stsb, folder):
    folder.mkdir(exist_ok=True)
    with open(folder / "sts.jsonl", "w", encoding="utf-8") as out:
        for line in (stsb / "sts-dev.csv").read_text(encoding="utf-8").splitlines():
            fields = line.split("\t")
            out.write(json.dumps({"sentence1": fields[5], "sentence2": fields[6], "score": float(fields[4])}) + "\n")


def main():
    program, tokenizer, esnli, stsb, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:6])
    work.mkdir(parents=True)
    rows = triples(esnli)
    rows = rows[: len(rows) // RUN["batch_size"] * RUN["batch_size"]]  # no batch has rows of two epochs, perhaps one row twice
    (work / "triples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_task(stsb, work / "stsb-dev")

    def decovec_train(name, model, **changes):
        settings = {**RUN, **changes, "output": name, "model": model}
        for prompt in ("query_prompt", "document_prompt"):
            settings[prompt] = json.dumps(settings[prompt])
        (work / f"{name}.toml").write_text(RECIPE.format(**settings))
        subprocess.run([program, "train", work / f"{name}.toml"], check=True)
        return [json.loads(line)["loss"] for line in (work / f"{name}.log.jsonl").read_text().splitlines()]

    def spearman(folder):
        file = work / "figures.json"
        subprocess.run([program, "evaluate", "--model", folder, "--prompt", "", work / "stsb-dev", "--json", file], check=True)
        return json.loads(file.read_text())[0]["metrics"]["spearman"]

    decovec_train("base", MODEL.format(tokenizer=tokenizer), steps=1, learning_rate=1e-9, warmup_steps=0)
    results = {"decovec": (decovec_train("ours", 'model = "base"'), spearman(work / "ours"))}
    order = drawn(rows, RUN["seed"], RUN["stage"], RUN["batch_size"], RUN["steps"])
    for name, cached in [("MultipleNegativesRankingLoss", False), ("CachedMultipleNegativesRankingLoss", True)]:
        model, losses = train(work / "base", order, RUN, cached=cached)
        model.save(str(work / name))
        results[name] = (losses, spearman(work / name))

    (work / "results.json").write_text(json.dumps(results))
    shown = [step for step in (1, 2, 10, 50, 100, 200) if step <= RUN["steps"]]
    print(f"\n{len(rows)} triples; before training: {spearman(work / 'base'):.4f}")
    print("| | " + " | ".join(f"step {step}" for step in shown) + " | STS-B dev |")
    print("|---|" + "---:|" * (len(shown) + 1))
    for name, (losses, score) in results.items():
        print(f"| {name} | " + " | ".join(f"{losses[step - 1]:.6f}" for step in shown) + f" | {score:.4f} |")
    ours = results["decovec"][0]
    for name, (losses, _) in list(results.items())[1:]:
        gap = [abs(a - b) for a, b in zip(ours, losses)]
        print(f"largest difference to {name}: {max(gap[:50]):.1e} in 50 steps, {max(gap):.1e} in all")


if __name__ == "__main__":
    main()
