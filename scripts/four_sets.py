#!/usr/bin/env python3
"""Trains recipes/four_sets.toml for several seeds and prints what each test set said before, between and after.

usage: four_sets.py DATA_FOLDER [--seeds 1 2 3] [--set KEY=VALUE]...

DATA_FOLDER holds scifact/, stsb/, banking77/ and esnli/ as published. Of e-SNLI, dev is trained on and test is measured. Run
scripts/quickstart.sh before: its model is where this starts. Writes build/four-sets anew.
"""

import argparse
import csv
import json
import pathlib
import shutil
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "build/four-sets"


def write(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_jsonl(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def scifact(source, data):
    documents = {row["_id"]: (row["title"] + " " + row["text"]).strip() for row in read_jsonl(source / "corpus.jsonl")}
    claims = {row["_id"]: row["text"] for row in read_jsonl(source / "queries.jsonl")}
    answers = {}
    for line in (source / "qrels/train.tsv").read_text().splitlines()[1:]:
        claim, document, score = line.split("\t")
        if int(score) > 0:
            answers.setdefault(claim, []).append(documents[document])
    write(data / "scifact.jsonl", ({"query": claims[claim], "pos": texts} for claim, texts in answers.items()))
    shutil.copytree(source, data / "scifact")


def stsb(source, data):
    def rows(part):
        for line in (source / f"sts-{part}.csv").read_text(encoding="utf-8").splitlines():
            fields = line.split("\t")  # without quoting
            yield fields[5], fields[6], float(fields[4])

    write(data / "stsb.jsonl", ({"query": a, "pos": [b], "pos_scores": [score]} for a, b, score in rows("train")))
    write(data / "stsb/sts.jsonl", ({"sentence1": a, "sentence2": b, "score": score} for a, b, score in rows("test")))


def banking77(source, data):
    def rows(part):
        with open(source / f"{part}.csv", encoding="utf-8", newline="") as file:
            yield from ((row["text"].strip(), row["category"]) for row in csv.DictReader(file))

    write(data / "banking77.jsonl", ({"query": text, "pos": [label]} for text, label in rows("train")))
    for part in ("train", "test"):
        write(data / f"banking77/{part}.jsonl", ({"text": text, "label": label} for text, label in rows(part)))


def esnli(source, data):
    """A premise with what it entails and what it contradicts."""
    for part, name in (("dev", "esnli.jsonl"), ("test", "esnli-test.jsonl")):
        read = lambda kind: (source / f"{kind}.{part}").read_text(encoding="utf-8").splitlines()
        by_premise = {}
        for premise, hypothesis, label in zip(read("s1"), read("s2"), read("labels")):
            by_premise.setdefault(premise.strip(), {}).setdefault(label, []).append(hypothesis.strip())
        rows = []
        for premise, found in by_premise.items():
            wrong = [text for text in found.get("contradiction", []) if text not in found.get("entailment", [])]
            if "entailment" in found and wrong:
                rows.append({"query": premise, "pos": found["entailment"], "neg": wrong})
        write(data / name, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_folder", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], dest="sets")
    arguments = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    for make in (scifact, stsb, banking77, esnli):
        make(arguments.data_folder.resolve() / make.__name__, WORK / "data")

    figures = {}  # (set, metric): one list of [before, after each stage] a seed
    for seed in arguments.seeds:
        output = WORK / f"seed-{seed}"
        sets = [f"seed={seed}", f"output={output}", *arguments.sets]
        subprocess.run([ROOT / "build/release/decovec", "train", ROOT / "recipes/four_sets.toml",
                        *(part for text in sets for part in ("--set", text))], check=True)
        for row in read_jsonl(pathlib.Path(f"{output}.log.jsonl")):
            for name, metrics in row.get("evaluation", {}).items():
                for metric, figure in metrics.items():
                    figures.setdefault((name, metric), {}).setdefault(seed, []).append(figure)

    print("| test set | figure | before | after retrieval | after blend |")
    print("|---|---|---:|---:|---:|")
    for (name, metric), by_seed in figures.items():
        cells = []
        for values in zip(*by_seed.values()):
            spread = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{100 * statistics.mean(values):.2f}{spread}")
        print(f"| {name} | {metric} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
