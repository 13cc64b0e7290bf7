"""Writes losses.json: values and gradients of losses in float64.

Where sentence-transformers (6.2.0) has the loss, it is run on fixed vectors and its own gradients are written; its
columns become rows of documents, the positive first. The others are stated plainly from their papers' formulas,
candidate by candidate. What each case is in decovec stands in tests/loss/reference_test.cpp, by the case's name.

    python losses_reference.py
"""

import json
import pathlib

import torch
from sentence_transformers import util
from sentence_transformers.sentence_transformer import losses
from torch import nn

WIDTH = 6


class Columns(nn.Module):
    """A model whose texts are given vectors: each column's features are {"x": [B, D]}."""

    tokenizer = None

    def __init__(self, width=WIDTH):
        super().__init__()
        self.width = width

    def forward(self, features):
        return {"sentence_embedding": features["x"]}

    def get_embedding_dimension(self):
        return self.width

    def __getitem__(self, index):
        return self


def draw(generator, *shape):
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * 1000).round() / 1000


def interleave(columns):
    """Columns [B, D] to documents row by row: each query's first column, then its others."""
    return torch.stack(columns, 1).flatten(0, 1)


class Case:
    """Queries, columns of documents, and how the batch is related; texts all differ unless said otherwise."""

    def __init__(self, name, seed, queries=5, columns=3, width=WIDTH):
        generator = torch.Generator().manual_seed(seed)
        self.name, self.columns = name, columns
        self.queries = draw(generator, queries, width)
        self.documents = draw(generator, queries * columns, width)
        roles = ["positive"] + ["negative"] * (columns - 1)
        self.facts = {"owner": [q for q in range(queries) for _ in range(columns)], "role": roles * queries,
                      "pool": [0] * queries, "text": [100 + d for d in range(queries * columns)],
                      "answers": [[] for _ in range(queries)]}
        self.guide = None
        self.generator = generator

    def with_guide(self, noise=0.5):
        """A guide that agrees with the vectors more or less, so that some negatives pass and some do not."""
        self.guide = [self.queries + noise * draw(self.generator, *self.queries.shape),
                      self.documents + noise * draw(self.generator, *self.documents.shape)]
        return self

    def with_scores(self, scores, role="scored"):
        """One score for each document; roles stay where `role` is None."""
        self.facts["score"] = scores
        if role:
            self.facts["role"] = [role] * len(scores)
        return self

    def write(self, loss):
        """`loss` gets queries [B, D] and documents [M, D] with gradients and gives a scalar."""
        queries = self.queries.clone().requires_grad_()
        documents = self.documents.clone().requires_grad_()
        value = loss(queries, documents)
        value.backward()
        result = {"name": self.name, "facts": self.facts, "queries": self.queries.tolist(),
                  "documents": self.documents.tolist(), "value": value.item(),
                  "query_gradient": queries.grad.tolist(), "document_gradient": documents.grad.tolist()}
        if self.guide:
            result["guide_queries"], result["guide_documents"] = [g.tolist() for g in self.guide]
        return result

    def by_columns(self, queries, documents):
        return [queries, *documents.view(len(queries), self.columns, -1).unbind(1)]

    def write_module(self, module, labels=None):
        """A sentence-transformers loss on the columns."""
        def loss(queries, documents):
            return module([{"x": c} for c in self.by_columns(queries, documents)], labels)
        return self.write(loss)


# What sentence-transformers has.

def ranking_cases():
    mnrl, both = losses.MultipleNegativesRankingLoss, ("query_to_doc", "doc_to_query")
    every = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
    model = Columns()
    yield Case("mnrl", 1).write_module(mnrl(model))
    yield Case("mnrl pairs", 2, columns=1).write_module(mnrl(model, scale=50.0))
    yield Case("mnrl symmetric", 3).write_module(mnrl(model, directions=both, partition_mode="per_direction"))
    yield Case("mnrl both ways joint", 4).write_module(mnrl(model, directions=both))
    yield Case("mnrl queries", 5).write_module(mnrl(model, directions=("query_to_doc", "query_to_query")))
    yield Case("mnrl gte", 6).write_module(mnrl(model, directions=every))
    yield Case("mnrl gte pairs", 7, columns=1).write_module(mnrl(model, directions=every, scale=10.0))
    for mode in ("in_batch_negatives", "hard_negatives", "all_negatives"):
        strength = 5.0 if mode == "hard_negatives" else 9.0
        yield Case(f"mnrl hardness {mode}", 8).write_module(
            mnrl(model, hardness_mode=mode, hardness_strength=strength))

    # Of the cached loss what it computes from the embeddings; its own mini-batches cut the rows.
    case = Case("cached mnrl", 9)
    cached = losses.CachedMultipleNegativesRankingLoss(model, scale=30.0, mini_batch_size=2, directions=every)
    yield case.write(lambda q, d: cached.calculate_loss([list(c.split(2)) for c in case.by_columns(q, d)]))


