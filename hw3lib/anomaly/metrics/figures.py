"""Figures of a detector with their confidence intervals, as tables and commands show them."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd

from hw3lib.core.intervals import auroc_interval
from hw3lib.errors import Hw3Error

from .intervals import mean_interval
from .metrics import PixelMetrics


def pixel_figures(counted: PixelMetrics, groups: np.ndarray | None = None) -> dict[str, float]:
    """What :func:`pixel_metrics` gives, of images that were counted already.

    Args:
        counted: NaN where a figure cannot be had of them.
        groups: products that the defective images show, int ``(defective images,)``; None: each shows another.
    """
    found = dict.fromkeys(("pixel_auroc", "pixel_ap", *with_interval("aupro"), *with_interval("aupimo")), np.nan)
    with suppress(Hw3Error):  # no defective or no good pixel was counted; after that, no good image
        found |= {"pixel_auroc": counted.auroc(), "pixel_ap": counted.average_precision()}
        regions = counted.region_overlaps()
        images = np.arange(len(regions)) if groups is None else groups
        of_regions = np.repeat(images, [len(own) for own in regions])
        found |= with_interval("aupro", mean_interval(np.concatenate(regions), of_regions))
        found |= with_interval("aupimo", mean_interval(counted.aupimo(), groups))
    return found


def with_interval(name: str, figures: tuple[float, float, float] = (np.nan,) * 3) -> dict[str, float]:
    """A figure and the ends of its interval, as they are called in tables."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), figures, strict=True))


def types_by_auroc(
    is_defect: np.ndarray, scores: np.ndarray, defects: np.ndarray, groups: np.ndarray | None = None
) -> list[dict]:
    """Image AUROC of each type of defect against all good images, of scores ``(N,)``.

    Args:
        defects: type of each image, ``(N,)``; those of good ones do not matter.
        groups: products that the images show, int ``(N,)``; None: each shows another.

    Returns:
        Rows of ``defect``, ``images`` of that type, ``image_auroc``, ``auroc_low`` and ``auroc_high`` (its 95 %
        interval, see :func:`auroc_interval`; NaN without good images), in the order in which the types come.
    """
    rows = []
    for defect in pd.unique(defects[is_defect]):
        own = ~is_defect | (defects == defect)
        found = auroc_interval(is_defect[own], scores[own], groups=None if groups is None else groups[own])
        figures = dict(zip(("image_auroc", "auroc_low", "auroc_high"), found, strict=True))
        rows.append({"defect": defect, "images": int((is_defect & own).sum()), **figures})
    return rows
