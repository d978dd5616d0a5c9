"""The sweep itself: hand out what is not done, hear of what ends, list what failed."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hw3lib.errors import Hw3Error

from .cluster import Cluster
from .results import gather
from .store import Cell, Store
from .work import BUSY, FAILED, FOUND, LOST, MOST_DEATHS, CellOutcome, Job, note_failure

EVERY = 15.0  # seconds between two lines of progress
PATIENCE = 2.0  # seconds until a cell that another process runs is looked at again


@dataclass
class Sweep:
    """What became of a sweep.

    Attributes:
        folder: of the sweep.
        cells: how many it has.
        kept: how many of them had been finished before.
        done: how many were finished now, by this process or another one.
        failed: cell, message and log of those that failed.
        results: the Parquet file.
        seconds: wall time.
    """

    folder: Path
    cells: int
    kept: int = 0
    done: int = 0
    failed: list[tuple[Cell, str, Path]] = field(default_factory=list)
    results: Path | None = None
    seconds: float = 0.0


def run_sweep(
    cells: Sequence[Cell],
    folder: str | Path,
    cluster: Cluster,
    *,
    echo: Callable[[str], object] = print,
    every: float = EVERY,
) -> Sweep:
    """Run the cells that are not finished; one that fails does not keep the others from being run.

    A cell whose worker died is run again elsewhere; the third death is taken for its own fault. A cell that another
    process runs, with the same folder, is left to it and only its result is taken. Interrupted at any moment, the same
    call goes on from there.

    Args:
        cells: of :func:`hw3lib.sweep.plan`, or one's own.
        folder: of the sweep, on a file system that all workers see.
        cluster: closed at the end.
        echo: receives lines of progress.
        every: seconds between two of them.

    Raises:
        Hw3Error: the scheduler is gone, or two cells are the same; finished cells are kept.
    """
    started, store, folder = time.monotonic(), Store(folder), Path(folder).resolve()
    twice = [key for key, count in Counter(cell.key for cell in cells).items() if count > 1]
    if twice:
        same = [str(cell) for cell in cells if cell.key == twice[0]]
        raise Hw3Error(f"the same work stands {len(same)} times in the sweep: {'; '.join(same)}")
    todo = deque(cell for cell in cells if not store.finished(cell.key))
    sweep = Sweep(folder, len(cells), kept=len(cells) - len(todo))
    token = secrets.token_hex(8)  # deaths in an earlier sweep are not held against a cell
    running: set[str] = set()
    later: deque[tuple[float, Cell]] = deque()
    lost: Counter[str] = Counter()
    said = started
    try:
        with cluster:
            while todo or running or later:
                while later and later[0][0] <= time.monotonic():
                    todo.append(later.popleft()[1])
                while todo:
                    cell = todo.popleft()
                    running.add(cell.key)
                    cluster.submit(Job(cell, str(folder), token))
                for job, outcome in cluster.wait(1.0):
                    cell = job.cell
                    running.discard(cell.key)
                    if outcome.status == LOST and store.finished(cell.key):
                        outcome = CellOutcome(FOUND)  # only the news of it was lost
                    if outcome.status == LOST:
                        lost[cell.key] += 1
                        # Deaths in the cell are counted where it starts; these are of workers that never got to it.
                        if lost[cell.key] - store.starts(cell.key, token) < MOST_DEATHS:
                            todo.append(cell)
                            continue
                        before = f"{MOST_DEATHS} times before the cell began; see the output of the workers"
                        outcome = CellOutcome(FAILED, f"{outcome.message} {before}")
                    if outcome.status == BUSY:
                        later.append((time.monotonic() + PATIENCE, cell))
                    elif outcome.status == FAILED:
                        log = store.log(cell.key)
                        if not log.is_file():  # it failed before it got to the cell
                            note_failure(store, cell, outcome.message)
                        sweep.failed.append((cell, outcome.message, log))
                        echo(f"failed: {cell}: {outcome.message}")
                    else:
                        sweep.done += 1
                if time.monotonic() - said >= every:
                    said = time.monotonic()
                    waiting = "" if cluster.workers else "waiting for a worker"
                    echo(_progress(sweep, len(later), said - started, waiting))
    finally:
        sweep.results = gather(cells, folder)
    sweep.seconds = time.monotonic() - started
    return sweep


def _progress(sweep: Sweep, elsewhere: int, seconds: float, waiting: str) -> str:
    """``[37/200] 2 failed, about 12 min left``."""
    ended = sweep.done + len(sweep.failed)
    left = sweep.cells - sweep.kept - ended
    parts = [f"{len(sweep.failed)} failed"] if sweep.failed else []
    parts += [f"{elsewhere} run by another sweep"] if elsewhere else []
    parts += [waiting] if waiting else []
    parts.append(f"about {duration(seconds / ended * left)} left" if ended else "none is finished yet")
    return f"[{sweep.kept + ended}/{sweep.cells}] {', '.join(parts)}"


def duration(seconds: float) -> str:
    """``95`` as ``2 min``; the unit in which it is at least one."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return (
                f"{seconds / size:.1f} {unit}" if seconds < 10 * size and size > 60 else f"{seconds / size:.0f} {unit}"
            )
    return f"{seconds:.0f} s"
