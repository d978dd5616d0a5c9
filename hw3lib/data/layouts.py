"""Layouts of categories: which folders hold which class of which split, and where their masks are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MASK_FOLDERS = ("ground_truth", "masks")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a category: ``severity`` is ``error`` or ``warning``."""

    severity: str
    kind: str
    file: str
    message: str

    def __post_init__(self) -> None:
        for name in ("file", "message"):  # names that are no UTF-8 are shown with escapes: no table takes them
            object.__setattr__(self, name, getattr(self, name).encode("utf-8", "backslashreplace").decode())


class ClassFolder(NamedTuple):
    """Images of one class in one folder: files ``names`` in ``folder``, and the folder of their masks, if any."""

    split: str
    defect: str
    folder: Path
    names: list[str]
    masks: Path | None


def subfolders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(
        (p for p in parent.iterdir() if p.is_dir() and not p.name.startswith(".")),
        key=lambda p: (p.name != "good", p.name),
    )


def image_names(folder: Path) -> list[str]:
    """Names of the image files in a folder, sorted, without hidden ones."""
    names = (n for n in os.listdir(folder) if os.path.splitext(n)[1].lower() in IMAGE_SUFFIXES and n[0] != ".")
    return sorted(names, key=os.path.normcase)


def list_classes(folder: Path) -> tuple[list[ClassFolder], list[Problem]]:
    """The classes of a category, by split, good first and name, and the empty ones as problems."""
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    if (folder / "good").is_dir():
        places = [("test", p) for p in subfolders(folder) if p.name not in MASK_FOLDERS]
        optional = True
    else:
        places = [(split, p) for split in ("train", "test") for p in subfolders(folder / split)]
        optional = False
    classes: list[ClassFolder] = []
    problems: list[Problem] = []
    for split, place in places:
        files = image_names(place)
        if not files:
            problems.append(
                Problem(
                    "error",
                    "empty class",
                    str(place),
                    f"no image in this class; expected files ending in {', '.join(IMAGE_SUFFIXES)}",
                )
            )
        mask_folder = None
        if masks and place.name != "good" and split == "test" and (not optional or (masks / place.name).is_dir()):
            mask_folder = masks / place.name
        if optional and place.name == "good":
            names = [f for i, f in enumerate(files) if i % 5]
            classes.append(ClassFolder("train", place.name, place, names, None))
            files = files[::5]
        classes.append(ClassFolder(split, place.name, place, files, mask_folder))
    order = {"train": 0, "test": 1}
    return sorted(classes, key=lambda c: (order[c.split], c.defect != "good", c.defect)), problems
