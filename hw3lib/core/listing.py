"""The files of a folder: those asked for, and how many others there are, of which kinds and where."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .text import counted, printable

_MOST_SAID = 8  # kinds and places


@dataclass
class Listing:
    """What :func:`list_files` found.

    Attributes:
        folder: that was listed.
        files: those asked for, by path, the files of each folder before those of its sub-folders.
        others: number of the others by place (a path below the folder, empty for itself) and kind.
        deeper: number of files that ``recursive`` would have taken.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    others: Counter[tuple[str, str]] = field(default_factory=Counter)
    deeper: int = 0

    def say(self, folder: str | Path | None = None, hint: str = "") -> str:
        """The sentence on what is not looked at, empty if that is nothing.

        Args:
            folder: what the user calls it.
            hint: for files that ``recursive`` would have taken.
        """
        if not self.others:
            return ""
        rows = sorted((place, kind, number) for (place, kind), number in self.others.items())
        said = [f"{number} {kind}" + (f" in {place}" if place else "") for place, kind, number in rows[:_MOST_SAID]]
        if left := sum(number for *_, number in rows[_MOST_SAID:]):
            said.append(f"{left} more")
        total = counted(self.others.total(), "file")
        more = f"; {hint}" if hint and self.deeper else ""
        return printable(
            f"{self.folder if folder is None else folder}: not looked at: {total}: {', '.join(said)}{more}"
        )


def list_files(
    folder: str | Path,
    wanted: Callable[[str], bool],
    *,
    recursive: bool = False,
    links: bool = True,
    passed_over: Callable[[Path], str] = lambda _: "",
) -> Listing:
    """Look through a folder and everything below it.

    A folder that is not entered, for it is hidden, passed over or cannot be read, is counted as one file; one that
    links lead to several times is entered once.

    Args:
        wanted: whether a file is asked for, by its path; hidden files never are.
        recursive: those of sub-folders too.
        links: follow links; otherwise they are among the others.
        passed_over: of a sub-folder, says what it is if it is not to be entered.
    """
    found = Listing(Path(folder))
    for place, names in _folders(found, links, passed_over):
        where = found.folder / place
        for name in names:
            path = str(where / name)
            if not name.startswith(".") and wanted(path):
                if recursive or not place:
                    found.files.append(path)
                    continue
                found.deeper += 1
            found.others[place, _kind(name)] += 1
    return found


def _kind(name: str) -> str:
    return "hidden" if name.startswith(".") else os.path.splitext(name)[1].lower() or "without a suffix"


def _folders(found: Listing, links: bool, passed_over: Callable[[Path], str]) -> Iterator[tuple[str, list[str]]]:
    """Each folder's place and the names of its files, sorted; what is passed over is counted on the way."""
    waiting, entered = [""], set[tuple[int, int]]()
    while waiting:
        place = waiting.pop()
        where = found.folder / place
        try:
            status = os.stat(where)
            entries = sorted(os.scandir(where), key=lambda entry: os.path.normcase(entry.name))
        except OSError:
            found.others[os.path.dirname(place), f"folder {where.name} that cannot be read"] += 1
            continue
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        if place and (what := passed_over(where)):
            found.others[os.path.dirname(place), what] += 1
            continue
        files, below = [], []
        for entry in entries:
            if not links and entry.is_symlink():
                found.others[place, "link"] += 1
            elif not os.path.isdir(entry.path):  # the entry's own is_dir raises for links in a circle
                files.append(entry.name)
            elif entry.name.startswith("."):
                found.others[place, f"folder {entry.name}"] += 1
            else:
                below.append((entry.is_symlink(), os.path.join(place, entry.name)))
        yield place, files
        waiting += [name for _, name in sorted(below, reverse=True)]  # links last: a folder's own name comes before
