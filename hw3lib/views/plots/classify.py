"""Figures of attempts: ranking, curves, confusions, calibration."""

from __future__ import annotations

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hw3lib.classify.result import Result
from hw3lib.core.fonts import BLUE, GREY, ORANGE, pretty
from hw3lib.views.plots.style import confusion, nothing


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
        shown = {"xticklabels": names, "yticklabels": names if i % per_line == 0 else False}
        confusion(axes, result.confusion(), cmap="Blues", annot_kws={"fontsize": 8}, **shown)
        axes.set_title(fill(f"{result.attempt.name}: {result.accuracies.mean():.0%}", 24), fontsize=10)
        axes.set(xlabel="predicted", ylabel="true" if i % per_line == 0 else "")
        axes.tick_params(labelsize=8, length=0)
        plt.setp(axes.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
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
