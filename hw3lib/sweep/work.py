"""What a worker does: claim a cell, run it once, put its result in place."""

from __future__ import annotations

import faulthandler
import importlib
import platform
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from hw3lib.core.files import clear_write_errors
from hw3lib.core.provenance import code_version, versions
from hw3lib.errors import Hw3Error

from .cells import KINDS
from .store import Cell, Store

MOST_DEATHS = 3  # of its worker; then the cell is taken for the reason
DONE, FOUND, FAILED, BUSY, LOST = "done", "found", "failed", "busy", "lost"

# Cells seed torch's generator and redirect the output, which belong to the whole process: a worker that Dask gave
# several threads runs one cell at a time all the same.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Job:
    """A cell, the folder of its sweep, and the token of the process that sweeps."""

    cell: Cell
    folder: str
    sweep: str


@dataclass(frozen=True)
class CellOutcome:
    """What became of a job.

    Attributes:
        status: ``done`` (run now), ``found`` (another process had run it), ``failed``, ``busy`` (another process runs
            it) or ``lost`` (its worker died).
        message: why it failed, in a line.
        seconds: wall time of the cell.
    """

    status: str
    message: str = ""
    seconds: float = 0.0


def perform(job: Job) -> CellOutcome:
    """Run a cell unless its result is there or another process is at it; a failure is an outcome, not an exception."""
    cell, store = job.cell, Store(job.folder)
    try:
        kept = "Finished cells are kept."
        with clear_write_errors(store.folder, kept), _ONE_AT_A_TIME, store.claim(cell.key) as mine:
            if not mine:
                return CellOutcome(BUSY)
            if store.finished(cell.key):
                store.tidy(cell.key)
                return CellOutcome(FOUND)
            if store.starts(cell.key, job.sweep) >= MOST_DEATHS:
                return CellOutcome(FAILED, note_failure(store, cell, f"its worker died {MOST_DEATHS} times"))
            store.note_start(cell.key, job.sweep)
            return _run(cell, store)
    except Hw3Error as error:
        return CellOutcome(FAILED, note_failure(store, cell, str(error)))
    except OSError as error:
        return CellOutcome(FAILED, note_failure(store, cell, f"{type(error).__name__}: {error}"))


def note_failure(store: Store, cell: Cell, message: str) -> str:
    """Add a line to a cell's log, as far as the disk lets us; gives the line."""
    with suppress(OSError):
        store.log(cell.key).parent.mkdir(parents=True, exist_ok=True)
        with store.log(cell.key).open("a", encoding="utf-8") as log:
            log.write(f"{cell}: {message}\n")
    return message


def _run(cell: Cell, store: Store) -> CellOutcome:
    started = time.perf_counter()
    try:
        with _logged(store.log(cell.key), f"{cell} on {platform.node()}"):
            try:
                _check_worker(cell)
                found = _function(cell.kind)(cell, store.folders(cell.key))
                seconds = time.perf_counter() - started
            except Exception:
                traceback.print_exc()
                raise
        store.finish(cell, {**found, "seconds": round(seconds, 3), "host": platform.node()})
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        message = said[0] if isinstance(error, Hw3Error) else f"{type(error).__name__}: {said[-1]}"
        return CellOutcome(FAILED, message, time.perf_counter() - started)
    return CellOutcome(DONE, seconds=seconds)


def _function(kind: str):
    """The function of a kind of cell; it takes the cell and its :class:`Folders`, and gives figures."""
    module, name = KINDS.get(kind, kind).split(":")
    return getattr(importlib.import_module(module), name)


def _check_worker(cell: Cell) -> None:
    """Refuse to answer for code and packages other than those the cell was planned with."""
    if cell.kind not in KINDS:
        return
    here = {"hw3lib's code": code_version()} | versions()
    planned = {"hw3lib's code": cell.code} | dict(cell.versions)
    for name, value in planned.items():
        if here.get(name) != value:
            raise Hw3Error(
                f"the worker on {platform.node()} has {name} {here.get(name)}, the sweep was planned with {value}; "
                "install the same on both and restart the workers"
            )


@contextmanager
def _logged(path: Path, title: str) -> Iterator[None]:
    """What is printed in the block goes into a log, and the stacks of a crash do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        print(title, file=log, flush=True)
        crashes = not faulthandler.is_enabled()
        if crashes:
            faulthandler.enable(log)
        try:
            with redirect_stdout(log), redirect_stderr(log):
                yield
        finally:
            if crashes:
                faulthandler.disable()
