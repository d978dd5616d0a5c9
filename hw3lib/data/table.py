"""A category is a table: one row an image, with its split, defect type, mask and size."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from hw3lib.core.files import expanded, file_digest
from hw3lib.errors import Hw3Error

from .annotations import annotations_path
from .decoding import BROKEN, is_deep, mode_of, open_image, upright_size
from .depth import Extremes, extremes_of, joined, natural_range
from .find import find_category
from .reading import COLUMN, PLAIN, Reading, readings_of
from .settings import CategorySettings, read_settings
from .threads import in_order

COLUMNS = ["image", "split", "defect", "is_defect", "mask", "width", "height", "mode"]
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MASK_FOLDERS = ("ground_truth", "masks")
NO_TEST_GOOD = "no test/good"  # kind of the problem that says that train/good lends some
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # what such a file begins with
NOT_FINITE = "not finite"  # the kind of problem


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


class _Row(NamedTuple):
    image: str
    split: str
    defect: str
    mask: str | None


def load_table(root: str | Path, category: str, *, strict: bool = True, find_range: bool = True) -> pd.DataFrame:
    """Read the layout of a category into a table; pixels are decoded only of images of more than 8 bits.

    Which values of these are black and white is one answer for all of them: what ``category.json`` says, or else what
    the largest of all needs, see :func:`.depth.natural_range`.

    Two layouts are understood: MVTec AD's (``train/``, ``test/``, ``ground_truth/``) and a simple folder of one's own
    (``good/``, one folder a defect type, optionally ``masks/<defect>/``). The simple folder has no split of its own:
    its defects are ``test``, and so is every fifth good image in name order; the other good images are ``train``.
    MVTec AD's layout without ``test/good`` is split likewise, with a warning.
    A mask belongs to the image whose stem it has, alone or followed by ``_mask``. Where a category, or in the simple
    layout a defect type, has no mask folder at all, its masks are missing values; where it has one, every image needs
    its mask.

    Args:
        root: folder that holds the category.
        category: name of the folder below ``root``, ``"bottle"`` or ``"synthetic/bottle"``.
        strict: raise if anything is wrong. Otherwise the problems are in ``table.attrs["problems"]``, for
            :func:`hw3lib.data.check`, and what can be read is in the table.
        find_range: find what is black and white; False decodes nothing, for those who do not look at the images or
            know it already.

    Returns:
        One row an image, sorted by split, defect (good first) and name, with the columns ``image`` (path), ``split``
        (``train`` or ``test``), ``defect`` (``good`` or the type), ``is_defect`` (bool), ``mask`` (path or missing),
        ``width`` and ``height`` (pixels, as seen upright), ``mode`` (Pillow's: ``RGB``, ``L``, ..., or ``RGB;16`` for
        colours of 16 bits). Where images are not read as by default, the column ``reading`` says how, see
        :func:`.images.read_row`. What ``category.json`` says is in ``table.attrs["settings"]``, see
        :func:`settings_of`.

    Raises:
        Hw3Error: unknown category, wrong folder level, empty class, unreadable or truncated image, missing or orphaned
            mask, mask of another size, two images of one stem.
    """
    root = expanded(root).resolve()
    folder = find_category(root, category)
    settings = read_settings(folder)
    classes, problems = _list_classes(folder)
    rows: list[_Row] = []
    while classes:  # names are let go of as soon as they are paths
        rows += _rows(*classes.pop(0), problems)
    problems += _orphaned_masks(folder, rows)
    rows = _named_in_utf8(rows, problems)
    sizes, modes = np.zeros((len(rows), 2), int), []
    headers = in_order(lambda row: _read_headers(row.image, row.mask), rows)
    for i, (width, height, mode, found) in enumerate(headers):
        sizes[i] = width, height
        modes.append(mode)
        problems += found
    columns = {name: [getattr(row, name) for row in rows] for name in _Row._fields}
    columns["is_defect"] = [row.defect != "good" for row in rows]
    table = pd.DataFrame(columns | {"width": sizes[:, 0], "height": sizes[:, 1], "mode": modes}, columns=COLUMNS)
    if not sizes[:, 0].all():
        table = table[sizes[:, 0] > 0].reset_index(drop=True)
    table = table.astype({"is_defect": bool, "width": int, "height": int})
    pixel_range = settings.pixel_range
    if pixel_range is None and find_range:
        pixel_range = found_range(table["image"], table["mode"], problems)
    reading = Reading(pixel_range, settings.fit)
    if reading != PLAIN:
        table[COLUMN] = [reading] * len(table)
    table.attrs = {"root": str(root), "category": category, "problems": [asdict(p) for p in problems]}
    table.attrs["settings"] = asdict(settings)
    if strict:
        errors = [p for p in problems if p.severity == "error"]
        if errors:
            raise Hw3Error(_say(category, errors))
    return table


def found_range(images: Iterable[str], modes: Iterable[str], problems: list[Problem]) -> tuple[float, float] | None:
    """Black and white of those of some images that have more than 8 bits; None where none has.

    Args:
        images: files.
        modes: of each, see :func:`read_header`.
        problems: those that hold NaN are added.
    """
    deep = [image for image, mode in zip(images, modes, strict=True) if is_deep(mode)]
    extremes = []
    for found in in_order(_extremes_or_problem, deep):
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            extremes.append(found)
    whole = joined(extremes)
    return None if whole is None else natural_range(whole)


def _extremes_or_problem(path: str) -> Extremes | Problem | None:
    try:
        return extremes_of(path)
    except Hw3Error as error:
        return Problem("error", NOT_FINITE, path, str(error))


def settings_of(table: pd.DataFrame) -> CategorySettings:
    """The settings that a table was read with; the defaults for a table that is of no category."""
    return CategorySettings(**table.attrs.get("settings", {}))


def _say(category: str, errors: list[Problem], most: int = 10) -> str:
    lines = [f"{e.file}: {e.message}" for e in errors[:most]]
    if len(errors) > most:
        lines.append(f"... and {len(errors) - most} more")
    if len(lines) == 1:
        return lines[0]
    return f"{len(errors)} problems in category {category!r} (all of them: hw3 data check):\n  " + "\n  ".join(lines)


def _folders(parent: Path) -> list[Path]:
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


def _list_classes(folder: Path) -> tuple[list[tuple[str, Path, list[str], Path | None]], list[Problem]]:
    """Classes as ``(split, folder, names of images, mask folder or None)``, and the empty ones as problems."""
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    if (folder / "good").is_dir():
        places = [("test", p) for p in _folders(folder) if p.name not in MASK_FOLDERS]
        optional = True
    else:
        places = [(split, p) for split in ("train", "test") for p in _folders(folder / split)]
        optional = False
    classes: list[tuple[str, Path, list[str], Path | None]] = []
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
            classes.append(("train", place, [f for i, f in enumerate(files) if i % 5], None))
            files = files[::5]
        classes.append((split, place, files, mask_folder))
    if not any(split == "test" and place.name == "good" for split, place, *_ in classes):
        _lend_to_the_test(classes, problems)
    order = {"train": 0, "test": 1}
    return sorted(classes, key=lambda c: (order[c[0]], c[1].name != "good", c[1].name)), problems


def _lend_to_the_test(classes: list[tuple[str, Path, list[str], Path | None]], problems: list[Problem]) -> None:
    """Without ``test/good`` every fifth image of ``train/good`` is tested on, as in a simple folder, and is told."""
    for i, (split, place, files, _) in enumerate(classes):
        if split == "train" and place.name == "good" and len(files) > 1:
            lent = files[::5]
            classes[i] = ("train", place, [f for n, f in enumerate(files) if n % 5], None)
            classes.append(("test", place, lent, None))
            said = (
                f"there is no test/good: {len(lent)} of {len(files)} images of train/good, every fifth, are tested on"
            )
            problems.append(Problem("warning", NO_TEST_GOOD, str(place), said))
            return


def _rows(split: str, place: Path, files: list[str], mask_folder: Path | None, problems: list[Problem]) -> list[_Row]:
    stems: dict[str, str] = {}
    masks = {}
    if mask_folder and mask_folder.is_dir():
        masks = {os.path.splitext(n)[0]: n for n in image_names(mask_folder)}
    folder, defect, rows = str(place), place.name, []
    for name in files:
        stem, file = os.path.splitext(name)[0], os.path.join(folder, name)
        if stem in stems:
            problems.append(
                Problem(
                    "error",
                    "same stem",
                    file,
                    f"{stems[stem]} has the same stem, so a mask would belong to both; rename one",
                )
            )
        stems[stem] = name
        mask = masks.get(f"{stem}_mask") or masks.get(stem)
        if mask_folder and mask is None:
            problems.append(
                Problem(
                    "error",
                    "missing mask",
                    file,
                    f"has no mask; expected {mask_folder / (stem + '_mask.png')}",
                )
            )
        rows.append(_Row(file, split, defect, os.path.join(str(mask_folder), mask) if mask else None))
    return rows


def _named_in_utf8(rows: list[_Row], problems: list[Problem]) -> list[_Row]:
    kept = []
    for row in rows:
        try:
            f"{row.image}{row.mask or ''}".encode()
            kept.append(row)
        except UnicodeEncodeError:
            problems.append(Problem("error", "odd name", row.image, "its name is no UTF-8 text; rename it"))
    return kept


def _orphaned_masks(folder: Path, rows: list[_Row]) -> list[Problem]:
    used = {row.mask for row in rows}
    every = (str(f / n) for name in MASK_FOLDERS for f in _folders(folder / name) for n in image_names(f))
    return [
        Problem(
            "error",
            "orphaned mask",
            p,
            "belongs to no image: no image of this class has its stem; delete it or restore the image",
        )
        for p in every
        if p not in used
    ]


def read_header(path: str | Path) -> tuple[int, int, str]:
    """Width, height (upright) and mode (see :func:`.depth.mode_of`) of an image file, without decoding it.

    Raises:
        Hw3Error: the file is not an image, is empty, or ends before its last byte.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise Hw3Error("is empty (0 bytes); expected an image")
        with open_image(path) as image:
            mode, kind = mode_of(image), image.format
            width, height = upright_size(image, path)
        if kind == "PNG":
            with path.open("rb") as file:
                file.seek(-min(64, path.stat().st_size), os.SEEK_END)
                if b"IEND" not in file.read():
                    raise Hw3Error("is truncated: the PNG has no end chunk; copy or download it again")
        return width, height, mode
    except UnidentifiedImageError:
        with path.open("rb") as file:
            start = file.read(16)
        if start.startswith(_TIFF):
            raise Hw3Error(
                "is a TIFF of a kind that cannot be read, such as colours of 32-bit floats; save it with 8 or 16 bits"
            ) from None
        raise Hw3Error(
            f"is not an image, whatever its name says: it begins with {start!r}; replace it or take it out"
        ) from None
    except Image.DecompressionBombError as error:
        raise Hw3Error(f"is refused: {error}") from None
    except BROKEN as error:
        raise Hw3Error(f"cannot be read: {error}") from None


