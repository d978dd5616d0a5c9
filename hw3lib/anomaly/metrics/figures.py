"""Figures of a detector with their confidence intervals, as tables and commands show them."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd

from hw3lib.core.intervals import Interval, auroc_interval, holm
from hw3lib.errors import Hw3Error

from .intervals import mean_interval
from .metrics import PixelMetrics


def pixel_figures(counted: PixelMetrics, groups: np.ndarray | None = None) -> dict[str, float]:
    """What :func:`pixel_metrics` gives, of images that were counted already.

    Args:
        counted: NaN where a figure cannot be had of them.
        groups: products that the defective images show, int ``(defective images,)``; None: each shows another.
    """
    found = dict.fromkeys(
        ("pixel_auroc", "pixel_ap", *Interval().columns("aupro"), *Interval().columns("aupimo")), np.nan
    )
    with suppress(Hw3Error):  # no defective or no good pixel was counted; after that, no good image
        found |= {"pixel_auroc": counted.auroc(), "pixel_ap": counted.average_precision()}
        regions = counted.region_overlaps()
        images = np.arange(len(regions)) if groups is None else groups
        of_regions = np.repeat(images, [len(own) for own in regions])
        found |= mean_interval(np.concatenate(regions), of_regions).columns("aupro")
        found |= mean_interval(counted.aupimo(), groups).columns("aupimo")
    return found


def types_by_auroc(
    is_defect: np.ndarray, scores: np.ndarray, defects: np.ndarray, groups: np.ndarray | None = None
) -> list[dict]:
    """Image AUROC of each type of defect against all good images, of scores ``(N,)``.

    Args:
        defects: type of each image, ``(N,)``; those of good ones do not matter.
        groups: products that the images show, int ``(N,)``; None: each shows another.

    Returns:
        Rows of ``defect``, ``images`` of that type, and the columns of ``image_auroc`` with its 95 % interval (see
        :func:`auroc_interval`; the p-values are those of all types together, :func:`holm`; NaN without good images), in
        the order in which the types come.
    """
    kinds = pd.unique(defects[is_defect]).tolist()
    parts = [~is_defect | (defects == defect) for defect in kinds]
    found = holm(auroc_interval(is_defect[own], scores[own], None if groups is None else groups[own]) for own in parts)
    return [
        {"defect": defect, "images": int((is_defect & own).sum()), **auroc.columns("image_auroc", "auroc")}
        for defect, own, auroc in zip(kinds, parts, found, strict=True)
    ]
