"""The formats by name, and what writing one cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

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
        module: of this room that writes and reads it; imported when it is used, so that the names cost nothing.
        writer: function there that writes a dataset into an empty folder.
        boxes_alone: whether one that keeps masks also holds a box that has none.
        beside: whether it can hold the annotations alone of images that stay where they are.
    """

    name: str
    keeps: str
    text: str
    module: str
    writer: str = "write"
    boxes_alone: bool = False
    beside: bool = True

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
            lost = self._function(self.writer)(temporary, held, **({"beside": True} if beside else {}))
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
        return self._function("read")(Path(folder), *([] if images is None else [Path(images)]))

    def _function(self, name: str) -> Callable[..., Any]:
        return resolve_name(f"hw3lib.annotate.formats.{self.module}:{name}")


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format("coco", "masks", "COCO instances, JSON: torchvision, pycocotools, CVAT", "coco", boxes_alone=True),
        Format("voc", "boxes", "Pascal VOC, an XML an image: labelImg, older detectors", "voc"),
        Format("yolo", "boxes", "YOLO detection: ultralytics, YOLO-World", "yolo", "write_boxes"),
        Format("yolo-seg", "masks", "YOLO segmentation, polygons: ultralytics", "yolo", "write_polygons"),
        Format("indexed-png", "masks", "a PNG of class numbers an image: segmentation", "indexed", beside=False),
        Format("sam", "masks", "an image, mask, box and points an instance: SAM", "sam", beside=False),
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
