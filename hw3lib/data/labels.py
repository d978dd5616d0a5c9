"""Labels of images as numbers, and splits of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

Split = tuple[np.ndarray, np.ndarray]


def split_sizes(splits: Sequence[Split]) -> tuple[int, int]:
    """Images of the training and of the test parts; their means, where whole products make them differ in length."""
    train, test = (round(float(np.mean([len(split[side]) for split in splits]))) for side in (0, 1))
    return train, test


def class_names(table: pd.DataFrame) -> list[str]:
    """Classes of a table (column ``defect``): ``good`` first, the others by name. Labels are positions in this list."""
    return sorted(table["defect"].unique(), key=lambda name: (name != "good", name))


def as_labels(defects: pd.Series, classes: list[str]) -> np.ndarray:
    """Class names as positions in ``classes``, int64 ``(N,)``."""
    return np.array([classes.index(name) for name in defects], np.int64)
