"""What came out of reproducing a report: as tables for the terminal and as a figure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hw3lib.classify.result import Result
from hw3lib.core.intervals import Interval, Kind
from hw3lib.core.text import format_table

from .reports import StudentReport
from .verdicts import say

BEYOND = "+"  # the number of a row that the report does not have


@dataclass(frozen=True)
class Reproduction:
    """What came out of a report's rows here.

    Attributes:
        report: the report.
        category: what it was run on.
        rows: one row an attempt, in the report's order: ``row``, ``attempt``, ``arch``, ``strategy``, ``image_size``,
            ``reported``, ``reported_low``, ``reported_high`` (Wilson, 95 %), ``reported_n_test``, ``accuracy``,
            ``ci_low``, ``ci_high`` (over the splits, 95 %), ``gain``, ``gain_low``, ``gain_high`` (paired with the
            baseline), ``n_splits``, ``seconds`` (all splits), ``substituted`` (bool).
        hypotheses: see :func:`hw3lib.classify.student_reports.verdicts.verdicts`.
        substitutes: substituted networks, ``{"ResNet34": "EfficientNet-Lite1"}``.
        results: outcomes of the report's rows by number.
        folder: where the files are.
    """

    report: StudentReport
    category: str
    rows: pd.DataFrame
    hypotheses: pd.DataFrame
    substitutes: dict[str, str]
    results: dict[int, Result]
    folder: Path


def line(record: dict) -> str:
    """A finished row in one line of text; ``record`` is a row of ``Reproduction.rows``."""
    text = f"{record['row']}  {record['attempt']}: {_percent(record, 'accuracy', 'ci')} %"
    if not np.isnan(record["reported"]):
        text += f", reported {_percent(record, 'reported', 'reported')} %"
    return f"{text}, {record['seconds']:.0f} s"


def _percent(record: dict, name: str, limits: str, kind: Kind = "share") -> str:
    """``42 (19 to 68)``, or a dash where there is none."""
    return Interval.read(record, name, limits, kind).text(".0f", 100)


def table_text(done: Reproduction) -> str:
    """Reported and own figures as a table for the terminal, accuracies and differences in percent."""
    lines = [("#", "attempt", "reported %", "ours %", "difference", "time")]
    for r in done.rows.to_dict("records"):
        reported, ours = _percent(r, "reported", "reported"), _percent(r, "accuracy", "ci")
        gain = "baseline" if np.isnan(r["gain"]) else _percent(r, "gain", "gain", "difference")
        lines.append((r["row"], r["attempt"], reported, ours, gain, f"{r['seconds']:.0f} s"))
    text = format_table(lines) + (
        f"\nIn brackets: 95 % intervals. Reported: one test set (Wilson). Ours: mean of {done.rows['n_splits'].max()} "
        "splits, corrected\nfor their overlap; differences in points, paired with the baseline."
    )
    if (done.rows["row"] == BEYOND).any():
        text += f"\n{BEYOND} goes beyond the report."
    return text + (f"\nSubstituted: {say(done.substitutes)}." if done.substitutes else "")


def findings_text(done: Reproduction) -> str:
    """The report's findings with their verdicts as a table for the terminal."""
    if done.hypotheses.empty:
        return "None of the report's findings can be tested with these rows alone."
    lines = [("the report's finding", "rows", "difference", "verdict")]
    for h in done.hypotheses.to_dict("records"):
        verdict = f"{h['verdict']} *" if h["substituted"] else h["verdict"]
        difference = _percent(h, "difference", "", "difference")
        lines.append((h["hypothesis"], f"{h['better']} - {h['worse']}", difference, verdict))
    text = f"{format_table(lines)}\nIntervals are each by itself, verdicts for all {len(lines) - 1} findings (Holm)."
    return text + ("\n* with a substituted network" if done.hypotheses["substituted"].any() else "")
