"""Which photographs show the same product: by their names, by a list, or because they look it.

A product that is photographed several times must stand on one side of a split: a photograph of it is no test for what
has learned from another. A table says it in its column ``group``; without the column each image shows another product.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw3lib.core.files import file_digest
from hw3lib.core.text import counted
from hw3lib.core.untrusted import read_text
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import PLAIN, Reading, readings_of
from hw3lib.data.pixels.threads import in_order
from hw3lib.errors import Hw3Error

from .near import components, find_near_twins, view

if TYPE_CHECKING:
    import pandas as pd

NEAR = "near"  # in the place of an expression or a file: photographs that look like shots of one product
GROUP = "group"
_NAMED = 5  # files that a message names
_PROBE = 4096  # bytes of two files of one size that are compared before all of them are


def is_list(groups: str) -> bool:
    """Whether products are said by a CSV file, and not by an expression."""
    return groups.lower().endswith(".csv")


def check_groups(groups: object) -> None:
    """Refuse what is neither an expression, nor the name of a CSV file, nor ``near``.

    Raises:
        Hw3Error: it is no regular expression, or one without a group.
    """
    if not isinstance(groups, str) or not groups:
        raise Hw3Error(f"groups={groups!r}: expected a regular expression, the name of a CSV file, or {NEAR}")
    if groups == NEAR or is_list(groups):
        return
    try:
        brackets = re.compile(groups).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise Hw3Error(f"groups={groups!r}: no regular expression: {error}") from None
    if brackets < 1:
        raise Hw3Error(f"groups={groups!r}: expected brackets around what names the product, such as '^([^_]+)_'")


def find_groups(
    images: Sequence[str | Path], groups: str, folder: str | Path, readings: Sequence[Reading] | None = None
) -> list[str]:
    """The product that each image shows.

    Args:
        images: paths of image files.
        groups: a regular expression that is searched in a file's name, whose first group is the product; one that holds
            a ``/`` is searched in the path below ``folder``, for names that begin anew in each class; or the path of a
            CSV file with the columns ``image`` (name, or path below ``folder``) and ``group``; or ``near``.
        folder: of the category, or of the photographs.
        readings: how each file becomes pixels, where it is looked at; None: as by default.

    Returns:
        One name each; the same name, the same product, whatever its class.

    Raises:
        Hw3Error: as :func:`check_groups`; images that the expression does not match; a file that cannot be read, lacks
            a column or an image, names one that is not there, or says two things of one.
    """
    check_groups(groups)
    if groups == NEAR:
        return _looked_up(images, [PLAIN] * len(images) if readings is None else readings)
    names = [_name(Path(os.path.relpath(image, folder)).as_posix()) for image in images]
    if is_list(groups):
        return _listed(names, Path(folder) / groups)
    pattern = re.compile(groups)
    found = [pattern.search(name if "/" in groups else name.rpartition("/")[2]) for name in names]
    products = ["" if match is None else match.group(1) or "" for match in found]
    if unnamed := [name for name, product in zip(names, products, strict=True) if not product]:
        raise Hw3Error(
            f"groups={groups!r}: finds no product in {_some(unnamed, 'file name', len(names))}; expected one in each: "
            "change the expression, or list the products in a CSV file"
        )
    return products


def products(table: pd.DataFrame) -> np.ndarray | None:
    """Numbers of the products that a table's images show, int64 ``(N,)``; None where each shows another."""
    return None if GROUP not in table else as_numbers(table[GROUP].to_numpy())


def images_per_product(table: pd.DataFrame) -> float:
    """How many images of a table show one product, on average: of so many one is what an interval may count."""
    numbers = products(table)
    return 1.0 if numbers is None else len(numbers) / len(np.unique(numbers))


def as_numbers(groups: Sequence | np.ndarray) -> np.ndarray | None:
    """Groups as numbers from 0 in the order of their appearance, int64 ``(N,)``; None where no two are the same."""
    seen: dict[object, int] = {}
    numbers = np.array([seen.setdefault(group, len(seen)) for group in np.asarray(groups).tolist()], np.int64)
    return numbers if len(seen) < len(numbers) else None


def joined_groups(groups: np.ndarray | None, pairs: np.ndarray, n: int) -> np.ndarray | None:
    """Groups in which both images of each pair are in one, as numbers, int64 ``(N,)``; None where each is its own.

    Args:
        groups: numbers, int64 ``(n,)``, or None.
        pairs: positions, int64 ``(m, 2)``.
        n: number of images.
    """
    if groups is not None:
        pairs = np.concatenate([pairs.reshape(-1, 2), np.stack([np.arange(n), _firsts(groups)], 1)])
    if not len(pairs):
        return None
    return as_numbers(components(pairs, n))


def _firsts(groups: np.ndarray) -> np.ndarray:
    """Position of the first image of each image's group, int64 ``(N,)``."""
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    return first[which]


