"""Find a category: what makes a folder one, in which folder it is, and which level was meant where it is not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from glob import escape
from pathlib import Path

from hw3lib.core.places import data_roots
from hw3lib.core.text import did_you_mean
from hw3lib.errors import Hw3Error

from .contents import image_names, own_output, subfolders
from .layouts import bases, class_folders, has_good
from .names import find_name
from .settings import FILE

LAYOUTS = """expected one of
  MVTec AD:   CATEGORY/train/good/*.png, CATEGORY/test/good/*.png, CATEGORY/test/DEFECT/*.png,
              CATEGORY/ground_truth/DEFECT/STEM_mask.png, or a folder of masks CATEGORY/ground_truth/DEFECT/STEM/
  own folder: CATEGORY/good/*.png, CATEGORY/DEFECT/*.png, and if there are masks CATEGORY/masks/DEFECT/STEM.png
Another folder than good, OK, normal, ... holds good products? hw3 data settings CATEGORY --good NAME"""


def is_category(folder: Path) -> bool:
    """Whether a folder looks like a category: one with good products, or with settings of a category."""
    return os.path.isfile(folder / FILE) or any(has_good(base.folder) for base in bases(folder))


def holds_classes(folder: Path) -> bool:
    """Whether a folder that is named as a category can be one, be it of defects alone: its sub-folders hold images."""
    classes = (path for base in bases(folder) for path in class_folders(base.folder))
    return is_category(folder) or any(image_names(path) and not own_output(path) for path in classes)


def named(root: Path, category: str) -> Path:
    """Where a category of this name is, or would be: its name may have accents composed, and its folder apart."""
    place = root / category
    if os.path.isdir(place):
        return place
    found = root
    for part in Path(category).parts:
        if (name := find_name(part, [path.name for path in subfolders(found)], cases=False)) is None:
            return place
        found = found / name
    return found


def list_categories(root: Path) -> list[str]:
    """Names of the categories in a folder, those of ``synthetic/`` and those without a good class included."""
    found = [p for pattern in ("[!.]*", "synthetic/[!.]*") for p in root.glob(pattern) if holds_classes(p)]
    return sorted(p.relative_to(root).as_posix() for p in found)


def root_of(category: str, roots: Iterable[Path]) -> Path | None:
    """The first of some folders that holds the category, or else the working directory, if that does.

    The working directory comes first for what begins with a dot, as ``./bolts``.
    """
    roots = [*roots, Path.cwd()]
    if category.startswith((f".{os.sep}", f"..{os.sep}", "./", "../")) or category in (".", ".."):
        roots.insert(0, roots.pop())
    return next((root for kind in (is_category, holds_classes) for root in roots if kind(named(root, category))), None)


def find_root(category: str, data: str | Path | None = None) -> Path:
    """The first of :func:`~hw3lib.core.places.data_roots`, and the working directory, that holds the category.

    If none does, the first of all: there ``load_table`` says what is wrong.
    """
    roots = data_roots(data)
    return root_of(category, roots) or roots[0]


def category_folder(category: str, data: str | Path | None = None) -> Path:
    """The folder of a category, also of one that is not understood yet, because its settings are still to be made.

    Raises:
        Hw3Error: no folder of this name.
    """
    roots = data_roots(data)
    root = root_of(category, roots) or next((r for r in roots if os.path.isdir(named(r, category))), None)
    return named(root, category) if root else find_category(roots[0], category)


def find_category(root: Path, category: str) -> Path:
    """Folder of a category, or an error that says what is there instead and which level was meant."""
    if not os.path.isdir(root):
        raise Hw3Error(f"{root}: no such folder; expected the folder that holds the category {category!r}")
    folder = named(root, category)
    if is_category(folder):
        return folder
    if is_category(root):
        raise Hw3Error(
            f"{root} is itself a category, one level too low: pass {root.parent} as the folder and "
            f"{root.name!r} as the category"
        )
    if holds_classes(folder):
        return folder
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


def refuse_inside_category(out: str | Path, *read: str | Path, option: str = "--out") -> None:
    """Refuse to write into a category, where what is written would be taken for a class of products, before any work.

    Args:
        out: a file or folder that is to be written.
        read: folders that the command reads, of which those that are categories are protected; categories with splits
            always are.
        option: what names ``out``.

    Raises:
        Hw3Error: ``out`` is in a category, or is one.
    """
    place = Path(out).resolve()
    inside = {Path(folder).resolve() for folder in read if folder and holds_classes(Path(folder))}
    for above in (place, *place.parents):
        splits = (base.folder for base in bases(above) if base.folder != above)
        if above in inside or os.path.isfile(above / FILE) or any(map(has_good, splits)):
            better = above.parent / (f"{above.name}-{place.name}" if place != above else f"{above.name}-results")
            raise Hw3Error(
                f"{option} {out}: lies in the category {above}, whose folders are read as classes of products; "
                f"choose a place outside, such as {better}"
            )
