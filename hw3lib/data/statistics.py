"""What assignment question 1 asks of a category: counts, sizes, and where and how large its defects are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from scipy import ndimage

from hw3lib.data.regions.masks import load_masks, read_regions
from hw3lib.data.regions.shapes import EIGHT_CONNECTED


def class_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Images by class (rows, good first) and split (columns ``train``, ``test``), with a column ``total``."""
    counts = pd.crosstab(table["defect"], table["split"]).reindex(columns=["train", "test"], fill_value=0)
    order = sorted(counts.index, key=lambda name: (name != "good", name))
    counts = counts.reindex(order)
    counts["total"] = counts.sum(axis=1)
    counts.columns.name = None
    return counts


def image_dimensions(table: pd.DataFrame) -> pd.DataFrame:
    """Every distinct ``width``, ``height``, ``mode`` with its number of ``images``, most frequent first."""
    return (
        table.groupby(["width", "height", "mode"])
        .size()
        .rename("images")
        .reset_index()
        .sort_values("images", ascending=False, ignore_index=True)
    )


def imbalance_ratio(table: pd.DataFrame) -> float:
    """Images of the largest class over images of the smallest one; 1 is balanced.

    Example:
        >>> imbalance_ratio(pd.DataFrame({"defect": ["good"] * 8 + ["hole"] * 2}))
        4.0
    """
    counts = table["defect"].value_counts()
    return float(counts.max() / counts.min())


def defect_statistics(table: pd.DataFrame) -> pd.DataFrame:
    """Measure every mask at its full resolution.

    Returns:
        One row a mask, so none for an image that is not annotated: ``image``, ``defect``, ``area`` (share of the
        image, 0 to 1), ``regions`` (8-connected components; of a folder of masks, those of each file), ``x`` and ``y``
        (centre of mass, share of width and height, y downwards), ``largest`` (area of the largest region), ``width``
        and ``height`` (of the box round all regions, shares). An empty mask has missing positions.
    """
    rows = table[table["mask"].notna()]
    with ThreadPoolExecutor() as pool:
        measured = list(pool.map(_measure, rows["mask"]))
    columns = ["area", "regions", "largest", "x", "y", "width", "height"]
    result = pd.DataFrame(measured, columns=columns).astype(float).astype({"regions": int})  # also of no row
    result.insert(0, "image", rows["image"].to_numpy())
    result.insert(1, "defect", rows["defect"].to_numpy())
    return result


def _measure(path: str) -> tuple:
    regions = [region.marked for region in read_regions(path)]
    mask = np.logical_or.reduce(regions)
    area = mask.mean()
    if area == 0:
        return 0.0, 0, 0.0, np.nan, np.nan, np.nan, np.nan
    sizes = np.concatenate([np.bincount(ndimage.label(m, EIGHT_CONNECTED)[0].ravel())[1:] for m in regions])
    y, x = ndimage.center_of_mass(mask)
    down, right = ndimage.find_objects(mask.astype(int))[0]
    height, width = mask.shape
    return (
        float(area),
        len(sizes),
        float(sizes.max() / mask.size),
        (x + 0.5) / width,
        (y + 0.5) / height,
        (right.stop - right.start) / width,
        (down.stop - down.start) / height,
    )


def mean_mask(table: pd.DataFrame, size: int = 64) -> dict[str, np.ndarray]:
    """Where the defects of each type lie: float32 ``(size, size)``, share of its images that are defective there."""
    rows = table[table["mask"].notna()]
    masks = load_masks(rows, size, fit="stretch")
    return {
        d: masks[(rows["defect"] == d).to_numpy()].mean(0, dtype=np.float32) for d in sorted(rows["defect"].unique())
    }
