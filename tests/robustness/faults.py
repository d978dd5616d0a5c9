"""Faults on purpose: does the next run complete, and equal an undisturbed one?

Jobs (:mod:`.faulting.jobs`) are killed with SIGKILL, together with all processes that they started, and the same
command is run again. Every second fault strikes after a random share of the time that the job takes undisturbed; the
others strike right before a random one of its steps in the file system (a file opened for writing, a renaming, a
removal, a folder made), which time alone would seldom hit. Then every writer of hw3lib meets a full disk, a file size
limit and a folder that it may not write (:mod:`.faulting.writers`).

Everything runs in children that are forked from one process with the libraries loaded, so that a fault takes the time
of the job and not that of its imports. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from tests.robustness.faulting import conditions, kills
from tests.robustness.faulting.jobs import JOBS


def everything(count: int, seed: int) -> None:
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


def main() -> None:
    """``python -m tests.robustness.faults``: all of it and the counts, or, of chosen ones, one JSON object a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.faults", description=main.__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=[], help="kill these alone")
    parser.add_argument("--writers", nargs="*", default=None, help="refuse these alone; all if none is named")
    parser.add_argument("--umask", help="such as 027: look at the permissions of what the writers write, instead")
    chosen = parser.parse_args()

    def tell(outcome: Any) -> None:
        print(json.dumps(asdict(outcome)), flush=True)

    if not chosen.jobs and chosen.writers is None and chosen.umask is None:
        everything(chosen.count, chosen.seed)
    if chosen.jobs:
        kills.kill(chosen.count, chosen.seed, chosen.jobs, tell)
    if chosen.umask is not None:
        conditions.permissions(chosen.writers or [], int(chosen.umask, 8), tell)
    elif chosen.writers is not None:
        conditions.refuse(chosen.writers, tell)


if __name__ == "__main__":
    main()
