"""Hostile and damaged input for every reader: does any of it crash, hang, swallow memory or write where it must not?

Sound small files (:mod:`.readers`) are broken by hypothesis (:mod:`.damage`) and read in a process forked for it. A
reader must read them, or raise ``Hw3Error`` with the file's name. Everything else is a finding, and so are more than 5
seconds of processor time, more than 1 GB of memory, a process that dies, and a write, a connection or a program started
outside the input's folder. Linux only; ``HW3_INPUTS=100000 pytest tests/robustness/test_fuzz.py -n 2`` tries many.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import traceback
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hw3lib.errors import Hw3Error
from tests.robustness.damage import Files, damaged, load, write
from tests.robustness.readers import Reader

CHUNK, SECONDS, PATIENCE, MEMORY = 2_000, 5, 60, 10**9  # seconds of the processor and of the wall, bytes for an input
FORK = multiprocessing.get_context("fork")
OUTCOMES = ("read", "refused", "found")
_CALLS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind")
_FOLLOWS = ("open", "os.truncate", "os.chmod", "os.chown")  # a link at the end of the path
_CHANGES = (*_FOLLOWS, "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_watched: list[str] = []  # the folder of the input that is read now, and after it what was done elsewhere


@cache
def _watch() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple) -> None:
    if not _watched or event not in _CHANGES and event not in _CALLS:
        return
    if event in _CALLS:
        return _watched.append(f"calls {event}{str(arguments)[:200]}")
    if event == "open" and (isinstance(arguments[0], int) or not arguments[2] & _WRITES):
        return
    for path in arguments[event == "os.symlink" : 1 if event == "open" else 2]:
        if not isinstance(path, str | bytes | os.PathLike):
            continue
        place = os.fsdecode(path)
        if not os.path.isabs(place) and event != "open":  # shutil.rmtree names a folder by its descriptor
            base = next((f"/proc/self/fd/{a}" for a in arguments[-1:] if isinstance(a, int) and a >= 0), ".")
            place = os.path.join(os.path.realpath(base), place)
        above, name = os.path.split(place)  # but for some, what has the name is changed, and not what it links to
        place = os.path.realpath(place) if event in _FOLLOWS else os.path.join(os.path.realpath(above or "."), name)
        if place != os.devnull and not f"{place}/".startswith(f"{_watched[0]}/"):
            _watched.append(f"{event} outside of its folder: {place}")


def _status(field: str) -> int:
    """A figure of this process in bytes, such as ``VmHWM``, the most memory that it had."""
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split(f"{field}:")[1].split()[0]) * 1024


def judge(reader: Reader, target: Path) -> tuple[str, str]:
    """``read``, ``refused`` or ``found`` of the input in ``target``, and what the error says or what was found."""
    _watch()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forgets the most that it had
    before, outcome = _status("VmHWM"), ("read", "")
    _watched[:] = [str(target)]
    try:
        reader.read(target)
    except Hw3Error as error:
        named = not reader.names_file or str(target) in str(error)
        outcome = ("refused", str(error)) if named else ("found", f"an error that does not name the file: {error}")
    except Exception as error:
        last = [f for f in traceback.extract_tb(error.__traceback__) if "hw3lib" in f.filename][-1:]
        place = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
        outcome = ("found", f"{type(error).__name__}{place}: {str(error)[:300]!r}")
    elsewhere = _watched[1:]
    _watched.clear()
    if (taken := _status("VmHWM") - before) > MEMORY:
        elsewhere.append(f"takes {taken / 1e9:.1f} GB")
    return ("found", elsewhere[0]) if elsewhere else outcome


def _work(reader: Reader, count: int, tally, place: Path) -> None:
    """Judge the sound inputs, then broken ones; the process ends with the first finding, which ``place`` keeps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + 6 * 10**9,) * 2)
    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    target, sound = place / "target", place / "sound"
    reader.make(sound)
    corpus = [load(folder) for folder in sorted(sound.iterdir())]
    write(corpus[0], target)
    with suppress(Exception):
        reader.read(target)  # what is imported and compiled for it writes caches

    def one(files: Files, sound: bool = False) -> None:
        shutil.rmtree(target, ignore_errors=True)
        write(files, target)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # their signals end the process
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        outcome, said = judge(reader, target)
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        if sound and outcome == "refused":
            outcome = "found"
        tally[OUTCOMES.index(outcome)] += 1
        if outcome == "found":
            (place / "found.txt").write_text(said, "utf-8", "backslashreplace")
            os._exit(3)

    for files in corpus:
        one(files, sound=True)
    for name in list(corpus[0])[:8] if reader.pipes else ():
        one({**corpus[0], name: ("pipe",)})
    broken = st.composite(lambda draw: one(damaged(draw, corpus, reader.pipes)))()
    while (left := count - sum(tally)) > 0:
        options = settings(max_examples=min(left, CHUNK), database=None, deadline=None, phases=[Phase.generate])
        options = settings(options, suppress_health_check=list(HealthCheck))
        options(seed(sum(tally))(given(broken)(lambda done: None)))()


def run(reader: Reader, count: int, place: Path) -> tuple[list[int], str]:
    """How many inputs were read, refused and findings, and what was found; ``place/target`` is the last one read."""
    tally = FORK.Array("q", 3, lock=False)
    process = FORK.Process(target=_work, args=(reader, count, tally, place.resolve()))
    process.start()
    process.join()
    why = {0: "", 3: "", -signal.SIGPROF: f"takes over {SECONDS} s of the processor", -signal.SIGALRM: "hangs"}
    said = why.get(process.exitcode, f"the process ended with {process.exitcode}")
    tally[2] += bool(said)
    if process.exitcode == 3:
        said = (place / "found.txt").read_text("utf-8")
    return list(tally), f"{reader.name}: {said}; its input is {place / 'target'}" if said else ""
