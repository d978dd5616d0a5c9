"""Figures of segmentation: masks before and after fine-tuning beside the truth, and the curve over training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from hw3lib.annotate.masks.evaluation import iou
from hw3lib.core.fonts import BLUE, GREEN, GREY, ORANGE, PURPLE, pretty
from hw3lib.errors import Hw3Error

from .style import TILE, nothing, outline

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "black")
_MARKERS = "osD^vP"


def segmentations(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray] | None,
    found: Mapping[str, Sequence[np.ndarray]],
    names: Sequence[str] | None = None,
    boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    without: str = "no image",
) -> Figure:
    """Masks side by side, one image a line: found pixels in colour, the truth outlined, its IoU above.

    Args:
        images: uint8 ``(H, W, 3)``.
        truths: bool ``(H, W)``, one an image; None where there is none, and then no IoU.
        found: masks of each column, such as ``{"before": [...], "after": [...]}``.
        names: written beside the images.
        boxes: prompts of each image, left, top, right, bottom in pixels, drawn into the first column.
        without: the sentence to draw where there is no image.

    Raises:
        Hw3Error: not one mask an image in each column, or a mask of another size than its image.
    """
    for column, masks in (found if truths is None else {"truths": truths, **found}).items():
        shapes = [np.shape(mask) for mask in masks]
        wanted = [image.shape[:2] for image in images]
        if shapes != wanted:
            raise Hw3Error(f"{column}: found masks of {shapes[:3]}, expected one an image, {wanted[:3]}")
    if not len(images):
        return nothing(without)
    columns = 1 + len(found)
    figure, grid = plt.subplots(
        len(images), columns, figsize=(1.9 * columns, 2.05 * len(images) + 0.3), squeeze=False, layout="constrained"
    )
    for i, (line, image) in enumerate(zip(grid, images, strict=True)):
        picture, truth = _tile(image), None if truths is None else np.asarray(truths[i], bool)
        for axes in line:
            axes.set(xticks=[], yticks=[])
        line[0].imshow(picture, interpolation="nearest")
        if truth is not None:
            outline(line[0], _tile_mask(truth))
        for box in boxes[i] if boxes is not None else ():
            _box(line[0], np.asarray(box, float) * picture.shape[1] / image.shape[1])
        for axes, (column, masks) in zip(line[1:], found.items(), strict=True):
            axes.imshow(_tinted(picture, _tile_mask(masks[i])), interpolation="nearest")
            said = [column] if i == 0 else []
            if truth is not None:
                outline(axes, _tile_mask(truth))
                said.append(f"IoU {iou(np.asarray(masks[i], bool), truth):.2f}")
            axes.set_title("\n".join(said), fontsize=9)
        if names is not None:
            line[0].set_ylabel(fill(pretty(names[i]), 14), fontsize=10)
    grid[0][0].set_title("image" if truths is None else "image and truth", fontsize=9)
    return figure


def learning_curve(table: pd.DataFrame, without: str = "no training image") -> Figure:
    """IoU against the number of training images, with 95 % intervals.

    Args:
        table: see :func:`hw3lib.annotate.masks.evaluation.curve`; what needs no training is a dashed line.
        without: the sentence to draw where the table has no row.

    Raises:
        Hw3Error: a column is missing.
    """
    wanted = ["n_train", "method", "prompt", "iou", "iou_low", "iou_high"]
    if missing := [name for name in wanted if name not in table]:
        raise Hw3Error(f"table: no column {missing[0]}; expected the columns {', '.join(wanted)}")
    if not len(table):
        return nothing(without)
    keys = list(dict.fromkeys(zip(table["method"], table["prompt"], strict=True)))
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for number, key in enumerate(keys):
        part = table[(table["method"] == key[0]) & (table["prompt"] == key[1])].sort_values("n_train")
        colour, marker = _COLOURS[number % 6], _MARKERS[number % 6]
        label = key[0] if key[1] == "none" else f"{key[0]}, {key[1]} prompt"
        before, after = part[part["n_train"] == 0], part[part["n_train"] > 0]
        for value in before["iou"]:
            name = f"{label}, not fine-tuned" if len(after) else f"{label}, learns from no mask"
            axes.axhline(value, color=colour, ls="--", lw=1.3, label=name)
        if len(after):
            # Moved apart a little, so that intervals at the same number do not cover each other.
            x = after["n_train"] * (1 + 0.012 * (number - len(keys) / 2))
            reach = np.abs(after[["iou_low", "iou_high"]].to_numpy().T - after["iou"].to_numpy())
            axes.errorbar(
                x, after["iou"], reach, color=colour, marker=marker, lw=2, elinewidth=1, capsize=2, label=label
            )
    sizes = sorted(table.loc[table["n_train"] > 0, "n_train"].unique())
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set(ylim=(0, 1), xlabel="training images with masks", ylabel="IoU on the same test images")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    sns.despine(figure)
    return figure


def _tile(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(_shape(image), Image.Resampling.BILINEAR))


def _tile_mask(mask: np.ndarray) -> np.ndarray:
    grey = Image.fromarray(np.asarray(mask, np.float32))
    return np.asarray(grey.resize(_shape(mask), Image.Resampling.BOX)) > 0.5


def _shape(image: np.ndarray) -> tuple[int, int]:
    """Width and height whose longer side is a tile's."""
    height, width = image.shape[:2]
    return max(1, round(width * TILE / max(height, width))), max(1, round(height * TILE / max(height, width)))


def _tinted(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    colour = 255 * np.array(to_rgb(BLUE))
    return np.where(mask[..., None], 0.4 * picture + 0.6 * colour, 0.6 * picture + 0.4 * 255).astype(np.uint8)


def _box(axes: plt.Axes, box: np.ndarray) -> None:
    left, top, right, bottom = box
    for colour, width in (("black", 2.6), (ORANGE, 1.3)):
        axes.add_patch(plt.Rectangle((left, top), right - left, bottom - top, fill=False, ec=colour, lw=width))
