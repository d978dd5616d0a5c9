"""A student's program against ours: alternating runs in fresh processes, and how far each is from the arithmetic."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from hw3lib.classify import Attempt, build, run_attempt
from hw3lib.classify.student_reports.reports import StudentReport
from hw3lib.classify.student_reports.verdicts import splits
from hw3lib.core.intervals import wilson_interval
from hw3lib.data import classification_images, get, load_table

from . import student

SAMPLING_SECONDS = 0.05  # between two looks at the memory
MEMORY_EPOCHS = 2  # a training needs no more memory later


@dataclass
class Runs:
    """What one way to train came to: one outcome a repeat, as :func:`.student.train` gives it; memory in bytes."""

    name: str
    memory: int = 0
    outcomes: list[dict] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        return [outcome["seconds"] for outcome in self.outcomes]


def draw(
    category: str, data: str | None, report: StudentReport, repeats: int
) -> list[tuple[pd.DataFrame, student.Split]]:
    """A table of its own and the positions ``(train, test)`` in it for each repeat, drawn as the report did."""
    table = classification_images(load_table(get(category, data, progress=False), category))
    drawn = []
    for train, test in splits(report, table, max(repeats, 2))[:repeats]:
        rows = np.sort(np.concatenate([train, test]))
        split = (np.searchsorted(rows, train), np.searchsorted(rows, test))
        drawn.append((table.iloc[rows].reset_index(drop=True), split))
    return drawn


def ours(attempt: Attempt, table: pd.DataFrame, split: student.Split, seed: int, device: str, precision: str) -> dict:
    """:func:`hw3lib.classify.run_attempt` on one split, from the files to the predictions; keys as the student's."""
    started = time.perf_counter()
    result = run_attempt(attempt, table, [split], seed=seed, device=device, precision=precision)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "correct": int((result.y[0] == result.y_pred[0]).sum()),
        "tested": len(result.y[0]),
        "device_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else 0,
    }


def alternate(
    attempt: Attempt,
    drawn: list[tuple[pd.DataFrame, student.Split]],
    device: str,
    precisions: list[str],
    epochs: int | None = None,
) -> list[Runs]:
    """Train each drawn split in each way, in turns and in fresh processes; the order is reversed every other repeat.

    Args:
        attempt: what to train.
        drawn: as :func:`draw` gives it.
        device: a torch device.
        precisions: ours is run in each.
        epochs: of the student's way alone, whose ``seconds`` are then extrapolated to the attempt's: the first epoch
            as it was, the others at the median of those measured.

    Returns:
        The student's way, then ours in each precision. To look at the memory takes time, so that it has short
        trainings of its own.
    """
    ways = [Runs("student"), *[Runs(f"ours, {precision}") for precision in precisions]]
    for i, (table, split) in enumerate(drawn):
        with tempfile.TemporaryDirectory() as temporary:
            folder = student.write_folders(table, split, Path(temporary))

            def calls(tried: Attempt, i: int = i, table=table, split=split, folder: Path = folder) -> list[tuple]:
                own = [(ours, tried, table, split, i, device, precision) for precision in precisions]
                return [(student.train, tried, folder, i, device, min(epochs or tried.epochs, tried.epochs)), *own]

            if i == 0:
                for way, call in zip(
                    ways, calls(replace(attempt, epochs=min(MEMORY_EPOCHS, attempt.epochs))), strict=True
                ):
                    way.memory = peak_memory(*call)
            for k in range(len(ways)) if i % 2 == 0 else reversed(range(len(ways))):
                outcome = in_fresh_process(*calls(attempt)[k])
                if k == 0:
                    missing = attempt.epochs - len(outcome["epochs"])
                    if missing:
                        outcome["seconds"] += missing * statistics.median(outcome["epochs"][1:])
                    without = outcome["seconds"] - (attempt.epochs - 1) * outcome["evaluation"]
                    outcome["seconds_evaluated_once"] = without
                ways[k].outcomes.append(outcome)
                print(f"  repeat {i + 1}, {ways[k].name}: {outcome['seconds']:.1f} s", flush=True)
    return ways