class GuidedLoss(losses.GISTEmbedLoss):
    """Without tokenizers, which only say whether texts must be tokenized again."""

    def __init__(self, **options):
        nn.Module.__init__(self)
        self.model, self.must_retokenize, self.gather_across_devices = Columns(), False, False
        self.similarity_fct, self.cross_entropy_loss = nn.CosineSimilarity(dim=-1), nn.CrossEntropyLoss()
        self.temperature, self.contrast_anchors, self.contrast_positives = 0.01, True, True
        for name, value in options.items():
            setattr(self, name, value)

    class Guide(nn.Module):
        def forward(self, features):
            return {"sentence_embedding": features["guide"]}

    guide = Guide()


def gist_cases():
    settings = {"gist": {"margin_strategy": "absolute", "margin": 0.0},
                "gist absolute": {"margin_strategy": "absolute", "margin": 0.1, "temperature": 0.1},
                "gist relative": {"margin_strategy": "relative", "margin": 0.2, "temperature": 0.05},
                "gist documents only": {"margin_strategy": "relative", "margin": 0.05, "temperature": 0.2,
                                        "contrast_anchors": False, "contrast_positives": False}}
    for seed, (name, options) in enumerate(settings.items(), 20):
        case = Case(name, seed, queries=6, columns=2).with_guide(noise=1.0)
        guided = GuidedLoss(**options)

        def loss(queries, documents):
            columns = case.by_columns(queries, documents)
            guides = case.by_columns(*case.guide)
            return guided([{"x": c, "guide": g} for c, g in zip(columns, guides)], None)

        yield case.write(loss)


class SquaredError(nn.MSELoss):
    """In the cosines' type: the loss hands over labels in float32, which hold the labels here exactly."""

    def forward(self, cosines, labels):
        return super().forward(cosines, labels.to(cosines.dtype))


def scored_cases():
    pair_scores = [0.5, 1.0, 0.25, 0.5, 0.0, 0.75, 1.0]
    for name, module, width in [("cosent", losses.CoSENTLoss(Columns()), WIDTH),
                                ("angle", losses.AnglELoss(Columns()), WIDTH),
                                ("angle of odd width", losses.AnglELoss(Columns(), scale=5.0), 5),
                                ("cosine similarity", losses.CosineSimilarityLoss(Columns(), loss_fct=SquaredError()), WIDTH)]:
        case = Case(name, 30, queries=7, columns=1, width=width).with_scores(pair_scores)
        yield case.write_module(module, torch.tensor(pair_scores, dtype=torch.float64))

    metric = losses.TripletDistanceMetric
    for name, distance, margin in [("triplet euclidean", metric.EUCLIDEAN, 5), ("triplet cosine", metric.COSINE, 0.3),
                                   ("triplet manhattan", metric.MANHATTAN, 0.5)]:
        yield Case(name, 31, queries=6, columns=2).write_module(
            losses.TripletLoss(Columns(), distance_metric=distance, triplet_margin=margin))

    for name, columns, similarity in [("margin mse", 2, util.pairwise_dot_score),
                                      ("margin mse of many", 4, util.pairwise_cos_sim)]:
        case = Case(name, 32, columns=columns)
        teacher = draw(case.generator, 5, columns)
        case.with_scores(teacher.flatten().tolist(), role=None)
        yield case.write_module(losses.MarginMSELoss(Columns(), similarity_fct=similarity), teacher)

    for name, options in [("kl", {}), ("kl temperature", {"temperature": 2.0, "similarity_fct": util.pairwise_cos_sim}),
                          ("kl temperatures", {"student_temperature": 0.5, "teacher_temperature": 3.0})]:
        case = Case(name, 33, columns=3)
        teacher = draw(case.generator, 5, 3)
        case.with_scores(teacher.flatten().tolist(), role=None)
        yield case.write_module(losses.DistillKLDivLoss(Columns(), **options), teacher)


def matryoshka_cases():
    model = Columns()
    yield Case("matryoshka mnrl", 40).write_module(
        losses.MatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), [6, 4, 2], [1, 0.5, 0.25]))
    case = Case("matryoshka margin mse", 41, columns=3)
    teacher = draw(case.generator, 5, 3)
    case.with_scores(teacher.flatten().tolist(), role=None)
    yield case.write_module(losses.MatryoshkaLoss(model, losses.MarginMSELoss(model), [5, 2]), teacher)


# What it lacks.

def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=0)


def published(case, temperature, terms):
    """The mean over i of -log(exp(s(q_i, d_i+)/t) / sum of exp(s/t)): `terms(i, q, d, own)` gives the cosines of all
    candidates but the positive, whose cosine is `own`; None is left out, and counted."""
    left_out = []

    def loss(queries, documents):
        rows = []
        step = case.columns
        for i in range(len(queries)):
            own = cosine(queries[i], documents[i * step])
            others = terms(i, queries, documents, own)
            left_out.extend(s for s in others if s is None)
            scores = [own] + [s for s in others if s is not None]
            rows.append(torch.logsumexp(torch.stack(scores) / temperature, 0) - own / temperature)
        return torch.stack(rows).mean()

    return {**case.write(loss), "left_out": len(left_out)}


