"""Cells that cost nothing, for workers of the tests: each says in a file that it was begun, and that it was ended."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from hw3lib.sweep import Cell, Folders


def number(cell: Cell, folders: Folders) -> dict:
    """A figure that the settings alone determine."""
    marks = Path(cell.settings["marks"])
    mark(marks / "begun", cell)
    time.sleep(cell.settings.get("seconds", 0))
    mark(marks / "ended", cell)
    return {"figure": (cell.seed * 7919 + len(cell.category)) % 1009 / 1009, "device": "cpu"}


def deadly(cell: Cell, folders: Folders) -> dict:
    """Ends its worker without a word where the seed is 0; otherwise as :func:`number`."""
    if cell.seed == 0:
        mark(Path(cell.settings["marks"]) / "begun", cell)
        os._exit(9)
    return number(cell, folders)


def deadly_once(cell: Cell, folders: Folders) -> dict:
    """Ends its worker the first time."""
    folders.kept.mkdir(parents=True, exist_ok=True)
    if not (folders.kept / "been here").exists():
        (folders.kept / "been here").touch()
        os._exit(9)
    return number(cell, folders)


def failing(cell: Cell, folders: Folders) -> dict:
    """Raises where the seed is odd."""
    if cell.seed % 2:
        print("about to fail")
        raise ValueError(f"odd seed {cell.seed}")
    return number(cell, folders)


def mark(folder: Path, cell: Cell) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{cell.seed}-{os.getpid()}-{uuid.uuid4().hex}").touch()


def made(function: str, marks: Path, count: int, **settings) -> list[Cell]:
    """Cells of a function of this module, with seeds from 0."""
    settings = {"marks": str(marks), **settings}
    return [
        Cell(f"tests.helpers.sweep_cells:{function}", "a", "widget", "quick", seed, settings) for seed in range(count)
    ]


def workers(marks: Path) -> set[int]:
    """Numbers of the processes that began cells."""
    return {int(path.name.split("-")[1]) for path in (marks / "begun").iterdir()}


def counts(marks: Path, what: str) -> dict[int, int]:
    """How often each seed was begun or ended."""
    found: dict[int, int] = {}
    for path in (marks / what).iterdir() if (marks / what).is_dir() else ():
        seed = int(path.name.split("-")[0])
        found[seed] = found.get(seed, 0) + 1
    return found
