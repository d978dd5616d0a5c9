"""What a sweep came to, beside what its cells give one after the other."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hw3lib.sweep import Cell, table
from hw3lib.sweep.work import Job, perform


def figures(cells: list[Cell], folder: Path) -> pd.DataFrame:
    """What does not depend on when and where cells ran."""
    return table(cells, folder).drop(columns=["seconds", "host"])


def serial(cells: list[Cell], folder: Path) -> pd.DataFrame:
    """The cells one after the other in this process, without executor and engine."""
    for cell in cells:
        assert perform(Job(cell, str(folder), "serial")).status == "done"
    return figures(cells, folder)
