"""The formats by name, and what writing one cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from hw3lib.core.files import atomic_folder
from hw3lib.errors import Hw3Error

from .lost import Lost

if TYPE_CHECKING:
    from hw3lib.annotate.dataset import Dataset


@dataclass(frozen=True)
class Written:
    """What one format's folder holds.

    Attributes:
        format: its name.
        folder: that was written.
        images: their number.
        instances: number of instances that were to be written.
        files: number of files.
        lost: what the format could not hold.
    """

    format: str
    folder: Path
    images: int
    instances: int
    files: int
    lost: Lost


@dataclass(frozen=True)
class Format:
    """A format of annotations.

    Attributes:
        name: on the command line.
        keeps: ``masks`` or ``boxes``.
        text: what it is and who reads it.
        writer: where the function is that writes a dataset into an empty folder, ``package.module:function``; it is
            imported when it is used, so that the names cost nothing.
        reader: where the function is that reads a folder.
        boxes_alone: whether one that keeps masks also holds a box that has none.
        beside: where the function is that writes annotations of images that stay where they are; empty where the
            format has none.
    """

    name: str
    keeps: str
    text: str
    writer: str
    reader: str
    boxes_alone: bool = False
    beside: str = ""

    def write(self, folder: str | Path, data: Dataset, *, force: bool = False, beside: bool = False) -> Written:
        """Write a dataset and its images, the folder whole or not at all.

        Args:
            folder: must not exist, or be empty.
            data: see :meth:`.Dataset.of`.
            force: replace what is in the folder.
            beside: write the annotations alone, without splits, of images that stay where they are under their own
                names, see :meth:`.Dataset.with_own_names`.

        Raises:
            Hw3Error: the folder exists, an image cannot be read, or the format cannot hold the dataset.
        """
        folder = Path(folder)
        held = self.held(data)
        with atomic_folder(folder, replace=force) as temporary:
            lost = resolve_name(self.beside if beside else self.writer)(temporary, held)
        files = sum(path.is_file() for path in folder.rglob("*"))
        lost = replace(lost, boxes=len(data.instances) - len(held.instances))
        return Written(self.name, folder, len(held), len(data.instances), files, lost)

    def held(self, data: Dataset) -> Dataset:
        """What the format can hold of a dataset: without boxes that have no mask where it keeps masks alone."""
        return data if self.keeps == "boxes" or self.boxes_alone else data.without_boxes()

    def read(self, folder: str | Path, images: str | Path | None = None) -> Dataset:
        """Read a folder.

        Args:
            folder: that :meth:`write` wrote.
            images: folder of the images, where they stayed there.

        Raises:
            Hw3Error: the first mistake.
        """
        if images is None:
            return resolve_name(self.reader)(Path(folder))
        return resolve_name(self.reader)(Path(folder), Path(images))


def _format(
    name: str,
    keeps: str,
    text: str,
    module: str,
    writer: str = "write",
    boxes_alone: bool = False,
    beside: bool = True,
) -> Format:
    place = f"hw3lib.annotate.formats.{module}"
    alone = f"{place}:{writer}_beside" if beside else ""
    return Format(name, keeps, text, f"{place}:{writer}", f"{place}:read", boxes_alone, alone)


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        _format("coco", "masks", "COCO instances, JSON: torchvision, pycocotools, CVAT", "coco", boxes_alone=True),
        _format("voc", "boxes", "Pascal VOC, an XML an image: labelImg, older detectors", "voc"),
        _format("yolo", "boxes", "YOLO detection: ultralytics, YOLO-World", "yolo", "write_boxes"),
        _format("yolo-seg", "masks", "YOLO segmentation, polygons: ultralytics", "yolo", "write_polygons"),
        _format("indexed-png", "masks", "a PNG of class numbers an image: segmentation", "indexed", beside=False),
        _format("sam", "masks", "an image, mask, box and points an instance: SAM", "sam", beside=False),
    )
}


def find_format(name: str) -> Format:
    """A format by name.

    Raises:
        Hw3Error: unknown.
    """
    if name not in FORMATS:
        raise Hw3Error(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
    return FORMATS[name]
