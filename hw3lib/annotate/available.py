"""What a category has for chapter 5: masks or a first annotation instead, and whether enough to measure with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hw3lib.anomaly.detector import Detector
from hw3lib.anomaly.detectors.patchcore import PatchCore
from hw3lib.data.regions.annotations import annotation_kinds
from hw3lib.data.splits import splittable
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

from .export import by_detector
from .instances import Instances, read_instances

MASKS, BOXES, MAPS = "masks", "boxes", "anomaly maps"
FEWEST = 4  # images with masks: two to learn from, one of which chooses the epoch, and two to test on


def defective_images(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The images to annotate, rows from 0, and where their annotations come from.

    Returns:
        The defective images that have a mask and ``masks``; those that have a box and ``boxes`` if none has a mask; all
        defective ones and ``anomaly maps`` if none has either.

    Raises:
        Hw3Error: the category has no defective image.
    """
    defective = table[table["is_defect"]]
    if not len(defective):
        raise Hw3Error(
            f"{table.attrs.get('category', 'this category')} has {len(table)} good images and no defective one, so "
            "there is nothing to annotate; put photographs of defects into test/<defect>, or leave notebook 05 out"
        )
    known = annotation_kinds(defective)
    for rows, origin in ((defective["mask"].notna(), MASKS), (known["boxes"], BOXES)):
        if rows.any():
            return defective[rows].reset_index(drop=True), origin
    return defective.reset_index(drop=True), MAPS


def fit_detector(table: pd.DataFrame, seed: int = 0) -> Detector:
    """PatchCore at 224 px on the good training images, with a threshold at 10 % false alarms.

    Raises:
        Hw3Error: too few good training images, as :meth:`hw3lib.anomaly.Detector.fit`.
    """
    good = table[(table["split"] == "train") & ~table["is_defect"]]
    if not len(good):
        raise Hw3Error(
            f"{table.attrs.get('category', 'this category')} has no good training image, from which the detector that "
            "makes prompts and first annotations learns; put photographs of good products into train/good"
        )
    detector = PatchCore(image_size=224, seed=seed)
    return detector.fit(ImageStack.load(good, 224, tiles=True), false_alarm_rate=0.1)


def annotate(defective: pd.DataFrame, detector: Detector | None = None, *, min_area: int = 1) -> Instances:
    """Instances as they were drawn or, with a detector, of its anomaly maps; rows are positions in ``defective``."""
    if detector is None:
        return read_instances(defective, min_area=min_area)
    return by_detector(defective, detector, min_area=min_area, echo=lambda text: None)[0]


def without_measurement(defective: pd.DataFrame, origin: str) -> str | None:
    """Why masks cannot be scored by IoU and Dice, a sentence without its full stop; None if they can."""
    if origin == MAPS:
        return (
            "IoU, Dice and mAP need true masks and there are none: an anomaly map that no person has corrected is no "
            "truth to measure against"
        )
    if origin == BOXES:
        return "IoU and Dice need true masks, and there are boxes alone"
    if len(defective) < FEWEST:
        return (
            f"{len(defective)} images have a mask, and {FEWEST} or more are needed to learn from some and test others"
        )
    return None


def detectable(
    images: pd.DataFrame, boxes: Instances, n_splits: int, test_size: float = 0.4, random_state: int = 0
) -> tuple[pd.DataFrame, Instances, list[tuple[np.ndarray, np.ndarray]], dict[str, int]]:
    """Images that a detector of boxes can learn from and be tested on, and splits of them.

    Left out are defective images without a box, from which it would learn that the defect is background, and the
    images of each class too small to stand on both sides of a split.

    Args:
        images: see :func:`hw3lib.data.classification_images`.
        boxes: of these images.
        n_splits, test_size, random_state: see :func:`hw3lib.data.repeated_splits`.

    Returns:
        The images, rows from 0; their boxes; the splits; and how many images of which class were left out. No class of
        defects is large enough: no image and no split.
    """
    boxed = {i.row for i in boxes}
    rows = np.array([row for row, bad in enumerate(images["is_defect"]) if not bad or row in boxed], int)
    boxed_or_good = images.iloc[rows]
    try:
        part, splits, _ = splittable(boxed_or_good, n_splits, test_size, random_state, least=1)
    except Hw3Error:
        part = images.iloc[:0]
    if part["is_defect"].any():
        rows = rows[boxed_or_good["defect"].isin(part["defect"]).to_numpy()]
        position = {int(row): new for new, row in enumerate(rows)}
        return part, _moved(boxes, position), splits, _counts(images.drop(index=images.index[rows]))
    return images.iloc[:0], Instances([]), [], _counts(images[images["is_defect"]])


def _moved(boxes: Instances, position: dict[int, int]) -> Instances:
    rows = np.zeros(max(position) + 1, int)
    rows[list(position)] = list(position.values())
    kept = Instances([i for i in boxes if i.row in position], [], boxes.min_area)
    return kept.at(rows)


def _counts(images: pd.DataFrame) -> dict[str, int]:
    return {str(name): int(count) for name, count in images["defect"].value_counts().sort_index().items()}