def _read_headers(image: str, mask: str | None) -> tuple[int, int, str, list[Problem]]:
    try:
        width, height, mode = read_header(image)
    except Hw3Error as error:
        return 0, 0, "", [Problem("error", "unreadable", image, str(error))]
    found = []
    if mask is not None:
        try:
            size = read_header(mask)[:2]
            if size != (width, height):
                found.append(
                    Problem(
                        "error",
                        "size mismatch",
                        mask,
                        f"mask is {size[0]}x{size[1]} pixels, its image {image} is {width}x{height}; "
                        "expected the same size",
                    )
                )
        except Hw3Error as error:
            found.append(Problem("error", "unreadable", mask, str(error)))
    return width, height, mode, found


def _files(table: pd.DataFrame) -> Iterator[str]:
    for image, mask in zip(table["image"], table["mask"], strict=True):
        yield image
        if isinstance(mask, str):
            yield mask


def digest(table: pd.DataFrame) -> str:
    """SHA-256, in hexadecimal, of what a table says, its settings, range, annotations, and the bytes of its files.

    The folder that the category lies in does not enter, so a copy elsewhere has the same digest.

    Raises:
        Hw3Error: a file that cannot be read.
    """
    sums = in_order(file_digest, _files(table))
    said = settings_of(table).said()
    total = hashlib.sha256(json.dumps(said, sort_keys=True).encode() if said else b"")
    if COLUMN in table:  # the scale of a part of a table was found from all of its category
        total.update("\n".join(sorted({reading.as_text() for reading in readings_of(table)})).encode())
    if annotations := annotations_path(table):
        total.update(f"{annotations.name} {file_digest(annotations)}\n".encode())
    for row in table.itertuples():
        image, mask = next(sums), next(sums) if isinstance(row.mask, str) else "-"
        total.update(f"{row.split}/{row.defect}/{Path(row.image).name} {image} {mask}\n".encode())
    return total.hexdigest()
