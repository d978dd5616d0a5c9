"""Confidence intervals: over repeated splits, of shares, of a ranking's area, of differences."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from hw3lib.errors import Hw3Error

_REPEATS = 2000  # bootstrap samples


def corrected_interval(
    values: np.ndarray, n_train: int, n_test: int, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of a figure over repeated random splits with its corrected resampled t interval.

    The splits share images, so the plain standard error is too small; Nadeau and Bengio (Machine Learning 52, 2003,
    section 3) widen its variance from ``s2 / n`` to ``s2 (1/n + n_test/n_train)``. Where whole products are split, they
    are what is drawn: that figures differ more from split to split for it is in ``s2``, and the two sizes count as
    their ratio alone, which is that of the products.

    Args:
        values: one figure a split, ``(n_splits,)``, or one difference a split for a paired comparison.
        n_train, n_test: images in each part of a split.
        confidence: share of intervals that hold the true mean, 0 to 1.

    Returns:
        ``(mean, low, high)``; not clipped to 0 to 1, so that it serves differences too.

    Raises:
        Hw3Error: fewer than two splits, which leave the spread unknown.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        raise Hw3Error(f"{len(values)} split: expected at least 2, an interval needs the spread between splits")
    error = np.sqrt(values.var(ddof=1) * (1 / len(values) + n_test / n_train))
    half = stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * error
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, for one test set counted once (Wilson, JASA 22, 1927)."""
    if not 0 <= correct <= total or total == 0:
        raise Hw3Error(f"correct={correct}, total={total}: expected 0 <= correct <= total and total > 0")
    interval = stats.binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def difference_interval(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float]:
    """Interval of ``b - a`` from estimates with their own, each ``(value, low, high)``; see :func:`compare`."""
    d = b[0] - a[0]
    low = d - math.hypot(b[0] - b[1], a[2] - a[0])
    return low, d + math.hypot(b[2] - b[0], a[0] - a[1])


def auroc_interval(
    is_defect: np.ndarray,
    scores: np.ndarray,
    less: np.ndarray | None = None,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Image AUROC, or the difference of two on the same images, with its 95 % bootstrap interval.

    Good and defective images are resampled with replacement, each among themselves, the same images for both scores
    (percentile bootstrap: Efron and Tibshirani 1993, chapter 13). The detectors are not fitted again, so the interval
    covers the choice of the test images, not that of the good images to learn from.

    Args:
        is_defect: bool ``(N,)``.
        scores: ``(N,)``.
        less: scores ``(N,)`` whose AUROC is subtracted.
        seed: of the drawing.
        groups: numbers of the products that the images show, from 0, ``(N,)``: all images of one are drawn together
            (Davison and Hinkley 1997, section 3.8); None: each shows another.

    Returns:
        Value, lower and upper end; fractions of one. NaN where all images are good, or all defective.
    """
    rng, is_defect = np.random.default_rng(seed), np.asarray(is_defect)
    if len(np.unique(is_defect)) < 2:
        return np.nan, np.nan, np.nan
    wins = _wins(is_defect, scores) - (0 if less is None else _wins(is_defect, less))
    defects, goods = wins.shape
    # An AUROC is a mean over pairs, so a drawing is a pair of weight vectors.
    if groups is None:
        weights = [rng.multinomial(n, np.full(n, 1 / n), _REPEATS) / n for n in (defects, goods)]
    else:
        weights = [_drawn_products(groups[rows], rng) for rows in (is_defect, ~is_defect)]
    drawn = np.einsum("rd,dg,rg->r", weights[0], wins, weights[1], optimize=True)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(wins.mean()), float(low), float(high)


def _drawn_products(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shares of the images of products that are drawn with replacement, ``(repeats, n)``."""
    _, which = np.unique(groups, return_inverse=True)
    n = which.max() + 1
    weights = rng.multinomial(n, np.full(n, 1 / n), _REPEATS)[:, which]
    return weights / weights.sum(1, keepdims=True)


def _wins(is_defect: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """1 where a defective image scores above a good one, half where they tie, ``(defective, good)``."""
    bad, good = np.asarray(scores)[is_defect], np.asarray(scores)[~is_defect]
    return (bad[:, None] > good) + 0.5 * (bad[:, None] == good)
