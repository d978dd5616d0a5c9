"""Figures of what an inspector does on the line: drift, and what more photographs would bring. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hw3lib.core.fonts import BLUE, GREEN, GREY, ORANGE, PURPLE
from hw3lib.data.pixels.images import read_image

from .style import TILE

_TYPES = 3  # types of defects of which a photograph is shown


def drift(scores: np.ndarray, levels: np.ndarray, limit: float, threshold: float, alarm: int | None = None) -> Figure:
    """Scores in the order of the photographs, and below them the evidence of a drift with its limit.

    Args:
        scores: float ``(n,)``.
        levels: evidence of a change after each, ``(n,)``, see :class:`hw3lib.inspection.monitor.Monitor`.
        limit: the level of an alarm.
        threshold: of the scores.
        alarm: position of the first alarm; None: there was none.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(7.6, 4.2), sharex=True, layout="constrained")
    number = np.arange(1, len(scores) + 1)
    above.plot(number, scores, ".", color=BLUE, markersize=4)
    above.axhline(threshold, color=ORANGE, linewidth=1)
    above.text(1, threshold, "threshold", va="bottom", fontsize=8, color=GREY)
    above.set_ylabel("score")
    below.semilogy(number, np.maximum(levels, 1e-2), color=BLUE)
    below.axhline(limit, color=ORANGE, linewidth=1)
    below.text(1, limit, f"alarm: once in {limit:g} photographs by chance", va="bottom", fontsize=8, color=GREY)
    below.set(ylabel="evidence of a drift", xlabel="photograph", ylim=(0.05, 30 * limit))
    if alarm is not None:
        for axes in (above, below):
            axes.axvline(alarm + 1, color=GREY, linewidth=1, linestyle="--")
        below.text(alarm + 1, 0.07, f" photograph {alarm + 1}", fontsize=8, color=GREY)
    return figure


def learning_curve(table: pd.DataFrame, name: str, label: str, what: str) -> Figure:
    """A figure over the number of products that were learned from, with its intervals.

    Args:
        table: of :class:`hw3lib.inspection.plan.Plan`.
        name: column of the figure.
        label: what it is.
        what: of products.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    x, y = table["products"], table[name]
    low, high = (table[f"{name}_{end}"].fillna(y) for end in ("low", "high"))
    axes.errorbar(x, y, [y - low, high - y], color=BLUE, marker="o", capsize=3)
    axes.set_xscale("log", base=2)
    axes.set(xlabel=what, ylabel=label, xticks=x, xticklabels=x)
    axes.minorticks_off()
    return figure


def line(photographs: pd.DataFrame) -> Figure:
    """Photographs of a line in their order, each with its number and light: of good products and of some defects.

    Args:
        photographs: of :class:`hw3lib.data.ProductionLine`.
    """
    is_bad, is_old = (photographs[name].to_numpy() for name in ("is_defect", "light"))
    firsts = [int(np.flatnonzero(photographs["defect"] == name)[0]) for name in photographs["defect"][is_bad].unique()]
    good = np.flatnonzero(~is_bad)
    lit = [good[0], *good[np.searchsorted(-is_old[good], [-0.95, -0.85, -0.7]).clip(max=len(good) - 1)]]
    some = sorted({*map(int, lit), *firsts[-_TYPES:]})
    figure, row = plt.subplots(1, len(some), figsize=(1.35 * len(some), 1.9), layout="constrained", squeeze=False)
    grid = row[0]
    for axes, at in zip(grid, some, strict=True):
        row = photographs.iloc[at]
        axes.imshow(read_image(row["file"], TILE))
        axes.set(xticks=[], yticks=[], xlabel=f"light {row['light']:.0%}")
        axes.set_title(f"{at + 1}: {str(row['defect']).replace('_', ' ')}", fontsize=8)
    return figure


def scores(photographs: pd.DataFrame, unseen: str | None) -> Figure:
    """Score over threshold of every photograph in order, by what it shows, and where the lamp ages.

    Args:
        photographs: those of a line, in order, and what was said of them: ``score, threshold, is_defect, light``.
        unseen: the type of defect that nobody labelled.
    """
    figure, axes = plt.subplots(figsize=(7.6, 3.2), layout="constrained")
    number, height = np.arange(1, len(photographs) + 1), photographs["score"] / photographs["threshold"]
    is_bad, is_new = photographs["is_defect"], photographs["defect"] == unseen
    looks = (
        ("good", ~is_bad, BLUE, "."),
        ("labelled types", is_bad & ~is_new, ORANGE, "s"),
        (unseen, is_new, PURPLE, "^"),
    )
    for name, rows, colour, marker in looks:
        if rows.any():
            label = str(name).replace("_", " ") + (", unseen" if name == unseen else "")
            axes.plot(number[rows], height[rows], marker, color=colour, markersize=5, label=label, linestyle="none")
    axes.axhline(1, color=GREY, linewidth=1)
    axes.text(1, 1, "threshold", va="bottom", fontsize=8, color=GREY)
    old = photographs["light"].to_numpy() < 1
    if old.any():
        axes.axvspan(number[old][0] - 0.5, len(number) + 0.5, color=GREY, alpha=0.15, label="the lamp ages")
    axes.set(xlabel="photograph", ylabel="score / threshold")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    return figure


def evidence(levels: Mapping[str, np.ndarray], limit: float, first: int, began: int) -> Figure:
    """Evidence of a drift after each photograph, of several monitors, and where something changed.

    Args:
        levels: by name, ``(n,)`` each, see :class:`hw3lib.inspection.monitor.Monitor`.
        limit: the level of an alarm.
        first: photographs before the first of these.
        began: photographs before the change.
    """
    figure, axes = plt.subplots(figsize=(7.6, 3), layout="constrained")
    for (name, each), colour, style in zip(
        levels.items(), (BLUE, ORANGE, GREEN, PURPLE), ("-", "--", ":", "-."), strict=False
    ):
        number = first + np.arange(1, len(each) + 1)
        axes.semilogy(number, np.clip(each, 1e-2, 30 * limit), color=colour, linestyle=style, label=name)
    axes.axhline(limit, color=GREY, linewidth=1)
    axes.text(first + 1, limit, f"alarm: once in {limit:g} photographs by chance", va="bottom", fontsize=8, color=GREY)
    axes.axvline(began + 0.5, color=GREY, linewidth=1, linestyle="--")
    axes.text(began + 0.5, 0.015, " the lamp ages", fontsize=8, color=GREY)
    axes.set(xlabel="photograph", ylabel="evidence of a drift", ylim=(1e-2, 30 * limit))
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    return figure
