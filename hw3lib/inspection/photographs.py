"""Photographs in folders that need not be categories: good ones to learn from, others to score, read in batches."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from hw3lib.core.files import expanded
from hw3lib.core.listing import Listing
from hw3lib.core.text import counted
from hw3lib.data.folders.contents import IMAGE_SUFFIXES, few, image_names, own_output, subfolders
from hw3lib.data.folders.find import holds_classes, is_category
from hw3lib.data.folders.layouts import UNREADABLE_FOLDER, Problem, bases, class_folders
from hw3lib.data.folders.names import SPLITS, is_masks, key
from hw3lib.data.groups import GROUP, grouped, is_list
from hw3lib.data.overlooked import list_images, overlooked
from hw3lib.data.pixels.geometry import natural_fit
from hw3lib.data.pixels.images import decode_squares
from hw3lib.data.pixels.reading import Fit, Reading, shared_reading
from hw3lib.data.stack import ImageStack
from hw3lib.data.table import NOT_FINITE, found_range, load_folder, read_header, settings_of
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    import pandas as pd

Echo = Callable[[str], None]

_RECURSIVE = "--recursive takes the images of sub-folders too"


class Label(NamedTuple):
    """What a category knows of a test image: its type, the file of its mask, and its size ``(H, W)``, 0 if unknown."""

    defect: str
    is_defect: bool
    mask: str | None = None
    size: tuple[int, int] = (0, 0)


class Photograph(NamedTuple):
    """An image to score: its path, its name in the results' folders, and its label, where known.

    ``broken`` says why it cannot be read, where that is known before it is decoded.
    """

    path: Path
    name: str
    label: Label | None
    broken: str = ""


class Photographs(Sequence[Photograph]):
    """Photographs, each made when it is asked for: a few hundred bytes are kept of one.

    Attributes:
        paths: their paths.
        starts: where in each path the part begins that names the image.
        labels: of each, where known.
        broken: why those that cannot be read cannot be, by position.
        folders: how many are folders that cannot be read.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.starts = array("q")
        self.labels: list[Label | None] = []
        self.broken: dict[int, str] = {}
        self.folders = 0
        self._naming = 0

    def add(self, path: str, start: int, label: Label | None = None, broken: str = "") -> None:
        if broken:
            self.broken[len(self.paths)] = broken
        self.paths.append(path)
        self.starts.append(start)
        self.labels.append(label)

    def add_folder(self, path: str, start: int, why: str) -> None:
        """A folder that should be looked at and cannot be read."""
        self.add(path, start, broken=why)
        self.folders += 1

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
        return Photograph(Path(self.paths[i]), self._name(i), self.labels[i], self.broken.get(i, ""))


def _listed(folder: Path, recursive: bool, echo: Echo, classes: str = "") -> Listing:
    """The images of a folder, and a message on what else is there.

    ``classes`` is what to say of its sub-folders if there is no image.
    """
    if folder.is_symlink() and not folder.exists():
        raise Hw3Error(f"{folder}: is a link to a file that is not there")
    if not folder.is_dir():
        raise Hw3Error(f"{folder}: no such folder; expected one with images")
    found = list_images(folder, recursive)
    said = found.say(hint=_RECURSIVE)
    for place, why in found.unreadable:
        if Path(place) == folder:
            raise Hw3Error(f"{folder}: {why}")
    if not found.files:
        raise Hw3Error(
            f"{folder}: no image found, expected files ending in {', '.join(IMAGE_SUFFIXES)}"
            + said.replace(f"{folder}: ", "; ", 1)
            + classes
        )
    if said:
        echo(said)
    return found


def _no_good_class(folder: Path, recursive: bool) -> str:
    """What to say of a folder of classes none of which is good, if it holds no image; empty of other folders.

    Raises:
        Hw3Error: masks among the sub-folders show that these are classes, which would all be learned from.
    """
    if not folder.is_dir() or not holds_classes(folder):
        return ""
    places = [base.folder for base in bases(folder)]
    names = sorted(
        {path.name for place in places for path in class_folders(place) if image_names(path) and not own_output(path)}
    )
    said = (
        f"found {few(names)}; none holds good products: `hw3 data settings {folder} --good NAME`, or give the folder "
        "of good photographs"
    )
    has_masks = any(is_masks(path.name) for place in {folder, *places} for path in subfolders(place))
    if has_masks and (recursive or not image_names(folder)):
        raise Hw3Error(f"{folder}: {said}")
    return f"; {said}"


