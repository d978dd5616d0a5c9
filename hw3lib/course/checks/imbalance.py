"""Checks of chapter 3: SMOTE, weights, logit adjustment, the leak."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .base import CheckFailed, call, numbers, passed


def smote_point(function: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> None:
    """A point at the share ``u`` of the way from an image's features to a neighbour's (arXiv 1106.1813)."""
    rng = np.random.default_rng(0)
    for u in (0.0, 1.0, 0.25, 0.8):
        x, neighbour = rng.normal(size=(2, 5))
        given = f"u={u}"
        found = numbers(call(function, x.copy(), neighbour.copy(), u, given=given), (5,), f"{given}, the new point")
        if np.allclose(found, (1 - u) * x + u * neighbour):
            continue
        hint = "start at x and go the share u of the way to the neighbour"
        if np.allclose(found, u * x + (1 - u) * neighbour):
            hint = "the two ends are exchanged: u=0 is x itself"
        elif np.allclose(found, x + u * neighbour):
            hint = "that adds a part of the neighbour; what has to be added is a part of the way there"
        raise CheckFailed(f"{given}: the point is not where it should be; {hint}")
    passed("every new point lies between two real ones, and so shows no defect that neither has")


def class_balanced_weights(function: Callable[[np.ndarray, float], np.ndarray]) -> None:
    """Weights by the effective number of images, with the mean 1 (Cui et al. 2019, arXiv 1901.05555, equation 4)."""
    for images, beta in (([100, 10, 1], 0.99), ([5, 5], 0.9), ([1000, 200, 40, 8], 0.999)):
        counts = np.array(images)
        given = f"counts {counts.tolist()}, beta={beta}"
        found = numbers(call(function, counts.copy(), beta, given=given), counts.shape, f"{given}, the weights")
        raw = (1 - beta) / (1 - beta**counts)
        expected = raw / raw.mean()
        if np.allclose(found, expected, rtol=1e-6):
            continue
        hint = "the effective number of n images is (1 - beta^n) / (1 - beta); a weight is one over it"
        if np.allclose(found, raw, rtol=1e-6):
            hint = "right before scaling: bring their mean to 1, or the learning rate changes with the classes"
        elif np.allclose(found, (1 / raw) / (1 / raw).mean(), rtol=1e-6):
            hint = "these favour the head: the weight is one over the effective number"
        elif np.allclose(found, (1 / counts) / (1 / counts).mean(), rtol=1e-6):
            hint = (
                "that is inverse frequency, the limit for beta towards 1; images overlap, so count the effective number"
            )
        raise CheckFailed(f"{given}: expected {expected.round(3).tolist()}, found {found.round(3).tolist()}; {hint}")
    passed("beta = 0 weighs all classes alike, beta towards 1 by inverse frequency")


def logit_adjustment(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Logits after the training prior is taken out (Menon et al. 2021, arXiv 2007.07314, section 4.1)."""
    rng = np.random.default_rng(0)
    for images in ([90, 9, 1], [10, 10], [50, 30, 15, 5]):
        counts = np.array(images)
        logits = rng.normal(size=(4, len(counts)))
        given = f"logits of 4 images, training counts {counts.tolist()}"
        found = numbers(call(function, logits.copy(), counts.copy(), given=given), logits.shape, f"{given}, the result")
        log_prior = np.log(counts / counts.sum())
        expected = logits - log_prior
        # A constant for all classes of an image changes no decision.
        off = (found - expected) - (found - expected).mean(1, keepdims=True)
        if np.allclose(off, 0, atol=1e-8):
            continue
        hint = "what a class gains from being frequent is the logarithm of its share"
        wrong = found - (logits + log_prior)
        if np.allclose(wrong - wrong.mean(1, keepdims=True), 0, atol=1e-8):
            hint = "this rewards the head once more: the sign is the other one (added it belongs into the loss)"
        elif np.allclose(found, logits / (counts / counts.sum())) or np.allclose(found, logits - counts / counts.sum()):
            hint = "logits are logarithms of probabilities: what divides there is a difference here"
        raise CheckFailed(f"{given}: these would not decide as a balanced training set would; {hint}")
    passed("the decision changes, the network does not")


def oversample_after_split(function: Callable) -> None:
    """``f(X, y, train, test, oversample) -> X_train, y_train, X_test, y_test``; only training rows are multiplied."""
    rng = np.random.default_rng(0)
    y = np.array(["good"] * 16 + ["dent"] * 8)
    x = rng.normal(size=(len(y), 3))
    order = rng.permutation(len(y))
    train, test = order[:16], order[16:]
    seen: list[np.ndarray] = []

    def oversample(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Repeat the rows of each class until all are as large as the largest."""
        seen.append(np.asarray(rows))
        size = max(np.unique(labels, return_counts=True)[1])
        take = np.concatenate([np.resize(np.flatnonzero(labels == name), size) for name in np.unique(labels)])
        return rows[take], labels[take]

    given = "16 training and 8 test rows"
    value = call(function, x.copy(), y.copy(), train.copy(), test.copy(), oversample, given=given)
    if not isinstance(value, tuple) or len(value) != 4:
        raise CheckFailed(f"{given}: expected X_train, y_train, X_test, y_test")
    x_train, y_train, x_test, y_test = map(np.asarray, value)
    key = {tuple(row) for row in x[test]}
    if copies := sum(tuple(row) in key for row in x_train):
        raise CheckFailed(
            f"{given}: {copies} rows to train on are copies of test rows; whoever has seen the question knows the "
            "answer. What may the oversampler be given?"
        )
    if len(x_test) != len(test) or sorted(map(tuple, x_test)) != sorted(map(tuple, x[test])):
        raise CheckFailed(f"{given}: the test part is not the {len(test)} test rows; it stays as it is")
    if not seen:
        raise CheckFailed(f"{given}: nothing was oversampled; the training part is to be balanced")
    if len(x_train) != len(y_train) or len(set(np.unique(y_train, return_counts=True)[1].tolist())) != 1:
        raise CheckFailed(f"{given}: the classes to train on are not of one size; return what the oversampler gave")
    by_row = {tuple(row): label for row, label in zip(x, y, strict=True)}
    if any(by_row.get(tuple(row)) != label for row, label in zip(x_test, y_test, strict=True)):
        raise CheckFailed(f"{given}: y_test does not belong to X_test; take both by the same rows")
    passed("split first, oversample afterwards")
