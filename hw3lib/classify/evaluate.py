"""Accuracy without luck: intervals over repeated splits, and comparisons paired on the same splits."""

from __future__ import annotations

import numpy as np
from scipy import stats

from hw3lib.errors import Hw3Error


def corrected_interval(
    values: np.ndarray, n_train: int, n_test: int, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean of a figure over repeated random splits with its corrected resampled t interval.

    The splits share images, so the plain standard error is too small; Nadeau and Bengio (Machine Learning 52, 2003,
    section 3) widen its variance from ``s2 / n`` to ``s2 (1/n + n_test/n_train)``.

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


def confusion(y: np.ndarray, y_pred: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrix, int ``(num_classes, num_classes)``: rows are the true classes, columns the predicted ones."""
    return np.bincount(np.asarray(y) * num_classes + np.asarray(y_pred), minlength=num_classes**2).reshape(
        num_classes, num_classes
    )