def good_photographs(
    folder: Path,
    pixel_range: tuple[float, float] | None = None,
    fit: Fit | None = None,
    recursive: bool = False,
    echo: Echo = print,
) -> tuple[list[str], list[tuple[int, int]], Reading]:
    """The good images of a folder, or of the training part of a category: paths, sizes (width, height), how to read.

    Args:
        folder: the folder, or category.
        pixel_range: values that are black and white; None takes what ``category.json`` says, or else what all images
            of more than 8 bits need, see :func:`hw3lib.data.pixels.depth.natural_range`.
        fit: how they come to squares, see :class:`hw3lib.data.pixels.geometry.Geometry`; None takes what
            ``category.json`` says, or else tiles where they are long, :func:`.natural_fit`.
        recursive: take the images of sub-folders too.
        echo: receives a message on what is not looked at.

    Raises:
        Hw3Error: no such folder, no image, or any that cannot be read.
    """
    folder = expanded(folder)
    files: list[str] = []
    sizes: list[tuple[int, int]] = []
    modes: list[str] = []
    broken: list[tuple[str, str]] = []
    table = None
    if is_category(folder):
        table = load_folder(folder, strict=False)
        good = table[(table["split"] == "train") & ~table["is_defect"]]
        broken = [
            (row["image"], row["reason"])
            for row in table.attrs["unreadable"]
            if row["split"] == "train" and row["defect"] == "good"
        ]
        files, sizes = list(good["image"]), list(zip(good["width"], good["height"], strict=True))
        kept = set(files)
        broken += [
            (p["file"], p["message"]) for p in table.attrs["problems"] if p["kind"] == NOT_FINITE and p["file"] in kept
        ]
        more = [path for path, label in _deeper(table, "train") if not label.is_defect] if recursive else []
        _say_overlooked(table, folder, more, echo)
        if not files and not broken and not more:
            unread = [f"; {p['file']}: {p['message']}" for p in _unreadable_folders(table)]
            why = "".join(unread) or "; put some into train/good"
            raise Hw3Error(f"{folder}: a category without good training images{why}")
        if bad := int(((table["split"] == "train") & table["is_defect"]).sum()):
            echo(f"{folder}: {counted(bad, 'defective image')} in train left out, for only good ones are learned from")
    else:
        more = _listed(folder, recursive, echo, _no_good_class(folder, recursive)).files
    for path in more:
        try:
            width, height, mode = read_header(path)
        except Hw3Error as error:
            broken.append((path, str(error)))
            continue
        files.append(path)
        sizes.append((width, height))
        modes.append(mode)
    if table is None:
        problems: list[Problem] = []
        reading = Reading(pixel_range or found_range(files, modes, problems), natural_fit(sizes)).settled(tiles=True)
        broken += [(problem.file, problem.message) for problem in problems]
    else:
        reading = shared_reading(table, tiles=True)
    if broken:
        total = len({*files, *(file for file, _ in broken)})
        lines = "\n  ".join(f"{file}: {reason}" for file, reason in broken[:10])
        raise Hw3Error(
            f"{folder}: {counted(len(broken), 'good image')} of {total} cannot be read; replace or remove:\n  {lines}"
        )
    given = pixel_range or reading.pixel_range
    return files, sizes, replace(reading, pixel_range=given, fit=fit or reading.fit)


def _unreadable_folders(table: pd.DataFrame) -> list[dict[str, str]]:
    """The problems of a category's folders that cannot be read."""
    return [p for p in table.attrs["problems"] if p["kind"] == UNREADABLE_FOLDER]


def _deeper(table: pd.DataFrame, split: str) -> Iterator[tuple[str, Label]]:
    """Images in sub-folders of a split's class folders, and their labels.

    A folder that both splits share, as that of the good images in the simple layout, is the training split's.
    """
    folders: dict[str, tuple[str, Label]] = {}
    entered: set[str] = set()
    for row in table.itertuples():
        folders.setdefault(os.path.dirname(row.image), (row.split, Label(row.defect, bool(row.is_defect))))
    known = {os.path.realpath(folder) for folder in folders}
    for folder, (part, label) in folders.items():
        if part == split:
            for place, paths in groupby(list_images(folder, recursive=True).files, os.path.dirname):
                end = os.path.realpath(place)
                if end not in known and end not in entered:  # a link may lead to another class
                    entered.add(end)
                    yield from ((path, label) for path in paths)


def _say_overlooked(table: pd.DataFrame, folder: Path, also: list[str], echo: Echo) -> None:
    if said := overlooked(table, folder, set(also)):
        echo(said)


def find_photographs(places: Sequence[Path], echo: Echo, recursive: bool = False) -> Photographs:
    """The images to score, each with a name of its own; those that cannot be read are among them.

    Args:
        places: images, folders of images, and categories, of which the test images are taken.
        echo: receives messages on how many these are, and on what is not looked at.
        recursive: take the images of sub-folders too; their names begin with the sub-folder.

    Raises:
        Hw3Error: no such folder, or no image in one.
    """
    found = Photographs()
    for place in places:
        if place.is_file():
            found.add(str(place), len(str(place)) - len(place.name))
        elif is_category(place):
            _add_category(found, place, echo, recursive)
        else:
            start = len(str(place / "_")) - 1
            listed = _listed(place, recursive, echo)
            for path in listed.files:
                found.add(path, start)
            for path, why in listed.unreadable if recursive else ():
                found.add_folder(path, start, why)
    if not found:
        raise Hw3Error(f"no image to score in {', '.join(map(str, places))}")
    found.make_names_differ()
    return found


