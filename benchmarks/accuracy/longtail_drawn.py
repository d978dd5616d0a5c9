"""Accuracy, not speed: the long tails of generated images once more, where each repeat draws images of its own.

Splits of one small set share their images, which makes every interval wide. Nothing limits how many generated images
there are: here each repeat learns from one set and is tested on another, and no two repeats share an image. Methods
that want images without labels are left out: what they gain would depend on how many of these are drawn.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from hw3lib.core.places import project_root
from hw3lib.data import classification_images, load_table
from hw3lib.data.synthetic import make
from hw3lib.imbalance import METHODS

from .longtail import CHEAP, run


def main(category: str, data: str | None, count: int = 10, ratios: tuple[float, ...] = (5, 10)) -> None:
    """Print a table for each ratio, the best method first, and the ceiling beneath it.

    Args:
        category: one that can be generated.
        data: not looked at, all images are generated.
        count: repeats; each is run with every defect type as the tail once.
        ratios: of the largest to the smallest defect type.
    """
    name = category.removeprefix("synthetic/")
    tables = []
    for seed in range(1, 2 * count + 1):  # 0 is the course's own set
        root = project_root() / "runs" / "benchmark-longtail" / f"drawn-{seed}"
        make(name, root, seed=seed)
        tables.append(classification_images(load_table(root, f"synthetic/{name}")))
    images = pd.concat(tables, ignore_index=True)
    sets = np.split(np.arange(len(images)), np.cumsum([len(table) for table in tables])[:-1])
    splits = list(zip(sets[::2], sets[1::2], strict=True))
    run(f"synthetic/{name}", images, splits, [m for m in CHEAP if METHODS[m].kind != "unlabelled"], ratios)
