"""The files of a folder: those asked for, and how many others there are, of which kinds and where."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .text import counted, printable

_MOST_SAID = 8  # kinds and places
_FOLDER = "folder "  # what a kind begins with that is a folder


@dataclass
class Listing:
    """What :func:`list_files` found.

    Attributes:
        folder: that was listed.
        files: those asked for, by path, the files of each folder before those of its sub-folders.
        others: number of the others by place (a path below the folder, empty for itself) and kind.
        deeper: number of files that ``recursive`` would have taken.
        unreadable: folders that cannot be read, and why.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    others: Counter[tuple[str, str]] = field(default_factory=Counter)
    deeper: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)

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
        folders = sum(number for (_, kind), number in self.others.items() if kind.startswith(_FOLDER))
        numbers = ((self.others.total() - folders, "file"), (folders, "folder"))
        total = " and ".join(counted(number, what) for number, what in numbers if number)
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

    A folder that is not entered, for it is hidden, passed over, cannot be read or is a link to one that it lies in, is
    counted as one; one that links lead to several times is entered once.

    Args:
        wanted: whether a file is asked for, by its path; hidden files never are.
        recursive: those of sub-folders too.
        links: follow links; otherwise they are among the others.
        passed_over: of a sub-folder, says what it is if it is not to be entered; begins with ``folder``.
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


def leads_up(link: str | Path, folder: str | Path | None = None) -> bool:
    """Whether a link leads to a folder that it lies in, or that another one lies in or is."""
    end = Path(os.path.realpath(link))
    places = [Path(os.path.realpath(place)) for place in (os.path.dirname(link), folder) if place is not None]
    return any(place.is_relative_to(end) for place in places)


def why_unreadable(error: OSError) -> str:
    return f"this folder cannot be read ({error.strerror})"


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
        except OSError as error:
            found.others[os.path.dirname(place), f"{_FOLDER}{where.name} that cannot be read"] += 1
            found.unreadable.append((str(where), why_unreadable(error)))
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
                found.others[place, f"{_FOLDER}{entry.name}"] += 1
            elif entry.is_symlink() and leads_up(entry.path, found.folder):
                found.others[place, f"{_FOLDER}{entry.name} (a link to where it lies)"] += 1
            else:
                below.append((entry.is_symlink(), os.path.join(place, entry.name)))
        yield place, files
        waiting += [name for _, name in sorted(below, reverse=True)]  # links last: a folder's own name comes before
