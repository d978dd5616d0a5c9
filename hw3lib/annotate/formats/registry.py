"""The formats by name, what writing one cost, and whether what was written reads back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw3lib.annotate.dataset import Dataset
from hw3lib.annotate.instances import Instance, union
from hw3lib.core.files import atomic_folder
from hw3lib.errors import Hw3Error

from . import coco, indexed, voc, yolo
from . import sam as prompts
from .lost import Lost


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
class RoundTrip:
    """How what was read compares with what was written.

    Attributes:
        exact: images, splits and instances are the same: class and mask, or of box formats class and box.
        instances: number read.
        iou: mean over images and classes of the IoU of the masks (of the boxes' areas) written and read.
        lowest_iou: the lowest of them.
    """

    exact: bool
    instances: int
    iou: float
    lowest_iou: float


@dataclass(frozen=True)
class Format:
    """A format of annotations.

    Attributes:
        name: on the command line.
        keeps: ``masks`` or ``boxes``.
        text: what it is and who reads it.
        into: writes a dataset into an empty folder.
        read: reads a folder; raises ``Hw3Error`` at the first mistake.
    """

    name: str
    keeps: str
    text: str
    into: Callable[[Path, Dataset], Lost]
    read: Callable[[Path], Dataset]

    def write(self, folder: str | Path, data: Dataset, *, force: bool = False) -> Written:
        """Write a dataset and its images, the folder whole or not at all.

        Args:
            folder: must not exist, or be empty.
            data: see :meth:`.Dataset.of`.
            force: replace what is in the folder.

        Raises:
            Hw3Error: the folder exists, an image cannot be read, or the format cannot hold the dataset.
        """
        folder = Path(folder)
        with atomic_folder(folder, replace=force) as temporary:
            lost = self.into(temporary, data)
        files = sum(path.is_file() for path in folder.rglob("*"))
        return Written(self.name, folder, len(data), len(data.instances), files, lost)


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format("coco", "masks", "COCO instances, JSON: torchvision, pycocotools, CVAT", coco.write, coco.read),
        Format("voc", "boxes", "Pascal VOC, an XML an image: labelImg, older detectors", voc.write, voc.read),
        Format("yolo", "boxes", "YOLO detection: ultralytics, YOLO-World", yolo.write_boxes, yolo.read),
        Format("yolo-seg", "masks", "YOLO segmentation, polygons: ultralytics", yolo.write_polygons, yolo.read),
        Format("indexed-png", "masks", "a PNG of class numbers an image: segmentation", indexed.write, indexed.read),
        Format("sam", "masks", "an image, mask, box and points an instance: SAM", prompts.write, prompts.read),
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


def round_trip(written: Dataset, read: Dataset, keeps: str = "masks") -> RoundTrip:
    """Compare a dataset with what was read back; images are matched by name, in whatever order they are.

    Args:
        keeps: ``masks``, or ``boxes`` to compare the instances' boxes only.
    """
    ours, theirs = _by_place(written, keeps), _by_place(read, keeps)
    listed = [set(zip(d.names, d.sizes, d.splits, strict=True)) for d in (written, read)]
    exact = listed[0] == listed[1] and ours.keys() == theirs.keys() and written.classes == read.classes
    ious = []
    for place in ours.keys() | theirs.keys():
        left, right = ours.get(place, []), theirs.get(place, [])
        exact = exact and sorted(map(_key, left)) == sorted(map(_key, right))
        ious.append(_iou(left, right))
    mean, lowest = (float(np.mean(ious)), float(min(ious))) if ious else (1.0, 1.0)
    return RoundTrip(exact, len(read.instances), mean, lowest)


def _by_place(data: Dataset, keeps: str) -> dict[tuple[str, str], list[Instance]]:
    found = defaultdict(list)
    for i in data.instances:
        if keeps == "boxes":
            i = Instance(i.row, i.defect, i.x, i.y, np.ones_like(i.crop), i.size)
        found[data.names[i.row], i.defect].append(i)
    return found


def _key(instance: Instance) -> tuple:
    return *instance.xywh, instance.crop.tobytes()


def _iou(left: list[Instance], right: list[Instance]) -> float:
    sizes = {instance.size for instance in left + right}
    if len(sizes) != 1 or not left or not right:
        return 0.0
    one, other = union(left), union(right)
    return float((one & other).sum() / (one | other).sum())
