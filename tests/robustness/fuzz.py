"""Hostile and damaged input for every reader: does any of it crash, hang, swallow memory or write where it must not?

Sound small files (:mod:`.readers`) are broken by hypothesis (:mod:`.damage`) and read in processes forked for it. A
reader must read them, or raise ``Hw3Error`` with the file's name. Everything else is a finding, and so are more than 5
seconds of processor time, more than 1 GB of memory, a process that dies, and a write, a connection or a program started
outside the input's folder. A finding's input is kept; to read it once more: ``python -m tests.robustness.fuzz --reader
coco --input FOLDER``. Linux only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hw3lib.core.text import format_table
from hw3lib.errors import Hw3Error
from tests.robustness.damage import Files, damaged, load, write
from tests.robustness.readers import READERS, Reader

CHUNK, SECONDS, PATIENCE, MEMORY = 2_000, 5, 60, 10**9  # seconds of the processor and of the wall, bytes for an input
FORK = multiprocessing.get_context("fork")
READ, REFUSED, FOUND = OUTCOMES = ("read", "refused", "findings")
_CALLS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind")
_CHANGES = (
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
)
_FOLLOWS = ("open", "os.truncate", "os.chmod", "os.chown")  # a link at the end of the path
_watched: list[str] = []  # the folder of the input that is read now, and after it what was done elsewhere


@cache
def _watch() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple) -> None:
    if not _watched or event != "open" and event not in _CHANGES and event not in _CALLS:
        return
    if event in _CALLS:
        return _watched.append(f"calls {event}{str(arguments)[:200]}")
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            return
    for path in arguments[event == "os.symlink" : 1 if event == "open" else 2]:
        if not isinstance(path, str | bytes | os.PathLike):
            continue
        place = os.fsdecode(path)
        if not os.path.isabs(place) and event != "open":  # shutil.rmtree names a folder by its descriptor
            base = next((f"/proc/self/fd/{a}" for a in arguments[-1:] if isinstance(a, int) and a >= 0), ".")
            place = os.path.join(os.path.realpath(base), place)
        if event in _FOLLOWS:
            place = os.path.realpath(place)
        else:  # what has the name is changed, and not what it links to
            place = os.path.join(os.path.realpath(os.path.dirname(place) or "."), os.path.basename(place))
        if place != os.devnull and not f"{place}/".startswith(f"{_watched[0]}/"):
            _watched.append(f"{event} outside of its folder: {place}")


def _status(field: str) -> int:
    """A figure of this process in bytes, such as ``VmHWM``, the most memory that it had."""
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split(f"{field}:")[1].split()[0]) * 1024


def judge(reader: Reader, target: Path) -> tuple[str, str]:
    """``read``, ``refused`` or ``findings`` of the input in ``target``, and what the error says or what was found."""
    _watch()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forgets the most that it had
    before, outcome = _status("VmHWM"), (READ, "")
    _watched[:] = [str(target)]
    try:
        reader.read(target)
    except Hw3Error as error:
        said = str(error)
        named = not reader.names_file or str(target) in said
        outcome = (REFUSED, said) if named else (FOUND, f"an error that does not name the file: {said[:300]}")
    except Exception as error:
        last = [f for f in traceback.extract_tb(error.__traceback__) if "hw3lib" in f.filename][-1:]
        place = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
        outcome = (FOUND, f"{type(error).__name__}{place}: {str(error)[:300]!r}")
    elsewhere = _watched[1:]
    _watched.clear()
    if elsewhere:
        outcome = (FOUND, elsewhere[0])
    if (taken := _status("VmHWM") - before) > MEMORY:
        outcome = (FOUND, f"takes {taken / 1e9:.1f} GB")
    return outcome


def _work(reader: Reader, first: int, count: int, tally: Sequence[int], place: Path) -> None:
    """Judge the sound inputs, then broken ones; the process ends where one takes too long."""
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
        if outcome == FOUND or sound and outcome == REFUSED:
            outcome = FOUND
            shutil.move(target, place / f"found-{tally[2]}")
            (place / f"found-{tally[2]}.txt").write_text(said, "utf-8", "backslashreplace")
        tally[OUTCOMES.index(outcome)] += 1

    if not first % 1000:  # not where one takes over for a process that died
        for files in corpus[:count]:
            one(files, sound=True)
        for name in list(corpus[0])[:8] if reader.pipes else ():
            one({**corpus[0], name: ("pipe",)})
    if (count := count - sum(tally)) > 0:
        options = settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
        options = settings(options, suppress_health_check=list(HealthCheck))
        broken = st.composite(lambda draw: one(damaged(draw, corpus, reader.finish, reader.pipes)))()
        options(seed(first)(given(broken)(lambda done: None)))()


def run(
    count: int,
    first: int,
    readers: Sequence[Reader],
    kept: Path,
    workers: int = 2,
    tell: Callable[[str], object] = lambda said: None,
) -> dict[str, list[float]]:
    """Try ``count`` inputs, shared out by the readers' weights.

    Args:
        first: seed; equal ones give equal inputs.
        kept: folder for the inputs of findings.
        tell: receives each finding as it is made.

    Returns:
        By reader: how many inputs were read, refused and findings, and the seconds they took.
    """
    total, tasks = sum(reader.weight for reader in readers), []
    for reader in readers:
        share = max(8, round(count * reader.weight / total))
        parts = [min(CHUNK, share - at) for at in range(0, share, CHUNK)]
        tasks += [(reader, first * 10**6 + 1000 * at, part) for at, part in enumerate(parts)]
    tallies = {reader.name: [0, 0, 0, 0.0] for reader in readers}
    running: dict[int, tuple] = {}
    with tempfile.TemporaryDirectory(prefix="hw3-fuzz-", ignore_cleanup_errors=True) as folder:
        while tasks or running:
            while tasks and len(running) < workers:
                reader, number, share = tasks.pop(0)
                tally, place = FORK.Array("q", 3, lock=False), Path(tempfile.mkdtemp(dir=folder)).resolve()
                process = FORK.Process(target=_work, args=(reader, number, share, tally, place))
                process.start()
                running[process.sentinel] = (process, reader, number, share, tally, place, time.monotonic())
            for sentinel in wait(list(running)):
                process, reader, number, share, tally, place, began = running.pop(sentinel)
                process.join()
                said = {path.with_suffix(""): path.read_text("utf-8") for path in sorted(place.glob("found-*.txt"))}
                if process.exitcode:
                    if not (place / "target").is_dir() or process.exitcode > 0:
                        raise RuntimeError(f"{reader.name!r}: no inputs, its process ends with {process.exitcode}")
                    why = {-signal.SIGPROF: f"takes over {SECONDS} s of the processor", -signal.SIGALRM: "hangs"}
                    said[place / "target"] = why.get(process.exitcode, f"the process died with {process.exitcode}")
                    tally[2] += 1
                    if (left := share - sum(tally)) > 0:
                        tasks.append((reader, number + 1, left))
                for figure, value in enumerate((*tally, time.monotonic() - began)):
                    tallies[reader.name][figure] += value
                for found, what in said.items():
                    name = f"{reader.name.replace(' ', '-')}-{number}-{found.name}"
                    shutil.move(found, kept / name)
                    tell(f"{reader.name}: {what}\n    {kept / name}")
                shutil.rmtree(place, ignore_errors=True)
    return tallies


def table(tallies: dict[str, list[float]]) -> str:
    """Inputs tried, read and refused, findings, and milliseconds an input, by reader."""
    tallies = tallies | {"all": [sum(figures) for figures in zip(*tallies.values(), strict=True)]}
    rows = [("reader", "tried", *OUTCOMES, "ms")]
    for name, (*counts, seconds) in tallies.items():
        tried = sum(counts)
        rows.append((name, *(f"{n:,.0f}" for n in (tried, *counts)), f"{1000 * seconds / max(tried, 1):.1f}"))
    return format_table(rows)


def main() -> int:
    """Print what becomes of so many inputs; 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="number of inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=READERS, help="only this one; may be repeated")
    parser.add_argument("--skip", action="append", default=[], choices=READERS, help="all but this one")
    parser.add_argument("--input", type=Path, help="read a copy of this folder once, by one reader")
    chosen = parser.parse_args()
    kept = Path(tempfile.mkdtemp(prefix="hw3-findings-")).resolve()
    readers = [READERS[name] for name in chosen.reader or READERS if name not in chosen.skip]
    if chosen.input:
        print(*judge(readers[0], Path(shutil.copytree(chosen.input, kept / "input", symlinks=True))))
        return 0
    began = time.monotonic()
    tallies = run(chosen.count, chosen.seed, readers, kept, tell=lambda said: print(said, flush=True))
    print(f"\n{table(tallies)}\n\n{time.monotonic() - began:.0f} s, seed {chosen.seed}")
    return int(any(tally[2] for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
