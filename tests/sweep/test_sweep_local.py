"""hw3lib.sweep on workers of this machine: each cell once, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import dask
import pandas as pd
import pytest
from distributed import LocalCluster

from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error
from hw3lib.sweep import Cell, Cluster, Store, load, local, run_sweep, table
from hw3lib.sweep.engine import duration
from hw3lib.sweep.work import LOST, CellOutcome, Job, perform
from tests.helpers import sweep_cells
from tests.helpers.processes import is_alive, wait_for
from tests.helpers.sweep_results import figures, serial


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a scheduler whose two workers several tests share; those that die are brought back."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 day"}),  # as in local
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
    ):
        yield cluster.scheduler_address


def test_two_workers_give_what_one_after_the_other_gives_and_a_second_sweep_runs_nothing(address, tmp_path):
    cells = sweep_cells.made("number", tmp_path / "marks", 8)
    said = []
    done = run_sweep(cells, tmp_path / "sweep", Cluster(address), echo=said.append, every=0)
    assert (done.cells, done.kept, done.done, done.failed) == (8, 0, 8, [])
    assert sweep_cells.counts(tmp_path / "marks", "ended") == dict.fromkeys(range(8), 1)
    again = run_sweep(cells, tmp_path / "sweep", Cluster(address), echo=said.append)
    assert (again.kept, again.done) == (8, 0)
    assert sweep_cells.counts(tmp_path / "marks", "ended") == dict.fromkeys(range(8), 1)
    assert not list((tmp_path / "sweep/running").iterdir()) and not list((tmp_path / "sweep/logs").iterdir())
    assert any(line.startswith("[8/8]") for line in said)
    other = [Cell(**{**vars_of(cell)}) for cell in cells]
    pd.testing.assert_frame_equal(figures(cells, tmp_path / "sweep"), serial(other, tmp_path / "serial"))
    loaded = load(tmp_path / "sweep")
    assert loaded["seed"].tolist() == list(range(8)) and loaded["figure"].tolist()[1] == pytest.approx(
        (7919 + 6) % 1009 / 1009
    )
    assert loaded["hash"].tolist() == [cell.key for cell in cells]


def vars_of(cell: Cell) -> dict:
    names = ("kind", "name", "category", "profile", "seed", "settings", "root", "data_digest", "code", "versions")
    return {name: getattr(cell, name) for name in names}


def test_the_address_depends_on_what_the_result_depends_on_and_on_nothing_else():
    base = vars_of(sweep_cells.made("number", Path("m"), 1)[0])
    key = Cell(**base).key
    for same in ({"name": "b"}, {"root": "/elsewhere"}, {"settings": dict(reversed(base["settings"].items()))}):
        assert Cell(**{**base, **same}).key == key
    for other in ({"seed": 1}, {"settings": {}}, {"data_digest": "x"}, {"code": "x"}, {"versions": {"torch": "0"}},
                  {"category": "b"}, {"profile": "full"}, {"kind": "detector"}):  # fmt: skip
        assert Cell(**{**base, **other}).key != key


def test_a_cell_that_kills_its_worker_three_times_fails_and_takes_no_other_with_it(address, tmp_path):
    cells = sweep_cells.made("deadly", tmp_path / "marks", 5)
    done = run_sweep(cells, tmp_path / "sweep", local(2), echo=lambda _: None)
    assert done.done == 4 and len(done.failed) == 1
    cell, message, log = done.failed[0]
    assert cell.seed == 0 and message == "its worker died 3 times" and message in log.read_text()
    begun = sweep_cells.counts(tmp_path / "marks", "begun")
    assert begun == {0: 3, 1: 1, 2: 1, 3: 1, 4: 1}
    assert load(tmp_path / "sweep")["seed"].tolist() == [1, 2, 3, 4]
    # Deaths of an earlier sweep do not count: it is tried again.
    run_sweep(cells, tmp_path / "sweep", Cluster(address), echo=lambda _: None)
    assert sweep_cells.counts(tmp_path / "marks", "begun")[0] == 6


def test_a_cell_goes_on_from_what_it_kept_when_its_worker_dies(address, tmp_path):
    cells = sweep_cells.made("deadly_once", tmp_path / "marks", 1)
    done = run_sweep(cells, tmp_path / "sweep", Cluster(address), echo=lambda _: None)
    assert done.done == 1 and sweep_cells.counts(tmp_path / "marks", "ended") == {0: 1}


def test_failures_are_listed_with_their_log_and_the_rest_is_run(address, tmp_path):
    cells = sweep_cells.made("failing", tmp_path / "marks", 4)
    said = []
    done = run_sweep(cells, tmp_path / "sweep", Cluster(address), echo=said.append)
    assert done.done == 2 and sorted(cell.seed for cell, _, _ in done.failed) == [1, 3]
    for cell, message, log in done.failed:
        assert message == f"ValueError: odd seed {cell.seed}"
        assert "about to fail" in log.read_text() and "Traceback" in log.read_text()
    assert sum("failed: " in line for line in said) == 2
    assert sorted(load(tmp_path / "sweep")["seed"]) == [0, 2]


def test_two_sweeps_at_once_on_one_folder_run_no_cell_twice(address, tmp_path):
    cells = sweep_cells.made("number", tmp_path / "marks", 6, seconds=0.2)
    sweeps = []

    def start() -> None:
        sweeps.append(run_sweep(cells, tmp_path / "sweep", Cluster(address), echo=lambda _: None))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sweep_cells.counts(tmp_path / "marks", "begun") == dict.fromkeys(range(6), 1)
    assert [sweep.kept + sweep.done for sweep in sweeps] == [6, 6] and not any(sweep.failed for sweep in sweeps)


PROGRAM = """
import sys
from pathlib import Path
from tests.helpers import sweep_cells
from hw3lib.sweep import local, run_sweep
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run_sweep(sweep_cells.made("number", folder / "marks", 12, seconds=0.25), folder / "sweep", local(2))
"""


def test_a_sweep_that_is_killed_leaves_no_worker_and_the_next_one_finishes_the_rest(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(project_root())}
    program = subprocess.Popen([sys.executable, tmp_path / "program.py", tmp_path], env=environment)
    marks = tmp_path / "marks"
    wait_for(lambda: len(sweep_cells.counts(marks, "ended")) >= 3)
    program.send_signal(signal.SIGKILL)
    program.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in sweep_cells.workers(marks)))
    begun, ended = sweep_cells.counts(marks, "begun"), sweep_cells.counts(marks, "ended")
    assert 3 <= len(ended) < 12
    cells = sweep_cells.made("number", marks, 12, seconds=0.25)
    before = {cell.seed for cell in cells if Store(tmp_path / "sweep").finished(cell.key)}
    done = run_sweep(cells, tmp_path / "sweep", local(2), echo=lambda _: None)
    assert done.kept == len(before) and done.kept + done.done == 12
    after = sweep_cells.counts(marks, "begun")
    assert all(after[seed] == begun[seed] for seed in before)
    assert sum(after.values()) <= 12 + 2  # the two that were interrupted, once more
    assert len(load(tmp_path / "sweep")) == 12


def test_a_damaged_result_is_named_and_not_taken(tmp_path):
    cells = sweep_cells.made("number", tmp_path / "marks", 1)
    serial(cells, tmp_path / "sweep")
    file = Store(tmp_path / "sweep").cell(cells[0].key) / "metrics.json"
    assert set(json.loads(file.read_text())) == {"figure", "device", "seconds", "host"}
    file.write_text("{")
    with pytest.raises(Hw3Error, match="metrics.json: no JSON object"):
        table(cells, tmp_path / "sweep")


def test_the_same_work_twice_and_a_wrong_number_of_workers_are_refused(tmp_path):
    cells = sweep_cells.made("number", tmp_path / "marks", 1)
    with pytest.raises(Hw3Error, match="same work stands 2 times"):
        run_sweep(cells * 2, tmp_path / "sweep", None)
    with pytest.raises(Hw3Error, match="workers=0: expected 1 or more"):
        local(0)
    with pytest.raises(Hw3Error, match="no results of a sweep there"):
        load(tmp_path / "nothing")


def test_durations_are_short():
    assert [duration(s) for s in (3, 95, 5400, 200000, 40 * 3600)] == ["3 s", "2 min", "1.5 h", "2.3 d", "1.7 d"]


def test_a_sweep_that_is_told_to_end_gives_up_its_cells_and_gathers_what_is_finished(tmp_path):
    marks = tmp_path / "marks"
    cells = sweep_cells.made("number", marks, 1) + sweep_cells.made("number", marks, 3, seconds=60)[1:]

    def interrupt(_: str) -> None:
        if len(sweep_cells.counts(marks, "begun")) == 3:
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(cells, tmp_path / "sweep", local(2), echo=interrupt, every=0)
    assert time.monotonic() - started < 50 and load(tmp_path / "sweep")["seed"].tolist() == [0]
    wait_for(lambda: not any(is_alive(pid) for pid in sweep_cells.workers(marks)))


class Losing(nullcontext):
    """In place of a cluster; loses every job: before the cell begins, or only the news of its end."""

    workers = 1

    def __init__(self, performs: bool):
        super().__init__(self)
        self.performs, self.submitted, self.jobs = performs, 0, []

    def submit(self, job: Job) -> None:
        self.submitted += 1
        if self.performs:
            perform(job)
        self.jobs.append(job)

    def wait(self, _: float) -> list[tuple[Job, CellOutcome]]:
        jobs, self.jobs = self.jobs, []
        return [(job, CellOutcome(LOST, "the process died")) for job in jobs]


def test_a_worker_that_dies_with_the_news_of_a_result_has_not_lost_it(tmp_path):
    cells = sweep_cells.made("number", tmp_path / "marks", 2)
    cluster = Losing(performs=True)
    done = run_sweep(cells, tmp_path / "sweep", cluster, echo=lambda _: None)
    assert done.done == 2 and cluster.submitted == 2
    assert sweep_cells.counts(tmp_path / "marks", "begun") == {0: 1, 1: 1}


def test_workers_that_die_before_they_begin_end_in_a_failure_and_not_in_a_loop(tmp_path):
    cells = sweep_cells.made("number", tmp_path / "marks", 2)
    cluster = Losing(performs=False)
    done = run_sweep(cells, tmp_path / "sweep", cluster, echo=lambda _: None)
    assert cluster.submitted == 6 and len(done.failed) == 2
    assert "the process died 3 times before the cell began" in done.failed[0][2].read_text()