def in_fresh_process(function: Callable[..., dict], *arguments: object) -> dict:
    """The function's answer, from a process that nothing ran in before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_call, multiprocessing.get_start_method(), function, *arguments).result()


def _call(start_method: str, function: Callable[..., dict], *arguments: object) -> dict:
    """Call the function where a DataLoader starts its workers as it does in any program, not as this process began."""
    multiprocessing.set_start_method(start_method, force=True)
    return function(*arguments)


def peak_memory(function: Callable[..., dict], *arguments: object) -> int:
    """Peak memory in bytes of a fresh process that runs the function, its own children (workers) included.

    Pages that processes share count once where the system tells (Linux: proportional set size).
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        future = pool.submit(_call, multiprocessing.get_start_method(), function, *arguments)
        peak = 0
        while not wait([future], SAMPLING_SECONDS).done:
            peak = max(peak, _memory_of_children())
        future.result()
    return peak


def _memory_of_children() -> int:
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            memory = process.memory_full_info()
        except psutil.Error:  # it ended meanwhile
            continue
        total += getattr(memory, "pss", memory.uss)
    return total


def operations(attempt: Attempt, num_classes: int, backward: bool) -> int:
    """Operations of the attempt's network for one image, forward and, if asked, backward; a multiply-add is two."""
    model = build(attempt, num_classes).to("meta")
    images = torch.zeros(2, 3, attempt.image_size, attempt.image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        logits = model(images)
        if backward:
            cross_entropy(logits, torch.zeros(2, dtype=torch.int64, device="meta")).backward()
    return counter.get_total_flops() // 2


def report(
    ways: list[Runs], images: int, limits: list[float], *, target: float, device: str, extrapolated: bool = False
) -> None:
    """Print the table.

    Args:
        ways: the student's first.
        images: images that a training learns from, over all epochs.
        limits: seconds that each way's operations take at the measured rate of matrix products.
        target: the ratio that ours is to reach.
        device: a torch device.
        extrapolated: the student's way was not run to its end, so that its accuracy says nothing.
    """
    gpu = device == "cuda"
    head = f"{'seconds':>9}{'(min to max)':>18}{'images/s':>10}{'limit, s':>10}{'of limit':>10}{'memory, MB':>12}"
    print(f"  {'':<15}{head}{'GPU, MB' if gpu else '':>{9 if gpu else 0}}  accuracy")
    for way, limit in zip(ways, limits, strict=True):
        seconds = statistics.median(way.seconds)
        spread = f"({min(way.seconds):.1f} to {max(way.seconds):.1f})"
        memory = f"{way.memory / 1e6:.0f}"
        device_memory = f"{max(outcome['device_bytes'] for outcome in way.outcomes) / 1e6:.0f}"
        row = f"{seconds:>9.1f}{spread:>18}{images / seconds:>10.1f}{limit:>10.1f}{limit / seconds:>10.0%}{memory:>12}"
        accuracy = "not trained to its end" if extrapolated and way is ways[0] else _accuracy(way)
        print(f"  {way.name:<15}{row}{device_memory if gpu else '':>{9 if gpu else 0}}  {accuracy}")
    once = [outcome["seconds_evaluated_once"] for outcome in ways[0].outcomes]
    for way in ways[1:]:
        print(
            f"  student / {way.name}: {_ratio(ways[0].seconds, way.seconds)}, expected {target:g} or more; "
            f"{_ratio(once, way.seconds)} had the student evaluated after the last epoch only"
        )


def _ratio(theirs: list[float], ours: list[float]) -> str:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def _accuracy(way: Runs) -> str:
    correct, tested = (sum(outcome[key] for outcome in way.outcomes) for key in ("correct", "tested"))
    return f"{wilson_interval(correct, tested).percent()}, {len(way.outcomes)} splits, {tested} tests"
