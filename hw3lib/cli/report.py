"""``hw3 report``: its arguments, and what it prints. What it does is in :mod:`hw3lib.report`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``report`` to the commands; ``command`` makes one, see :func:`hw3lib.cli.main.parser`."""
    report = command(
        commands,
        "report",
        _report,
        "Answer the assignment on at most three pages, PDF and HTML, from what a run measured.",
        "hw3 report",
        "hw3 report synthetic-bottle-quick --out bottle.pdf",
    )
    report.add_argument("run", nargs="?", metavar="RUN", help="its name or folder (default: the newest complete one)")
    report.add_argument("--runs-dir", metavar="DIR", help="folder that holds runs (default: runs/ of the project)")
    report.add_argument(
        "--out", metavar="FILE_OR_FOLDER", help="PDF or HTML file, or a folder (default: report/ in the run's folder)"
    )


def _report(options: argparse.Namespace) -> int:
    from hw3lib import report

    folder = report.find_run(options.run, options.runs_dir)
    made = report.build(folder, options.out)
    print(f"{made.category}: {made.pages} pages from {min(str(folder), os.path.relpath(folder), key=len)}")
    counted = (f"question {n}: {words}" + _of(made.limits.get(n)) for n, words in made.words.items())
    print(f"words: {', '.join(counted)}")
    for note in made.notes:
        print(f"note: {note}")
    if made.missing:
        print(f"missing: {', '.join(made.missing)}")
    for path in (made.pdf, made.html, made.json):
        print(min(str(path), os.path.relpath(path), key=len))
    return 0


def _of(limit: int | None) -> str:
    return f" of {limit}" if limit else ""
