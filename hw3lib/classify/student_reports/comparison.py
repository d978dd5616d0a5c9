"""A reader's attempts beside the accuracies that the four reports give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hw3lib.core.intervals import Interval
from hw3lib.errors import Hw3Error

from .reports import REPORTS

OURS = "this run"


def compared(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Baseline and best row of each report, and of a run of notebook 02.

    Args:
        metrics: what ``02/metrics.json`` holds.

    Returns:
        Columns ``source`` (a report's product, or ``this run``), ``row`` (``baseline`` or ``best``), ``attempt``,
        ``images`` (test images of a split), ``splits``, ``accuracy``, ``low`` and ``high``, fractions of one. A
        report's interval is Wilson's, of its one split (Wilson, JASA 22, 1927); the run's is over repeated splits, and
        its rows are left out where it had nothing to classify.

    Raises:
        Hw3Error: the leaderboard lacks the best attempt or the baseline.
    """
    rows = []
    for report in REPORTS.values():
        for kind, number in (("baseline", report.baseline), ("best", report.best)):
            row = report.row(number)
            about = [report.name, kind, row.attempt.name, row.n_test, 1]
            rows.append([*about, *row.interval().columns("accuracy").values()])
    board = {row.get("attempt"): row for row in metrics.get("leaderboard") or []}
    for kind in ("baseline", "best") if board or not metrics.get("left_out") else ():
        ours = board.get(metrics.get(kind))
        if ours is None:
            raise Hw3Error(
                f"02/metrics.json: its leaderboard has no attempt {metrics.get(kind)!r}, the {kind}; run "
                "`hw3 run 02 --force`"
            )
        about = [OURS, kind, ours["attempt"], metrics.get("n_test"), ours.get("n_splits")]
        rows.append([*about, *Interval.read(ours, "accuracy", "ci").columns("accuracy").values()])
    columns = ["source", "row", "attempt", "images", "splits", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype({"images": "Int64", "splits": "Int64"})


def verdicts(table: pd.DataFrame) -> str:
    """A line for each source: does its best attempt beat its baseline, by intervals that do not overlap?"""
    lines = []
    for source in table["source"].unique():
        rows = table[table["source"] == source].set_index("row")
        best, baseline = rows.loc["best"], rows.loc["baseline"]
        clear = best["low"] > baseline["high"] or best["high"] < baseline["low"]
        lines.append(
            f"{source}: {baseline['accuracy']:.1%} to {best['accuracy']:.1%}, intervals "
            f"{'apart' if clear else 'overlap'}, {best['high'] - best['low']:.0%} wide"
        )
    return "\n".join(lines)
