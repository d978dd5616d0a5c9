"""Faults on purpose: does the next run complete and equal an undisturbed one, and is a failure to write told clearly?

Writers (:mod:`.writers`) write a second version over a first. They are killed, together with all processes that they
started, up to some milliseconds after a random one of their steps in the file system (a file opened for
writing, a renaming, a removal, a folder made), and called again. And they meet a full disk (a small tmpfs; where
mounting is not allowed, a limit of the file size) and a folder that may not be written: a message must name the
folder and the reason, with exit code 2, earlier results as they were to the last byte, and nothing half-written.
Everything is written under a umask that is not the usual one, and must have its permissions.

All runs in children forked from one process with the libraries loaded, so that a fault takes the time of the job and
not that of its imports. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil

from hw3lib.core.provenance import code_version
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    from tests.robustness.writers import Writer

# Watch, review, update and serve, killed under load: CI kills each twice.
LINE = (
    "tests/inspection/test_watch.py::test_killed_at_random_moments_nothing_is_lost_and_nothing_twice",
    "tests/inspection/test_review.py::test_killed_at_any_moment_no_answer_is_lost_or_there_twice",
    "tests/inspection/test_update.py::test_killed_at_any_moment_there_is_the_version_before_or_after",
    "tests/inspection/test_serve_killed.py::test_who_asks_a_server_that_is_killed_hears_of_it_and_asks_again",
)
FORK = multiprocessing.get_context("fork")
LIMIT, UMASK = 120.0, 0o027  # seconds after which a writer hangs; permissions
REASONS = {"full": ("the disk is full", "Not enough space", "ulimit -f"), "refused": ("permission denied",)}
_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.truncate"}
_MOMENTS = {"seconds", "started", "finished", "host", "resumed", "status", "files"}  # not of the result


@dataclass
class Ended:
    """How a child ended: its exit code, None if it was killed as it hung; what it said; its steps."""

    code: int | None
    text: str
    steps: int


def call(write: Callable[[Path], object], folder: Path, strike: tuple[int, float] = (-1, 0.0)) -> Ended:
    """Call in a forked child; what it started ends with it.

    Its exit code is that of hw3: 0, 2 after an ``Hw3Error``, 1 after any other error. ``strike``: at which step in the
    file system, from 0, it is killed, and how many seconds after it.
    """
    steps, (said, tell) = FORK.Value("q", 0, lock=False), os.pipe()  # a pipe is never full, nor limited as files are
    fcntl.fcntl(tell, fcntl.F_SETPIPE_SZ, 1 << 20)
    child = FORK.Process(target=_child, args=(write, folder, strike, steps, tell))
    sys.stdout.flush()
    child.start()
    child.join(LIMIT)
    code = child.exitcode
    while left := psutil.Process().children(recursive=True):  # orphans are ours, see main
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in left:
            with suppress(ChildProcessError):
                child.join() if process.pid == child.pid else os.waitpid(process.pid, 0)
    os.close(tell)
    with os.fdopen(said, "rb") as text:
        return Ended(code, text.read().decode("utf-8", "replace").strip(), steps.value)


def _child(write: Callable[[Path], object], folder: Path, strike: tuple[int, float], steps: Any, tell: int) -> None:
    for stream in (1, 2):
        os.dup2(tell, stream)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(folder)

    def hook(event: str, arguments: tuple) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in _STEPS) or not isinstance(arguments[0], str | os.PathLike):
            return
        if os.path.abspath(arguments[0]).startswith(str(folder)):
            if steps.value == strike[0]:
                signal.setitimer(signal.ITIMER_REAL, max(strike[1], 1e-6))  # its signal ends the process, as SIGKILL
            steps.value += 1

    sys.addaudithook(hook)
    code = 1
    try:
        write(folder)
        code = 0
    except Hw3Error as error:
        print(f"error: {error}")
        code = 2
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    os._exit(code)  # the parent's handlers at exit are not this process's business


def _snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every name in a folder with its bytes; None for a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def content(folder: Path) -> dict[str, object]:
    """What is in a folder, comparable: times, hosts and the folder's own name taken out of files that hold them."""

    def of_result(value: object) -> object:
        if isinstance(value, dict):
            return {key: of_result(item) for key, item in value.items() if key not in _MOMENTS}
        return [of_result(item) for item in value] if isinstance(value, list) else value

    found: dict[str, object] = _snapshot(folder)
    for name, raw in found.items():
        suffix = Path(name).suffix
        if Path(name).name in (".lock", "lock") or not isinstance(raw, bytes):
            found[name] = None
        elif suffix == ".npz":
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in arrays.files}
        elif suffix == ".parquet" or suffix == ".csv" and b"seconds" in raw:
            read = pd.read_csv if suffix == ".csv" else pd.read_parquet
            found[name] = read(io.BytesIO(raw)).drop(columns=list(_MOMENTS), errors="ignore").to_json()
        elif suffix == ".ipynb":
            found[name] = [(cell["source"], cell.get("outputs")) for cell in json.loads(raw)["cells"]]
        else:
            raw = raw.replace(str(folder).encode(), b"FOLDER")
            found[name] = of_result(json.loads(raw)) if suffix == ".json" else raw
    return found


