"""Accuracy, not speed: answers to imbalance against plain training, and what the missing images would be worth."""

from __future__ import annotations

import pandas as pd

from hw3lib.classify.guided import classifier as guided
from hw3lib.core.intervals import Interval
from hw3lib.core.places import project_root
from hw3lib.data import classification_images, get, load_table, repeated_splits
from hw3lib.data.labels import Split
from hw3lib.imbalance import METHODS, compare_methods

# Methods that make images or pass mixed ones through the backbone are left to notebook 03's full profile.
CHEAP = [name for name, method in METHODS.items() if method.kind != "generated images" and name != "cutmix"]


def main(category: str, data: str | None, count: int = 10, ratios: tuple[float, ...] = (5, 10)) -> None:
    """Print a table for each ratio, the best method first, and the ceiling beneath it.

    Args:
        category, data: where the images are.
        count: repeated splits; each is run with every defect type as the tail once.
        ratios: of the largest to the smallest defect type.
    """
    table = load_table(get(category, data, progress=False), category)
    images = classification_images(table)
    good = guided.good_images(table, images)
    unlabelled = good.sample(min(len(good), 40), random_state=0)
    run(category, images, repeated_splits(images, count, 0.2), CHEAP, ratios, unlabelled)


def run(
    category: str,
    images: pd.DataFrame,
    splits: list[Split],
    methods: list[str],
    ratios: tuple[float, ...],
    unlabelled: pd.DataFrame | None = None,
) -> None:
    """Compare with every defect type as the tail, and print what was found."""
    compared = compare_methods(
        images,
        splits,
        methods=methods,
        ratios=ratios,
        turns=images.loc[images["is_defect"], "defect"].nunique(),
        unlabelled=unlabelled,
        ceiling=True,
        keep=project_root() / "runs" / "benchmark-longtail",
        progress=True,
    )
    for ratio, rows in compared.table().groupby("ratio"):
        print(f"{category}, 1:{ratio:g}, {compared.design}")
        for _, row in [*rows.iterrows(), ("", compared.ceiling(ratio))]:
            gain = Interval.read(row, "gain", kind="difference").text(".1f", 100)
            accuracy = f"{row['balanced_accuracy']:.1%}, tail {row['tail_recall']:.1%}"
            print(f"  {row['method']:25} {accuracy:20} {gain:26} {row['verdict']}")
