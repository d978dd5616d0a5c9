"""``hw3 start`` and ``hw3 grade``: their arguments, and what they print."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .options import byte_count


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``start`` and ``grade``; ``command`` makes one, see :func:`hw3lib.cli.main.parser`."""
    start = command(
        commands,
        "start",
        _start,
        "Copy the exercise notebooks into a folder of your own. What is there already is never overwritten.",
        "hw3 start my-course",
    )
    start.add_argument("folder", metavar="DIR", help="made if it is not there")

    grade = command(
        commands,
        "grade",
        _grade,
        "Grade submitted exercise notebooks into one CSV file. Each runs in processes of its own, with limits;\n"
        "one that is broken does not stop the rest. Run it in a container if you do not trust the code.",
        "hw3 grade submissions",
        "hw3 grade submissions --out week4.csv --timeout 120 --memory 2GB",
    )
    grade.add_argument("folder", metavar="DIR", help="holds the notebooks, in folders or not")
    grade.add_argument("--out", metavar="FILE", help="the CSV file (default: DIR/grades.csv)")
    grade.add_argument("--data", metavar="DIR", help="folder that holds categories (default: $HW3_DATA, then data/)")
    grade.add_argument(
        "--timeout", type=float, default=300, metavar="SECONDS", help="for one submission (default: %(default)s)"
    )
    grade.add_argument(
        "--memory", type=byte_count, default=4_000_000_000, metavar="SIZE", help="for one submission (default: 4GB)"
    )
    grade.set_defaults(interrupted="; the submissions graded so far are in the CSV file")


def _start(options: argparse.Namespace) -> int:
    from hw3lib.course import exercises

    made, kept = exercises.start(options.folder)
    for path in made:
        print(path)
    for path in kept:
        print(f"{path}: was there, left as it is")
    print(f"Open them: jupyter lab {options.folder}")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from hw3lib.course.grading import grade

    grades = grade(
        options.folder,
        options.out,
        data=options.data,
        timeout=options.timeout,
        memory=options.memory,
        echo=lambda text: print(text, flush=True),
    )
    broken = sum(g.status != "ok" for g in grades)
    print(f"{len(grades)} submissions graded, {broken} of them broken: {options.out or options.folder + '/grades.csv'}")
    return 0
