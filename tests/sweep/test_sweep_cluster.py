"""hw3lib.sweep on a Dask scheduler and workers of the loopback, which are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error
from hw3lib.sweep import Cluster, Store, load, run_sweep, slurm
from hw3lib.sweep.work import LOST, Job
from tests.helpers import sweep_cells
from tests.helpers.processes import is_alive, wait_for
from tests.helpers.sweep_results import figures, serial


class Loopback:
    """A scheduler and two workers, each a process that can be killed."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.address = folder, f"tcp://127.0.0.1:{self.port}"
        self.environment = {**os.environ, "PYTHONPATH": str(project_root())}
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        self.workers = [self.worker(), self.worker()]

    def start(self, what: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, cwd=self.folder)

    def worker(self) -> subprocess.Popen:
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "20")
        return self.start("worker", self.address, *options, "--local-directory", str(self.folder / "scratch"))

    def kill(self, process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in (self.scheduler, *self.workers):
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def loopback(tmp_path) -> Iterator[Loopback]:
    made = Loopback(tmp_path)
    yield made
    made.close()


def test_an_answer_that_does_not_come_is_lost_and_no_failure(monkeypatch, tmp_path):
    """Dask raises asyncio's TimeoutError, which in Python 3.10 is not the built-in one."""
    from distributed import Future
    from distributed.utils import TimeoutError as NoAnswer

    def result(*_: object, **__: object) -> None:
        raise NoAnswer

    monkeypatch.setattr(Future, "result", result)
    [cell] = sweep_cells.made("number", tmp_path / "marks", 1)
    cluster = Cluster.__new__(Cluster)
    cluster._futures = {}
    assert cluster._outcome(Job(cell, str(tmp_path), "token"), Future.__new__(Future)).status == LOST


def test_a_killed_workers_cells_are_run_elsewhere_and_the_results_are_those_of_a_serial_run(loopback, tmp_path):
    marks = tmp_path / "marks"
    cells = sweep_cells.made("number", marks, 30, seconds=0.1)
    killed = []

    def kill_one() -> None:
        for limit in (6, 16):
            wait_for(lambda limit=limit: len(sweep_cells.counts(marks, "ended")) >= limit)
            loopback.kill(loopback.workers[0])
            killed.append(limit)
            loopback.workers = [loopback.workers[1], loopback.worker()]

    killer = threading.Thread(target=kill_one)
    killer.start()
    done = run_sweep(cells, tmp_path / "sweep", Cluster(loopback.address), echo=lambda _: None)
    killer.join()
    assert killed == [6, 16] and done.done == 30 and not done.failed
    begun = sweep_cells.counts(marks, "begun")
    assert set(begun) == set(range(30)) and sum(begun.values()) <= 30 + len(killed)
    assert sum(sweep_cells.counts(marks, "ended").values()) <= 30 + len(killed)
    pd.testing.assert_frame_equal(figures(cells, tmp_path / "sweep"), serial(cells, tmp_path / "serial"))


def test_a_killed_scheduler_ends_the_sweep_with_a_word_and_the_next_one_finishes_it(loopback, tmp_path):
    marks = tmp_path / "marks"
    cells = sweep_cells.made("number", marks, 20, seconds=0.15)

    def kill() -> None:
        wait_for(lambda: len(sweep_cells.counts(marks, "ended")) >= 5)
        loopback.kill(loopback.scheduler)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(Hw3Error, match="scheduler at tcp://127.0.0.1:.* is gone. What is finished is kept"):
        run_sweep(cells, tmp_path / "sweep", Cluster(loopback.address), echo=lambda _: None)
    killer.join()
    time.sleep(0.5)  # cells that were at work may still end
    before = {cell.seed for cell in cells if Store(tmp_path / "sweep").finished(cell.key)}
    assert 5 <= len(before) < 20
    begun = sweep_cells.counts(marks, "begun")
    loopback.close()
    second = Loopback(tmp_path)
    try:
        done = run_sweep(cells, tmp_path / "sweep", Cluster(second.address), echo=lambda _: None)
    finally:
        second.close()
    assert done.kept >= len(before) and done.kept + done.done == 20
    after = sweep_cells.counts(marks, "begun")
    assert all(after[seed] == begun[seed] for seed in before)
    assert sum(after.values()) <= 20 + 2
    assert load(tmp_path / "sweep")["seed"].tolist() == list(range(20))


def test_a_scheduler_that_does_not_answer_is_reported():
    with pytest.raises(Hw3Error, match="no Dask scheduler answers at tcp://127.0.0.1:1 "):
        Cluster("tcp://127.0.0.1:1", seconds=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cores: 2\nmemory: 1GB\n", "jobs=None, expected how many"),
        ("cores: 2\nmemory: 1GB\njobs: 0\n", "jobs=0, expected how many"),
        ("cores: 2\nmemory: 1GB\njobs: 1\ncoores: 2\n", "unexpected keyword argument 'coores'"),
        ("memory: 1GB\njobs: 1\n", "must specify how much cores and memory"),
        ("- 1\n", "expected keys and values"),
    ],
)
def test_a_wrong_description_of_slurm_jobs_is_refused(tmp_path, text, said):
    (tmp_path / "slurm.yaml").write_text(text)
    with pytest.raises(Hw3Error, match=f"slurm.yaml: .*{said}"):
        slurm(tmp_path / "slurm.yaml")


SBATCH = """#!/bin/sh
# What SLURM does with the script that it is given: keep it, run it, and print a number.
cp "$1" {folder}/submitted
sh {folder}/submitted > {folder}/job.log 2>&1 &
echo $! > {folder}/pid
echo "Submitted batch job $!"
"""


def test_workers_that_are_slurm_jobs_run_the_cells(tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH.format(folder=tmp_path)), ("scancel", '#!/bin/sh\nkill "$1"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(project_root()))
    monkeypatch.chdir(tmp_path)
    description = "queue: short\ncores: 2\nprocesses: 1\nmemory: 1GB\nwalltime: '00:10:00'\njobs: 1\n"
    (tmp_path / "slurm.yaml").write_text(description + "interface: lo\n")
    cells = sweep_cells.made("number", tmp_path / "marks", 4)
    done = run_sweep(cells, tmp_path / "sweep", slurm(tmp_path / "slurm.yaml"), echo=lambda _: None)
    assert done.done == 4 and not done.failed
    assert (tmp_path / "submitted").read_text().split("--nthreads")[-1].split()[0] == "1"
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_alive(pid))
