"""Hostile and damaged input for every reader: does any of it crash, hang, swallow memory or write where it must not?

Sound small files are broken by a seeded mutator, see the folder ``fuzzing``, and read in worker processes. A reader
must read them, or raise ``Hw3Error`` with the file's name. Everything else is a finding, and so are more than 5 seconds
of processor time, more than 1 GB of memory, a process that dies, and a write, a connection or a program started outside
the input's folder. One input again: ``python -m tests.robustness.fuzz --reader coco --seed 0 --number 17``.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random

COUNT, CHUNK, WORKERS = 100_000, 200, 2
SECONDS, PATIENCE, MEMORY = 5.0, 60.0, 10**9  # of the processor and of the wall for one input; bytes it may take
PREPARATION = 300.0  # seconds of the wall for a reader's imports and its sound inputs, and for making an input
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
_READ, _REFUSED, _FOUND = "read", "refused", "findings"


@dataclass(frozen=True)
class Finding:
    """An input that a reader did not survive; the three say how to make it again."""

    reader: str
    seed: int
    number: int
    what: str

    def __str__(self) -> str:
        again = f'python -m tests.robustness.fuzz --reader "{self.reader}" --seed {self.seed} --number {self.number}'
        return f"{self.reader}: {self.what}\n    {again}"


@dataclass
class Tally:
    """What became of the inputs of a reader."""

    read: int = 0
    refused: int = 0
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0


class Fuzzer:
    """Makes the inputs of a reader and judges what it does with them; one a process."""

    def __init__(self, folder: Path):
        from tests.robustness.fuzzing.readers import READERS

        self.folder, self._readers = folder, {reader.name: reader for reader in READERS}
        self._corpora: dict[str, list] = {}
        self._watched, self._trespass = False, ""
        sys.dont_write_bytecode = True
        warnings.simplefilter("ignore")
        sys.addaudithook(self._audit)

    def prepare(self, name: str) -> None:
        """Make the sound inputs, and read one unwatched: what is imported and compiled for it writes caches."""
        from tests.robustness.fuzzing.mutations import load

        if name in self._corpora:
            return
        reader, sound = self._readers[name], self.folder / "sound" / name
        shutil.rmtree(sound, ignore_errors=True)  # of a process that died
        reader.make(sound)
        self._corpora[name] = [load(place) for place in sorted(sound.iterdir())]
        with contextlib.suppress(Exception):
            reader.read(self.input(name, 0, 0))

    def input(self, name: str, seed: int, number: int) -> Path:
        """Write an input into a fresh folder."""
        from tests.robustness.fuzzing.mutations import mutate, write

        reader = self._readers[name]
        self.prepare(name)
        corpus = self._corpora[name]
        rng = Random(f"{name}/{seed}/{number}")
        # The first inputs are the sound ones: all of them must be read.
        files = dict(corpus[number]) if number < len(corpus) else mutate(rng.choice(corpus), corpus, rng)
        if reader.finish is not None:
            reader.finish(files, rng)
        if not reader.pipes:
            files = {path: content for path, content in files.items() if content != ("fifo",)}
        target = self.folder / "target"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        write(files, target)
        return target

    def judge(self, name: str, target: Path) -> tuple[str, str]:
        """``read``, ``refused`` or ``findings`` of the input in ``target``, and in the last case what was found."""
        from hw3lib.errors import Hw3Error

        reader = self._readers[name]
        before = _peak(forget=True)
        self._trespass, self._watched = "", True
        try:
            try:
                reader.read(target)
                outcome = (_READ, "")
            finally:
                self._watched = False
        except Hw3Error as error:
            said = str(error)
            named = not reader.names_file or str(target) in said
            outcome = (_REFUSED, said) if named else (_FOUND, f"an error that does not name the file: {said[:300]}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            last = [f for f in traceback.extract_tb(error.__traceback__) if "hw3lib" in f.filename][-1:]
            place = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
            outcome = (_FOUND, f"{type(error).__name__}{place}: {str(error)[:300]!r}")
        if self._trespass:
            outcome = (_FOUND, self._trespass)
        if (taken := _peak() - before) > MEMORY:
            outcome = (_FOUND, f"takes {taken / 1e9:.1f} GB")
        return outcome

    def _audit(self, event: str, arguments: tuple) -> None:
        if not self._watched:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
                return
            paths = [path]
        elif event in _CHANGES:
            paths = [a for a in arguments[event == "os.symlink" : 2] if isinstance(a, str | bytes | os.PathLike)]
        elif event in _CALLS:
            self._trespass = f"calls {event}{str(arguments)[:200]}"
            return
        else:
            return
        for path in paths:
            place = os.fsdecode(path)
            if not os.path.isabs(place) and event != "open":  # shutil.rmtree names a folder by its descriptor
                base = next((f"/proc/self/fd/{a}" for a in arguments[-1:] if isinstance(a, int) and a >= 0), ".")
                place = os.path.join(os.path.realpath(base), place)
            if event in _FOLLOWS:
                place = os.path.realpath(place)
            else:  # what has the name is changed, and not what it links to
                place = os.path.join(os.path.realpath(os.path.dirname(place) or "."), os.path.basename(place))
            if place != os.devnull and not f"{place}/".startswith(f"{self.folder / 'target'}/"):
                self._trespass = f"{event} outside of its folder: {place}"


def _peak(forget: bool = False) -> int:
    """Most memory of this process in bytes; ``forget`` first what it once had, as a mutator that took it apart."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _work(pipe: Connection, place: str) -> None:
    """Judge inputs until there are no more; the parent hears of each before it is begun."""
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fuzzer = Fuzzer(Path(place).resolve())
    limited = False
    while (task := pipe.recv()) is not None:
        name, seed, numbers = task
        try:
            fuzzer.prepare(name)
        except BaseException:
            pipe.send(("unprepared", traceback.format_exc()))
            raise
        started = time.perf_counter()
        for number in numbers:
            pipe.send(("making", number))
            target = fuzzer.input(name, seed, number)
            pipe.send(("begun", number))
            outcome, said = fuzzer.judge(name, target)
            if not limited:  # torch and others reserve much at their import
                reserved = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (reserved + 6 * 10**9,) * 2)
                limited = True
            pipe.send((outcome, said))
        pipe.send(("done", time.perf_counter() - started))


