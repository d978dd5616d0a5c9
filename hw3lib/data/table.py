"""A category is a table: one row an image, with its split, defect type, mask and size."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from hw3lib.core.files import expanded, file_digest
from hw3lib.core.text import composed, counted, short_paths
from hw3lib.data.folders.contents import image_names, subfolders
from hw3lib.data.folders.find import find_category
from hw3lib.data.folders.layouts import ClassFolder, Layout, Problem, list_classes
from hw3lib.data.folders.settings import FILE, CategorySettings, read_settings
from hw3lib.data.pixels.decoding import BROKEN, SIDEWAYS, is_deep, mode_of, open_image, orientation, upright_size
from hw3lib.data.pixels.depth import Extremes, extremes_of, joined, natural_range
from hw3lib.data.pixels.geometry import natural_fit
from hw3lib.data.pixels.reading import COLUMN, PLAIN, Reading, readings_of
from hw3lib.data.pixels.threads import in_order
from hw3lib.data.regions.annotations import annotations_path
from hw3lib.errors import Hw3Error

from .groups import GROUP, NEAR, grouped, products

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["image", "split", "defect", "is_defect", "mask", "width", "height", "mode"]
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # what such a file begins with
NOT_FINITE = "not finite"  # the kind of problem


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
    A mask belongs to the image whose stem it has, alone or followed by ``_mask``; a folder of that name holds a mask
    for each of its defects, as in MVTec LOCO. A defective image without one is not annotated: its mask is missing.

    Names are understood as people write them (``Good``, ``OK``, ``normal``, ``良品``; ``Masks``; accents composed or
    not), see :mod:`hw3lib.data.folders.names`; the class of good products is always called ``good`` here. Variants
    are read as they are downloaded: BTAD, MVTec LOCO and others with ``validation/``, whose good images are
    ``train``; the colour images of MVTec 3D-AD; VisA's ``Data/Images`` with its ``split_csv/1cls.csv``. Defects in
    ``train/`` are rows of ``train``, or of ``test`` where there are no others. What is passed over is told in
    ``problems``.

    Args:
        root: folder that holds the category.
        category: name of the folder below ``root``, ``"bottle"`` or ``"synthetic/bottle"``.
        strict: raise if anything is wrong. Otherwise the problems are in ``table.attrs["problems"]``, for
            :func:`hw3lib.data.check`, and what can be read is in the table; images that cannot are in
            ``table.attrs["unreadable"]``, with ``image``, ``split``, ``defect`` and ``reason``.
        find_range: find what is black and white; False decodes nothing, for those who do not look at the images or
            know it already.

    Returns:
        One row an image, sorted by split, defect (good first) and name, with the columns ``image`` (path), ``split``
        (``train`` or ``test``), ``defect`` (``good`` or the type), ``is_defect`` (bool), ``mask`` (path of a file or of
        a folder of masks, or missing; see :func:`hw3lib.data.read_mask`), ``width`` and ``height`` (pixels, as seen
        upright), ``mode`` (Pillow's: ``RGB``, ``L``, ..., or ``RGB;16`` for colours of 16 bits). Where images are not
        read as by default, the column ``reading`` says how, see :func:`.images.read_row`; where it is said which of
        them show one product, or two files are the same, the column ``group`` is the product, see
        :mod:`hw3lib.data.groups`. The category's folder is in ``table.attrs["folder"]``, what ``category.json`` says in
        ``table.attrs["settings"]``, see :func:`settings_of`.

    Raises:
        Hw3Error: unknown category, wrong folder level, empty class, unreadable or truncated image, orphaned mask,
            mask of another size, two images of one stem, images whose product is not said where others' are.

    Warns:
        UserWarning: once, with their number, of masks that may have been drawn before their images were turned.
    """
    root = expanded(root).absolute()  # links stay: files are told of under the path that was given
    folder = find_category(root, category)
    settings = read_settings(folder)
    layout = list_classes(folder, settings.good)
    classes, problems = layout.classes, layout.problems
    rows: list[_Row] = []
    while classes:  # names are let go of as soon as they are paths
        rows += _rows(classes.pop(0), problems)
    problems += [*_orphaned_masks(layout, rows), *_unannotated(rows)]
    rows = _named_in_utf8(rows, problems)
    sizes, modes, unsure = np.zeros((len(rows), 2), int), [], []
    headers = in_order(lambda row: _read_headers(row.image, row.mask), rows)
    for i, header in enumerate(headers):
        sizes[i] = header.width, header.height
        modes.append(header.mode)
        problems += header.problems
        unsure += [rows[i].image] if header.unsure else []
    problems += _turned(unsure, sum(row.mask is not None for row in rows))
    columns = {name: [getattr(row, name) for row in rows] for name in _Row._fields}
    columns["is_defect"] = [row.defect != "good" for row in rows]
    import pandas as pd  # who has photographs and no category does without

    table = pd.DataFrame(columns | {"width": sizes[:, 0], "height": sizes[:, 1], "mode": modes}, columns=COLUMNS)
    unreadable = []
    if not sizes[:, 0].all():
        reasons = {p.file: p.message for p in problems if p.kind == "unreadable"}
        for row in (rows[i] for i in np.flatnonzero(sizes[:, 0] == 0)):
            unreadable.append(row._asdict() | {"reason": reasons[row.image]})
        table = table[sizes[:, 0] > 0].reset_index(drop=True)
    table = table.astype({"is_defect": bool, "width": int, "height": int})
    pixel_range = settings.pixel_range
    if pixel_range is None and find_range:
        pixel_range = found_range(table["image"], table["mode"], problems)
    fit = settings.fit or natural_fit(zip(table["width"], table["height"], strict=True))
    reading = Reading(pixel_range, fit)
    if reading != PLAIN:
        table[COLUMN] = [reading] * len(table)
    groups = settings.groups if find_range or settings.groups != NEAR else None  # which decodes
    table = _with_groups(table, folder, groups, problems, layout.listed)
    parts = Path(category).parts
    name = Path(category).as_posix() if parts and ".." not in parts else folder.resolve().name
    table.attrs = {"root": str(root), "category": composed(name), "folder": str(folder)}
    table.attrs |= {"problems": [asdict(p) for p in problems], "unreadable": unreadable}
    table.attrs["settings"] = asdict(settings)
    if strict:
        if turned := next((p for p in problems if p.kind == "turned image"), None):
            warnings.warn(f"{turned.file}: {turned.message}", UserWarning, stacklevel=2)
        errors = [p for p in problems if p.severity == "error"]
        if errors:
            raise Hw3Error(_say(category, errors))
    return table


