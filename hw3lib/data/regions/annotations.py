"""What a category's ``annotations.json`` holds: regions that may overlap, boxes alone and points, as COCO writes them.

Masks say which pixels of an image are defective. Which of them are one defect, boxes without a mask, and points stand
in this file, where ``hw3 data import`` puts them. Its ``file_name`` is an image's path below the category's folder.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw3lib.core.untrusted import read_json
from hw3lib.core.values import numbers, records, text
from hw3lib.errors import Hw3Error

from .shapes import Region, pixel_box, segmentation

if TYPE_CHECKING:
    import pandas as pd

FILE = "annotations.json"


@dataclass(frozen=True)
class Annotation:
    """One object of an image.

    Attributes:
        row: position of the image in the table.
        label: class.
        record: as COCO has it: ``segmentation``, ``bbox`` and ``keypoints``, each of which may be missing or empty.
        where: file and annotation, for messages.
    """

    row: int
    label: str
    record: dict[str, Any]
    where: str

    @property
    def has_region(self) -> bool:
        """Whether its pixels are known."""
        return bool(self.record.get("segmentation"))

    @property
    def box(self) -> list[float] | None:
        """Left, top, width, height in pixels of a box that stands alone, without a region.

        Raises:
            Hw3Error: no four finite numbers.
        """
        found = self.record.get("bbox")
        return None if self.has_region or not found else numbers(found, 4, f"{self.where}: bbox")

    @property
    def points(self) -> list[tuple[float, float]]:
        """x and y in pixels of its points.

        Raises:
            Hw3Error: no finite numbers, three a point.
        """
        values = numbers(self.record.get("keypoints") or [], None, f"{self.where}: keypoints")
        if len(values) % 3:
            raise Hw3Error(f"{self.where}: {len(values)} numbers in keypoints, expected x, y and visibility of each")
        return [(x, y) for x, y, seen in zip(values[::3], values[1::3], values[2::3], strict=True) if seen]

    def region(self, size: tuple[int, int]) -> Region:
        """Its pixels in its image of ``size`` ``(H, W)``.

        Raises:
            Hw3Error: no segmentation, see :func:`.shapes.segmentation`, or one without any pixel of the image.
        """
        found = segmentation(self.record.get("segmentation"), size, self.where)
        if found is None:
            raise Hw3Error(f"{self.where}: its segmentation covers no pixel")
        return found

    def pixel_box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the box that stands alone, in whole pixels; the last two are the first outside.

        Raises:
            Hw3Error: nothing of it is in the image.
        """
        sides = pixel_box(self.box or (0, 0, 0, 0), size)
        if sides is None:
            raise Hw3Error(f"{self.where}: its box {self.box} lies outside of its image")
        return sides


def names_below(table: pd.DataFrame) -> list[str]:
    """Path of each image below the folder of its category.

    A table that no longer knows its folder (``table.attrs``) gives ``<split>/<class>/<name>``.
    """
    folder = _folder(table)
    names = []
    for row in table.itertuples():
        image = Path(row.image)
        if folder is not None and image.is_relative_to(folder):
            names.append(image.relative_to(folder).as_posix())
        else:
            names.append(Path(row.split, row.defect, image.name).as_posix())
    return names


def _folder(table: pd.DataFrame) -> Path | None:
    """The folder of a table's category; None of a table that is of none."""
    if folder := table.attrs.get("folder"):
        return Path(folder)
    category = table.attrs.get("category")
    return Path(table.attrs.get("root", "")) / category if category else None


def annotations_path(table: pd.DataFrame) -> Path | None:
    """The ``annotations.json`` of a table's category; None where there is none."""
    folder = _folder(table)
    return folder / FILE if folder is not None and (folder / FILE).is_file() else None


def annotations_of(table: pd.DataFrame) -> list[Annotation]:
    """The annotations of a table's images, in the table's order; those of images that it does not have are passed over.

    A file of this name that is no list of images, annotations and categories is somebody else's, and passed over.

    Raises:
        Hw3Error: the file is no JSON, an image in it is of another size than the table's, or an annotation names no
            image or no category of it.
    """
    path = annotations_path(table)
    content = read_json(path) if path else {}
    if path is None or not all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories")):
        return []
    rows = {unicodedata.normalize("NFC", name): row for row, name in enumerate(names_below(table))}
    sizes = list(zip(table["width"], table["height"], strict=True))
    places: dict[Any, int | None] = {}
    for record in records(content, "images", path):
        row = rows.get(unicodedata.normalize("NFC", text(record.get("file_name"), f"{path}: image")))
        places[_key(record.get("id"), f"{path}: id of an image")] = row
        if row is not None and (record.get("width"), record.get("height")) != sizes[row]:
            raise Hw3Error(
                f"{path}: {record['file_name']} is {record.get('width')}x{record.get('height')} pixels there, its "
                f"image {sizes[row][0]}x{sizes[row][1]}; import it again, or delete {FILE}"
            )
    labels = {
        _key(record.get("id"), f"{path}: id of a category"): text(record.get("name"), f"{path}: category")
        for record in records(content, "categories", path)
    }
    found = []
    for at, record in enumerate(records(content, "annotations", path)):
        where = f"{path}: annotation {str(record.get('id', at))[:40]}"
        image, label = (_key(record.get(field), f"{where}: {field}") for field in ("image_id", "category_id"))
        if image not in places or label not in labels:
            raise Hw3Error(f"{where}: image {image} or category {label} is unknown")
        if (row := places[image]) is not None:
            found.append(Annotation(row, labels[label], record, where))
    return sorted(found, key=lambda annotation: annotation.row)


def annotated_images(path: Path) -> list[str]:
    """Path of each image that an ``annotations.json`` has annotations of, below its folder."""
    content = read_json(path)
    used = {record.get("image_id") for record in records(content, "annotations", path)}
    return [str(record["file_name"]) for record in records(content, "images", path) if record.get("id") in used]


def _key(value: Any, where: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Hw3Error(f"{where}: found {str(value)[:40]!r}, expected an integer or a text")
    return value


def annotation_kinds(table: pd.DataFrame) -> pd.DataFrame:
    """What is known of each image's defects, from its mask and its category's ``annotations.json``.

    Returns:
        bool columns, one row an image, with the table's index: ``masks`` (a mask or a region), ``boxes`` (these, or a
        box alone) and ``points``.

    Raises:
        Hw3Error: as :func:`annotations_of`.
    """
    found = table[["mask"]].notna().rename(columns={"mask": "masks"})
    found["boxes"], found["points"] = found["masks"], False
    for annotation in annotations_of(table):
        known = {"masks": annotation.has_region, "boxes": bool(annotation.has_region or annotation.box)}
        for column, yes in (known | {"points": bool(annotation.points)}).items():
            if yes:
                found.iloc[annotation.row, found.columns.get_loc(column)] = True
    return found
