"""Figures of data and results. Each function draws, changes nothing and returns a matplotlib figure."""

from __future__ import annotations

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from hw3lib.classify import Result
from hw3lib.data import class_counts, mean_mask, read_image
from hw3lib.drawing import BLUE, GREY, ORANGE, draw_image, nothing, pretty
from hw3lib.explain_plots import grad_cams, pointing, regions

__all__ = [
    "class_distribution",
    "confusions",
    "curves",
    "defect_area",
    "defect_position",
    "grad_cams",
    "leaderboard",
    "per_class",
    "pointing",
    "regions",
    "reliability",
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
            draw_image(axes, row.image, row.mask)
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
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g} %"))
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


def leaderboard(table: pd.DataFrame, baseline: str) -> Figure:
    """Accuracy of every attempt with its 95 % interval, best on top; the dashed line is the baseline."""
    table = table.iloc[::-1]
    figure, axes = plt.subplots(figsize=(7.5, 0.5 * len(table) + 1.3), layout="constrained")
    y = np.arange(len(table))
    best = len(table) - 1
    for i, row in enumerate(table.itertuples()):
        colour = GREY if row.attempt == baseline else ORANGE if i == best else BLUE
        axes.plot([row.ci_low, row.ci_high], [i, i], color=colour, lw=2.5, solid_capstyle="butt")
        axes.plot(row.accuracy, i, "o", color=colour, ms=8)
        axes.annotate(
            f"{row.accuracy:.0%}",
            (row.accuracy, i),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    axes.axvline(table.loc[table["attempt"] == baseline, "accuracy"].iloc[0], color=GREY, ls="--", lw=1, zorder=0)
    axes.set(
        yticks=y,
        yticklabels=table["attempt"],
        xlim=(0, 1.02),
        ylim=(-0.5, len(table) - 0.3),
        xlabel="accuracy on test images (mean and 95 % interval over the splits)",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    sns.despine(figure)
    return figure


def curves(results: list[Result]) -> Figure:
    """Training loss of every attempt, one thin line a split; a second stage begins where a dotted line stands."""
    figure, grid = plt.subplots(
        1, len(results), figsize=(2.5 * len(results), 2.5), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, result in zip(grid[0], results, strict=True):
        for history in result.histories:
            axes.plot(np.arange(1, len(history) + 1), history["loss"], color=BLUE, lw=0.9, alpha=0.6)
        stages = result.histories[0]["stage"]
        for change in np.flatnonzero((stages != stages.shift()).to_numpy())[1:]:
            axes.axvline(change + 0.5, color=GREY, ls=":", lw=1.2)
        axes.set_title(fill(result.attempt.name, 22), fontsize=9)
        axes.set(xlabel="epoch", ylim=(0, None))
    grid[0][0].set_ylabel("training loss\n(cross-entropy)")
    sns.despine(figure)
    return figure


def confusions(results: list[Result]) -> Figure:
    """Confusion matrices summed over the splits: colour is the share of the true class, the number its images."""
    per_line = min(3, len(results))
    lines = -(-len(results) // per_line)
    side = 0.55 * len(results[0].classes) + 1.3
    figure, grid = plt.subplots(
        lines, per_line, figsize=(side * per_line, side * lines), squeeze=False, layout="constrained"
    )
    names = [pretty(c) for c in results[0].classes]
    for axes in grid.flat[len(results) :]:
        axes.set_axis_off()
    for i, (axes, result) in enumerate(zip(grid.flat, results, strict=False)):
        matrix = result.confusion()
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        sns.heatmap(
            share,
            annot=matrix,
            fmt="d",
            cmap="Blues",
            vmin=0,
            vmax=1,
            cbar=False,
            square=True,
            ax=axes,
            xticklabels=names,
            yticklabels=names if i % per_line == 0 else False,
            annot_kws={"fontsize": 8},
        )
        axes.set_title(fill(f"{result.attempt.name}: {result.accuracies.mean():.0%}", 24), fontsize=10)
        axes.set(xlabel="predicted", ylabel="true" if i % per_line == 0 else "")
        axes.tick_params(labelsize=8, length=0)
        plt.setp(axes.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    return figure


def working_sizes(rows: list, sizes: list[int]) -> Figure:
    """The same images as a network sees them at several sizes, shown equally large."""
    figure, grid = plt.subplots(
        len(rows),
        len(sizes),
        figsize=(1.7 * len(sizes), 1.7 * len(rows) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    for line, row in zip(grid, rows, strict=True):
        for axes, size in zip(line, sizes, strict=True):
            axes.imshow(read_image(row.image, size), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(pretty(row.defect), fontsize=10)
    for axes, size in zip(grid[0], sizes, strict=True):
        axes.set_title(f"{size} px", fontsize=10)
    return figure


def reliability(table: pd.DataFrame) -> Figure:
    """Calibration: how often decisions of each confidence are right; on the diagonal, confidence is what it claims.

    ``table``: one row a bin with ``confidence`` (mean), ``accuracy`` and ``count``, as
    :func:`hw3lib.classify.calibration` gives it. The title's expected calibration error is the mean distance from the
    diagonal, weighed by the counts (Guo et al., ICML 2017, arXiv 1706.04599, equation 3).
    """
    table = table[table["count"] > 0]
    if not len(table):
        return nothing("no decision")
    share = table["count"] / table["count"].sum()
    error = float((share * (table["accuracy"] - table["confidence"]).abs()).sum())
    figure, (axes, below) = plt.subplots(
        2, 1, figsize=(4.6, 5.4), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1, label="calibrated")
    axes.vlines(table["confidence"], table["confidence"], table["accuracy"], color=ORANGE, lw=2, label="gap")
    axes.plot(table["confidence"], table["accuracy"], "o-", color=BLUE, lw=1.2, ms=6, label="measured")
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.03), ylabel="share that is correct")
    axes.set_title(f"expected calibration error {100 * error:.1f} %", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    bars = below.bar(table["confidence"], table["count"], width=0.05, color=BLUE)
    below.bar_label(bars, padding=2, fontsize=8)
    below.set(xlabel="confidence (probability of the predicted class)", ylabel="decisions")
    below.margins(y=0.25)
    for each in (axes, below):
        each.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    sns.despine(figure)
    return figure


def per_class(table: pd.DataFrame) -> Figure:
    """Precision, recall and F1 of every class, as :func:`hw3lib.classify.per_class` gives them."""
    names = [f"{pretty(r['class'])} ({r['support']:.0f})" for _, r in table.iterrows()]
    figure, axes = plt.subplots(figsize=(4.6, 0.42 * len(table) + 0.9), layout="constrained")
    sns.heatmap(
        100 * table[["precision", "recall", "f1"]],
        annot=True,
        fmt=".0f",
        cmap="Blues",
        vmin=0,
        vmax=100,
        ax=axes,
        xticklabels=["precision", "recall", "F1"],
        yticklabels=names,
        cbar_kws={"format": "%.0f %%"},
    )
    axes.xaxis.tick_top()
    axes.set(ylabel="class (test images)")
    axes.tick_params(length=0, rotation=0)
    return figure