def grouped(table: pd.DataFrame, groups: str | None, folder: str | Path) -> pd.DataFrame:
    """The table with a column ``group`` where several images show one product: as is said, and copies of one file.

    Args:
        table: needs the column ``image``.
        groups: see :func:`find_groups`; None: nothing is said.
        folder: of the category, or of the photographs.

    Raises:
        Hw3Error: as :func:`find_groups`.
    """
    images = [str(image) for image in table["image"]]
    table = table.drop(columns=GROUP, errors="ignore")
    names = images if groups is None else find_groups(images, groups, folder, readings_of(table))
    found = joined_groups(as_numbers(names), file_twins(images), len(images))
    if groups is None and found is None:
        return table
    if found is None:
        return table.assign(**{GROUP: names})
    if groups is None:
        names = [Path(os.path.relpath(image, folder)).as_posix() for image in images]
    return table.assign(**{GROUP: [names[row] for row in _firsts(found)]})


def file_twins(images: Sequence[str]) -> np.ndarray:
    """Pairs of positions of files with the same bytes, int64 ``(m, 2)``; files of one size alone are read."""
    sizes = [_size(image) for image in images]
    often = {size for size, count in Counter(sizes).items() if count > 1}
    rows = [row for row, size in enumerate(sizes) if size in often and size > 0]
    for key in (_probe, _digest):
        keys = list(in_order(key, [images[row] for row in rows]))
        counts = Counter(keys)
        rows = [row for row, found in zip(rows, keys, strict=True) if counts[found] > 1]
    return pairs_of_equals([_digest(images[row]) for row in rows], rows)


def pixel_twins(images: Iterable[np.ndarray]) -> np.ndarray:
    """Pairs of positions of images with the same pixels, int64 ``(m, 2)``."""
    return pairs_of_equals([hashlib.sha256(image.tobytes()).digest() for image in images])


def pairs_of_equals(keys: Sequence[bytes], rows: Sequence[int] | None = None) -> np.ndarray:
    """Positions of the first and of each other one of equal keys, int64 ``(m, 2)``."""
    first: dict[bytes, int] = {}
    pairs = [
        (first.setdefault(key, row), row)
        for row, key in zip(range(len(keys)) if rows is None else rows, keys, strict=True)
    ]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def _looked_up(images: Sequence[str | Path], readings: Sequence[Reading]) -> list[str]:
    """The first photograph of each set of near twins names the product."""

    each = zip(images, readings, strict=True)
    views = in_order(lambda pair: view(read_image(pair[0], reading=pair[1])), each)
    found = joined_groups(None, find_near_twins(views), len(images))
    names = [str(image) for image in images]
    return names if found is None else [names[row] for row in _firsts(found)]


def _listed(names: Sequence[str], file: Path) -> list[str]:
    said = _read_list(file)
    often = Counter(name.rpartition("/")[2] for name in names)
    keys = [name if name in said else name.rpartition("/")[2] for name in names]
    if unclear := [
        key for key, name in zip(keys, names, strict=True) if key != name and key in said and often[key] > 1
    ]:
        raise Hw3Error(
            f"{file}: has {_some(dict.fromkeys(unclear), 'name')} of several files; expected the path below the "
            f"category, such as {names[keys.index(unclear[0])]}"
        )
    if missing := [name for name, key in zip(names, keys, strict=True) if key not in said]:
        raise Hw3Error(f"{file}: lacks {_some(missing, 'image', len(names))}; expected a row with the group of each")
    if unknown := sorted(said.keys() - set(keys)):
        raise Hw3Error(f"{file}: names {_some(unknown, 'image')} that is not there; correct the names or take them out")
    return [said[key] for key in keys]


def _read_list(file: Path) -> Mapping[str, str]:
    text = read_text(file)
    head = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        columns = {str(name).strip().lower(): name for name in rows.fieldnames or []}
        if missing := [name for name in ("image", GROUP) if name not in columns]:
            raise Hw3Error(f"{file}: has no column {missing[0]!r}, found {head.strip()[:80]!r}; expected image,group")
        said: dict[str, str] = {}
        for row in rows:
            name, product = (str(row[columns[key]] or "").strip() for key in ("image", GROUP))
            name = _name(name.replace("\\", "/").removeprefix("./"))
            if not name or not product:
                raise Hw3Error(f"{file}: line {rows.line_num} lacks an image or a group")
            if said.setdefault(name, product) != product:
                raise Hw3Error(f"{file}: says two groups of {name}: {said[name]!r} and {product!r}")
    except csv.Error as error:
        raise Hw3Error(f"{file}: line {rows.line_num}: is no CSV: {error}") from None
    return said


def _name(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _some(names: Iterable[str], what: str, total: int | None = None) -> str:
    """``3 of 60 images (a.png, b.png, c.png)``."""
    names = list(names)
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"{f'{len(names)} of ' if total else ''}{counted(total or len(names), what)} ({shown})"


def _size(image: str) -> int:
    try:
        return os.stat(image).st_size
    except OSError:
        return 0


def _probe(image: str) -> bytes:
    """Hash of the size and of some bytes of the middle, which tell most files of one size apart."""
    try:
        with open(image, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size // 2 - _PROBE // 2))
            return hashlib.sha256(size.to_bytes(8, "big") + file.read(_PROBE)).digest()
    except OSError:
        return image.encode("utf-8", "backslashreplace")


def _digest(image: str) -> bytes:
    try:
        return file_digest(image).encode()
    except Hw3Error:  # whoever reads it says so
        return image.encode("utf-8", "backslashreplace")
