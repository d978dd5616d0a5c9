"""What a command that takes a folder of photographs does not look at, in one sentence."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from hw3lib.core.listing import Listing, list_files
from hw3lib.core.text import counted
from hw3lib.data.folders.contents import IMAGE_SUFFIXES, images_below, own_output, suffix
from hw3lib.data.folders.names import is_junk, is_masks
from hw3lib.data.folders.settings import FILE

from .table import settings_of

if TYPE_CHECKING:
    import pandas as pd

# That belong to a category: ours, and what MVTec AD comes with.
_NO_PHOTOGRAPHS = (FILE, "annotations.json", "manifest.json", "license.txt", "readme.txt")


def list_images(folder: str | Path, recursive: bool = False) -> Listing:
    """The images of a folder, told by their suffixes, and what else is there; masks are no photographs."""
    return list_files(folder, is_image_name, recursive=recursive, passed_over=_passed_over_or_masks)


def is_image_name(path: str) -> bool:
    return suffix(path) in IMAGE_SUFFIXES


def _passed_over(folder: Path) -> str:
    """What a folder is that nobody's photographs are in: a system's, or what a command has written."""
    if is_junk(folder.name):
        return f"folder {folder.name}"
    what = own_output(folder, deep=0)
    return f"folder {folder.name} ({what} of hw3)" if what else ""


def _passed_over_or_masks(folder: Path) -> str:
    if is_masks(folder.name):
        return f"folder {folder.name} ({counted(images_below(folder), 'mask')})"
    return _passed_over(folder)


def overlooked(table: pd.DataFrame, folder: str | Path | None = None, also: Container[str] = ()) -> str:
    """The sentence on the files of a category that its table does not hold, empty if there are none.

    Files that the table's errors name are spoken of there.

    Args:
        table: see :func:`.load_table`.
        folder: what the user calls the category; None takes its path.
        also: paths that are looked at besides.
    """
    place = Path(table.attrs["folder"])
    masks = set(table["mask"].dropna())
    held = {*table["image"], *masks, *(p["file"] for p in table.attrs["problems"] if p["severity"] == "error")}
    held |= {str(place / name) for name in (*_NO_PHOTOGRAPHS, settings_of(table).groups or FILE)}

    def is_held(path: str) -> bool:
        if path in held or path in also or os.path.dirname(path) in masks:  # several masks of an image have a folder
            return True
        above = Path(path).relative_to(place).parts[:-1]
        return any(map(is_masks, above)) and is_image_name(path)  # one without image is an error, or a warning

    return list_files(place, is_held, recursive=True, passed_over=_passed_over).say(folder)
