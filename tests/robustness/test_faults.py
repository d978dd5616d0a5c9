"""Killed, refused, out of room: the next run completes and equals an undisturbed one, and no result is lost.

The short version of ``python -m tests.robustness.faults``, in a process of its own, since children are forked from it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hw3lib.core.places import project_root
from tests.robustness.faulting import conditions, jobs, kills, results
from tests.robustness.faulting.writers import WRITERS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, file size limits and mounts")

KILLED = ("download", "synthetic", "cache", "training", "detect fit", "report", "sweep")
REFUSED = (
    *("results: CSV and metrics.json", "choices: JSON", "classify.experiment: outcomes"),
    "classify.callbacks: checkpoint",
    *("anomaly.detector: safetensors", "scoring: CSV", "data.images: memory map", "data.archive: tar"),
    *("data.download: part", "report: PDF by Typst, HTML, JSON"),
)


def outcomes(*arguments: str) -> list[dict]:
    """What the process says, an object a fault."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.robustness.faults", *arguments]
    done = subprocess.run(command, cwd=project_root(), env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_killed_job_is_completed_by_the_next_run_as_if_nothing_had_happened():
    found = outcomes("--count", "18", "--jobs", *KILLED)
    assert {fault["job"] for fault in found} == set(KILLED) and len(found) == 18
    assert not [fault for fault in found if fault["wrong"]]
    assert sum(fault["struck"] == "during" for fault in found) >= 5


def test_a_writer_without_room_or_permission_says_so_and_loses_nothing():
    found = outcomes("--writers", *REFUSED)
    assert [outcome["writer"] for outcome in found] == [name for name in REFUSED for _ in conditions.CONDITIONS]
    assert not [outcome for outcome in found if outcome["wrong"]]
    assert all(outcome["not_tried"] == "" for outcome in found if outcome["condition"] == "limited")


def test_what_any_writer_writes_has_the_permissions_that_the_umask_gives():
    found = outcomes("--umask", "027")  # neither what mkstemp makes nor what everybody may read
    assert [outcome["writer"] for outcome in found] == list(WRITERS)
    assert not [outcome for outcome in found if outcome["wrong"]]


def test_faults_are_shared_out_in_full():
    for count in (13, 18, 100, 333):
        assert sum(kills.shares(count, list(jobs.JOBS)).values()) == count


def test_what_is_left_over_missing_or_different_is_named(tmp_path):
    (tmp_path / "metrics.json").write_text('{"a": 1, "seconds": 3}')
    expected = results.content(tmp_path)
    (tmp_path / "metrics.json").write_text('{"a": 1, "seconds": 4}')
    assert results.differences(expected, results.content(tmp_path)) == ""
    (tmp_path / "metrics.json").write_text('{"a": 2, "seconds": 3}')
    (tmp_path / ".a.csv.0-1.tmp.csv").touch()
    assert results.differences(expected | {"b": None}, results.content(tmp_path)) == (
        "left over: .a.csv.0-1.tmp.csv; missing: b; different: metrics.json"
    )
