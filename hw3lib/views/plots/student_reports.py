"""Figures of the four students' reports beside one's own figures."""

from __future__ import annotations

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hw3lib.classify.student_reports.comparison import OURS
from hw3lib.classify.student_reports.result import Reproduction
from hw3lib.classify.student_reports.verdicts import say
from hw3lib.core.fonts import BLUE, GREY, ORANGE
from hw3lib.core.intervals import Interval


def _two_lines(name: str) -> str:
    """A long name broken at its first comma."""
    return name.replace(", ", ",\n", 1) if len(name) > 32 else name


def figure(done: Reproduction) -> Figure:
    """Reported and own accuracy of every row with their 95 % intervals; substituted networks have their own colour."""
    rows = done.rows
    drawn = Figure(figsize=(8.5, 0.55 * len(rows) + 1.9), layout="constrained")
    axes = drawn.subplots()
    labelled = set()

    def dot(y: float, found: Interval, colour: str, label: str, **style) -> None:
        axes.plot([found.low, found.high], [y, y], color=colour, lw=2, solid_capstyle="butt")
        axes.plot(
            found.value, y, "o", color=colour, ms=7, label=None if label in labelled else label, **style, zorder=3
        )
        labelled.add(label)
        axes.annotate(
            f"{found.value:.0%}",
            (found.high, y),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
        )

    for y, row in enumerate(rows.to_dict("records")):
        if not np.isnan(row["reported"]):
            dot(y - 0.17, Interval.read(row, "reported"), GREY, "reported", markerfacecolor="white")
        colour, label = (ORANGE, "ours, network substituted") if row["substituted"] else (BLUE, "ours")
        dot(y + 0.17, Interval.read(row, "accuracy", "ci"), colour, label)
    base = rows.loc[rows["row"] == str(done.report.baseline), "accuracy"].iloc[0]
    axes.axvline(base, color=GREY, ls="--", lw=1, zorder=0, label="our baseline")
    axes.set(
        yticks=range(len(rows)),
        yticklabels=[f"{r.row}  {_two_lines(r.attempt)}" for r in rows.itertuples()],
        xlim=(0, 1.08),
        ylim=(len(rows) - 0.5, -0.5),
        xticks=np.linspace(0, 1, 6),
        xlabel="accuracy on test images, with 95 % intervals",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    title = f"The {done.report.name} report on {done.category}, {rows['n_splits'].max()} splits"
    if done.substitutes:
        title += "\n" + fill(say(done.substitutes), 80)
    axes.set_title(title, fontsize=10, loc="left")
    drawn.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return drawn


def intervals(table: pd.DataFrame) -> Figure:
    """Accuracies of :func:`compared` with their 95 % intervals, baseline and best of a source below each other."""
    sources = table["source"].unique()[::-1]
    figure, axes = plt.subplots(figsize=(7.5, 0.75 * len(sources) + 1.2), layout="constrained")
    for y, source in enumerate(sources):
        for kind, shift, colour in (("baseline", 0.16, GREY), ("best", -0.16, ORANGE if source == OURS else BLUE)):
            row = table[(table["source"] == source) & (table["row"] == kind)].iloc[0]
            axes.plot([row["low"], row["high"]], [y + shift] * 2, color=colour, lw=2.5, solid_capstyle="butt")
            axes.plot(row["accuracy"], y + shift, "o", color=colour, ms=7)
    axes.set(
        yticks=np.arange(len(sources)),
        yticklabels=sources,
        xlim=(0, 1.02),
        ylim=(-0.5, len(sources) - 0.5),
        xlabel="accuracy and 95 % interval; grey: baseline, colour: best attempt",
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    sns.despine(figure)
    return figure