def published_cases():
    # Gecko, Lee et al. 2024, arXiv:2403.20327: the positives and queries of the batch, and the own hard
    # negative.
    gecko = Case("gecko", 50, columns=2)

    def gecko_terms(i, q, d, own):
        others = [j for j in range(len(q)) if j != i]
        return ([cosine(q[i], d[2 * j]) for j in others] + [cosine(q[i], q[j]) for j in others] +
                [cosine(q[i], d[2 * i + 1])])

    yield published(gecko, 0.05, gecko_terms)

    # Gemini Embedding, Lee et al. 2025, arXiv:2503.07891: the positives of the batch but for equal queries
    # and equal positives, and the own hard negative. Queries 0 and 2 are the same, positives 1 and 3 are.
    gemini = Case("gemini", 51, queries=6, columns=2)
    gemini.facts["query_text"] = [7, 8, 7, 9, 10, 11]
    gemini.facts["text"][6] = gemini.facts["text"][2]
    gemini.queries[2] = gemini.queries[0]
    gemini.documents[6] = gemini.documents[2]
    same = {(0, 2), (2, 0), (1, 3), (3, 1)}

    def gemini_terms(i, q, d, own):
        others = [j for j in range(len(q)) if j != i and (i, j) not in same]
        return [cosine(q[i], d[2 * j]) for j in others] + [cosine(q[i], d[2 * i + 1])]

    yield published(gemini, 0.05, gemini_terms)

    # Qwen3 Embedding, Zhang et al. 2025, arXiv:2506.05176: own hard negatives, other queries, documents of
    # others against query and positive; left out where the cosine is above the positive's + 0.1. d_j is read as all
    # documents of query j.
    qwen = Case("qwen3", 52, queries=6, columns=3)

    def qwen_terms(i, q, d, own):
        def kept(score):
            return None if score > own + 0.1 else score
        others = [j for j in range(len(q)) if j != i]
        documents = [3 * j + c for j in others for c in range(3)]
        return ([kept(cosine(q[i], d[3 * i + c])) for c in (1, 2)] + [kept(cosine(q[i], q[j])) for j in others] +
                [kept(cosine(d[3 * i], d[k])) for k in documents] + [kept(cosine(q[i], d[k])) for k in documents])

    yield published(qwen, 0.1, qwen_terms)

    # NV-Embed's second stage, Lee et al. 2024, arXiv:2405.17428: hard negatives alone. NV-Retriever's rule, de Souza et
    # al. 2024, arXiv:2407.15831 (TopK-PercPos), leaves out those above 95 % of the positive; row 1's are curated.
    hard = Case("hard negatives", 53, columns=4)
    hard.facts["pool"] = [-1] * 5
    yield published(hard, 0.02, lambda i, q, d, own: [cosine(q[i], d[4 * i + c]) for c in (1, 2, 3)])

    percent = Case("percentage of the positive", 54, columns=4)
    percent.facts["pool"] = [-1] * 5
    percent.documents[0::4] = 0.5 * percent.queries + 0.6 * percent.documents[0::4]  # positives that are near
    percent.documents[5] = 1.1 * percent.queries[1] + 0.1 * percent.documents[5]     # and negatives that are nearer
    percent.documents[9] = 1.1 * percent.queries[2] + 0.1 * percent.documents[9]
    percent.facts["role"][5] = "curated"

    def percent_terms(i, q, d, own):
        scores = [(cosine(q[i], d[4 * i + c]), 4 * i + c) for c in (1, 2, 3)]
        return [s if s <= 0.95 * own or k == 5 else None for s, k in scores]

    yield published(percent, 0.05, percent_terms)

    # Several positives: the mean over them, the others left out.
    several = Case("several positives", 55, queries=4, columns=4)
    several.facts["role"] = ["positive", "positive", "negative", "negative", "positive", "negative", "negative",
                             "negative", "positive", "negative", "positive", "positive", "positive", "negative",
                             "curated", "negative"]

    def several_loss(queries, documents):
        rows = []
        for i in range(4):
            scores = torch.stack([cosine(queries[i], d) for d in documents]) / 0.1
            positives = [k for k in range(4 * i, 4 * i + 4) if several.facts["role"][k] == "positive"]
            terms = []
            for p in positives:
                kept = [k for k in range(16) if k == p or k not in positives]
                terms.append(torch.logsumexp(scores[kept], 0) - scores[p])
            rows.append(torch.stack(terms).mean())
        return torch.stack(rows).mean()

    yield several.write(several_loss)


def main():
    cases = [*ranking_cases(), *gist_cases(), *scored_cases(), *matryoshka_cases(), *published_cases()]
    file = pathlib.Path(__file__).with_name("losses.json")
    file.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
