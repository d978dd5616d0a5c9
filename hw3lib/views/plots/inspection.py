"""Figures of what an inspector does on the line: drift, and what more photographs would bring. Nothing is changed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hw3lib.core.fonts import BLUE, GREY, ORANGE


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