def _with_groups(
    table: pd.DataFrame, folder: Path, groups: str | None, problems: list[Problem], listed: bool
) -> pd.DataFrame:
    """With the column ``group`` where it is needed; a folder that lends to the test lends products."""
    try:
        table = grouped(table, groups, folder)
    except Hw3Error as error:
        problems.append(Problem("error", "groups", str(folder / FILE), str(error)))
        table = grouped(table, None, folder)
    if GROUP not in table or listed:
        return table
    import pandas as pd  # as above

    folders = table["image"].map(os.path.dirname)
    lends = table.groupby(folders)["split"].transform("nunique") > 1
    for _, part in table[lends].groupby("defect"):
        part = part.sort_values("image", key=lambda paths: paths.map(os.path.normcase), kind="stable")
        turn = pd.factorize(part[GROUP])[0]
        table.loc[part.index, "split"] = np.where(turn % 5, "train", "test")
    keys = zip(table["split"], table["defect"], table["image"], strict=True)
    places = [(split == "test", name != "good", name, os.path.normcase(image)) for split, name, image in keys]
    return table.iloc[sorted(range(len(table)), key=places.__getitem__)].reset_index(drop=True)


def load_folder(folder: str | Path, *, strict: bool = True, find_range: bool = True) -> pd.DataFrame:
    """As :func:`load_table`, of a category's own folder."""
    place = expanded(folder).absolute()
    if ".." in place.parts or not place.name:  # the folder above is not where its name says
        place = place.resolve()
    return load_table(place.parent, place.name, strict=strict, find_range=find_range)


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


def warnings_of(table: pd.DataFrame) -> str:
    """What was passed over when the table was read, in a line for the terminal; empty where nothing was.

    ``hw3 data check`` names each file.
    """
    kinds = Counter(p["kind"] for p in table.attrs.get("problems", []) if p["severity"] == "warning")
    if not kinds:
        return ""
    found = ", ".join(kind if number == 1 else f"{kind} ({number})" for kind, number in sorted(kinds.items()))
    return f"{table.attrs['category']}: warnings: {found}; `hw3 data check` says more"


