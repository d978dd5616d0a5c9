"""Checks of chapter 3: SMOTE, weights, logit adjustment, the leak."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import CheckFailed, call, check, compare, near


@check
def smote_point(rng: np.random.Generator, function: Any) -> str:
    """A point at the share ``u`` of the way from an image's features to a neighbour's (arXiv 1106.1813)."""
    cases: list[tuple[str, tuple]] = []
    for u in rng.permutation([0.0, 1.0, *rng.uniform(0.05, 0.95, 4).round(2)]):
        size = int(rng.integers(2, 9))
        cases.append((f"{size} features, u={u}", (*rng.normal(size=(2, size)), float(u))))
    compare(
        function,
        cases,
        lambda x, z, u: x + u * (z - x),
        "start at x and go the share u of the way to the neighbour",
        [
            (lambda x, z, u: u * x + (1 - u) * z, "the two ends are exchanged: u=0 is x itself"),
            (lambda x, z, u: x + u * z, "that adds a part of the neighbour; add a part of the way there"),
            (lambda x, z, u: x - u * (z - x), "that goes away from the neighbour"),
            (lambda x, z, u: x + u * (x - z), "that goes away from the neighbour"),
            (lambda x, z, u: u * (z - x), "that is the way to go; from where does it begin?"),
            (lambda x, z, u: z + u * (z - x), "that begins at the neighbour and goes beyond it"),
            (lambda x, z, u: (x + z) / 2, "that is always half-way; u says how far"),
            (lambda x, z, u: x + u * np.abs(z - x), "the way there has a sign in every feature"),
            (lambda x, z, u: x + u**2 * (z - x), "u is the share itself, not its square"),
            (lambda x, z, u: np.where(u < 0.5, x, z), "that is one of the two; a new point lies between them"),
            (lambda x, z, u: x, "that is x itself, whatever u is"),
            (lambda x, z, u: z, "that is the neighbour itself, whatever u is"),
        ],
        what="the new point",
    )
    return "every new point lies between two real ones, and so shows no defect that neither has"


def _scaled(weights: np.ndarray) -> np.ndarray:
    return weights / weights.mean()


@check
def class_balanced_weights(rng: np.random.Generator, function: Any) -> str:
    """Weights by the effective number of images, with the mean 1 (Cui et al. 2019, arXiv 1901.05555, equation 4)."""
    cases = []
    for beta in rng.uniform(0.8, 0.999, 5).round(3):
        counts = np.sort(rng.permutation(np.arange(1, 200))[: rng.integers(2, 6)])[::-1].copy()
        cases.append((f"counts {counts.tolist()}, beta={beta}", (counts, float(beta))))
    compare(
        function,
        cases,
        lambda n, beta: _scaled(1 / (1 - beta**n)),
        "the effective number of n images is (1 - beta^n) / (1 - beta); a weight is one over it",
        [
            (lambda n, beta: (1 - beta) / (1 - beta**n), "right before scaling: bring their mean to 1"),
            (lambda n, beta: _scaled(1 / (1 - beta**n)) / len(n), "their sum is 1; it is their mean that should be"),
            (lambda n, beta: (1 - beta**n) / (1 - beta), "these are the effective numbers; a weight is one over it"),
            (
                lambda n, beta: _scaled(1 - beta**n),
                "these favour the head: the weight is one over the effective number",
            ),
            (
                lambda n, beta: _scaled(1 / n),
                "that is inverse frequency, as for beta towards 1; images overlap: count the effective number",
            ),
            (lambda n, beta: _scaled(n), "these favour the head, by frequency"),
            (lambda n, beta: np.ones(len(n)), "all weights are alike, whatever the counts"),
            (
                lambda n, beta: _scaled(1 / np.sqrt(n)),
                "that is one over the root of the count; it does not ask for beta",
            ),
            (lambda n, beta: _scaled(1 / (1 - beta ** (n - 1))), "the power is n, not n - 1"),
            (lambda n, beta: _scaled(1 / (1 - beta * n)), "beta to the power of n (**), not times n"),
            (lambda n, beta: _scaled(1 / (1 + beta**n)), "the sign: 1 minus beta^n"),
            (lambda n, beta: (w := 1 / (1 - beta**n)) / w.max(), "their largest is 1; it is their mean that should be"),
            (
                lambda n, beta: (w := 1 / (1 - beta**n)) / w.min(),
                "their smallest is 1; it is their mean that should be",
            ),
        ],
        what="the weights",
    )
    return "beta = 0 weighs all classes alike, beta towards 1 by inverse frequency"


def _same_decisions(found: Any, expected: Any) -> bool:
    """Equal up to a constant for all classes of an image, which changes no decision."""
    return np.shape(found) == np.shape(expected) and near(
        found - found.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True)
    )


@check
def logit_adjustment(rng: np.random.Generator, function: Any) -> str:
    """Logits after the training prior is taken out (Menon et al. 2021, arXiv 2007.07314, section 4.1)."""
    cases = []
    for _ in range(5):
        counts = rng.permutation(np.arange(2, 120))[: rng.integers(3, 7)]
        logits = rng.normal(size=(int(rng.integers(3, 6)), len(counts)))
        cases.append((f"logits of {len(logits)} images, training counts {counts.tolist()}", (logits, counts)))
    power = "logits are logarithms of probabilities: what divides there is a difference here"
    compare(
        function,
        cases,
        lambda logits, n: logits - np.log(n / n.sum()),
        "what a class gains from being frequent is the logarithm of its share",
        [
            (lambda logits, n: logits + np.log(n), "this rewards the head once more: the sign is the other one"),
            (lambda logits, n: logits / (n / n.sum()), power),
            (lambda logits, n: logits - n / n.sum(), f"the share was subtracted, not its logarithm; {power}"),
            (lambda logits, n: logits * (n / n.sum()), power),
            (lambda logits, n: logits / n, power),
            (lambda logits, n: logits, "nothing has changed"),
            (lambda logits, n: logits - n, "the counts were subtracted, not the logarithm of the share"),
            (lambda logits, n: logits - np.log2(n), "the natural logarithm: the softmax has the base e"),
            (lambda logits, n: logits - np.log10(n), "the natural logarithm: the softmax has the base e"),
            (lambda logits, n: logits - np.log1p(n), "take the counts as they are: log(n), not log(n + 1)"),
            (lambda logits, n: logits - 1 / n, "one over the count is not the logarithm of the share"),
            (lambda logits, n: np.exp(logits) / n, "these are probabilities (up to a factor); return logits"),
            (lambda logits, n: logits - 2 * np.log(n), "the prior is in them once, and it was taken out twice"),
            (lambda logits, n: logits / np.log(n), power),
        ],
        what="up to one constant an image, the logits",
        same=_same_decisions,
    )
    return "the decision changes, the network does not"


@check
def oversample_after_split(rng: np.random.Generator, function: Any) -> str:
    """``f(X, y, train, test, oversample) -> X_train, y_train, X_test, y_test``; only training rows are multiplied."""
    for _ in range(3):
        sizes = rng.permutation([15, 9, 6])
        y = rng.permutation(np.repeat(["good", "dent", "hole"], sizes))
        x = rng.normal(size=(len(y), 3))
        by_class = [rng.permutation(np.flatnonzero(y == name)) for name in np.unique(y)]
        test = rng.permutation(np.concatenate([rows[: len(rows) // 3] for rows in by_class]))  # as unbalanced as all
        train = rng.permutation(np.setdiff1d(np.arange(len(y)), test))
        _judge_parts(function, x, y, train, test, f"{len(train)} training and {len(test)} test rows")
    return "split first, oversample afterwards"


def _judge_parts(function: Any, x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, given: str) -> None:
    seen: list[set[tuple]] = []
    made: list[list[tuple]] = []

    def oversample(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Repeat the rows of each class until all are as large as the largest."""
        rows, labels = np.asarray(rows), np.asarray(labels)
        if rows.ndim != 2 or len(rows) != len(labels):
            raise CheckFailed(
                f"{given}: oversample was given {rows.shape} and {labels.shape}; expected rows and labels"
            )
        seen.append(set(map(tuple, rows)))
        size = max(np.unique(labels, return_counts=True)[1])
        take = np.concatenate([np.resize(np.flatnonzero(labels == name), size) for name in np.unique(labels)])
        made.append(_rows(rows[take], labels[take]))
        return rows[take], labels[take]

    value = call(function, x, y, train, test, oversample, given=given)
    if not isinstance(value, tuple | list) or len(value) != 4:
        raise CheckFailed(f"{given}: expected X_train, y_train, X_test, y_test")
    x_train, y_train, x_test, y_test = map(np.asarray, value)
    if len(x_train) != len(y_train) or len(x_test) != len(y_test):
        raise CheckFailed(
            f"{given}: {len(x_train)} and {len(x_test)} rows have {len(y_train)} and {len(y_test)} labels"
        )
    questions = set(map(tuple, x[test]))
    if copies := sum(tuple(row) in questions for row in x_train):
        raise CheckFailed(
            f"{given}: {copies} rows to train on are copies of test rows; whoever has seen the question knows the "
            "answer. What may the oversampler be given?"
        )
    if len(x_test) > len(test) and set(map(tuple, x_test)) == questions:
        raise CheckFailed(f"{given}: the test part was oversampled too, to {len(x_test)} rows; it stays as it is")
    if sorted(map(tuple, x_test)) != sorted(map(tuple, x[test])):
        raise CheckFailed(f"{given}: the test part is not the {len(test)} test rows; it stays as it is")
    if _rows(x_test, y_test) != _rows(x[test], y[test]):
        raise CheckFailed(f"{given}: y_test does not belong to X_test; take both by the same rows")
    if not seen:
        raise CheckFailed(f"{given}: nothing was oversampled; the training part is to be balanced by oversample(X, y)")
    if any(rows & questions for rows in seen):
        raise CheckFailed(
            f"{given}: oversample was given test rows; one that blends rows would carry them into training"
        )
    if _rows(x_train, y_train) not in made:
        raise CheckFailed(f"{given}: what is trained on is not what oversample gave for the training rows")
    if seen[made.index(_rows(x_train, y_train))] != set(map(tuple, x[train])):
        raise CheckFailed(f"{given}: not all of the training rows were given to oversample")


def _rows(x: np.ndarray, y: np.ndarray) -> list[tuple]:
    return sorted((*row, str(label)) for row, label in zip(x.tolist(), y.tolist(), strict=True))
