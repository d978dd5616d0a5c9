"""The notebooks of a run, side by side: those that read others' results after them, the longest first."""

from __future__ import annotations

import queue
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from hw3lib.core import cores
from hw3lib.errors import Hw3Error

from .process import NotebookProcesses
from .progress import Progress
from .step import Notebook, Outcome, Step

# Bytes for each notebook. In the quick profile most take 1.4 to 2.6 GB, and chapter 02 for a moment 3.8.
MEMORY = {"quick": 3e9, "full": 6e9}
# About how many seconds of one core the chapters take. Only which is longer matters, where no earlier run tells.
TYPICAL = {"01": 20, "02": 280, "03": 200, "04": 150, "05": 120, "06": 20, "07": 100}
_TICK = 1.0  # seconds


def default_jobs(notebooks: Sequence[Notebook], profile: str) -> int:
    """As many as cores and memory carry, and as there are notebooks that do not read each other."""
    numbers = {notebook.number for notebook in notebooks}
    width = sum(not numbers & set(notebook.reads) for notebook in notebooks)
    return max(1, min(cores.usable_cores(), int(cores.free_memory() / MEMORY[profile]), width))


def threads_for(jobs: int) -> int:
    """Threads that each of ``jobs`` kernels may use.

    Raises:
        Hw3Error: fewer jobs than 1.
    """
    if jobs < 1:
        raise Hw3Error(f"jobs is {jobs}; expected 1 or more")
    return max(1, cores.usable_cores() // jobs)


def run(
    steps: Sequence[Step], jobs: int, expected: Mapping[str, float], progress: Progress
) -> Generator[Outcome, None, None]:
    """Run the steps, ``jobs`` at a time, and give their outcomes in the order in which they end.

    Args:
        steps: in the order of their numbers. One starts when those that it reads have ended, well or not.
        jobs: how many at once.
        expected: seconds that notebooks took before, by number.
        progress: shows what happens.

    Raises:
        OSError: results cannot be written; the other notebooks were stopped.
        KeyboardInterrupt: the kernels were shut down, and the work folders are kept.
    """
    processes, events = NotebookProcesses(), queue.SimpleQueue[Any]()
    seconds = {**TYPICAL, **expected}
    waiting = sorted(range(len(steps)), key=lambda i: -seconds.get(steps[i].notebook.number, 0))
    running: dict[Future[Outcome], int] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while waiting or running:
                for i in _ready(steps, waiting, list(running.values()))[: jobs - len(running)]:
                    waiting.remove(i)
                    future = pool.submit(_step, steps[i], processes, events)
                    future.add_done_callback(events.put)
                    running[future] = i
                for event in _events(events):
                    if not isinstance(event, Future):
                        event(progress)
                        continue
                    notebook, outcome = steps[running.pop(event)].notebook, event.result()
                    progress.ended(notebook, outcome)
                    yield outcome
                progress.tick()
        finally:
            processes.stop()
            progress.close()


def _ready(steps: Sequence[Step], waiting: Sequence[int], running: Sequence[int]) -> list[int]:
    """Those of ``waiting``, in its order, that nothing keeps from starting.

    Results of the same number would go to the same folder, so these wait for each other as well. Of notebooks that
    read each other the first begins.
    """

    def waits(i: int, j: int) -> bool:
        one, other = steps[i].notebook, steps[j].notebook
        return other.number in one.reads and i != j or j < i and other.number == one.number

    unfinished = [*waiting, *running]
    free = [i for i in waiting if not any(waits(i, j) for j in unfinished)]
    return free if free or running or not waiting else [min(waiting)]


def _step(step: Step, processes: NotebookProcesses, events: queue.SimpleQueue[Any]) -> Outcome:
    """Run a step in a thread; what it has to say is called in the main one."""
    notebook = step.notebook

    def echo(text: str) -> None:
        events.put(lambda progress: progress.say(notebook, text))

    def on_cells(done: int) -> None:
        events.put(lambda progress: progress.cells(notebook, done))

    return step.run(processes, echo, on_cells)


def _events(events: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """What has happened, after something has or a moment is over."""
    try:
        yield events.get(timeout=_TICK)
        while True:
            yield events.get_nowait()
    except queue.Empty:
        return
