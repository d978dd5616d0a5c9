"""Processes that a test starts, ends and waits for."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and whose parent has not looked yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Until the condition holds; not to hold in time is a failure."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)
