"""Figures of explanations: what a network looked at, and how often that was the defect."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hw3lib.anomaly.maps import upsample
from hw3lib.classify.explain import Explanation, peaks
from hw3lib.classify.guided.classifier import GuidedFeatures
from hw3lib.core.fonts import BLUE, ORANGE, pretty
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.images import read_row
from hw3lib.data.pixels.reading import reading_of
from hw3lib.data.regions.masks import load_masks
from hw3lib.errors import Hw3Error

from .style import TILE, draw_image, keep_aspect, nothing, outline

PAGE = 6  # images in a line
DECISIONS = ("all", "hits", "misses", "wrong")


def grad_cams(
    explanation: Explanation,
    table: pd.DataFrame,
    true: str | None = None,
    decisions: str = "all",
    page: int = 0,
) -> Figure:
    """Test images and, below each, its Grad-CAM: bright where evidence for the predicted class lies, its peak a cross.

    The surest decision on each class comes first, then the second surest on each, and so on.

    Args:
        explanation: of the test images.
        table: the one that was explained.
        true: only images of this class; None takes all.
        decisions: ``all``; ``hits`` or ``misses`` of the pointing game, which counts correct decisions only; ``wrong``.
        page: which of the lines of six images; wraps round.

    Raises:
        Hw3Error: unknown ``decisions``.
    """
    if decisions not in DECISIONS:
        raise Hw3Error(f"decisions={decisions!r}: expected one of {', '.join(DECISIONS)}")
    hits, correct = explanation.hits(), explanation.correct
    chosen = {
        "all": np.ones(len(hits), bool),
        "hits": correct & hits,
        "misses": correct & ~hits & explanation.masks.any((1, 2)),
        "wrong": ~correct,
    }[decisions]
    if true is not None:
        chosen &= explanation.y == explanation.classes.index(true)
    ranked = pd.DataFrame({"y": explanation.y, "confidence": explanation.confidence})[chosen]
    ranked["rank"] = ranked.groupby("y")["confidence"].rank("first", ascending=False)
    numbers = ranked.sort_values(["rank", "y"]).index.to_numpy()
    if not len(numbers):
        return nothing("no such image")
    page %= -(-len(numbers) // PAGE)
    numbers = numbers[page * PAGE : (page + 1) * PAGE]
    size = explanation.maps.shape[-1]
    figure, grid = plt.subplots(2, PAGE, figsize=(1.9 * PAGE, 4.7), squeeze=False, layout="constrained")
    for axes in grid[:, len(numbers) :].flat:
        axes.set_axis_off()
    for (above, below), number in zip(grid.T, numbers, strict=False):
        row = table.iloc[explanation.rows[number]]
        mask = explanation.masks[number]
        draw_image(above, row, None, size)
        below.imshow(read_row(row, size), interpolation="nearest")
        below.imshow(explanation.maps[number], cmap="inferno", vmin=0, vmax=1, alpha=0.6, interpolation="nearest")
        for axes in (above, below):
            keep_aspect(axes, row)
            outline(axes, mask)
            axes.set(xticks=[], yticks=[])
        line, column = peaks(explanation.maps[number : number + 1])[0]
        if line >= 0:
            for colour, width in (("black", 4), ("white", 2)):
                below.plot(column, line, "+", color=colour, ms=13, mew=width)
        true, said = (explanation.classes[labels[number]] for labels in (explanation.y, explanation.y_pred))
        above.set_title(
            f"true: {pretty(true)}\nsaid: {pretty(said)}\n{explanation.confidence[number]:.0%} sure", fontsize=9
        )
        verdict = "hit" if hits[number] else "miss" if mask.any() else "no defect"
        below.set_title(verdict if line >= 0 else f"{verdict}: no evidence", fontsize=9)
    grid[0][0].set_ylabel("image", fontsize=10)
    grid[1][0].set_ylabel("Grad-CAM", fontsize=10)
    return figure


def pointing(table: pd.DataFrame) -> Figure:
    """The pointing game of each class with its 95 % interval, beside a random pixel and the centre of the image.

    ``table``: as :func:`hw3lib.classify.explain.pointing_game` gives it.
    """
    table = table[table["images"] > 0].iloc[::-1]
    if not len(table):
        return nothing("no correct decision on an image with a mask")
    figure, axes = plt.subplots(figsize=(7.5, 0.55 * len(table) + 1.7), layout="constrained")
    y = np.arange(len(table))
    axes.hlines(y, table["ci_low"], table["ci_high"], color=BLUE, lw=2.5)
    axes.plot(table["share"], y, "o", color=BLUE, ms=8, label="peak of Grad-CAM")
    axes.plot(table["centre"], y, "D", color=ORANGE, ms=6, mfc="none", mew=1.6, label="centre of the image")
    axes.plot(table["random"], y, "|", color="black", ms=13, mew=1.8, label="random pixel")
    names = [f"{pretty(r.defect)} ({r.hits} of {r.images})" for r in table.itertuples()]
    axes.set(
        yticks=y,
        yticklabels=names,
        xlim=(-0.02, 1.02),
        ylim=(-0.5, len(table) - 0.5),
        xlabel="correct decisions that point at the defect (95 % interval)",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    sns.despine(figure)
    return figure


def regions(features: GuidedFeatures, table: pd.DataFrame, page: int = 0) -> Figure:
    """Images, their anomaly maps, and the region of each that a defect-guided classifier looks at again, enlarged.

    The first image of each class comes first, then the second of each, and so on. All maps share one colour scale.
    Above a region stands how much of the defect it holds.

    Args:
        features: at the images of the table, as :func:`hw3lib.classify.guided.classifier.extract_features` gives them.
        table: the images that were looked at.
        page: which of the lines of six images; wraps round.
    """
    turn = table.groupby("defect").cumcount().to_numpy()
    numbers = np.lexsort((table["defect"], table["is_defect"], turn))
    page %= -(-len(numbers) // PAGE)
    numbers = numbers[page * PAGE : (page + 1) * PAGE]
    masks = load_masks(table.iloc[numbers], TILE, fit="stretch")
    figure, grid = plt.subplots(3, PAGE, figsize=(1.9 * PAGE, 6.3), squeeze=False, layout="constrained")
    for axes in grid[:, len(numbers) :].flat:
        axes.set_axis_off()
    for column, number, mask in zip(grid.T, numbers, masks, strict=False):
        row = table.iloc[number]
        box, values = _on_image(features.regions[number], features.maps[number], row)
        picture = read_row(row)
        height, width = picture.shape[:2]
        draw_image(column[0], row)
        column[1].imshow(
            values,
            cmap="inferno",
            vmin=0,
            vmax=features.scores.max(),
            extent=(-0.5, TILE - 0.5, TILE - 0.5, -0.5),
            interpolation="nearest",
        )
        for axes in column[:2]:
            keep_aspect(axes, row)
            outline(axes, mask)
            x0, y0, x1, y1 = box * TILE - 0.5
            for colour, line in (("black", 3.2), ("white", 1.6)):
                axes.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=colour, lw=line))
        x0, y0, x1, y1 = np.round(box * (width, height, width, height)).astype(int)
        column[2].imshow(picture[y0:y1, x0:x1], interpolation="bilinear")
        x0, y0, x1, y1 = np.round(box * TILE).astype(int)
        held = mask[y0:y1, x0:x1].sum() / max(mask.sum(), 1)
        column[0].set_title(pretty(row["defect"]), fontsize=9)
        column[1].set_title(f"highest {features.scores[number]:.2f}", fontsize=9)
        column[2].set_title(
            f"{held:.0%} of the defect" if mask.any() else "no mask" if row["is_defect"] else "no defect", fontsize=9
        )
        for axes in column:
            axes.set(xticks=[], yticks=[])
    for axes, name in zip(grid[:, 0], ("image", "anomaly map", "second look"), strict=True):
        axes.set_ylabel(name, fontsize=10)
    return figure


def _on_image(box: np.ndarray, values: np.ndarray, row: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A box in shares of the sides of its image, and what of a map lies on it, for those of the image's square."""
    fit, side = reading_of(row).fit, 512
    if fit == "stretch":
        return box, values
    geometry = Geometry(row["width"], row["height"], side, fit)
    whole = [row["width"], row["height"]] * 2
    return geometry.to_image(box * side).clip(0, whole) / whole, geometry.join(upsample(values, side)[None])
