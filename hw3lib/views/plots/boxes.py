"""Figures of detection: true and predicted boxes, and accuracy over the number of images. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from hw3lib.annotate.boxes.metrics import Boxes
from hw3lib.core.fonts import BLUE, GREEN, ORANGE, PURPLE, pretty
from hw3lib.data.pixels.images import read_row
from hw3lib.errors import Hw3Error

from .style import OUTLINE, nothing

SIDE = 320  # pixels of a picture
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
TRUE, FOUND = OUTLINE, "#00D0FF"


def boxes_on_images(
    table: pd.DataFrame,
    truth: Sequence[Boxes],
    predictions: Sequence[Boxes],
    classes: Sequence[str],
    rows: Sequence[int] | None = None,
    *,
    score: float = 0.25,
    columns: int = 4,
    most: int = 5,
    without: str = "no image",
) -> Figure:
    """Images with their true boxes (yellow, solid) and the predicted ones (cyan, dashed, with class and score).

    Args:
        table: the images, columns ``image, defect, width, height``.
        truth, predictions: boxes of every image, in the table's order.
        classes: names that labels are positions of.
        rows: positions of the images to show; None takes one of each class in turn, up to eight.
        score: lowest score of a box that is drawn.
        columns: images in a line.
        most: predicted boxes drawn on an image, those of the highest scores.
        without: the sentence to draw where there is no image.

    Raises:
        Hw3Error: not one entry an image, or a row that does not exist.
    """
    if not len(table) == len(truth) == len(predictions):
        raise Hw3Error(
            f"{len(table)} images, truth of {len(truth)}, predictions of {len(predictions)}; "
            "expected one of each an image"
        )
    if rows is None:
        turn = table.groupby("defect").cumcount().to_numpy()
        rows = np.lexsort((table["defect"], table["defect"] == "good", turn))[:8].tolist()
    if not len(rows):
        return nothing(without)
    if min(rows) < 0 or max(rows) >= len(table):
        raise Hw3Error(f"rows={list(rows)}: expected positions from 0 to {len(table) - 1}")
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(2.5 * columns, 2.75 * lines + 0.3), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, row in zip(grid.flat, rows, strict=False):
        width, height = table["width"].iloc[row], table["height"].iloc[row]
        axes.imshow(read_row(table.iloc[row], SIDE), extent=(0, width, height, 0), interpolation="nearest")
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        axes.set_title(pretty(table["defect"].iloc[row]), fontsize=10)
        for box in truth[row].boxes:
            _rectangle(axes, box, TRUE, "-")
        shown = predictions[row].above(score)
        best = np.argsort(-shown.scores, kind="stable")[:most]
        for box, value, label in zip(shown.boxes[best], shown.scores[best], shown.labels[best], strict=True):
            _rectangle(axes, box, FOUND, "--")
            _name(axes, box, f"{pretty(classes[label])} {value:.2f}", height)
    handles = [Rectangle((0, 0), 1, 1, fill=False, edgecolor=c, linestyle=s) for c, s in ((TRUE, "-"), (FOUND, "--"))]
    legend = figure.legend(
        handles, ["true", f"predicted, score {score:g} or more"], loc="outside lower center", ncols=2, fontsize=9
    )
    legend.get_frame().set_facecolor("0.25")
    for text in legend.get_texts():
        text.set_color("white")
    return figure


def _rectangle(axes: plt.Axes, box: np.ndarray, colour: str, style: str) -> None:
    x0, y0, x1, y1 = box
    for wider, edge, line in ((2.8, "black", "-"), (1.5, colour, style)):  # light on dark shows on any picture
        if style == "-" or edge == colour:
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=edge, lw=wider, ls=line))


def _name(axes: plt.Axes, box: np.ndarray, text: str, height: float) -> None:
    above = box[1] > 0.08 * height
    axes.text(
        max(box[0], 0), box[1] if above else box[3], text, fontsize=7, color="white", clip_on=True,
        va="bottom" if above else "top", bbox={"facecolor": "black", "alpha": 0.7, "pad": 1, "linewidth": 0},
    )  # fmt: skip


def learning_curves(curve: pd.DataFrame, without: str = "no run") -> Figure:
    """mAP50 over the number of training images, one line a model; see ``detection_comparison.learning_curve``.

    Points are means over the splits, bars their lowest and highest where there are several; ``without`` is the
    sentence to draw where there is no run.
    """
    if not len(curve):
        return nothing(without)
    figure, axes = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    markers = "osD^"
    for number, (name, own) in enumerate(curve.groupby("model", sort=False)):
        means = own.groupby("images")["map50"].agg(["mean", "min", "max"])
        spread = np.abs(means[["min", "max"]].to_numpy().T - means["mean"].to_numpy())
        colour, marker = COLOURS[number % len(COLOURS)], markers[number % len(markers)]
        axes.errorbar(means.index, means["mean"], spread, label=name, color=colour, marker=marker, capsize=3)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xticks(sorted(curve["images"].unique()))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(xlabel="training images", ylabel="mAP50", ylim=(0, None))
    axes.legend(frameon=False, fontsize=9)
    return figure