def differences(expected: dict[str, object], found: dict[str, object]) -> str:
    """In words, empty where there are none."""
    parts = {
        "left over": sorted(set(found) - set(expected)),
        "missing": sorted(set(expected) - set(found)),
        "different": sorted(name for name in set(expected) & set(found) if expected[name] != found[name]),
    }
    return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names)


def _permissions(folder: Path) -> str:
    """Which of what is in a folder has other permissions than the umask gives."""
    found = []
    for path in sorted(folder.rglob("*")):
        expected = (0o777 if path.is_dir() else 0o666) & ~UMASK
        if not path.is_symlink() and (mode := stat.S_IMODE(path.stat().st_mode)) != expected:
            found.append(f"{path.relative_to(folder)} is {mode:03o}, expected {expected:03o}")
    return "; ".join(found[:4])


def _limited(write: Callable[[Path], object], largest: int, folder: Path) -> None:
    """As on a full disk: Python ignores SIGXFSZ, so that the kernel says EFBIG."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    write(folder)


def _as_a_guest(write: Callable[[Path], object], folder: Path) -> None:
    """Root in name only: what may not be written is not its to write."""
    libc, set_secure_bits, no_root = ctypes.CDLL(None, use_errno=True), 28, 3
    version = struct.pack("=Ii", 0x20080522, 0)
    if os.geteuid() == 0 and (libc.prctl(set_secure_bits, no_root, 0, 0, 0) or libc.capset(version, bytes(24))):
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")
    write(folder)


class Faults:
    """One writer, its undisturbed results, and what it does when it is disturbed.

    Args:
        writer: of the table.
        place: an empty folder.
        given: the inputs, see :func:`.writers.inputs`.
    """

    def __init__(self, writer: Writer, place: Path, given: Path):
        self.writer, self.place, self.wrong = writer, place, ""
        self.write = lambda out, version=1: writer.write(out, given, version)
        self.base, new = place / "base", place / "new"
        self.base.mkdir(parents=True)
        for folder, version in ((self.base, 0), (new, 1)):
            if version:
                shutil.copytree(self.base, new)
            before = os.umask(UMASK)
            self.undisturbed = call(partial(self.write, version=version), folder)
            os.umask(before)
            if self.undisturbed.code != 0:
                self.wrong = f"undisturbed it ends with {self.undisturbed.code}: {self.undisturbed.text[-1500:]}"
                return
        before, after = _snapshot(self.base), _snapshot(new)
        self.expected, self.wrong = content(new), _permissions(new)
        self.sizes = [len(raw) for name, raw in after.items() if raw is not None and before.get(name) != raw]
        if not self.sizes:
            self.wrong = "both versions are the same"

    def kill(self, draw: random.Random) -> tuple[str, bool, str]:
        """Where it was killed, whether something had been written and not all, and what is wrong then."""
        folder = Path(shutil.copytree(self.base, self.place / "killed"))
        strike = draw.randrange(max(1, self.undisturbed.steps)), draw.choice((0.0, 0.0005, 0.002, 0.01)) * draw.random()
        ended = call(self.write, folder, strike)
        during = ended.code == -signal.SIGALRM and _snapshot(folder) != _snapshot(self.base)
        again = call(self.write, folder)
        wrong = differences(self.expected, content(folder)) if again.code == 0 else ""
        if again.code != 0:
            wrong = f"the next run ends with {again.code}: {again.text[-1500:]}"
        shutil.rmtree(folder)
        return f"killed {strike[1]:.4f} s after step {strike[0]}", during, wrong

    @contextmanager
    def _full(self, folder: Path) -> Iterator[tuple[Callable[[Path], object], Path]]:
        """A disk that has room for half of the largest file; where mounting is not allowed, files of half its size."""
        largest, page = max(self.sizes), resource.getpagesize()
        size = sum(len(raw or b"") + page for raw in _snapshot(self.base).values()) + sum(self.sizes) + (4 << 20)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode:
            yield partial(_limited, self.write, largest), Path(shutil.copytree(self.base, folder / "out"))
            return
        try:
            out = Path(shutil.copytree(self.base, folder / "out"))
            with (folder / "filler").open("wb") as filler:
                filler.write(bytes(shutil.disk_usage(folder).free - largest // 2 // page * page))
            yield self.write, out
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    @contextmanager
    def _refused(self, folder: Path) -> Iterator[tuple[Callable[[Path], object], Path]]:
        """A folder that may be read and not written, with all that is in it."""
        out = Path(shutil.copytree(self.base, folder / "out"))
        every = (out, *out.rglob("*"))
        for path in every:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield partial(_as_a_guest, self.write), out
        for path in every:
            path.chmod(0o755)

    def refuse(self, condition: str) -> str:
        """What is wrong about how it fails to write; empty if nothing is."""
        folder, keeps = self.place / condition, self.writer.keeps or ("//",)
        folder.mkdir()
        with getattr(self, f"_{condition}")(folder) as (write, out):
            before, ended, after = _snapshot(out), call(write, out), _snapshot(out)
        wrong = {
            f"ends with {ended.code}": ended.code not in self.writer.codes,
            "does not say why": not any(reason in ended.text for reason in REASONS[condition]),
            "does not say where": "Cannot write in" not in ended.text and str(out) not in ended.text,
            "changed": [n for n, raw in before.items() if after.get(n, b"gone") != raw and ".lock" not in n],
            "left over": [n for n in set(after) - set(before) if not n.startswith(keeps)],
        }
        told = [f"{what}: {found[:4]}" if isinstance(found, list) else what for what, found in wrong.items() if found]
        return f"{'; '.join(told)}; it said: {ended.text[-700:]}" if told else ""


def main() -> int:
    """Kill and refuse writers, print what went wrong and the counts; 1 if something did."""
    from tests.robustness.writers import WRITERS, inputs  # slow, and not needed in processes that writers start

    parser = argparse.ArgumentParser(prog="python -m tests.robustness.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills, shared out by the table (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--writers", nargs="+", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--kill", nargs="*", choices=WRITERS, help="kill these alone (default: all of the table)")
    parser.add_argument("--refuse", nargs="*", choices=WRITERS, help="refuse these alone (default: all)")
    parser.add_argument(
        "--line", type=int, metavar="N", help="kill watch, review, update and serve so often, shared out, and no writer"
    )
    chosen = parser.parse_args()
    if chosen.line:
        kills = {**os.environ, "HW3_KILLS": str(-(-chosen.line // len(LINE)))}
        return subprocess.run([sys.executable, "-m", "pytest", "-v", *LINE], env=kills).returncode
    killed = chosen.writers if chosen.kill is None else chosen.kill
    weights = [WRITERS[name].kills for name in killed]
    chances = random.Random(chosen.seed).choices(killed, weights, k=chosen.count) if killed else []
    counts: Counter[str] = Counter()
    code_version()  # so that all children take the same code for theirs
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: no process outlives the fault that it belongs to
    with tempfile.TemporaryDirectory(prefix="hw3-faults-") as name:
        given = Path(name) / "given"
        given.mkdir()
        made = call(inputs, given)
        if made.code != 0:
            raise RuntimeError(f"the inputs end with {made.code}: {made.text}")
        for number, name in enumerate(chosen.writers):
            faults, draw = Faults(WRITERS[name], given.parent / str(number), given), random.Random(f"{number} {name}")
            found = [("undisturbed", faults.wrong)] if faults.wrong else []
            for _ in range(0 if found else chances.count(name)):
                aim, during, wrong = faults.kill(draw)
                counts.update(kills=1, during=during)
                found.append((aim, wrong))
            refused = chosen.writers if chosen.refuse is None else chosen.refuse
            for condition in REASONS if name in refused and not faults.wrong else ():
                found.append((condition, faults.refuse(condition)))
                counts["refusals"] += 1
            for what, wrong in found:
                if wrong:
                    print(f"{name}, {what}: {wrong}", flush=True)
                    counts["wrong"] += 1
            shutil.rmtree(faults.place)
    print(*(f"{counts[what]} {what}" for what in ("kills", "during", "refusals", "wrong")), sep=", ")
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
