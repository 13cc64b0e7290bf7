"""Reference values for tests/search/bm25_test.cpp: BM25 from its formula, with no index and no library.

Writes bm25.json beside this file. Run with any Python 3.
"""

import json
import math
import pathlib
import random

STOP_WORDS = set(
    """a an and are as at be but by for if in into is it no not of on or such that the their then there these
    they this to was will with""".split()
)


def singular(word):
    if len(word.encode()) <= 3:
        return word
    for ending, exceptions, replacement in (
        ("ies", ("eies", "aies"), "y"),
        ("es", ("aes", "ees", "oes"), "e"),
        ("s", ("us", "ss"), ""),
    ):
        if word.endswith(ending) and not word.endswith(exceptions):
            return word[: -len(ending)] + replacement
    return word


def words(text):
    spaced = "".join(c if ord(c) > 127 or c.isalnum() else " " for c in text)
    lower = "".join(c.lower() if ord(c) < 128 else c for c in spaced)
    # split(" "), not split(): a non-ASCII space is a letter by the definition
    return [singular(w) for w in lower.split(" ") if w and w not in STOP_WORDS]


def scores(documents, query, k1, b):
    bags = [words(d) for d in documents]
    mean_length = sum(len(bag) for bag in bags) / len(bags)
    result = []
    for bag in bags:
        score = 0.0
        for word in words(query):
            containing = sum(word in other for other in bags)
            frequency = bag.count(word)
            if frequency:
                idf = math.log(1 + (len(bags) - containing + 0.5) / (containing + 0.5))
                score += idf * frequency / (frequency + k1 * (1 - b + b * len(bag) / mean_length))
        result.append(score)
    return result


def main():
    texts = [
        "", "...", "a", "The cats sat on the mats; dogs did not.", "Ponies, ladies and flies", "eyries caies zeies",
        "horses houses buses gas glass radius", "heroes goes shoes trees Gaes", "GPU-based x86_64 B12 vitamins",
        "été naïve Zürich's cafés", "价格 价格s", "its bus us is as", "no\u00a0break", "tabs\tand\nlines", "class's",
    ]
    documents = [
        "a domestic animal kept as a pet or for catching mice",
        "domestic animals kept as pets",
        "domestic animals kept as pets",  # the same again: a tie
        "the catching of mice by cats, cats and cats",
        "",
        "a large city with many houses and few trees",
        "trees of the city; trees of the country; trees everywhere in every city and in every country of the world",
        "the and of",
        "cafés in Zürich",
        "a mouse",
    ]
    generator = random.Random(7)
    vocabulary = [f"word{i}" for i in range(40)] + ["cities", "city", "cats", "the"]
    documents += [
        " ".join(generator.choices(vocabulary, k=generator.randint(1, 30))) for _ in range(40)
    ]
    queries = ["pets", "domestic animal", "cat catching", "cat cat cat trees", "city of trees", "the of and",
               "nothing here matches", "", "Zürich CAFÉS cafés", "word1 word2 word3 word3 city",
               "word10 word20 word30 word39 cats"]
    cases = []
    for k1, b in ((0.9, 0.4), (1.2, 0.75), (0.0, 0.0), (2.0, 1.0)):
        for query in queries:
            found = enumerate(scores(documents, query, k1, b))
            # rounded for the order, so that equal sums with different rounding are ties
            ranked = sorted(((i, s) for i, s in found if s > 0), key=lambda x: (-round(x[1], 9), x[0]))
            cases.append({"k1": k1, "b": b, "query": query, "ranking": ranked})
    out = {"words": [[t, words(t)] for t in texts], "documents": documents, "cases": cases}
    path = pathlib.Path(__file__).with_name("bm25.json")
    path.write_text(json.dumps(out, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
