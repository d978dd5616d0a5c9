"""Photographs in folders that need not be categories: good ones to learn from, others to score, read in batches."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, overload

import pandas as pd

from hw3lib.core.files import expanded
from hw3lib.core.text import counted
from hw3lib.data.find import holds_classes, is_category
from hw3lib.data.folders import IMAGE_SUFFIXES, image_names
from hw3lib.data.groups import GROUP, grouped
from hw3lib.data.images import ImageStack, decode_squares
from hw3lib.data.layouts import Problem
from hw3lib.data.reading import Fit, Reading, shared_reading
from hw3lib.data.table import NOT_FINITE, found_range, load_folder, read_header
from hw3lib.errors import Hw3Error


class Photograph(NamedTuple):
    """An image to score: its path, its name in the results' folders, and whether it is defective, where known."""

    path: Path
    name: str
    is_defect: bool | None


class Photographs(Sequence[Photograph]):
    """Photographs, each made when it is asked for: a few hundred bytes are kept of one.

    Attributes:
        paths: their paths.
        starts: where in each path the part begins that names the image.
        labels: whether it is defective, where known.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.starts = array("q")
        self.labels: list[bool | None] = []
        self._naming = 0

    def add(self, path: str, start: int, label: bool | None) -> None:
        self.paths.append(path)
        self.starts.append(start)
        self.labels.append(label)

    def make_names_differ(self) -> None:
        """Also where case does not count: without suffixes if that will do, or with, or numbered."""
        for self._naming in (0, 1):
            # Hashes take less memory than names.
            if len({hash(self._name(i).lower()) for i in range(len(self))}) == len(self):
                return
        self._naming = 2

    def _name(self, i: int) -> str:
        inside = Path(self.paths[i][self.starts[i] :])
        if self._naming == 2:
            inside = inside.with_name(f"{i + 1:06d}-{inside.name}")
        return (inside if self._naming else inside.with_suffix("")).as_posix()

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, rows: int) -> Photograph: ...
    @overload
    def __getitem__(self, rows: slice) -> list[Photograph]: ...
    def __getitem__(self, rows: int | slice) -> Photograph | list[Photograph]:
        if isinstance(rows, slice):
            return [self[i] for i in range(len(self))[rows]]
        i = range(len(self))[rows]
        return Photograph(Path(self.paths[i]), self._name(i), self.labels[i])


def _listed(folder: Path) -> list[str]:
    """The images of a folder by name, without its sub-folders."""
    if not folder.is_dir():
        raise Hw3Error(f"{folder}: no such folder; expected one with images")
    found = [str(folder / name) for name in image_names(folder)]
    if not found:
        inside = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        which = f"; sub-folders are not looked into: {', '.join(inside[:8])}" if inside else ""
        raise Hw3Error(f"{folder}: no image found, expected files ending in {', '.join(IMAGE_SUFFIXES)}{which}")
    return found


def good_photographs(
    folder: Path, pixel_range: tuple[float, float] | None = None, fit: Fit | None = None
) -> tuple[list[str], list[tuple[int, int]], Reading]:
    """The good images of a folder, or of the training part of a category: paths, sizes (width, height), how to read.

    Args:
        folder: the folder, or category.
        pixel_range: values that are black and white; None takes what ``category.json`` says, or else what all images
            of more than 8 bits need, see :func:`hw3lib.data.depth.natural_range`.
        fit: how they come to squares, see :class:`hw3lib.data.geometry.Geometry`; None takes what ``category.json``
            says, or else ``stretch``.

    Raises:
        Hw3Error: no such folder, no image, or any that cannot be read.
    """
    folder = expanded(folder)
    if _is_category(folder):
        table = load_folder(folder, strict=False)
        good = table[(table["split"] == "train") & ~table["is_defect"]]
        broken = [
            (row["image"], row["reason"])
            for row in table.attrs["unreadable"]
            if row["split"] == "train" and row["defect"] == "good"
        ]
        if good.empty and not broken:
            raise Hw3Error(f"{folder}: a category without good training images; put some into train/good")
        files, sizes = list(good["image"]), list(zip(good["width"], good["height"], strict=True))
        reading = shared_reading(table)
        kept = set(files)
        broken += [
            (p["file"], p["message"]) for p in table.attrs["problems"] if p["kind"] == NOT_FINITE and p["file"] in kept
        ]
    else:
        files, sizes, modes, broken = [], [], [], []
        for path in _listed(folder):
            try:
                *size, mode = read_header(path)
                files.append(path)
                sizes.append((size[0], size[1]))
                modes.append(mode)
            except Hw3Error as error:
                broken.append((path, str(error)))
        problems: list[Problem] = []
        reading = Reading(pixel_range or found_range(files, modes, problems))
        broken += [(problem.file, problem.message) for problem in problems]
    if broken:
        total = len({*files, *(file for file, _ in broken)})
        lines = "\n  ".join(f"{file}: {reason}" for file, reason in broken[:10])
        raise Hw3Error(
            f"{folder}: {counted(len(broken), 'good image')} of {total} cannot be read; replace or remove:\n  {lines}"
        )
    given = pixel_range or reading.pixel_range
    return files, sizes, replace(reading, pixel_range=given, fit=fit or reading.fit)


def find_photographs(places: Sequence[Path], echo: Callable[[str], None]) -> tuple[Photographs, list[tuple[str, str]]]:
    """The images to score, each with a name of its own.

    Args:
        places: images, folders of images, and categories, of which the test images are taken.
        echo: receives a message of how many these are.

    Returns:
        The photographs, and ``(file, reason)`` of each test image that is damaged beyond its header.

    Raises:
        Hw3Error: no such folder, or no image in one.
    """
    found = Photographs()
    failed: list[tuple[str, str]] = []
    for place in places:
        if place.is_file():
            found.add(str(place), len(str(place)) - len(place.name), None)
        elif is_category(place):
            table = load_folder(place, strict=False, find_range=False)  # the detector knows it
            test = table[table["split"] == "test"]
            failed += [(row["image"], row["reason"]) for row in table.attrs["unreadable"] if row["split"] == "test"]
            start = len(str(Path(table.attrs["folder"], "_"))) - 1
            for image, is_bad in zip(test["image"], test["is_defect"], strict=True):
                found.add(image, start, bool(is_bad))
            bad = int(test["is_defect"].sum())
            echo(f"{place}: a category; its {len(test)} test images, {bad} of them defective, are scored")
        else:
            for path in _listed(place):
                found.add(path, len(path) - len(os.path.basename(path)), None)
    if not found and not failed:
        raise Hw3Error(f"no image to score in {', '.join(map(str, places))}")
    found.make_names_differ()
    return found, failed


def with_groups(folder: Path, files: list[str], sizes: list[tuple[int, int]], groups: str | None) -> pd.DataFrame:
    """A table of good photographs, with a column ``group`` where several show one product.

    Args:
        folder, files, sizes: of :func:`good_photographs`.
        groups: see :func:`hw3lib.data.groups.find_groups`; None: as the category says. A CSV file is looked for from
            here and then from ``folder``.

    Raises:
        Hw3Error: as :func:`hw3lib.data.groups.find_groups`.
    """
    folder = expanded(folder).absolute()
    table = pd.DataFrame({"image": files, "width": [w for w, _ in sizes], "height": [h for _, h in sizes]})
    if groups is not None and groups.endswith(".csv") and expanded(groups).is_file():
        groups = str(expanded(groups).absolute())
    if not _is_category(folder):
        return grouped(table, groups, folder)
    every = load_folder(folder, strict=False)
    wrong = [p["message"] for p in every.attrs["problems"] if p["kind"] == "groups"]
    if groups is not None:
        every = grouped(every, groups, folder)
    elif wrong:
        raise Hw3Error(wrong[0])
    if GROUP not in every:
        return table
    return table.assign(**{GROUP: every.set_index("image")[GROUP].loc[files].to_numpy()})


def _is_category(folder: Path) -> bool:
    return is_category(folder) or (holds_classes(folder) and not image_names(folder))


def read_batches(
    photographs: Sequence[Photograph], side: int, size: int, pool: ThreadPoolExecutor, reading: Reading
) -> Iterator[tuple[list[Photograph], ImageStack | None, list[str], list[tuple[str, str]]]]:
    """Batches of images: which, as squares of ``side`` pixels, what is odd about the values of each, see
    :func:`hw3lib.data.images.decode_image`; and those that cannot be read. The next batch is decoded meanwhile.
    """
    waiting: deque[list[tuple[Photograph, Future]]] = deque()
    for start in range(0, len(photographs) + size, size):
        part = photographs[start : start + size]
        waiting.append([(p, pool.submit(decode_squares, p.path, side, reading)) for p in part])
        if len(waiting) < 2:
            continue
        batch, images, warnings, failed = [], [], [], []
        for photograph, future in waiting.popleft():
            try:
                images.append(future.result())
                warnings.append(images[-1].warning)
                batch.append(photograph)
            except Hw3Error as error:
                reason = str(error).removeprefix(f"{photograph.path}: ").partition("; `hw3 data check`")[0]
                failed.append((str(photograph.path), reason))
        yield batch, ImageStack.of(images, reading) if images else None, warnings, failed


def say_sizes(sizes: list[tuple[int, int]]) -> str:
    """``40x32 pixels``, or the smallest and the largest of several sizes (width, height)."""
    different = sorted(set(sizes), key=lambda size: size[0] * size[1])
    low, high = (f"{w}x{h}" for w, h in (different[0], different[-1]))
    return f"{low} pixels" if len(different) == 1 else f"of {len(different)} sizes, {low} to {high} pixels"
