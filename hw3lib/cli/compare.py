"""``hw3 compare``: its arguments, and what it prints. What it does is in :mod:`hw3lib.runs.compare`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``compare`` to the commands; ``command`` makes one, see :func:`hw3lib.cli.main.parser`."""
    compare = command(
        commands,
        "compare",
        _compare,
        "Compare two runs: what they came from, and which figures differ by more than luck. Exit code 0 if none does,\n"
        "1 if one does. Figures with intervals are judged by these, other numbers are the same or they differ.",
        "hw3 compare bottle-quick bottle-final",
        "hw3 compare before after 02 04 --tolerance 0.02",
    )
    compare.add_argument("run_a", metavar="RUN_A", help="a run's name, or its folder")
    compare.add_argument("run_b", metavar="RUN_B", help="another one")
    compare.add_argument("numbers", nargs="*", metavar="NN", help="numbers of notebooks (default: all)")
    compare.add_argument(
        "--tolerance", type=float, default=1e-4, metavar="R",
        help="relative difference up to which numbers without an interval are the same (default: %(default)s)",
    )  # fmt: skip
    compare.add_argument("--all", action="store_true", help="list the figures that are the same, too")


def _compare(options: argparse.Namespace) -> int:
    from hw3lib.runs import compare as compared_runs

    done = compared_runs.compare(options.run_a, options.run_b, options.numbers, tolerance=options.tolerance)
    names = [Path(run).name for run in (options.run_a, options.run_b)]
    if names[0] == names[1]:
        names = ["A", "B"]
    print(compared_runs.text(done, *names, every=options.all))
    return 0 if done.equal else 1
