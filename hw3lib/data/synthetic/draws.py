"""Independent sets of images: of a generated category as many as are wanted, each to learn from and to test others."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hw3lib.core.locks import held
from hw3lib.core.seeds import spawned
from hw3lib.data.labels import Split
from hw3lib.data.splits import classification_images, splittable
from hw3lib.data.table import load_table

from . import generated, make

FOLDER = ".draws"  # beside the category; a name that begins with a dot is no category


def redraw(
    table: pd.DataFrame,
    n_splits: int = 10,
    test_size: float | int = 0.2,
    random_state: int = 0,
    *,
    n_sets: int,
    per_class: int,
    keep: str | Path,
) -> tuple[pd.DataFrame, list[Split]]:
    """What classifiers of defect types are compared on: independent sets where images can be drawn, or else splits.

    Repeated splits of one set of images share most of them, so that differences are known no better than this one set
    allows, however many splits there are. A generated category that is as it was made has no such limit: further images
    are painted, and all are dealt into sets that share none. Each set is learned from once, and what was learned is
    tested on all other sets (:func:`hw3lib.core.intervals.crossed_interval`).

    Args:
        table: a category.
        n_splits, test_size, random_state: of the splits, see :func:`hw3lib.data.splittable`.
        n_sets: independent sets.
        per_class: images of each class in a set.
        keep: folder for the painted images where that of the category cannot be written.

    Returns:
        The images, rows from 0, and positions ``(train, test)`` of each split or set.

    Raises:
        Hw3Error: as :func:`hw3lib.data.splittable`, or the images cannot be written.
    """
    images, splits, _ = splittable(classification_images(table, random_state), n_splits, test_size, random_state)
    made = generated(table)
    if made is None:
        return images, splits
    counts = images["defect"].value_counts().sort_index()
    wanted = n_sets * per_class
    times = range(math.ceil(wanted / counts.min()) - 1)  # the category once more, with other products
    more = painted(table, {str(i): (spawned(made["seed"], i), counts.to_dict()) for i in times}, keep)
    pool = pd.concat([images, *more], ignore_index=True)
    turn = pool.groupby("defect").cumcount()
    pool, numbers = pool[turn < wanted].reset_index(drop=True), (turn[turn < wanted] // per_class).to_numpy()
    return pool, [(np.flatnonzero(numbers == i), np.flatnonzero(numbers != i)) for i in range(n_sets)]


def painted(
    table: pd.DataFrame, wanted: Mapping[str, tuple[int, dict[str, int]]], keep: str | Path
) -> list[pd.DataFrame]:
    """Further test images of a generated category; those that are there are not painted again.

    Args:
        table: see :func:`hw3lib.data.synthetic.generated`, which says that it is one.
        wanted: by name of a set its seed and the images of each class.
        keep: folder for them where that of the category cannot be written.

    Returns:
        The table of each set.

    Raises:
        Hw3Error: they cannot be written.
    """
    made = generated(table)
    assert made is not None, "images of other categories cannot be painted"
    category, root = table.attrs["category"], Path(table.attrs["folder"]).parents[1]
    place = (root if os.access(root, os.W_OK | os.X_OK) else Path(keep)) / FOLDER / f"{made['profile']}-{made['seed']}"
    place.mkdir(parents=True, exist_ok=True)
    with held(place / ".lock", wait=True):  # other processes draw the same images here, which are then there
        for name, (seed, counts) in wanted.items():
            make(category, place / name, made["profile"], seed, test=counts)
    return [load_table(place / name, category) for name in wanted]
