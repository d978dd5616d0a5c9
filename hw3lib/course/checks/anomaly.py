"""Checks of chapter 4: the coreset, thresholds with a promise, p-values, a leaderboard."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_auc_score

from hw3lib.anomaly.coreset.greedy import k_center_greedy

from .base import CheckFailed, call, near, number, numbers, passed


def greedy_coreset(function: Callable[[np.ndarray, int], np.ndarray]) -> None:
    """Indices of the greedy k-centre coreset that starts with row 0 (arXiv 2106.08265, algorithm 1)."""
    for seed in range(3):
        vectors = np.random.default_rng(seed).normal(size=(80, 4))
        given = "80 vectors, 10 to keep"
        found = numbers(call(function, vectors.copy(), 10, given=given), (10,), f"{given}, their rows").astype(int)
        expected = k_center_greedy(vectors, 10, start=0).indices
        if (found == expected).all():
            continue
        if len(set(found.tolist())) < 10:
            raise CheckFailed(
                f"{given}: row {max(found, key=list(found).count)} is kept twice; the distance of what is kept is 0. "
                "Is each row's distance to its nearest kept one still up to date?"
            )
        if found[0] != 0:
            raise CheckFailed(f"{given}: it starts with row {found[0]}, expected row 0")
        from_start = np.argsort(-np.linalg.norm(vectors - vectors[0], axis=1))[:9]
        hint = "take the row that is furthest from all that are kept"
        if (found[1:] == from_start).all():
            hint = "these are the furthest from row 0; after each pick, the nearest kept row may be a new one"
        elif found[1] != expected[1]:
            hint = "already the second is not the row furthest from the first"
        step = int(np.flatnonzero(found != expected)[0])
        raise CheckFailed(f"{given}: pick {step + 1} is row {found[step]}, and another row lies further; {hint}")
    passed("the same rows as the library's, which only skips what need not be computed")


def conformal_threshold(function: Callable[[np.ndarray, float], float]) -> None:
    """The threshold that the next good image exceeds with at most this probability (arXiv 2104.08279)."""
    rng = np.random.default_rng(0)
    for n, rate in ((19, 0.05), (50, 0.1), (99, 0.01), (10, 0.05), (9, 0.3)):
        scores = rng.permutation(np.arange(n) + rng.random())
        given = f"{n} good scores, a false-alarm rate of {rate:g}"
        found = number(call(function, scores.copy(), rate, given=given), "the threshold")
        rank = math.ceil((1 - rate) * (n + 1) - 1e-9)
        expected = np.sort(scores)[rank - 1] if rank <= n else math.inf
        if near(found, expected):
            continue
        alarm = (n - np.searchsorted(np.sort(scores), found, side="right") + 1) / (n + 1)
        if math.isinf(expected):
            hint = "no score of these is high enough for the promise: with too few images the answer is infinity"
        elif alarm > rate + 1e-9:
            hint = (
                f"the next good image exceeds yours with probability {alarm:.3f}; count it among the n + 1, and "
                "neither interpolate nor round down"
            )
        else:
            hint = f"yours is safe (at most {alarm:.3f}) but higher than need be, and misses more defects"
        raise CheckFailed(f"{given}: found {found:.4g}, which is not it; {hint}")
    passed("a promise that holds for any detector, from good images alone")


def p_value(function: Callable[[float, np.ndarray], float]) -> None:
    """The share of good images, the new one among them, that score as high."""
    good = np.array([1.0, 2.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0])
    for score, at_least in ((100.0, 0), (21.0, 2), (2.0, 8), (0.0, 9)):
        given = f"score {score:g} against {len(good)} good scores, {at_least} of which are as high or higher"
        found, expected = number(call(function, score, good.copy(), given=given), "the p-value"), (at_least + 1) / 10
        if near(found, expected):
            continue
        hint = "count the new image itself, above and below the line"
        if found == 0:
            hint = "nine images cannot show that something never happens: the new one belongs to the count"
        elif near(found, ((good > score).sum() + 1) / 10):
            hint = "a good image with the same score is as high too"
        elif near(found, ((good <= score).sum() + 1) / 10) or near(found, (good < score).mean()):
            hint = "it is the other tail: high scores are anomalous"
        raise CheckFailed(f"{given}: expected {expected:g}, found {found:.4g}; {hint}")
    passed("it is never zero: with n good images nothing is rarer than one in n + 1")


def beats_pooled_features(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    good: np.ndarray,
    test: np.ndarray,
    is_defect: np.ndarray,
) -> None:
    """Scores of test images from patch features, against the distance of their mean vectors to the nearest good one.

    Args:
        function: ``f(good, test) -> scores``.
        good: float ``(N, P, D)``, the features of P patches of N good images.
        test: float ``(M, P, D)``.
        is_defect: bool ``(M,)``; the function does not see it.
    """
    given = f"{len(good)} good and {len(test)} test images"
    scores = numbers(call(function, good.copy(), test.copy(), given=given), (len(test),), f"{given}, the scores")
    means, others = good.mean(1), test.mean(1)
    pooled = np.linalg.norm(others[:, None] - means[None], axis=-1).min(1)
    ours, theirs = roc_auc_score(is_defect, scores), roc_auc_score(is_defect, pooled)
    if ours < 0.5:
        raise CheckFailed(f"{given}: AUROC {ours:.3f}, worse than guessing; higher must mean more anomalous")
    if ours <= theirs:
        raise CheckFailed(
            f"{given}: AUROC {ours:.3f}, that of the mean vectors is {theirs:.3f}; a small defect hardly moves a mean. "
            "What does its own patch look like beside those of good images?"
        )
    passed("patches see what their mean has lost")
