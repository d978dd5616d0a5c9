"""Scores of predicted labels."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import recall_score


def balanced_accuracy(y: np.ndarray, y_pred: np.ndarray) -> float:
    """Mean recall of the classes that occur in ``y``, 0 to 1: every class counts the same, however rare."""
    return float(recall_score(y, y_pred, labels=np.unique(y), average="macro", zero_division=0))
