"""A measured program in a process of its own, run by our Python or by a peer's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from hw3lib.errors import Hw3Error

# Defined before the program. Linux says the peak of this very program; elsewhere the system's figure may be that of
# the program that started it, if that was larger, and nothing is known of the memory at one moment.
_BEFORE = """
import json, pathlib, sys, time
def memory(name):
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines[name].split()[0]) * 1024
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""


def run_program(
    python: str | Path, program: str, *arguments: object, environment: dict[str, str] | None = None
) -> dict:
    """What a program prints last, read as JSON.

    Args:
        python: the interpreter, so that the program sees the packages of its environment.
        program: its code. ``json``, ``pathlib``, ``sys`` and ``time`` are imported for it, and ``memory("VmHWM")`` is
            its peak memory in bytes, ``memory("VmRSS")`` that of now.
        arguments: its ``sys.argv[1:]``.
        environment: variables to set besides those of this process.

    Raises:
        Hw3Error: it ended with an error, with the end of what it wrote.
    """
    done = subprocess.run(
        [str(python), "-c", _BEFORE + program, *map(str, arguments)],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise Hw3Error(f"{python}: the measured program ended with {done.returncode}:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
