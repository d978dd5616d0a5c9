"""``hw3 report``."""

import os
from typing import Annotated

from hw3lib.cli.options import command, option


@command(
    "Answer the assignment on at most three pages, PDF and HTML, from what a run measured.",
    "hw3 report",
    "hw3 report synthetic-bottle-quick --out bottle.pdf",
)
def report(
    run: Annotated[
        str | None, option("its name or folder (default: the newest complete one)", nargs="?", metavar="RUN")
    ] = None,
    *,
    runs_dir: Annotated[
        str | None, option("folder that holds runs (default: runs/ of the project)", metavar="DIR")
    ] = None,
    out: Annotated[
        str | None,
        option("PDF or HTML file, or a folder (default: report/ in the run's folder)", metavar="FILE_OR_FOLDER"),
    ] = None,
) -> int:
    from hw3lib.data.folders.find import refuse_inside_category
    from hw3lib.report import build, find_run

    folder = find_run(run, runs_dir)
    refuse_inside_category(out or folder)
    made = build(folder, out)
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
