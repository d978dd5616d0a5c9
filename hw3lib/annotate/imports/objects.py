"""What was drawn as pixels, boxes and points of an image as a person sees it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from hw3lib.annotate.instances import components
from hw3lib.data.folders.names import GOOD, key
from hw3lib.data.pixels.decoding import BROKEN, open_image
from hw3lib.data.regions.shapes import Region, merged, pixel_box
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error

from .drawn import Bitmap, Bounds, Entry, Polygon, Shape, Told, bounds_of, upright

_MOST_DRAWN = 10**9  # pixels of all shapes of an image, which are held at once
_OUTLINES = "polygons from pixel to pixel, as of OpenCV, whose border belongs to them"
_ORIENTATION = 0x0112


class Unfit(Exception):
    """An image of which nothing can be taken; says why."""


@dataclass
class Object:
    """One object of an image as pixels, a box or points; ``corners`` of a box that is turned."""

    label: str
    region: Region | None = None
    bounds: Bounds | None = None
    corners: np.ndarray | None = None
    points: np.ndarray | None = None

    @property
    def area(self) -> float:
        if self.region is not None:
            return float(self.region.crop.sum())
        return (self.bounds[2] - self.bounds[0]) * (self.bounds[3] - self.bounds[1]) if self.bounds else 0.0


class Objects:
    """Makes the objects of images.

    Args:
        names: class of each label.
        told: is told what is left out or changed.
    """

    def __init__(self, names: dict[str, str], told: Told) -> None:
        self.names, self.told = names, told

    def of(self, entry: Entry) -> tuple[list[Object], tuple[int, int]]:
        """The objects of an image, and its size ``(H, W)`` upright.

        Raises:
            Unfit: the image cannot be read, or is of another size than its shapes are for.
            Hw3Error: a shape that is damaged.
        """
        try:
            size, turn = self._size(entry)
        except Hw3Error as error:
            raise Unfit(f"cannot be taken: {error}") from None
        except BROKEN as error:
            raise Unfit(f"cannot be read: {str(error)[:200]}") from None
        found = self._drawn(entry, size if turn is None else turn[1])
        return (found if turn is None else [_turned(each, *turn) for each in found]), size

    def _size(self, entry: Entry) -> tuple[tuple[int, int], tuple[int, tuple[int, int]] | None]:
        """``(H, W)`` upright; and, if the shapes are for the pixels as stored, the orientation and the stored size."""
        if isinstance(entry.source, bytes):
            with open_image(io.BytesIO(entry.source)) as image:
                orientation, size = image.getexif().get(_ORIENTATION, 1), image.size[::-1]
            size = size[::-1] if orientation in (5, 6, 7, 8) else size
        else:
            width, height, _ = read_header(entry.source)
            with open_image(entry.source) as image:
                orientation = image.getexif().get(_ORIENTATION, 1)
            size = height, width
        stored = size[::-1] if orientation in (5, 6, 7, 8) else size
        if entry.size is not None and entry.shapes and entry.size not in (size, stored):
            said, real = (f"{each[1]}x{each[0]}" for each in (entry.size, size))
            raise Hw3Error(f"annotated with {said} pixels, their files have {real}")
        if orientation in range(2, 9) and entry.shapes:
            if entry.size == stored != size:
                self.told.change("images annotated lying on their side, whose annotations were turned", entry.name)
                return size, (orientation, stored)
            if stored == size:
                self.told.change("images with an orientation mark, taken to be annotated as one sees them", entry.name)
        return size, None

    def _drawn(self, entry: Entry, size: tuple[int, int]) -> list[Object]:
        found: list[Object] = []
        drawn = 0
        for at, shape in enumerate(entry.shapes):
            where = f"{entry.name}: {shape.label} {at + 1}"
            if is_good(shape.label):
                self.told.leave("objects labelled as good, where nothing is defective", where)
                continue
            label = self.names[shape.label]
            regions = []
            for part in shape.parts:
                bounds = part.bounds()
                drawn += _pixels(bounds, size)
                if drawn > _MOST_DRAWN:
                    raise Hw3Error(f"{entry.where}: its shapes have over {_MOST_DRAWN:,} pixels in all; expected fewer")
                if isinstance(part, Bitmap) and (part.shape[0] > size[0] or part.shape[1] > size[1]):
                    self.told.leave("masks that are larger than their image", where)
                    continue
                if region := part.region(size):
                    regions.append(region)
                    if isinstance(part, Polygon) and part.is_outline:
                        self.told.change(_OUTLINES, where)
                if _outside(bounds, size):
                    kind = "reach out of their image, and were cut" if region else "lie outside of their image"
                    (self.told.change if region else self.told.leave)(f"shapes that {kind}", where)
                elif not region:
                    self.told.leave("shapes without an area", where)
            points = self._points(shape, size, where)
            if regions:
                whole = merged(regions)
                parts = self._crowd(whole, where) if shape.crowd else [whole]
                found += [Object(label, part, points=points if at == 0 else None) for at, part in enumerate(parts)]
            elif shape.box is not None:
                found += self._box(shape, label, points, size, where)
            elif points is not None:
                found.append(Object(label, points=points))
        return found

    def _crowd(self, region: Region, where: str) -> list[Region]:
        self.told.change("crowds, of which each connected region is an object", where)
        return [Region(region.x + i.x, region.y + i.y, i.crop) for i in components([(0, "", region.crop)])]

    def _points(self, shape: Shape, size: tuple[int, int], where: str) -> np.ndarray | None:
        if shape.points is None:
            return None
        inside = ((shape.points >= 0) & (shape.points <= [size[1], size[0]])).all(1)
        if not inside.all():
            self.told.leave("points outside of their image", where)
        return shape.points[inside] if inside.any() else None

    def _box(self, shape: Shape, label: str, points, size: tuple[int, int], where: str) -> list[Object]:
        assert shape.box is not None
        bounds = bounds_of(shape.box)
        left, top, right, bottom = (
            min(max(value, 0.0), float(most)) for value, most in zip(bounds, (size[1], size[0]) * 2, strict=True)
        )
        if not (right > left and bottom > top) or pixel_box((left, top, right - left, bottom - top), size) is None:
            kind = "boxes that lie outside of their image" if _outside(bounds, size) else "boxes without an area"
            self.told.leave(kind, where)
            return []
        if _outside(bounds, size):
            self.told.change("shapes that reach out of their image, and were cut", where)
        corners = None if upright(shape.box) else shape.box
        if corners is not None:
            self.told.change("turned boxes, kept with the upright box around them", where)
        return [Object(label, None, (left, top, right, bottom), corners, points)]


def is_good(label: str) -> bool:
    """Whether a label says that nothing is defective."""
    return key(label) in GOOD


def _pixels(bounds: Bounds, size: tuple[int, int]) -> int:
    """About how many pixels of an image lie within bounds."""
    width, height = min(bounds[2], size[1]) - max(bounds[0], 0), min(bounds[3], size[0]) - max(bounds[1], 0)
    return int(max(width, 0) * max(height, 0))


def _outside(bounds: Bounds, size: tuple[int, int]) -> bool:
    """Whether anything lies more than a pixel out of the image."""
    return bounds[0] < -1 or bounds[1] < -1 or bounds[2] > size[1] + 1 or bounds[3] > size[0] + 1


def mask_of(region: Region, size: tuple[int, int]) -> np.ndarray:
    """bool ``size``: the pixels of a region in its image."""
    full = np.zeros(size, bool)
    height, width = region.crop.shape
    full[region.y : region.y + height, region.x : region.x + width] = region.crop
    return full


def _turned(found: Object, orientation: int, size: tuple[int, int]) -> Object:
    """An object of an image as it is stored, with ``size`` ``(H, W)``, as one sees it."""
    height, width = size

    def points(values: np.ndarray) -> np.ndarray:
        x, y = values.T
        turned = {
            2: (width - x, y),
            3: (width - x, height - y),
            4: (x, height - y),
            5: (y, x),
            6: (height - y, x),
            7: (height - y, width - x),
            8: (y, width - x),
        }[orientation]
        return np.stack(turned, 1)

    region, bounds = found.region, found.bounds
    if region is not None:
        mask = mask_of(region, size)
        turned = {5: mask.T, 6: np.rot90(mask, -1), 7: np.rot90(mask, 2).T, 8: np.rot90(mask)}
        turned |= {2: mask[:, ::-1], 3: mask[::-1, ::-1], 4: mask[::-1]}
        region = Region.of(turned[orientation])
    if bounds is not None:
        bounds = bounds_of(points(np.array(bounds).reshape(2, 2)))
    corners, marks = (None if each is None else points(each) for each in (found.corners, found.points))
    return Object(found.label, region, bounds, corners, marks)
