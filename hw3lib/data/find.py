"""Find a category: what makes a folder one, in which folder it is, and which level was meant where it is not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from glob import escape
from pathlib import Path

from hw3lib.core.places import data_roots
from hw3lib.core.text import did_you_mean
from hw3lib.errors import Hw3Error

LAYOUTS = """expected one of
  MVTec AD:   CATEGORY/train/good/*.png, CATEGORY/test/good/*.png, CATEGORY/test/DEFECT/*.png,
              CATEGORY/ground_truth/DEFECT/STEM_mask.png, or a folder of masks CATEGORY/ground_truth/DEFECT/STEM/
  own folder: CATEGORY/good/*.png, CATEGORY/DEFECT/*.png, and if there are masks CATEGORY/masks/DEFECT/STEM.png"""


def is_category(folder: Path) -> bool:
    """Whether a folder looks like a category in one of the two layouts."""
    return any(os.path.isdir(folder / part) for part in ("train/good", "test/good", "good"))  # also of odd names


def list_categories(root: Path) -> list[str]:
    """Names of the categories in a folder, those of ``synthetic/`` included."""
    found = [p for pattern in ("[!.]*", "synthetic/[!.]*") for p in root.glob(pattern) if is_category(p)]
    return sorted(p.relative_to(root).as_posix() for p in found)


def root_of(category: str, roots: Iterable[Path]) -> Path | None:
    """The first of some folders that holds the category."""
    return next((root for root in roots if is_category(root / category)), None)


def find_root(category: str, data: str | Path | None = None) -> Path:
    """The first of :func:`~hw3lib.core.places.data_roots` that holds the category, or else the first of all.

    There ``load_table`` says what is wrong.
    """
    roots = data_roots(data)
    return root_of(category, roots) or roots[0]


def category_folder(category: str, data: str | Path | None = None) -> Path:
    """The folder of a category, also of one that is not understood yet, because its settings are still to be made.

    Raises:
        Hw3Error: no folder of this name.
    """
    roots = data_roots(data)
    root = root_of(category, roots) or next((r for r in roots if os.path.isdir(r / category)), None)
    return root / category if root else find_category(roots[0], category)


def find_category(root: Path, category: str) -> Path:
    """Folder of a category, or an error that says what is there instead and which level was meant."""
    if not os.path.isdir(root):
        raise Hw3Error(f"{root}: no such folder; expected the folder that holds the category {category!r}")
    folder = root / category
    if is_category(folder):
        return folder
    if is_category(root):
        raise Hw3Error(
            f"{root} is itself a category, one level too low: pass {root.parent} as the folder and "
            f"{root.name!r} as the category"
        )
    name = escape(category)
    for level in (f"*/{name}", f"*/*/{name}", f"{name}/*"):
        try:
            deeper = next((p for p in sorted(root.glob(level)) if is_category(p)), None)
        except (OSError, ValueError, NotImplementedError):  # no name that a folder here could have
            break
        if deeper is not None:
            other = "" if deeper.name == Path(category).name else f" and the category {deeper.name!r}"
            raise Hw3Error(f"{root} is a level too high: {category!r} is in {deeper.parent}; pass that folder{other}")
    if os.path.isdir(folder):
        found = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        raise Hw3Error(f"{folder}: not a category; found {', '.join(found[:8]) or 'an empty folder'};\n{LAYOUTS}")
    known = list_categories(root)
    near = did_you_mean(category, known)
    raise Hw3Error(
        f"unknown category {category!r} in {root}"
        + (f"{near} Found there: " if near else "; found there: ")
        + (", ".join(known) or "no category at all")
    )
