"""Reference values for tests/eval/classifiers_test.cpp: scikit-learn's LogisticRegression.

Writes classifiers.json beside this file. Needs scikit-learn. The coefficients are of Newton fits to the end, so that
they do not depend on the optimizer's path; the predictions by default are of scikit-learn's own options (lbfgs).
"""

import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression


def case(generator, labels, dimensions, spread, train, test, c):
    centres = generator.normal(size=(len(labels), dimensions))

    def draw(count):
        index = generator.integers(len(labels), size=count)
        index[: len(labels)] = np.arange(len(labels))  # every class at least once
        rows = centres[index] + spread * generator.normal(size=(count, dimensions))
        return np.round(rows, 3).astype(np.float32), np.asarray(labels)[index]

    train_rows, train_labels = draw(train)
    test_rows, _ = draw(test)
    exact = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-11, max_iter=1000).fit(train_rows.astype(np.float64), train_labels)
    default = LogisticRegression(C=c).fit(train_rows, train_labels)
    return {
        "c": c,
        "train": [[round(float(x), 3) for x in row] for row in train_rows],
        "labels": train_labels.tolist(),
        "test": [[round(float(x), 3) for x in row] for row in test_rows],
        "classes": exact.classes_.tolist(),
        "weight": exact.coef_.tolist(),
        "bias": exact.intercept_.tolist(),
        "predicted": exact.predict(test_rows).tolist(),
        "predicted_by_default": default.predict(test_rows).tolist(),
    }


def main():
    generator = np.random.default_rng(5)
    cases = [
        case(generator, [0, 1], 3, 1.0, 40, 60, 1.0),
        case(generator, [3, 7], 4, 0.7, 30, 60, 0.1),
        case(generator, [0, 1, 2], 2, 0.5, 60, 60, 1.0),
        case(generator, [0, 2, 5, 9, 11], 6, 1.0, 100, 100, 1.0),
        case(generator, [1, 2, 3, 4], 5, 0.3, 24, 60, 100.0),
    ]
    path = pathlib.Path(__file__).with_name("classifiers.json")
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
