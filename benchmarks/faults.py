"""Faults on purpose: does the next run complete, and equal an undisturbed one?

Jobs (:mod:`benchmarks.faulting.jobs`) are killed with SIGKILL, together with all processes that they started, and the
same command is run again. Every second fault strikes after a random share of the time that the job takes undisturbed;
the others strike right before a random one of its steps in the file system (a file opened for writing, a renaming, a
removal, a folder made), which time alone would seldom hit. Then every writer of hw3lib meets a full disk, a file size
limit and a folder that it may not write (:mod:`benchmarks.faulting.writers`).

Everything runs in children that are forked from one process with the libraries loaded, so that a fault takes the time
of the job and not that of its imports. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from benchmarks.faulting import conditions, kills
from benchmarks.faulting.jobs import JOBS


def main(category: str, data: str | None, count: int = 100, seed: int = 0) -> None:
    """Run ``count`` kills and all writers, and print what went wrong and the counts."""
    if not sys.platform.startswith("linux"):
        print("faults: not run, it takes Linux")
        return

    def tell(fault: kills.Fault) -> None:
        if fault.wrong:
            print(f"NOT SURVIVED: {fault.job}, killed {fault.aim} ({fault.struck}): {fault.wrong}", flush=True)

    def tell_refusal(outcome: conditions.Refusal) -> None:
        if outcome.wrong or outcome.not_tried:
            found = f"WRONG: {outcome.wrong}" if outcome.wrong else f"not tried: {outcome.not_tried}"
            print(f"{outcome.writer}, {outcome.condition}: {found}", flush=True)

    print(kills.table(kills.kill(count, seed, list(JOBS), tell)), flush=True)
    print(f"\n{conditions.table(conditions.refuse([], tell_refusal))}")


def command() -> None:
    """``python -m benchmarks.faults``: one JSON object a fault on standard output."""
    parser = argparse.ArgumentParser(description=command.__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=[], help="to kill")
    parser.add_argument("--writers", nargs="*", default=None, help="to refuse; all if none is named")
    chosen = parser.parse_args()

    def tell(outcome: Any) -> None:
        print(json.dumps(asdict(outcome)), flush=True)

    if chosen.jobs:
        kills.kill(chosen.count, chosen.seed, chosen.jobs, tell)
    if chosen.writers is not None:
        conditions.refuse(chosen.writers, tell)


if __name__ == "__main__":
    command()
