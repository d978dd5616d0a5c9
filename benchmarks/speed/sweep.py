"""A sweep on a loopback cluster whose workers are killed: is every result there, once, and as in a serial run?

200 cells on a Dask scheduler and two workers, each a process; after every 20 finished cells a worker that is at work is
killed (SIGKILL) and a new one started. The cells are cheap, because what is tried is the sweep.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pandas as pd

from hw3lib.sweep import Cell, Cluster, Folders, load, run_sweep, table
from hw3lib.sweep.work import Job, perform

CELLS, WORKERS, KILL_EVERY, CELL_SECONDS = 200, 2, 20, 0.2


def principal_axis(cell: Cell, folders: Folders) -> dict:
    """A cell: singular values of a random matrix. It notes that it began, and that it came to its end."""
    import numpy as np

    notes = Path(cell.settings["notes"])
    _note(notes / "begun", cell)
    values = np.linalg.svd(np.random.default_rng(cell.seed).normal(size=(60, 40)), compute_uv=False)
    time.sleep(cell.settings["seconds"])
    _note(notes / "ended", cell)
    return {"largest": float(values[0]), "smallest": float(values[-1])}


def main(category: str, data: str | None) -> None:
    folder = Path(tempfile.mkdtemp(prefix="hw3-sweep-"))
    loopback = _Loopback(folder)
    try:
        cells = _cells(folder / "notes", CELL_SECONDS)
        stop = threading.Event()
        killer = threading.Thread(target=loopback.kill_now_and_then, args=(folder / "sweep", stop))
        started = time.perf_counter()
        killer.start()
        try:
            done = run_sweep(cells, folder / "sweep", Cluster(loopback.address))
        finally:
            stop.set()
            killer.join()
        seconds = time.perf_counter() - started
        serial = _cells(folder / "notes-serial", 0)
        for cell in serial:
            perform(Job(cell, str(folder / "serial"), "serial"))
        _report(done, folder, serial, loopback.killed, seconds)
    finally:
        loopback.close()
        shutil.rmtree(folder, ignore_errors=True)


def _report(done, folder: Path, serial: list[Cell], killed: int, seconds: float) -> None:
    begun, ended = (_counts(folder / "notes" / what) for what in ("begun", "ended"))
    results = load(folder / "sweep")
    figures = ["seed", "largest", "smallest"]
    same = results[figures].equals(table(serial, folder / "serial")[figures])
    interrupted = sum(begun.values()) - sum(ended.values())
    rows = pd.Series(
        {
            "cells": done.cells,
            "workers killed": killed,
            "results": len(results),
            "results that stand twice": int(results["hash"].duplicated().sum()),
            "cells that came to their end once": sum(count == 1 for count in ended.values()),
            "cells that came to their end more than once": sum(count > 1 for count in ended.values()),
            "cells that a killed worker was at, begun anew": interrupted,
            "failed": len(done.failed),
            "equal to the serial run, to the last bit": same,
            "seconds": round(seconds),
        }
    )
    print(rows.to_string())


def _cells(notes: Path, seconds: float) -> list[Cell]:
    settings = {"notes": str(notes), "seconds": seconds}
    return [
        Cell("benchmarks.speed.sweep:principal_axis", "principal axis", "none", "quick", seed, settings)
        for seed in range(CELLS)
    ]


def _note(folder: Path, cell: Cell) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{cell.seed}-{os.getpid()}-{time.monotonic_ns()}").touch()


def _counts(folder: Path) -> Counter[str]:
    return Counter(path.name.split("-")[0] for path in folder.iterdir())


class _Loopback:
    """A Dask scheduler and workers on this machine, each a process of its own."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder, self.address, self.killed = folder, f"tcp://127.0.0.1:{port}", 0
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port))
        self.workers = [self._worker() for _ in range(WORKERS)]

    def kill_now_and_then(self, sweep: Path, stop: threading.Event) -> None:
        """Kill one of the workers whenever another ``KILL_EVERY`` cells are finished."""
        choose = random.Random(0)
        while not stop.wait(0.05):
            finished = len(list(sweep.glob("cells/[0-9a-f]*")))
            if finished >= KILL_EVERY * (self.killed + 1) and finished < CELLS:
                victim = choose.randrange(WORKERS)
                self.workers[victim].send_signal(signal.SIGKILL)
                self.workers[victim].wait()
                self.killed += 1
                self.workers[victim] = self._worker()

    def close(self) -> None:
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()

    def _start(self, what: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments, "--no-dashboard"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.folder)

    def _worker(self) -> subprocess.Popen:
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder / "scratch"))
        return self._start("worker", self.address, *options)
