"""The same test images under another light or turned a little: where detectors that look perfect break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hw3lib.core.intervals import auroc_interval
from hw3lib.data.stack import ImageStack

from .comparison import DetectorEvaluation, share
from .variants import Change, changed, light, light_from, moved

# The first one changes nothing: the others are compared with it.
CONDITIONS: dict[str, Change] = {
    "as photographed": lambda images: images,
    "20 % darker": light(0.8, 0.8, 0.8),
    "in warmer light": light(1.1, 1.0, 0.85),
    "lit from the left": light_from(180, 0.2),
    "shifted by 5 %": moved(0.05),
    "turned by 5 degrees": moved(degrees=5),
    "turned by 90 degrees": lambda images: np.ascontiguousarray(np.rot90(images, 1, (-2, -1))),
}


def robustness_table(
    evaluations: Sequence[DetectorEvaluation],
    images: ImageStack | np.ndarray,
    rows: np.ndarray | None = None,
    *,
    conditions: Mapping[str, Change] | None = None,
    asked_rate: float | None = None,
) -> pd.DataFrame:
    """Score changed test images with detectors as they are; nothing is fitted and no threshold is moved.

    Args:
        evaluations: fitted detectors with thresholds, all of one image size.
        images: test images of the evaluations, uint8 ``(n, 3, H, W)`` or, where they are padded or cut into tiles, an
            ImageStack: then the images are changed, and not what is around them.
        rows: their positions among the evaluations' images; None: they are all of them.
        conditions: name and change; None: :data:`CONDITIONS`.
        asked_rate: false-alarm rate that the thresholds were to keep, for the figure.

    Returns:
        One row a condition and detector: ``condition, detector, image_auroc, auroc_low, auroc_high, auroc_p`` (95 %
        interval over these images, each by itself), ``false_alarm_rate, detection_rate``, ``images``, and
        ``asked_rate`` if it is given. NaN for what good images alone, or defective ones alone, cannot say.
    """
    found = []
    for name, change in (conditions or CONDITIONS).items():
        others = in_condition(images, change)
        for e in evaluations:
            scores = e.detector.decision_function(others)
            is_defect = e.is_defect if rows is None else e.is_defect[rows]
            above = scores > e.detector.threshold_
            groups = e.groups if rows is None or e.groups is None else e.groups[rows]
            row: dict[str, object] = {"condition": name, "detector": e.label}
            row |= auroc_interval(is_defect, scores, groups).columns("image_auroc", "auroc")
            row |= {"false_alarm_rate": share(above[~is_defect]), "detection_rate": share(above[is_defect])}
            row["images"] = len(is_defect)
            found.append(row if asked_rate is None else {**row, "asked_rate": asked_rate})
    return pd.DataFrame(found)


def in_condition(images: ImageStack | np.ndarray, change: Change) -> ImageStack | np.ndarray:
    if not isinstance(images, ImageStack):
        return change(images)
    return change(images.images) if images.geometries is None else changed(images, change)
