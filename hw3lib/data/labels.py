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


def crossed_sets(splits: Sequence[Split], groups: np.ndarray | None = None) -> np.ndarray | None:
    """The set that each image is in, where each of three splits or more learns from a set and tests on all others.

    Args:
        splits: positions ``(train, test)``.
        groups: numbers of the products that all images show, ``(N,)``, none of which may be in two sets; None: each
            shows another.

    Returns:
        Numbers of the splits that learn from them, int64 ``(N,)``; None where splits are not of that design.
    """
    trained = np.concatenate([train for train, _ in splits])
    every = np.arange(len(trained))
    if len(splits) < 3 or not np.array_equal(np.sort(trained), every):
        return None
    numbers = np.repeat(np.arange(len(splits)), [len(train) for train, _ in splits])[np.argsort(trained)]
    if groups is not None and len(np.unique(np.stack([groups, numbers], 1), axis=0)) > len(np.unique(groups)):
        return None
    crossed = all(np.array_equal(np.sort(test), np.flatnonzero(numbers != i)) for i, (_, test) in enumerate(splits))
    return numbers if crossed else None


def by_set(values: Sequence[np.ndarray], tests: Sequence[np.ndarray], sets: np.ndarray) -> np.ndarray:
    """Means over the test images of each set, one row a split, ``(sets, sets)``; 0 on the diagonal.

    Args:
        values: of each test image of each split.
        tests: positions of these.
        sets: of :func:`crossed_sets`.
    """
    n, sizes = len(values), np.bincount(sets)
    sums = [np.bincount(sets[test], value, n) for value, test in zip(values, tests, strict=True)]
    return np.stack(sums) / sizes


def class_names(table: pd.DataFrame) -> list[str]:
    """Classes of a table (column ``defect``): ``good`` first, the others by name. Labels are positions in this list."""
    return sorted(table["defect"].unique(), key=lambda name: (name != "good", name))


def as_labels(defects: pd.Series, classes: list[str]) -> np.ndarray:
    """Class names as positions in ``classes``, int64 ``(N,)``."""
    return np.array([classes.index(name) for name in defects], np.int64)
