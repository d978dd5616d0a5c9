"""hw3lib.core.cores: what a process may use of a machine."""

import os

import psutil
import pytest

from hw3lib.core import cores


@pytest.mark.parametrize(("said", "expected"), [("3", 3), ("2,1", 2), ("", 8), ("0", 8), ("many", 8)])
def test_threads_are_as_many_as_said_or_one_a_core(monkeypatch, said, expected):
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert cores.threads() == expected
    assert cores.thread_environment(5)["OMP_NUM_THREADS"] == (said or "5")


def test_usable_cores_are_no_more_than_there_are():
    assert 1 <= cores.usable_cores() <= (os.cpu_count() or 1)


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "_CGROUP", tmp_path)
    most = psutil.virtual_memory().total
    assert 0 < cores.free_memory() <= most
    (tmp_path / "memory.max").write_text("max\n")
    assert 0 < cores.free_memory() <= most
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert cores.free_memory() == 2_000_000
    (tmp_path / "memory.current").write_text("4000000\n")
    assert cores.free_memory() == 0
