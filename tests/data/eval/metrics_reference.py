"""Reference values for tests/eval/metrics_test.cpp from pytrec_eval, scikit-learn and scipy.

Writes metrics.json beside this file. Needs pytrec-eval-terrier, scikit-learn and scipy. Figures that are not
a number are written as null.
"""

import json
import math
import pathlib
import random
import warnings

import pytrec_eval
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, v_measure_score

CUTOFFS = (1, 3, 10, 100)


def retrieval_case(judgements, ranking):
    measures = {f"ndcg_cut.{k}" for k in CUTOFFS} | {f"recall.{k}" for k in CUTOFFS} | {"recip_rank"}
    values = pytrec_eval.RelevanceEvaluator({"q": judgements}, measures).evaluate({"q": ranking})["q"]
    # recip_rank has no cutoff in trec_eval: 1 / rank, so the cut value is 0 where the rank is beyond k.
    reciprocal = values["recip_rank"]
    return {
        "judgements": judgements,
        "ranking": list(ranking.items()),
        "cutoffs": [
            {
                "k": k,
                "ndcg": values[f"ndcg_cut_{k}"],
                "recall": values[f"recall_{k}"],
                "mrr": reciprocal if reciprocal and round(1 / reciprocal) <= k else 0.0,
            }
            for k in CUTOFFS
        ],
    }


def retrieval_cases(generator):
    tie = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5}
    cases = [
        retrieval_case({"a": 1, "b": 0, "c": 2}, tie),
        retrieval_case({"d": 1}, tie),
        retrieval_case({"a": 1}, tie),
        retrieval_case({"a": 1, "b": -1, "c": 2}, {"b": 0.9, "a": 0.5, "c": 0.4}),  # negative grades
        retrieval_case({"a": 0, "b": -2}, {"b": 0.9, "a": 0.5}),  # nothing relevant
        retrieval_case({"a": 1, "gone": 3}, {"b": 0.9, "a": 0.5}),  # a relevant document was not ranked
        retrieval_case({"a": 1, "b": 2}, {"x": 1.0, "y": 2.0}),  # nothing found
        retrieval_case({"a": 1}, {"a": 1.0, "b": 1.0 + 1e-9}),  # equal as float32, not as doubles
        retrieval_case({"a": 1}, {"a": -0.0, "b": 0.0}),
        retrieval_case({"10": 1, "9": 2, "é": 1}, {"10": 1.0, "9": 1.0, "é": 1.0, "Z": 1.0, "z": 1.0}),  # ids as bytes
    ]
    for _ in range(25):
        documents = [f"doc{i}" for i in range(generator.choice((5, 30, 120)))]
        judged = generator.sample(documents, generator.randint(1, min(20, len(documents))))
        judgements = {d: generator.choice((-1, 0, 0, 1, 1, 2, 3)) for d in judged} | {"absent": generator.randint(0, 2)}
        levels = generator.choice((3, 20, 10**6))  # few levels: many ties
        ranked = generator.sample(documents, generator.randint(1, len(documents)))
        cases.append(retrieval_case(judgements, {d: generator.randint(-levels, levels) / levels for d in ranked}))
    return cases


def number(value):
    return None if math.isnan(value) else float(value)


def spearman_cases(generator):
    pairs = [([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [3, 2, 1]), ([1, 1, 2], [1, 2, 3]), ([1, 1, 1], [1, 2, 3]),
             ([1, 2, 3], [5, 5, 5]), ([1.0, 2.0], [2.0, 2.5]), ([0.0, -0.0, 1.0], [1.0, 2.0, 3.0])]
    for length, levels in ((10, 3), (50, 5), (50, 10**9), (500, 40)):
        a = [generator.randint(0, levels) / levels for _ in range(length)]
        b = [x + generator.randint(0, levels) / levels for x in a]
        pairs.append((a, b))
    return [{"a": a, "b": b, "rho": number(spearmanr(a, b).statistic)} for a, b in pairs]


def v_measure_cases(generator):
    pairs = [([0, 0, 1, 1], [0, 0, 1, 1]), ([0, 0, 1, 1], [7, 7, -3, -3]), ([0, 0, 1, 1], [0, 1, 2, 3]),
             ([0, 1, 2, 3], [0, 0, 1, 1]), ([0, 0, 1, 1], [0, 0, 0, 0]), ([0, 0, 0, 0], [0, 1, 2, 3]),
             ([0, 0], [5, 5]), ([0, 1, 0, 1], [0, 0, 1, 1]), ([3], [4]), ([], [])]
    for length, classes, clusters in ((60, 5, 5), (60, 5, 12), (200, 30, 3), (500, 45, 45)):
        truth = [generator.randrange(classes) for _ in range(length)]
        pairs.append((truth, [t % clusters if generator.random() < 0.6 else generator.randrange(clusters) for t in truth]))
    return [{"classes": a, "clusters": b, "v": float(v_measure_score(a, b))} for a, b in pairs]


def accuracy_cases(generator):
    pairs = [([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [3, 1, 2])]
    truth = [generator.randrange(4) for _ in range(77)]
    pairs.append((truth, [generator.randrange(4) for _ in truth]))
    return [{"truth": a, "predicted": b, "accuracy": float(accuracy_score(a, b))} for a, b in pairs]


def main():
    warnings.simplefilter("ignore")  # scipy warns of constant input, a case here
    generator = random.Random(11)
    out = {
        "retrieval": retrieval_cases(generator),
        "spearman": spearman_cases(generator),
        "v_measure": v_measure_cases(generator),
        "accuracy": accuracy_cases(generator),
    }
    path = pathlib.Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
