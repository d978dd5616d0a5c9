"""Figures of data and results. Each function draws, changes nothing and returns a matplotlib figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from hw3lib.core.fonts import BLUE, ORANGE, pretty
from hw3lib.data.pixels.images import decode_squares
from hw3lib.data.pixels.reading import reading_of
from hw3lib.data.statistics import class_counts, mean_mask

from .style import draw_image, nothing

__all__ = [
    "class_distribution",
    "defect_area",
    "defect_position",
    "samples",
    "working_sizes",
]


def samples(table: pd.DataFrame, columns: int = 5, seed: int = 0) -> Figure:
    """Random images of every class, one class a row, the defects outlined."""
    rng = np.random.default_rng(seed)
    classes = list(class_counts(table).index)
    figure, grid = plt.subplots(
        len(classes),
        columns,
        figsize=(1.75 * columns, 1.8 * len(classes)),
        squeeze=False,
        layout="constrained",
    )
    for line, name in zip(grid, classes, strict=True):
        rows = table[table["defect"] == name]
        rows = rows.iloc[np.sort(rng.permutation(len(rows))[:columns])]
        for axes in line:
            axes.set_axis_off()
        for axes, row in zip(line, rows.itertuples(), strict=False):
            axes.set_axis_on()
            draw_image(axes, row, row.mask)
        line[0].set_ylabel(pretty(name), fontsize=10)
    return figure


def class_distribution(table: pd.DataFrame) -> Figure:
    """Images of each class, train and test side by side, with the numbers written out."""
    counts = class_counts(table)
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(counts) + 1.2), layout="constrained")
    y = np.arange(len(counts))
    for offset, split, colour in ((-0.2, "train", BLUE), (0.2, "test", ORANGE)):
        bars = axes.barh(y + offset, counts[split], 0.38, color=colour, label=split)
        axes.bar_label(bars, padding=3, fontsize=9)
    axes.set(yticks=y, yticklabels=[pretty(c) for c in counts.index], xlabel="images")
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.legend(frameon=False)
    sns.despine(figure)
    return figure


def defect_area(statistics: pd.DataFrame) -> Figure:
    """Area of every defect as a share of its image, by type, on a logarithmic axis, and the median of each type."""
    if not len(statistics):
        return nothing("this category has no masks")
    types = sorted(statistics["defect"].unique())
    figure, axes = plt.subplots(figsize=(7, 0.55 * len(types) + 1.2), layout="constrained")
    shares = statistics.assign(percent=100 * statistics["area"], type=statistics["defect"].map(pretty))
    order = [pretty(t) for t in types]
    sns.stripplot(shares, x="percent", y="type", order=order, color=BLUE, size=4.5, alpha=0.7, jitter=0.2, ax=axes)
    for i, name in enumerate(order):
        median = shares.loc[shares["type"] == name, "percent"].median()
        axes.plot([median] * 2, [i - 0.3, i + 0.3], color=ORANGE, lw=2.5, label="median" if i == 0 else None)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # so that a range within one power of ten has some
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="defective share of the image", ylabel="")
    sns.despine(figure)
    return figure


def defect_position(table: pd.DataFrame, size: int = 64) -> Figure:
    """Where the defects of each type lie: the share of its images that are defective at each place."""
    maps = mean_mask(table, size)
    if not maps:
        return nothing("this category has no masks")
    figure, grid = plt.subplots(1, len(maps), figsize=(2.3 * len(maps) + 0.6, 2.6), squeeze=False, layout="constrained")
    top = max(float(m.max()) for m in maps.values())
    for axes, (name, values) in zip(grid[0], maps.items(), strict=True):
        shown = axes.imshow(values, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
        axes.set(title=pretty(name), xticks=[], yticks=[])
        axes.title.set_fontsize(10)
    figure.colorbar(
        shown, ax=grid[0], format=PercentFormatter(1, decimals=0), shrink=0.8, label="images defective here"
    )
    return figure


def working_sizes(rows: list, sizes: list[int]) -> Figure:
    """The same images as a network sees them at several sizes, shown equally large; of tiles the first."""
    figure, grid = plt.subplots(
        len(rows),
        len(sizes),
        figsize=(1.7 * len(sizes), 1.7 * len(rows) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    for line, row in zip(grid, rows, strict=True):
        for axes, size in zip(line, sizes, strict=True):
            axes.imshow(decode_squares(row.image, size, reading_of(row)).pixels[0], interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(pretty(row.defect), fontsize=10)
    for axes, size in zip(grid[0], sizes, strict=True):
        axes.set_title(f"{size} px", fontsize=10)
    return figure
