"""Samples and splits that keep the classes in proportion and come out the same for the same seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedShuffleSplit

from hw3lib.errors import Hw3Error


def sample_per_class(table: pd.DataFrame, n: int, random_state: int = 0) -> pd.DataFrame:
    """Draw ``n`` images of every class (column ``defect``) without replacement, in the order of the table.

    Raises:
        Hw3Error: a class has fewer than ``n`` images.
    """
    counts = table["defect"].value_counts()
    short = counts[counts < n]
    if n < 1 or len(short):
        few = ", ".join(f"{name} {count}" for name, count in short.items())
        raise Hw3Error(f"n={n}: expected 1 to {counts.min()} images a class" + (f"; too few in: {few}" if few else ""))
    rng = np.random.default_rng(random_state)
    chosen = [rng.choice(rows, n, replace=False) for _, rows in sorted(table.groupby("defect").indices.items())]
    return table.iloc[np.sort(np.concatenate(chosen))]


def classification_images(table: pd.DataFrame, random_state: int = 0) -> pd.DataFrame:
    """Images for a classifier of defect types, with an index from 0: those of the test split, where the defects are.

    Where these hold fewer than half as many good images as the largest defect type has, as in a small folder of one's
    own, good images of the training split are drawn to match it; the imbalance is notebook 03's subject.
    """
    images = table[table["split"] == "test"]
    good = int((~images["is_defect"]).sum())
    largest = images.loc[images["is_defect"], "defect"].value_counts().max() if good < len(images) else 0
    if good < largest / 2:
        spare = table[(table["split"] == "train") & ~table["is_defect"]]
        drawn = spare.sample(min(len(spare), largest - good), random_state=random_state)
        images = pd.concat([images, drawn]).sort_index()
    return images.reset_index(drop=True)


def repeated_splits(
    table: pd.DataFrame, n_splits: int = 10, test_size: float | int = 0.2, random_state: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Independent stratified splits: ``n_splits`` pairs of positions ``(train, test)``, int64, each sorted.

    Args:
        table: needs the column ``defect``.
        n_splits: number of splits.
        test_size: share of the images (float below 1) or their number (int).
        random_state: the same seed gives the same splits.

    Raises:
        Hw3Error: a class too small to stand on both sides, or a ``test_size`` that leaves a side without some class.
    """
    if len(table) == 0:
        raise Hw3Error("the table has no rows; expected at least two images a class")
    splitter = StratifiedShuffleSplit(n_splits=n_splits, test_size=test_size, random_state=random_state)
    try:
        pairs = list(splitter.split(np.zeros(len(table)), table["defect"].astype(str)))
    except ValueError as error:
        counts = table["defect"].value_counts().to_dict()
        raise Hw3Error(
            f"cannot split {len(table)} images with test_size={test_size} and n_splits={n_splits}: {error} "
            f"Images a class: {counts}"
        ) from None
    every = table["defect"].nunique()
    for train, test in pairs:
        for side, rows in (("training", train), ("test", test)):
            if table["defect"].iloc[rows].nunique() < every:
                missing = set(table["defect"]) - set(table["defect"].iloc[rows])
                raise Hw3Error(
                    f"test_size={test_size}: the {side} part would have no image of {sorted(missing)}; "
                    "use a larger part or more images of these classes"
                )
    return [(np.sort(train), np.sort(test)) for train, test in pairs]


def splittable(
    table: pd.DataFrame, n_splits: int = 10, test_size: float | int = 0.2, random_state: int = 0, least: int = 2
) -> tuple[pd.DataFrame, list[tuple[np.ndarray, np.ndarray]], dict[str, int]]:
    """The classes that are large enough for repeated splits, and the splits: the smallest class is left out until so.

    Args:
        table, n_splits, test_size, random_state: see :func:`repeated_splits`.
        least: classes that must be left.

    Returns:
        The images, rows from 0; their splits; how many images of which class were left out.

    Raises:
        Hw3Error: as :func:`repeated_splits`, where fewer than ``least`` classes would be left.
    """
    part = table
    while True:
        try:
            splits = repeated_splits(part, n_splits, test_size, random_state)
        except Hw3Error:
            sizes = part["defect"].value_counts().sort_index()
            if len(sizes) <= least:
                raise
            part = part[part["defect"] != sizes.idxmin()]
            continue
        left_out = table["defect"].value_counts().drop(part["defect"].unique()).sort_index()
        return part.reset_index(drop=True), splits, {str(name): int(count) for name, count in left_out.items()}


def stratified_split(
    table: pd.DataFrame, test_size: float | int = 0.2, random_state: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One stratified split of a table into ``(train, test)``; see :func:`repeated_splits`."""
    train, test = repeated_splits(table, 1, test_size, random_state)[0]
    return table.iloc[train], table.iloc[test]
