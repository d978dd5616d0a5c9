"""Masks and anomaly maps to instances: one object each, as detectors and segmenters want them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from hw3lib.anomaly.maps import upsample
from hw3lib.core.text import counted
from hw3lib.data.regions.annotations import annotations_of
from hw3lib.data.regions.masks import read_regions
from hw3lib.data.regions.shapes import EIGHT_CONNECTED, Region, merged
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "defect"  # the class of what an anomaly map finds: it says where, not what


@dataclass(frozen=True, eq=False)
class Instance:
    """One defect of one image.

    Attributes:
        row: position of the image in the table.
        defect: class.
        x, y: top left corner of the box, pixels.
        crop: bool ``(h, w)``: the mask inside the box, which is tight, so the box is ``x, y, w, h``.
        size: ``(H, W)`` of the image.
        kind: ``mask``, or ``box`` where only the box is known, which ``crop`` then fills.
    """

    row: int
    defect: str
    x: int
    y: int
    crop: np.ndarray
    size: tuple[int, int]
    kind: Literal["mask", "box"] = "mask"

    @classmethod
    def from_mask(cls, row: int, defect: str, mask: np.ndarray) -> Instance:
        """An instance of all true pixels of a mask, bool ``(H, W)``.

        Raises:
            Hw3Error: the mask is not two-dimensional, or nothing is in it.
        """
        mask = np.asarray(mask, bool)
        if mask.ndim != 2 or not mask.any():
            raise Hw3Error(f"mask of image {row} ({defect}): found shape {mask.shape} with {mask.sum()} true pixels")
        down, across = ndimage.find_objects(mask.astype(np.uint8))[0]
        return cls(row, defect, across.start, down.start, mask[down, across].copy(), mask.shape)

    @property
    def mask(self) -> np.ndarray:
        """bool ``(H, W)``, the size of the image."""
        full = np.zeros(self.size, bool)
        self.within(full)[:] = self.crop
        return full

    def within(self, pixels: np.ndarray) -> np.ndarray:
        """The view of an array ``(H, W, ...)`` of the image's size that lies in the box."""
        return pixels[self.y : self.y + self.crop.shape[0], self.x : self.x + self.crop.shape[1]]

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.crop.sum())

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """Left, top, width, height in pixels."""
        return self.x, self.y, self.crop.shape[1], self.crop.shape[0]

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in pixels; right and bottom are the first ones outside."""
        return self.x, self.y, self.x + self.crop.shape[1], self.y + self.crop.shape[0]


@dataclass(frozen=True)
class Dropped:
    """A component that was left out because it is smaller than the smallest area asked for."""

    row: int
    defect: str
    area: int


@dataclass(frozen=True)
class Instances(Sequence[Instance]):
    """The instances of a table's images, in the table's order, and what was left out.

    Attributes:
        found: the instances.
        dropped: components below ``min_area``.
        min_area: smallest area kept, pixels.
        smoothed: rows whose masks hold values between background and defect, so that half was the border.
    """

    found: list[Instance]
    dropped: list[Dropped] = field(default_factory=list)
    min_area: int = 1
    smoothed: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, item):
        return self.found[item]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted({instance.defect for instance in self.found})

    def of(self, row: int) -> list[Instance]:
        """Those of one image."""
        return [instance for instance in self.found if instance.row == row]

    def at(self, rows: Sequence[int] | np.ndarray) -> Instances:
        """The same with ``rows[row]`` as each row: those of a part of a table as those of the whole."""
        found = [replace(item, row=int(rows[item.row])) for item in self.found]
        dropped = [replace(item, row=int(rows[item.row])) for item in self.dropped]
        return Instances(found, dropped, self.min_area, [int(rows[row]) for row in self.smoothed])

    def summary(self) -> str:
        """How many of which class in how many images, and what was dropped, as a few lines of text."""
        counts, images = Counter(i.defect for i in self.found), {i.row for i in self.found}
        lines = [f"{len(self.found)} instances in {len(images)} images"]
        lines += [f"  {name}: {counts[name]}" for name in self.classes]
        if self.smoothed:
            lines.append(f"{counted(len(self.smoothed), 'mask')} with a smooth border: what is above half is defect")
        if self.dropped:
            lost = {d.row for d in self.dropped} - images
            lines.append(
                f"{len(self.dropped)} components below {self.min_area} pixels dropped, "
                f"{sum(d.area for d in self.dropped)} pixels in all"
                + (f"; {len(lost)} images are left without any" if lost else "")
            )
        return "\n".join(lines)


def union(instances: Sequence[Instance]) -> np.ndarray:
    """bool ``(H, W)``, True where any of these instances of one image is; at least one must be given."""
    full = np.zeros(instances[0].size, bool)
    for instance in instances:
        instance.within(full)[instance.crop] = True
    return full


def from_masks(table: pd.DataFrame, *, min_area: int = 1, whole: bool = False) -> Instances:
    """Instances of a table's ground-truth masks.

    Args:
        table: rows with the columns ``image``, ``defect`` and ``mask``; rows without a mask give none. Of a folder of
            masks each file has its own instances, also where they touch or overlap.
        min_area: components of fewer pixels are dropped and reported.
        whole: one instance a mask file with all its components, instead of one for each 8-connected component.

    Raises:
        Hw3Error: a mask that cannot be read, that is not its image's size, or that is empty.
    """
    masks, smoothed = [], []
    for row, (path, defect, width, height) in enumerate(
        zip(table["mask"], table["defect"], table["width"], table["height"], strict=True)
    ):
        if not isinstance(path, str):
            continue
        regions = read_regions(path)
        found = [region.marked for region in regions]
        if found[0].shape != (height, width):
            raise Hw3Error(
                f"{regions[0].file}: the mask is {found[0].shape[1]}x{found[0].shape[0]}, its image is "
                f"{width}x{height}; expected the same size"
            )
        if not any(mask.any() for mask in found):
            raise Hw3Error(f"{path}: the mask is empty; expected the defect of a {defect} image, or no mask")
        masks += [(row, defect, mask) for mask in found]
        smoothed += [row] if any(region.between for region in regions) else []
    return replace(components(masks, min_area=min_area, whole=whole), smoothed=smoothed)


def read_instances(table: pd.DataFrame, *, min_area: int = 1, whole: bool = False, boxes: bool = True) -> Instances:
    """Instances of a table's images, as a person drew them where the category has an ``annotations.json``.

    Of an image with regions in that file these are the instances, which may overlap. Of any other with a mask they are
    the mask's, see :func:`from_masks`. Of one with boxes alone they are the boxes, of ``kind`` ``box``.

    Args:
        table: see :func:`hw3lib.data.load_table`.
        min_area, whole: as in :func:`from_masks`; ``whole`` joins the regions of a class, and leaves boxes as they are.
        boxes: take boxes that stand alone.

    Raises:
        Hw3Error: as :func:`from_masks` and :func:`hw3lib.data.regions.annotations.annotations_of`.
    """
    found = annotations_of(table)
    drawn = {annotation.row for annotation in found if annotation.has_region}
    rest = np.array([row for row in range(len(table)) if row not in drawn], int)
    masked = from_masks(table.iloc[rest], min_area=min_area, whole=whole).at(rest)
    regions: list[tuple[int, str, Region]] = []
    kept, dropped = list(masked.found), list(masked.dropped)
    marked = {instance.row for instance in kept} | {item.row for item in dropped}
    sizes = list(zip(table["height"].tolist(), table["width"].tolist(), strict=True))
    for annotation in found:
        row, label, size = annotation.row, annotation.label, sizes[annotation.row]
        if annotation.has_region:
            regions.append((row, label, annotation.region(size)))
        elif boxes and row not in drawn | marked and annotation.box:
            left, top, right, bottom = annotation.pixel_box(size)
            kept.append(Instance(row, label, left, top, np.ones((bottom - top, right - left), bool), size, "box"))
    if whole:
        classes = dict.fromkeys((row, label) for row, label, _ in regions)
        regions = [(*one, merged([region for *other, region in regions if (*other,) == one])) for one in classes]
    for row, label, (x, y, crop) in regions:
        if (area := int(crop.sum())) < min_area:
            dropped.append(Dropped(row, label, area))
        else:
            kept.append(Instance(row, label, x, y, crop, sizes[row]))
    kept, dropped = sorted(kept, key=lambda i: i.row), sorted(dropped, key=lambda d: d.row)
    return Instances(kept, dropped, min_area, masked.smoothed)


def from_maps(
    maps: Iterable[np.ndarray],
    threshold: float | Sequence[float],
    sizes: Sequence[tuple[int, int]],
    *,
    anomalous: np.ndarray | None = None,
    min_area: int = 1,
    whole: bool = False,
    defect: str | Sequence[str] = UNKNOWN,
) -> Instances:
    """A first annotation of images without masks, from a detector's anomaly maps, for a person to correct.

    Args:
        maps: ``N`` float arrays ``(h, w)``, see :meth:`hw3lib.anomaly.Detector.anomaly_map`.
        threshold: pixels above it are defective: the detector's ``map_threshold_``, or one value an image.
        sizes: ``(H, W)`` of each image, to which the maps are brought.
        anomalous: bool ``(N,)``, such as the detector's ``predict``; only these images are annotated. None takes all.
        min_area: components of fewer pixels are dropped and reported.
        whole: one instance an image instead of one for each component.
        defect: class, which a map cannot tell: one of all instances, or one an image.

    Raises:
        Hw3Error: lengths that differ, or a threshold or a map that is not finite.
    """
    maps = list(maps)
    thresholds = np.asarray(threshold, float)
    if thresholds.ndim == 0:
        thresholds = np.broadcast_to(thresholds, len(maps))
    chosen = np.ones(len(maps), bool) if anomalous is None else np.asarray(anomalous, bool)
    names = [defect] * len(maps) if isinstance(defect, str) else list(defect)
    if not len(maps) == len(thresholds) == len(sizes) == len(chosen) == len(names):
        raise Hw3Error(
            f"{len(maps)} maps, {len(thresholds)} thresholds, {len(sizes)} sizes, {len(chosen)} predictions and "
            f"{len(names)} classes; expected one of each an image"
        )
    masks = []
    for row, (values, level, size, name) in enumerate(zip(maps, thresholds, sizes, names, strict=True)):
        if not np.isfinite(level) or not np.isfinite(values).all():
            raise Hw3Error(f"map {row}: the map or its threshold {level} is not finite")
        if chosen[row]:
            masks.append((row, name, upsample(values, size) > level))
    return components(masks, min_area=min_area, whole=whole)


def components(masks: Iterable[tuple[int, str, np.ndarray]], *, min_area: int = 1, whole: bool = False) -> Instances:
    """Instances of masks given as ``(row, class, bool (H, W))``; see :func:`from_masks`."""
    if min_area < 1:
        raise Hw3Error(f"min_area={min_area}: expected 1 pixel or more")
    found, dropped = [], []
    for row, defect, mask in masks:
        labels, _ = ndimage.label(mask, EIGHT_CONNECTED)
        kept = np.zeros(mask.shape, bool)
        for number, (down, across) in enumerate(ndimage.find_objects(labels), 1):
            crop = labels[down, across] == number
            area = int(crop.sum())
            if area < min_area:
                dropped.append(Dropped(row, defect, area))
            elif whole:
                kept[down, across] |= crop
            else:
                found.append(Instance(row, defect, across.start, down.start, crop, mask.shape))
        if kept.any():
            found.append(Instance.from_mask(row, defect, kept))
    return Instances(found, dropped, min_area)