class _Worker:
    """A process with what it is at."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.task: tuple[str, int, range] | None = None
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, str(self.folder)), daemon=True)
        self.process.start()
        theirs.close()
        self.number, self.making, self.began, self.cpu = -1, True, time.monotonic(), 0.0

    def seconds(self) -> float:
        """Processor time of the process."""
        import psutil

        try:
            used = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return self.cpu
        return used.user + used.system

    def give(self, task: tuple[str, int, range]) -> None:
        self.task, self.number, self.making, self.began = task, -1, True, time.monotonic()
        self.pipe.send(task)

    def input(self, seed: int) -> str:
        """What it is making."""
        which = f"input {self.number} of seed {seed}" if self.number >= 0 else "sound input"
        return f"{which} for {self.task[0]!r}" if self.task else which

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run(
    count: int,
    seed: int,
    names: Sequence[str] = (),
    workers: int = WORKERS,
    progress: bool = False,
    tell: Callable[[str], object] = lambda said: None,
) -> dict[str, Tally]:
    """Try ``count`` inputs, shared out by the readers' weights.

    Args:
        names: of readers; all if none is given.
        progress: count the inputs on the standard error, twice a minute.
        tell: receives each finding as it is made.

    Returns:
        What became of them, by reader.
    """
    from tests.robustness.fuzzing.readers import READERS

    chosen = [reader for reader in READERS if not names or reader.name in names]
    total = sum(reader.weight for reader in chosen)
    tasks = []
    for reader in chosen:
        share = max(8, round(count * reader.weight / total))
        tasks += [(reader.name, seed, range(at, min(at + CHUNK, share))) for at in range(0, share, CHUNK)]
    tallies = {reader.name: Tally() for reader in chosen}
    waiting = tasks[::-1]
    with tempfile.TemporaryDirectory(prefix="hw3-fuzz-", ignore_cleanup_errors=True) as folder:
        team = [_Worker(Path(folder) / str(number)) for number in range(min(workers, len(tasks)))]
        started = told = time.monotonic()
        try:
            while waiting or any(worker.task for worker in team):
                for worker in team:
                    if worker.task is None and waiting:
                        worker.give(waiting.pop())
                known = {name: len(tally.findings) for name, tally in tallies.items()}
                _listen(team, tallies, waiting)
                for finding in [f for name, tally in tallies.items() for f in tally.findings[known[name] :]]:
                    tell(str(finding))
                if progress and time.monotonic() - told > 30:
                    told = time.monotonic()
                    done = sum(t.read + t.refused + len(t.findings) for t in tallies.values())
                    print(f"{done:,} inputs after {told - started:.0f} s", file=sys.stderr, flush=True)
        finally:
            for worker in team:
                worker.end()
    return tallies


def _listen(team: list[_Worker], tallies: dict[str, Tally], waiting: list) -> None:
    """Take in what the workers say, and look after those that say nothing."""
    ready = wait([worker.pipe for worker in team if worker.task], timeout=0.5)
    for worker in team:
        if worker.task is None:
            continue
        name, seed, numbers = worker.task
        tally, lost = tallies[name], ""
        if worker.pipe in ready:
            try:
                while worker.pipe.poll():
                    what, said = worker.pipe.recv()
                    if what in ("making", "begun"):
                        worker.number, worker.making = said, what == "making"
                        worker.began, worker.cpu = time.monotonic(), -1.0
                    elif what == "unprepared":
                        raise RuntimeError(f"the sound inputs of {name!r} cannot be made:\n{said}")
                    elif what == "done":
                        worker.task, tally.seconds = None, tally.seconds + said
                        break
                    elif what == _FOUND:
                        tally.findings.append(Finding(name, seed, worker.number, said))
                    else:
                        setattr(tally, what, getattr(tally, what) + 1)
            except (EOFError, OSError):
                worker.process.join()
                lost = f"the process died with {worker.process.exitcode}"
                if worker.making:
                    raise RuntimeError(f"{lost} while it made {worker.input(seed)}") from None
        elif worker.making:
            if time.monotonic() - worker.began > PREPARATION:
                raise RuntimeError(f"after {PREPARATION:.0f} s there is no {worker.input(seed)}")
        else:
            used = worker.seconds()
            worker.cpu = used if worker.cpu < 0 else worker.cpu
            if used - worker.cpu > SECONDS or time.monotonic() - worker.began > PATIENCE:
                lost = (
                    f"hangs: {used - worker.cpu:.0f} s of the processor, {time.monotonic() - worker.began:.0f} s in all"
                )
        if lost:
            tally.findings.append(Finding(name, seed, worker.number, lost))
            worker.end()
            left = range(max(worker.number + 1, numbers.start), numbers.stop)
            if left:
                waiting.append((name, seed, left))
            worker.task = None
            worker.start()


def table(tallies: dict[str, Tally]) -> str:
    """Inputs tried, read and refused, findings, and milliseconds an input, by reader."""
    from hw3lib.core.text import format_table

    rows = [("reader", "tried", "read", "refused", "findings", "ms")]
    sums = [0, 0, 0, 0]
    for name, tally in tallies.items():
        found = len(tally.findings)
        figures = (tally.read + tally.refused + found, tally.read, tally.refused, found)
        sums = [a + b for a, b in zip(sums, figures, strict=True)]
        rows.append((name, *(f"{figure:,}" for figure in figures), f"{1000 * tally.seconds / max(figures[0], 1):.1f}"))
    spent = 1000 * sum(tally.seconds for tally in tallies.values()) / max(sums[0], 1)
    return format_table([*rows, ("all", *(f"{figure:,}" for figure in sums), f"{spent:.1f}")])


def main(count: int = COUNT, seed: int = 0, names: Sequence[str] = ()) -> None:
    """Print what becomes of ``count`` inputs; ends with 1 if there are findings."""
    started = time.perf_counter()
    tallies = run(count, seed, names, progress=True, tell=partial(print, flush=True))
    print(f"\n{table(tallies)}\n\n{time.perf_counter() - started:.0f} s, seed {seed}", flush=True)
    if any(tally.findings for tally in tallies.values()):
        sys.exit(1)


def again(name: str, seed: int, number: int) -> None:
    """One input, in this process, its files left to look at."""
    folder = Path(tempfile.mkdtemp(prefix="hw3-fuzz-")).resolve()
    fuzzer = Fuzzer(folder)
    outcome, said = fuzzer.judge(name, fuzzer.input(name, seed, number))
    print(f"{name}, seed {seed}, number {number}: {outcome}: {said}\n{folder / 'target'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="number of inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--number", type=int, help="only this input of one reader, in this process")
    options = parser.parse_args()
    if options.number is None:
        main(options.count, options.seed, options.reader)
    else:
        again(options.reader[0], options.seed, options.number)
