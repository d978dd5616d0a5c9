"""What came out of a run, as a table for the terminal and for ``summary.csv``."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw3lib.core.files import SPREADSHEET, atomic_path
from hw3lib.core.intervals import Interval
from hw3lib.core.text import counted, format_table, printable

from .contract import COMMON_KEYS, ENDED
from .step import Outcome

COLUMNS = ("notebook", "status", "seconds", "key figures", "results")


def key_figures(number: str, metrics: Mapping[str, Any]) -> str:
    """The figures that tell at a glance what came out of a chapter."""
    if metrics.get(ENDED):
        return printable(f"nothing to measure: {'; '.join(map(str, metrics['left_out'].values()))}")
    known = {"01": _figures_01, "02": _figures_02, "03": _figures_03}
    known |= {"04": _figures_04, "05": _figures_05, "06": _figures_06, "07": _figures_07}
    try:
        found = known.get(number, _figures)(metrics)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, OverflowError):
        found = _figures(metrics)  # written otherwise than agreed: say what there is
    return printable(found)


def _figures_01(metrics: Mapping[str, Any]) -> str:
    width, height = metrics["image_size"]
    return f"{metrics['images']} images, {counted(metrics['defect_classes'], 'defect class')}, {width}x{height}"


def _figures_02(metrics: Mapping[str, Any]) -> str:
    parts = []
    for role in ("best", "baseline"):
        row = next(row for row in metrics["leaderboard"] if row["attempt"] == metrics[role])
        name = "" if row["attempt"] == role else f" {row['attempt']}"
        parts.append(f"{role}{name} {Interval.read(row, 'accuracy', 'ci').text()}")
    return ", ".join(parts)


def _figures_03(metrics: Mapping[str, Any]) -> str:
    rows = metrics["methods"]
    plain = next(row for row in rows if row["method"] == "plain")
    best = max((row for row in rows if row["method"] != "plain"), key=lambda row: row["balanced_accuracy"])
    return (
        f"plain {plain['balanced_accuracy']:.3f} at 1:{plain['ratio']:g}, best {best['method']} "
        f"{Interval.read(best, 'gain', kind='difference').points()}"
    )


def _figures_04(metrics: Mapping[str, Any]) -> str:
    best = next(row for row in metrics["detectors"] if row["detector"] == metrics["best"])
    if best["image_auroc"] is None:
        alarms = [row["false_alarm_rate"] for row in metrics["detectors"]]
        return f"{len(alarms)} detectors, false alarms {min(alarms):.1%} to {max(alarms):.1%}, no AUROC"
    reached = Interval.read(best, "image_auroc", "auroc").text()
    return f"{best['detector']} image AUROC {reached}, {len(metrics['detectors'])} detectors"


def _figures_05(metrics: Mapping[str, Any]) -> str:
    parts = [f"{len(metrics['formats'])} formats"]
    for row in metrics["sam"] or []:
        if row["prompt"] == "box":
            parts.append(f"SAM's IoU with a box {row['iou_before']:.3f} to {row['iou_after']:.3f}")
    boxes = metrics["detection"] or []
    if boxes:
        best = max(boxes, key=lambda row: row["map50_after"])
        parts.append(f"mAP50 of {best['model']} {best['map50_before']:.3f} to {best['map50_after']:.3f}")
    if len(parts) == 1:
        parts += dict.fromkeys(f"not measured: {reason}" for reason in metrics["left_out"].values())
    elif metrics.get("left_out"):
        parts.append(f"left out: {', '.join(metrics['left_out'])}, as the notebook and the report say")
    return ", ".join(parts)


def _figures_06(metrics: Mapping[str, Any]) -> str:
    missing = f", missing: {', '.join(metrics['missing'])}" if metrics["missing"] else ""
    return f"report of {metrics['pages']} pages{missing}"


def _figures_07(metrics: Mapping[str, Any]) -> str:
    alarm = metrics["drift"]["alarm"]
    drift = "no alarm" if alarm is None else f"alarm {alarm} photographs after the lamp began to age"
    stopped, bad = (sum(row[key] for row in metrics["line"]) for key in ("stopped", "photographs"))
    return f"{stopped} of {counted(bad, 'defect')} stopped, {drift}"


def _figures(metrics: Mapping[str, Any]) -> str:
    parts = []
    for key, value in metrics.items():
        if key in COMMON_KEYS:
            continue
        if isinstance(value, int | float | str):
            parts.append(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}")
        elif isinstance(value, list | dict):
            parts.append(f"{len(value)} {key}")
    return ", ".join(parts[:4])


def summary_row(outcome: Outcome) -> tuple[str, ...]:
    """An outcome as the summary shows it, see ``COLUMNS``."""
    figures = key_figures(outcome.notebook.split("_")[0], outcome.metrics)
    return outcome.notebook, outcome.status, f"{outcome.seconds:.1f}", figures, str(outcome.folder)


def summary_table(outcomes: Sequence[Outcome]) -> str:
    """The summary for a terminal; folders relative to the working directory where that is shorter."""
    rows = [COLUMNS, *(summary_row(outcome) for outcome in outcomes)]
    rows = [(*row[:4], min(row[4], os.path.relpath(row[4]), key=len)) if row is not COLUMNS else row for row in rows]
    return format_table(rows)


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that failed, the first one first: others may have failed for want of its results."""
    return sorted((outcome for outcome in outcomes if outcome.status == "failed"), key=lambda outcome: outcome.ended)


def write_summary(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Bring ``summary.csv`` up to date; notebooks that were not part of this call keep their rows."""
    path = folder / "summary.csv"
    rows: dict[str, Sequence[str]] = {}
    if path.is_file():
        with path.open(newline="", encoding=SPREADSHEET) as file:
            rows = {row[0]: row for row in list(csv.reader(file))[1:] if len(row) == len(COLUMNS)}
    rows |= {outcome.notebook: summary_row(outcome) for outcome in outcomes}
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding=SPREADSHEET) as file:
        csv.writer(file).writerows([COLUMNS, *(rows[name] for name in sorted(rows))])
