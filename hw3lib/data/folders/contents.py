"""What is in a folder: images, sub-folders, files that are not read, and what hw3 itself wrote."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hw3lib.core.files import read_json
from hw3lib.core.listing import leads_up

from .names import SILENT, is_junk, key

# What Pillow reads and cameras, telephones and frame grabbers write. Left out are formats without a mark at their start
# (TGA), drawings (EPS, WMF), several pictures in one (ICO, PSD), and raw data of cameras, which must be developed.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jfif", ".jpe", ".mpo", ".apng"),
    *(".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm", ".avif", ".heic", ".heif", ".hif"),
)
# Photographs of kinds that are not read, and texts, which nobody takes for photographs.
OTHER_PHOTOGRAPHS = frozenset(
    (
        *(".jxl", ".dib", ".ico", ".psd"),
        *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f"),
        *(".tga", ".exr", ".hdr", ".dcm", ".sgi", ".pcx", ".svg"),
    )
)
TEXTS = frozenset((".txt", ".md", ".json", ".jsonl", ".xml", ".csv", ".yaml", ".yml", ".html", ".log", ".ini", ".pdf"))
# Files that tell what hw3 wrote into a folder, with a key of theirs.
_OURS = {
    "detector.json": ("sha256", "a detector"),
    "summary.json": ("formats", "annotations"),
    "report.json": ("numbers", "a report"),
    "metrics.json": ("data_digest", "a run"),
}


class Listing(NamedTuple):
    """What is in a folder: names of images, visible sub-folders, names of other files, names of hidden folders.

    ``loops`` are names of links to a folder that they lie in; ``readable`` is False for what stands for no listing.
    """

    images: list[str]
    folders: list[Path]
    others: list[str]
    hidden: list[str]
    loops: list[str]
    readable: bool = True

    def photographs(self) -> list[str]:
        """Images, and photographs of kinds that are not read."""
        return [*self.images, *(name for name in self.others if suffix(name) in OTHER_PHOTOGRAPHS)]


def suffix(name: str) -> str:
    """``.jpg`` of ``a.JPG``."""
    return os.path.splitext(name)[1].lower()


def listing(folder: Path) -> Listing:
    """Look into a folder; hidden files, and those of a system, are not told of.

    Raises:
        OSError: there is no such folder, or it may not be read.
    """
    found = Listing([], [], [], [], [])
    with os.scandir(folder) as entries:
        for entry in entries:
            hidden = entry.name.startswith(".")
            if not hidden and suffix(entry.name) in IMAGE_SUFFIXES:
                found.images.append(entry.name)
            elif _is_folder(entry):
                if hidden:
                    found.hidden.append(entry.name)
                elif entry.is_symlink() and leads_up(entry.path):
                    found.loops.append(entry.name)
                else:
                    found.folders.append(folder / entry.name)
            elif not hidden and key(entry.name) not in SILENT:
                found.others.append(entry.name)
    found.images.sort(key=os.path.normcase)
    found.folders.sort(key=lambda path: path.name)
    return found


def subfolders(parent: Path) -> list[Path]:
    """Visible folders in a folder, by name, without links to one that it lies in.

    None where there is no such folder or it may not be read.
    """
    try:
        with os.scandir(parent) as entries:  # of a folder with a million photographs as well
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and _is_folder(entry)
                and not (entry.is_symlink() and leads_up(entry.path))
            ]
    except (OSError, ValueError):  # ValueError: a name that no folder can have
        return []
    return [parent / name for name in sorted(names)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # is_dir raises for links in a circle


def image_names(folder: Path) -> list[str]:
    """Names of the image files in a folder, sorted, without hidden ones; none of a folder that cannot be read."""
    try:
        return listing(folder).images
    except PermissionError:
        return []


def kinds_of(names: Iterable[str]) -> str:
    """``.gif (1), .heic (2)``: files by the ends of their names."""
    kinds = Counter(suffix(name) or "no suffix" for name in names)
    return ", ".join(f"{kind} ({number})" for kind, number in sorted(kinds.items()))


def few(names: Sequence[str], most: int = 4) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def images_below(folder: Path) -> int:
    """Photographs, of any kind, in a folder and its sub-folders, hidden ones and links to folders left out."""
    number = 0
    for _, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not is_junk(name)]
        known = (suffix(name) for name in names if not name.startswith("."))
        number += sum(end in IMAGE_SUFFIXES or end in OTHER_PHOTOGRAPHS for end in known)
    return number


def own_output(folder: Path, deep: int = 3) -> str | None:
    """What hw3 wrote into a folder: ``a detector``, ``a run``; None for one that is somebody's.

    Args:
        folder: such as one that lies beside the classes of a category.
        deep: levels of folders that are looked into where the folder itself holds no image; ``runs/NAME/01`` takes 2.
    """
    for name, (entry, what) in _OURS.items():
        if os.path.isfile(folder / name) and entry in read_json(folder / name):
            return what
    try:
        if os.path.isfile(folder / "results.csv"):
            with open(folder / "results.csv", "rb") as file:
                if file.read(100).removeprefix(b"\xef\xbb\xbf").startswith(b"file,score"):
                    return "results"
        here = listing(folder) if deep else None
    except OSError:
        return None
    if here is None or here.images:
        return None
    return next((found for path in here.folders if (found := own_output(path, deep - 1))), None)
