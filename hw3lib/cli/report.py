"""``hw3 report``."""

import os
import subprocess
from typing import Annotated

from hw3lib.cli.options import Language, command, option, say


@command(
    "Answer the assignment on at most three pages, PDF and HTML, from what a run measured.",
    "hw3 report",
    "hw3 report synthetic-bottle-quick --out bottle.pdf --author 'Lin Mei'",
    "hw3 report --language zh-TW --notes my-words.md",
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
    language: Language = "",
    author: Annotated[
        str | None, option("who hands it in (default: git's user.name, or else a line to be filled in)", metavar="NAME")
    ] = None,
    notes: Annotated[
        str | None,
        option("Markdown file of your own words, half a page; made if absent, never overwritten", metavar="FILE.md"),
    ] = None,
) -> int:
    from hw3lib.data.folders.find import refuse_inside_category
    from hw3lib.report import build, find_run

    folder = find_run(run, runs_dir)
    refuse_inside_category(out or folder)
    made = build(folder, out, language=language, author=author or git_author(), notes=notes)
    say(f"{made.category}: {made.pages} pages from {min(str(folder), os.path.relpath(folder), key=len)}")
    counted = (f"question {n}: {words}{_of(made.limits.get(n))}" for n, words in made.words.items())
    say(f"words: {', '.join(counted)}")
    for note in made.notes:
        say(f"note: {note}")
    if made.missing:
        say(f"missing: {', '.join(made.missing)}")
    for path in (made.pdf, made.html, made.json):
        print(min(str(path), os.path.relpath(path), key=len))
    return 0


def git_author() -> str | None:
    """The name that git puts on commits here; None where it has none."""
    try:
        named = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return named.stdout.strip() or None


def _of(limit: int | None) -> str:
    return f" of {limit}" if limit else ""