def _add_category(found: Photographs, place: Path, echo: Echo, recursive: bool) -> None:
    table = load_folder(place, strict=False, find_range=False)  # the detector knows it
    test = table[table["split"] == "test"]
    more = list(_deeper(table, "test")) if recursive else []
    rows = [*((row.image, _label(row)) for row in test.itertuples()), *more]
    start = len(str(Path(table.attrs["folder"], "_"))) - 1
    for image, label in rows:
        found.add(image, start, label)
    for row in table.attrs["unreadable"]:
        if row["split"] == "test":
            found.add(row["image"], start, broken=row["reason"])
    for problem in _unreadable_folders(table):
        above = Path(problem["file"]).relative_to(table.attrs["folder"]).parts
        if not any(map(is_masks, above)) and SPLITS.get(key(above[0] if above else "")) != "train":
            found.add_folder(problem["file"], start, problem["message"])
    bad = sum(label.is_defect for _, label in rows)
    left = f"; its {counted(len(table) - len(test), 'training image')} are not" if len(table) > len(test) else ""
    echo(f"{place}: a category; its {len(rows)} test images, {bad} of them defective, are scored{left}")
    _say_overlooked(table, place, [image for image, _ in more], echo)


def _label(row: Any) -> Label:
    mask = row.mask if isinstance(row.mask, str) else None
    return Label(row.defect, bool(row.is_defect), mask, (int(row.height), int(row.width)))


class Batch(NamedTuple):
    """Photographs in their order: the images of those that can be read, and why the others cannot be."""

    photographs: list[Photograph]
    images: ImageStack | None  # as squares, in order; None where there is none
    warnings: list[str]  # what is odd about the values of each image, see hw3lib.data.pixels.images.decode_image
    broken: dict[int, str]  # by position in the list of photographs
    sizes: list[tuple[int, int]]  # width and height in pixels of each image


def with_groups(folder: Path, files: list[str], sizes: list[tuple[int, int]], groups: str | None) -> pd.DataFrame:
    """A table of good photographs, with a column ``group`` where several show one product.

    Args:
        folder, files, sizes: of :func:`good_photographs`.
        groups: see :func:`hw3lib.data.groups.find_groups`; None: as the category says. A CSV file is looked for from
            here and then from ``folder``.

    Raises:
        Hw3Error: as :func:`hw3lib.data.groups.find_groups`.
    """
    import pandas as pd  # who scores does without

    folder = expanded(folder).absolute()
    table = pd.DataFrame({"image": files, "width": [w for w, _ in sizes], "height": [h for _, h in sizes]})
    if groups is not None and is_list(groups) and expanded(groups).is_file():
        groups = str(expanded(groups).absolute())
    if not is_category(folder):
        return grouped(table, groups, folder)
    every = load_folder(folder, strict=False)
    if not set(files) <= set(every["image"]):  # some are in sub-folders
        return grouped(table, settings_of(every).groups if groups is None else groups, folder)
    wrong = [p["message"] for p in every.attrs["problems"] if p["kind"] == "groups"]
    if groups is not None:
        every = grouped(every, groups, folder)
    elif wrong:
        raise Hw3Error(wrong[0])
    if GROUP not in every:
        return table
    return table.assign(**{GROUP: every.set_index("image")[GROUP].loc[files].to_numpy()})


def read_batches(
    photographs: Sequence[Photograph], side: int, size: int, pool: ThreadPoolExecutor, reading: Reading
) -> Iterator[Batch]:
    """Decode photographs in batches; the next batch is decoded meanwhile."""
    waiting: deque[list[tuple[Photograph, Future | None]]] = deque()
    for start in range(0, len(photographs) + size, size):
        part = photographs[start : start + size]
        waiting.append([(p, None if p.broken else pool.submit(decode_squares, p.path, side, reading)) for p in part])
        if len(waiting) < 2:
            continue
        batch, images, warnings, broken = [], [], [], dict[int, str]()
        for photograph, future in waiting.popleft():
            batch.append(photograph)
            if future is None:
                broken[len(batch) - 1] = photograph.broken
                continue
            try:
                images.append(future.result())
                warnings.append(images[-1].warning)
            except Hw3Error as error:
                broken[len(batch) - 1] = reason(error, photograph.path)
        sizes = [(image.geometry.width, image.geometry.height) for image in images]
        yield Batch(batch, ImageStack.of(images, reading) if images else None, warnings, broken, sizes)


def reason(error: Hw3Error, path: Path) -> str:
    """Why an image cannot be read, without its path and what one might do in a category: as it is said of one there."""
    try:
        read_header(path)
    except Hw3Error as first:
        return str(first)
    return str(error).removeprefix(f"{path}: ").partition("; `hw3 data check`")[0]


def say_sizes(sizes: list[tuple[int, int]]) -> str:
    """``40x32 pixels``, or the smallest and the largest of several sizes (width, height)."""
    different = sorted(set(sizes), key=lambda size: size[0] * size[1])
    low, high = (f"{w}x{h}" for w, h in (different[0], different[-1]))
    return f"{low} pixels" if len(different) == 1 else f"of {len(different)} sizes, {low} to {high} pixels"
