"""Tables as people read them: a figure with its interval in one column, in the language here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hw3lib.core.intervals import Interval
from hw3lib.core.translation import tell

HEADS = (  # of the columns that chapters show, and words in them, as they are read
    *("attempt", "accuracy", "gain", "gain p", "verdict", "needed", "balanced accuracy", "finding", "report"),
    *("better", "worse", "difference", "symmetry", "good", "moved", "defect", "accepted", "images", "hits", "share"),
    *("random", "centre", "source", "class", "method", "tail recall", "detector", "image auroc", "pixel auroc"),
    *("aupro", "aupimo", "f1", "fit seconds", "ms per image", "memory bank", "condition", "false alarm rate"),
    *("prompt", "iou before", "iou after", "map50 before", "map50 after", "model", "row", "splits", "photographs"),
    *("stopped", "recall", "split", "copies", "LRO-style", "kind", "paper", "differs", "none", "loss", "sampling"),
    *("mixing", "margin", "unlabelled", "pasted defects", "generated images", "anomalous", "passed", "types"),
    *("format", "question", "file", "printed", "value", "scale", "spec", "pointer", "boxes", "polygons", "masks"),
    *("mask", "product", "is defect", "width", "height", "mode", "instances", "files", "lost", "round trip", "exact"),
    *("lowest iou", "n splits", "seconds", "text", "answer", "confidence", "truth", "right", "auroc p"),
)
_DIFFERENCES = ("gain", "difference")  # of shares, in percentage points
_SHARES = ("accuracy", "balanced_accuracy", "tail_recall", "false_alarm_rate", "share", "random", "centre", "recall")


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A table to be displayed; what is computed with, and written to files, is the one that was given.

    Shares are per cent, differences of them percentage points, other figures have three digits. A column that is
    followed by its limits, named ``...low`` and ``...high``, takes them in: ``69.3 % (53.8 to 81.4)``.
    """
    columns: dict[str, list[object]] = {}
    for at, name in enumerate(map(str, table.columns)):
        limits = [str(each) for each in table.columns[at + 1 : at + 3]]
        if [each[-3:] for each in limits] == ["low", "igh"]:
            rows = table.iloc[:, at : at + 3].itertuples(index=False)
            columns[name] = [_interval(name, *row) for row in rows]
        elif not name.endswith(("low", "high")):
            columns[name] = [_cell(name, value) for value in table.iloc[:, at]]
    made = pd.DataFrame(columns, index=[_cell("", label) for label in table.index])
    return made.rename(columns=lambda name: tell(name.replace("_", " "))).rename_axis(table.index.name)


def _interval(name: str, value: float, low: float, high: float) -> str:
    found = Interval(value, low, high, kind="difference" if name in _DIFFERENCES else "figure")
    return tell(found.text(".1f", 100, " %" * (name in _SHARES)) if name in (*_DIFFERENCES, *_SHARES) else found.text())


def _cell(name: str, value: object) -> object:
    if isinstance(value, str):
        return tell(value)
    if isinstance(value, bool | np.bool_):
        return tell(str(value))
    if not isinstance(value, float):
        return value
    if name in _SHARES and not pd.isna(value):
        return f"{100 * value:.1f} %"
    return "" if pd.isna(value) else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
