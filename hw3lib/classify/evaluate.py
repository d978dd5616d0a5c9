"""Accuracy with confidence intervals over repeated splits, figures of each class, and calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

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