def _say(category: str, errors: list[Problem], most: int = 10) -> str:
    lines = [f"{e.file}: {e.message}" for e in errors[:most]]
    if len(errors) > most:
        lines.append(f"... and {len(errors) - most} more")
    if len(lines) == 1:
        return lines[0]
    return f"{len(errors)} problems in category {category!r} (all of them: hw3 data check):\n  " + "\n  ".join(lines)


def _mask_names(folder: Path) -> dict[str, str]:
    """The masks of a class by their stems: files, and folders of files; of one stem, the file."""
    folders = {composed(path.name): path.name for path in subfolders(folder) if image_names(path)}
    return folders | ({_stem(name): name for name in image_names(folder)} if folder.is_dir() else {})


def mask_files(mask: str | Path) -> list[str]:
    """The files of a mask, see the column ``mask``: itself, or those of a folder."""
    return [os.path.join(mask, name) for name in image_names(Path(mask))] if os.path.isdir(mask) else [str(mask)]


def _rows(found: ClassFolder, problems: list[Problem]) -> list[_Row]:
    mask_folder, stems = found.masks, dict[str, str]()
    masks = _mask_names(mask_folder) if mask_folder else {}
    folder, rows = str(found.folder), []
    for name in found.names:
        stem, file = _stem(name), os.path.join(folder, name)
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
        rows.append(_Row(file, found.split, found.defect, os.path.join(str(mask_folder), mask) if mask else None))
    return rows


def _stem(name: str) -> str:
    """What a mask and its image have in common: a Mac may have written one of them with accents apart."""
    return composed(os.path.splitext(name)[0])


def _unannotated(rows: list[_Row]) -> Iterator[Problem]:
    """Classes in which defective images of the test have no mask, where others have one."""
    defective = [row for row in rows if row.defect != "good" and row.split == "test"]
    if not any(row.mask for row in defective):
        return
    for name, total in Counter(row.defect for row in defective).items():
        images = [row.image for row in defective if row.defect == name and row.mask is None]
        if images:
            yield Problem(
                "warning",
                "missing mask",
                images[0],
                f"{len(images)} of {counted(total, 'image')} of {name} have no mask and are left out where masks "
                f"count: {short_paths(images)}; `hw3 annotate` lists them, and fills them in with --detector",
            )


def _named_in_utf8(rows: list[_Row], problems: list[Problem]) -> list[_Row]:
    kept = []
    for row in rows:
        try:
            f"{row.image}{row.mask or ''}".encode()
            kept.append(row)
        except UnicodeEncodeError:
            problems.append(Problem("error", "odd name", row.image, "its name is no UTF-8 text; rename it"))
    return kept


def _orphaned_masks(layout: Layout, rows: list[_Row]) -> list[Problem]:
    used = {row.mask for row in rows}
    every = [str(folder / name) for folder in layout.masks for name in image_names(folder)]
    every += [str(path) for folder in layout.masks for path in subfolders(folder) if image_names(path)]
    pairs = {_place(mask): os.path.basename(mask) for mask in used if mask}
    return [Problem("error", "orphaned mask", p, _why_orphaned(p, pairs)) for p in every if p not in used]


def _place(mask: str) -> tuple[str, str]:
    """Its folder, which is that of a class, and its stem."""
    return os.path.dirname(mask), _stem(os.path.basename(mask))


def _why_orphaned(mask: str, used: dict[tuple[str, str], str]) -> str:
    folder, stem = _place(mask)
    stem = stem.removesuffix("_mask")
    if other := used.get((folder, stem)) or used.get((folder, f"{stem}_mask")):
        return f"is a second mask of its image, which has {other}; keep one, or put both into a folder of the stem"
    return (
        "belongs to no image: no image of this class has its stem, alone or followed by _mask; delete it, rename it or "
        "restore the image"
    )


def read_header(path: str | Path) -> tuple[int, int, str]:
    """Width, height (upright) and mode (see :func:`.depth.mode_of`) of an image file, without decoding it.

    Raises:
        Hw3Error: the file is not an image, is empty, or ends before its last byte.
    """
    return _header(path)[:3]


