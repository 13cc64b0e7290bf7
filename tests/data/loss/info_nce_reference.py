"""Writes info_nce.json: InfoNCE's value and gradients, stated plainly with PyTorch in float64.

Each query's candidates are listed one by one in Python. Where the case is one that sentence-transformers'
MultipleNegativesRankingLoss can express, its value must agree (scale = 1 / temperature).

    python info_nce_reference.py
"""

import json
import pathlib

import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss


def candidates(case, query):
    """Documents in the softmax of a query: its positive, then its negatives."""
    result = [case["positive"][query]]
    for document, owner in enumerate(case["owner"]):
        own = owner == query
        shared = case["pool"][owner] >= 0 and case["pool"][owner] == case["pool"][query]
        answer = case["text"][document] in case["answers"][query]
        if (own or shared) and not answer and document != case["positive"][query]:
            result.append(document)
    return result


def evaluate(case):
    queries = torch.tensor(case["queries"], dtype=torch.float64, requires_grad=True)
    documents = torch.tensor(case["documents"], dtype=torch.float64, requires_grad=True)
    rows = []
    for i, query in enumerate(queries):
        unit_query = torch.nn.functional.normalize(query, dim=0)
        chosen = [documents[j] for j in candidates(case, i)]
        cosines = [unit_query @ torch.nn.functional.normalize(document, dim=0) for document in chosen]
        scores = torch.stack(cosines) / case["temperature"]
        rows.append(torch.logsumexp(scores, 0) - scores[0])
    loss = torch.stack(rows).mean()
    loss.backward()
    case["rows"] = [row.item() for row in rows]
    case["loss"] = loss.item()
    case["query_gradient"] = queries.grad.tolist()
    case["document_gradient"] = documents.grad.tolist()
    return case


def make_case(name, generator, pool, negatives, temperature, width=5):
    """Documents lie row by row: each query's positive, then its negatives; all texts differ."""
    owner, positive = [], []
    for query, count in enumerate(negatives):
        positive.append(len(owner))
        owner += [query] * (1 + count)

    def draw(rows):
        values = torch.randn(rows, width, generator=generator).tolist()
        return [[round(x, 3) for x in row] for row in values]

    text = [1000 + i for i in range(len(owner))]
    return {"name": name, "temperature": temperature,
            "queries": draw(len(pool)), "documents": draw(len(owner)),
            "owner": owner, "positive": positive, "pool": pool, "text": text,
            "answers": [[text[p]] for p in positive]}


def sentence_transformers_value(case, negatives):
    documents = torch.tensor(case["documents"], dtype=torch.float64)
    documents = documents.view(len(case["queries"]), 1 + negatives, -1)
    columns = [torch.tensor(case["queries"], dtype=torch.float64)] + list(documents.unbind(1))
    loss = MultipleNegativesRankingLoss(model=None, scale=1 / case["temperature"])
    return loss.compute_loss_from_embeddings(columns, labels=None).item()


def main():
    generator = torch.Generator().manual_seed(20)
    cases = []

    in_batch = make_case("in batch", generator, pool=[0] * 4, negatives=[2] * 4, temperature=0.05)
    cases.append(evaluate(in_batch))
    in_batch["sentence_transformers"] = sentence_transformers_value(in_batch, 2)
    assert abs(in_batch["sentence_transformers"] - in_batch["loss"]) < 1e-12

    # Two pools, rows on their own, and rows with any number of negatives.
    mixed = make_case("mixed", generator, pool=[0, -1, 0, 1, -1, 0, 1], negatives=[2, 3, 0, 1, 0, 3, 2],
                      temperature=0.2)
    text, positive, answers = mixed["text"], mixed["positive"], mixed["answers"]
    # The positive of row 2 is the text of row 0's positive: neither may be a negative of the other row.
    text[positive[2]] = text[positive[0]]
    answers[2] = list(answers[0])
    # Row 5 has a second right answer, which row 0 drew as a negative; row 1 drew an answer of its own.
    answers[5] = sorted(answers[5] + [text[positive[0] + 1]])
    answers[1] = sorted(answers[1] + [text[positive[1] + 2]])
    cases.append(evaluate(mixed))

    zeros = make_case("zero rows", generator, pool=[0, 0, 0], negatives=[1, 1, 0], temperature=0.5)
    zeros["queries"][1] = [0.0] * 5
    zeros["documents"][3] = [0.0] * 5
    cases.append(evaluate(zeros))

    file = pathlib.Path(__file__).with_name("info_nce.json")
    lines = ",\n".join(json.dumps(case) for case in cases)
    file.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
