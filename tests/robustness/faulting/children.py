"""Forked children that run a function in a folder, can be made to kill themselves, and leave no process behind."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .jobs import SERVED, archive, serve

LIMIT = 120.0  # seconds after which a job counts as hanging
_PARENT_DEATH_SIGNAL, _SUBREAPER = 1, 36  # of <sys/prctl.h>
_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.truncate"}


@dataclass
class Child:
    """A forked process: its number, what it says at its end, and when it began."""

    pid: int
    said: Path
    news: int
    code: int | None = None

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within the time."""
        end = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= end:
                return False
            else:
                time.sleep(0.001)
        return True

    def steps(self) -> int:
        """How many steps in the file system it counted; it must have ended."""
        with os.fdopen(self.news, "rb") as news:
            return int(news.read() or b"0")

    def text(self) -> str:
        return self.said.read_text(errors="replace", encoding="utf-8") if self.said.exists() else ""


def start(function: Callable[[Path], Any], folder: Path, strike: int | None = None, said: Path | None = None) -> Child:
    """Run a function in a forked child with ``folder`` as working directory; returns once it is about to begin.

    Its exit code is 0, 2 after an ``Hw3Error``, 1 after any other error. ``strike``: before which step in the file
    system it kills itself, from 0. ``said``: file for what it prints, beside ``folder`` if None.
    """
    said = said or folder.with_name(f"{folder.name}.said")
    ready, begin = os.pipe()
    news, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        _child(function, folder, strike, said, begin, tell)
    os.close(begin)
    os.close(tell)
    os.read(ready, 1)
    os.close(ready)
    return Child(pid, said, news)


def _child(
    function: Callable[[Path], Any], folder: Path, strike: int | None, said: Path, begin: int, tell: int
) -> None:
    code, counted = 1, [0]
    try:
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(out, stream)
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        os.chdir(folder)
        within = str(folder)

        def hook(event: str, arguments: tuple) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if not (writes or event in _STEPS) or not isinstance(arguments[0], str | os.PathLike):
                return
            if os.path.abspath(arguments[0]).startswith(within):
                if counted[0] == strike:
                    os.kill(os.getpid(), signal.SIGKILL)
                counted[0] += 1

        sys.addaudithook(hook)
        os.write(begin, b"1")
        code = run_guarded(function, folder)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os.write(tell, str(counted[0]).encode())
        os._exit(code)  # the parent's handlers at exit are not this process's business


def run_guarded(function: Callable[[Path], Any], folder: Path) -> int:
    """Exit code as of the command hw3."""
    from hw3lib.errors import Hw3Error

    try:
        function(folder)
    except Hw3Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def end_family(child: Child) -> None:
    """Kill a child and all that it started, also those that left its group or lost their parent, and reap them."""
    import psutil

    if child.code is None:
        os.kill(child.pid, signal.SIGSTOP)  # it starts no other from here on
    for _ in range(100):
        left = [process for process in psutil.Process().children(recursive=True) if process.pid not in KEPT]
        if not left:
            break
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in left:  # orphans are ours: see warm_up
            with suppress(ChildProcessError):
                pid, status = os.waitpid(process.pid, 0)
                if pid == child.pid:
                    child.code = os.waitstatus_to_exitcode(status)


KEPT: set[int] = set()  # children that outlive faults: the file server


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option})")


@contextmanager
def file_server(place: Path) -> Iterator[None]:
    """A process that serves the archive of ``download`` while the block runs; its address is in the environment."""
    packed = archive(place / "served")
    ready, tell = os.pipe()
    pid = os.fork()
    if not pid:
        _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        server = serve(packed)
        os.write(tell, str(server.server_address[1]).encode())
        signal.pause()
        os._exit(0)
    KEPT.add(pid)
    try:
        address = f"http://127.0.0.1:{int(os.read(ready, 16))}/archive.tar.gz"
        os.environ[SERVED] = f"{address} {hashlib.sha256(packed).hexdigest()}"
        yield
    finally:
        os.close(ready)
        os.close(tell)
        KEPT.discard(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def warm_up(modules: Sequence[str]) -> None:
    """Import what children need, adopt their orphans, and see to it that all children take the same code for theirs.

    Orphans are adopted (prctl(2)) so that no process outlives the fault that it belongs to.
    """
    from hw3lib.core.provenance import code_version

    for module in modules:
        importlib.import_module(module)
    code_version()
    _prctl(_SUBREAPER, 1)