def _header(path: str | Path) -> tuple[int, int, str, int]:
    """What :func:`read_header` gives, and the orientation, 1 to 8, that the file asks for."""
    path = Path(path)
    try:
        if path.is_symlink() and not path.exists():
            raise Hw3Error("is a link to a file that is not there")
        status = path.stat()
        if S_ISREG(status.st_mode) and status.st_size == 0:
            raise Hw3Error("is empty (0 bytes); expected an image")
        with open_image(path) as image:
            mode, kind = mode_of(image), image.format
            turned = orientation(image, path)
            width, height = upright_size(image, path)
        if kind == "PNG":
            with path.open("rb") as file:
                file.seek(-min(64, status.st_size), os.SEEK_END)
                if b"IEND" not in file.read():
                    raise Hw3Error("is truncated: the PNG has no end chunk; copy or download it again")
        return width, height, mode, turned
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


class _Headers(NamedTuple):
    """What the headers of an image and its mask say; a width of 0 if the image's cannot be read.

    Attributes:
        unsure: the image is turned or mirrored as its file asks for, and the mask, whose file asks for nothing, has the
            right size before and after.
    """

    width: int
    height: int
    mode: str
    problems: list[Problem]
    unsure: bool = False


def _read_headers(image: str, mask: str | None) -> _Headers:
    try:
        width, height, mode, turned = _header(image)
    except Hw3Error as error:
        return _Headers(0, 0, "", [Problem("error", "unreadable", image, str(error))])
    found, unsure = [], False
    files = [] if mask is None else mask_files(mask)
    if mask is not None and not files:
        found.append(Problem("error", "unreadable", mask, "is a folder without a mask; expected a file a defect"))
    for file in files:
        try:
            mask_width, mask_height, _, mask_turned = _header(file)
        except Hw3Error as error:
            found.append(Problem("error", "unreadable", file, str(error)))
            continue
        unmarked = turned != 1 and mask_turned == 1
        if (mask_width, mask_height) == (width, height):
            unsure |= unmarked and (width == height or turned not in SIDEWAYS)
            continue
        said = (
            f"mask is {mask_width}x{mask_height} pixels, its image {image} is {width}x{height}; expected the same size"
        )
        if unmarked and turned in SIDEWAYS and (mask_height, mask_width) == (width, height):
            said += (
                f". The image is shown turned, as its file asks for (EXIF orientation {turned}), and the mask was "
                "likely drawn on the pixels as they are stored: turn it as well, or take the mark out of the image"
            )
        found.append(Problem("error", "size mismatch", file, said))
    return _Headers(width, height, mode, found, unsure)


def _turned(unsure: list[str], masks: int) -> list[Problem]:
    """Masks of which no size tells whether they were drawn on the stored pixels or on the upright ones."""
    if not unsure:
        return []
    return [
        Problem(
            "warning",
            "turned image",
            unsure[0],
            f"{len(unsure)} of {counted(masks, 'image')} with a mask {'is' if len(unsure) == 1 else 'are'} turned or "
            "mirrored, as a camera's mark in the file asks for (EXIF orientation), and their masks fit before and "
            "after; if these were drawn on the pixels as they are stored, the defects are in the wrong place: look at "
            "one, and take the marks out or turn the masks",
        )
    ]


def _files(table: pd.DataFrame) -> Iterator[str]:
    for image, mask in zip(table["image"], table["mask"], strict=True):
        yield image
        if isinstance(mask, str):
            yield from mask_files(mask)


def digest(table: pd.DataFrame) -> str:
    """SHA-256, in hexadecimal, of what a table says: splits, classes, products, settings, range, annotations, files.

    The folder that the category lies in does not enter, so a copy elsewhere has the same digest.

    Raises:
        Hw3Error: a file that cannot be read.
    """
    sums = in_order(file_digest, _files(table))
    said = settings_of(table).said()
    total = hashlib.sha256(json.dumps(said, sort_keys=True).encode() if said else b"")
    groups = products(table)
    if annotations := annotations_path(table):
        total.update(f"{annotations.name} {file_digest(annotations)}\n".encode())
    if COLUMN in table:  # the scale of a part of a table was found from all of its category
        total.update("\n".join(sorted({reading.as_text() for reading in readings_of(table)})).encode())
    for i, row in enumerate(table.itertuples()):
        image = next(sums)
        mask = "+".join(next(sums) for _ in mask_files(row.mask)) if isinstance(row.mask, str) else "-"
        own = "" if groups is None else f" {groups[i]}"
        total.update(f"{row.split}/{row.defect}/{Path(row.image).name} {image} {mask}{own}\n".encode())
    return total.hexdigest()
