"""Accuracy without luck: intervals over repeated splits, figures of each class, and how far probabilities hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support, recall_score

from hw3lib.errors import Hw3Error


class Calibration(NamedTuple):
    """How far the probabilities hold.

    Attributes:
        table: one row a bin of confidence (the probability of the predicted class): its limits ``low`` and ``high``,
            ``confidence`` and ``accuracy`` (means over the bin's images, missing where it is empty), and ``count``.
        ece: expected calibration error, 0 to 1 (Guo et al., arXiv 1706.04599, equation 3).
        brier: mean squared distance between the probabilities and the truth as 0 and 1, summed over the classes, 0 to 2
            (Brier, Monthly Weather Review 78, 1950).
    """

    table: pd.DataFrame
    ece: float
    brier: float


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


def per_class(y: np.ndarray, y_pred: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Figures of each class, in the order of ``classes``.

    Returns:
        Columns ``class``, ``precision``, ``recall``, ``f1`` (0 to 1; 0 where nothing was predicted or nothing is true)
        and ``support`` (true images).
    """
    precision, recall, f1, support = precision_recall_fscore_support(
        y, y_pred, labels=range(len(classes)), zero_division=0
    )
    return pd.DataFrame({"class": classes, "precision": precision, "recall": recall, "f1": f1, "support": support})


def balanced_accuracy(y: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean recall of the classes that occur in ``y``, 0 to 1: every class counts the same, however rare."""
    return float(recall_score(y, y_pred, labels=np.unique(y), average="macro", zero_division=0))


def calibration(y: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Calibration:
    """Reliability table, expected calibration error and Brier score.

    Args:
        y: true labels, int ``(N,)``.
        probabilities: of each class, ``(N, classes)``, 0 to 1.
        bins: number of equal bins of confidence; a bin holds its upper limit, not its lower one.

    Raises:
        Hw3Error: arrays that do not fit each other, no images, or no bins.
    """
    y, probabilities = np.asarray(y), np.asarray(probabilities, float)
    if len(y) == 0 or probabilities.ndim != 2 or len(probabilities) != len(y):
        raise Hw3Error(
            f"probabilities: found {probabilities.shape} for {len(y)} images, expected (images, classes), 1 or more"
        )
    if bins < 1:
        raise Hw3Error(f"bins={bins}: expected 1 or more")
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == y
    limits = np.linspace(0, 1, bins + 1)
    bin_of = np.clip(np.searchsorted(limits, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    means = [
        np.divide(np.bincount(bin_of, values, bins), count, out=np.full(bins, np.nan), where=count > 0)
        for values in (confidence, correct)
    ]
    table = pd.DataFrame(
        {"low": limits[:-1], "high": limits[1:], "confidence": means[0], "accuracy": means[1], "count": count}
    )
    ece = float((count * (table["accuracy"] - table["confidence"]).abs()).sum() / len(y))
    brier = float(((probabilities - np.eye(probabilities.shape[1])[y]) ** 2).sum(1).mean())
    return Calibration(table, ece, brier)
