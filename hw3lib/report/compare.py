"""A reader's attempts beside the accuracies that the four reports give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hw3lib.classify.reports import REPORTS
from hw3lib.drawing import BLUE, GREY, ORANGE
from hw3lib.errors import Hw3Error

OURS = "this run"


def compared(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Baseline and best row of each report, and of a run of notebook 02.

    Args:
        metrics: what ``02/metrics.json`` holds.

    Returns:
        Columns ``source`` (a report's product, or ``this run``), ``row`` (``baseline`` or ``best``), ``attempt``,
        ``images`` (test images of a split), ``splits``, ``accuracy``, ``low`` and ``high``, fractions of one. A
        report's interval is Wilson's, of its one split (Wilson, JASA 22, 1927); the run's is over repeated splits.

    Raises:
        Hw3Error: the leaderboard lacks the best attempt or the baseline.
    """
    rows = []
    for report in REPORTS.values():
        for kind, number in (("baseline", report.baseline), ("best", report.best)):
            row = report.row(number)
            accuracy, low, high = row.interval()
            rows.append([report.name, kind, row.attempt.name, row.n_test, 1, accuracy, low, high])
    board = {row.get("attempt"): row for row in metrics.get("leaderboard", [])}
    for kind in ("baseline", "best"):
        ours = board.get(metrics.get(kind))
        if ours is None:
            raise Hw3Error(
                f"02/metrics.json: its leaderboard has no attempt {metrics.get(kind)!r}, the {kind}; run "
                "`hw3 run 02 --force`"
            )
        values = [ours[key] for key in ("accuracy", "ci_low", "ci_high")]
        rows.append([OURS, kind, ours["attempt"], metrics.get("n_test"), ours.get("n_splits"), *values])
    columns = ["source", "row", "attempt", "images", "splits", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype({"images": "Int64", "splits": "Int64"})


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


def verdicts(table: pd.DataFrame) -> str:
    """A line for each source: does its best attempt beat its baseline, by intervals that do not overlap?"""
    lines = []
    for source in table["source"].unique():
        rows = table[table["source"] == source].set_index("row")
        best, baseline = rows.loc["best"], rows.loc["baseline"]
        clear = best["low"] > baseline["high"]
        lines.append(
            f"{source}: {baseline['accuracy']:.1%} to {best['accuracy']:.1%}, intervals "
            f"{'apart' if clear else 'overlap'}, {best['high'] - best['low']:.0%} wide"
        )
    return "\n".join(lines)
