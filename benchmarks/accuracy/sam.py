"""Accuracy first: SAM before and after fine-tuning on at most 20 images, and what each split takes."""

from __future__ import annotations

import statistics
import time

from hw3lib.annotate.masks.evaluation import curve, evaluate, few_image_splits, prepare
from hw3lib.annotate.masks.sam import Segmenter
from hw3lib.core.intervals import Interval
from hw3lib.core.places import project_root
from hw3lib.data import get, load_table

from ..machine import say_load


def main(category: str, data: str | None, splits: int = 5, n_train: int = 20, sizes: tuple[int, ...] = ()) -> None:
    """Print mean IoU with true boxes, clicks, and boxes from a detector that has seen good images only.

    Args:
        category, data: where the images are.
        splits: repeated stratified splits.
        n_train: images that are learned from in each; all other defective images are tested on.
        sizes: smaller numbers of training images for the curve; none leaves it out.
    """
    say_load()
    segmenter, table = Segmenter.load(), load_table(get(category, data, progress=False), category)
    started = time.perf_counter()
    material = prepare(segmenter, table, cache=project_root() / "runs" / "benchmark-sam", progress=True)
    prepared = time.perf_counter() - started
    pairs = few_image_splits(material.table, splits, min(n_train, len(material.table) // 2))
    evaluation = evaluate(material, pairs, progress=True)
    print(
        f"{category}: {splits} splits, {evaluation.n_train} images to learn from, {evaluation.n_test} to test on; "
        f"{segmenter.name}"
    )
    for _, row in evaluation.table().iterrows():
        name = row["method"] if row["prompt"] == "none" else f"{row['method']}, {row['prompt']} prompt"
        times = [when for when in ("before", "after") if row[f"iou_{when}"] == row[f"iou_{when}"]]
        if len(times) == 1:
            reached = Interval.read(row, f"iou_{times[0]}", "iou").text()
            figures = f"IoU {reached}, Dice {row[f'dice_{times[0]}']:.3f}"
        else:
            both = [" -> ".join(f"{row[f'{what}_{when}']:.3f}" for when in times) for what in ("iou", "dice")]
            figures = f"IoU {both[0]}, Dice {both[1]}; IoU {Interval.read(row, 'gain', kind='difference').points()}"
        print(f"  {name:<22} {figures}")
    epochs = [[history.kept for history in histories.values()] for histories in evaluation.histories]
    print(f"  preparing {prepared:.0f} s, a split {statistics.median(evaluation.seconds):.0f} s; epochs kept: {epochs}")
    if sizes:
        print(curve(material, pairs, sizes, progress=True).round(3).to_string(index=False))
