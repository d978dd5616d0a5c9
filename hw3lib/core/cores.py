"""How much of this machine a process may use, and how several processes share it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

# Read by the libraries when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_CGROUP = Path("/sys/fs/cgroup")  # where Linux tells what a container may use


def usable_cores() -> int:
    """Cores that this process may use: those of the machine, less what its affinity or its container leave out."""
    from joblib import cpu_count  # a second that `hw3 --help` does without

    return cpu_count()


def threads() -> int:
    """Threads that this process may start for one piece of work: ``OMP_NUM_THREADS``, otherwise one a core."""
    named = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # OpenMP takes a list, one number a level
    return int(named) if named.isdecimal() and int(named) else usable_cores()


def thread_environment(count: int) -> dict[str, str]:
    """Environment variables that give a process ``count`` threads; what the user has set stays as it is."""
    return {name: os.environ.get(name) or str(count) for name in THREAD_VARIABLES}


def free_memory() -> int:
    """Bytes that can be had without swapping, on this machine and in this container."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        free = min(free, limit - int((_CGROUP / "memory.current").read_text(encoding="ascii")))
    return max(0, free)
