"""Kill a job, run it again, compare with an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .children import LIMIT, end_family, file_server, start, warm_up
from .jobs import JOBS, Job
from .results import content, differences, snapshot


@dataclass
class Fault:
    """A fault and what became of it.

    Attributes:
        job: name of it.
        aim: where it was to strike, ``after 0.21 s`` or ``before step 7``.
        struck: ``before`` anything was written, ``during`` or ``after`` the job.
        wrong: what is wrong after the next run; empty if the fault was survived.
    """

    job: str
    aim: str
    struck: str
    wrong: str = ""


class Killer:
    """Runs one job undisturbed, then again and again with a fault.

    Args:
        job: what to kill.
        place: folder for everything.
        seed: of where faults strike.
    """

    def __init__(self, job: Job, place: Path, seed: int):
        self.job, self.seed, self.number = job, seed, 0
        self.place = place / job.name.replace(", ", "-").replace(" ", "-")
        self.inputs = self.place / "inputs"
        self.inputs.mkdir(parents=True)
        self._undisturbed(job.prepare, self.inputs)
        self.initial = snapshot(self.inputs)
        folder = self._new("undisturbed")
        self.seconds, self.steps = self._undisturbed(job.run, folder)
        self.expected = content(folder)

    def _undisturbed(self, function: Callable[[Path], Any], folder: Path) -> tuple[float, int]:
        """Seconds, and steps in the file system."""
        child, began = start(function, folder), time.monotonic()
        ended = child.wait(LIMIT)
        seconds = time.monotonic() - began
        end_family(child)
        if not ended or child.code:
            raise RuntimeError(f"{self.job.name}: undisturbed it ends with {child.code}:\n{child.text()}")
        return seconds, child.steps()

    def _new(self, name: str) -> Path:
        return Path(shutil.copytree(self.inputs, self.place / name))

    def fault(self) -> Fault:
        """Kill once, run again, compare."""
        draw = random.Random(f"{self.seed} {self.job.name} {self.number}")
        by_step = self.number % 2 == 1 and self.steps > 0
        self.number += 1
        folder = self._new(str(self.number))
        if by_step:
            step = draw.randrange(self.steps)
            fault = Fault(self.job.name, f"before step {step} of {self.steps}", "")
            child = start(self.job.run, folder, strike=step)
            ended = child.wait(LIMIT) and child.code != -signal.SIGKILL
        else:
            seconds = draw.random() * self.seconds
            fault = Fault(self.job.name, f"after {seconds:.3f} of {self.seconds:.3f} s", "")
            child = start(self.job.run, folder)
            ended = child.wait(seconds)
        end_family(child)
        os.close(child.news)
        fault.struck = "after" if ended else "before" if snapshot(folder) == self.initial else "during"
        again = start(self.job.run, folder)
        done = again.wait(LIMIT)
        end_family(again)
        os.close(again.news)
        if not done or again.code:
            said = again.text().strip()[-1500:]
            fault.wrong = f"the next run ends with {again.code}: {said}" if done else f"the next run hangs: {said}"
        else:
            fault.wrong = differences(self.expected, content(folder))
        if not fault.wrong:
            shutil.rmtree(folder)
        return fault


def shares(count: int, names: Sequence[str]) -> Counter[str]:
    """How many of so many faults each job gets: in proportion to its share, one at least."""
    total = sum(JOBS[name].share for name in names)
    exact = {name: count * JOBS[name].share / total for name in names}
    given = Counter({name: max(1, int(exact[name])) for name in names})
    for name in sorted(names, key=lambda n: int(exact[n]) - exact[n]):
        if sum(given.values()) < count:
            given[name] += 1
    return given


def kill(count: int, seed: int, names: Sequence[str], echo: Callable[[Fault], object]) -> list[Fault]:
    """So many faults over the named jobs; ``echo`` gets each one. Failed ones leave their folder."""
    place = Path(tempfile.mkdtemp(prefix="hw3-faults-"))
    faults = []
    warm_up([module for name in names for module in JOBS[name].warm])
    with file_server(place):
        for name, number in shares(count, names).items():
            killer = Killer(JOBS[name], place, seed)
            for _ in range(number):
                faults.append(killer.fault())
                echo(faults[-1])
    if not any(fault.wrong for fault in faults):
        shutil.rmtree(place)
    return faults


def table(faults: Sequence[Fault]) -> str:
    """Counts, one line a job."""
    lines = [f"{'job':26}{'faults':>8}{'before':>8}{'during':>8}{'after':>8}{'survived':>10}"]
    names = list(dict.fromkeys(fault.job for fault in faults))
    for name in [*names, "all"]:
        of = [fault for fault in faults if name in (fault.job, "all")]
        struck = Counter(fault.struck for fault in of)
        survived = sum(not fault.wrong for fault in of)
        moments = "".join(f"{struck[when]:8}" for when in ("before", "during", "after"))
        lines.append(f"{name:26}{len(of):8}{moments}{survived:10}")
    return "\n".join(lines)
