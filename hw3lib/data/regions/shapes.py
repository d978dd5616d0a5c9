"""What people draw, polygons, ellipses, run lengths, as pixels: a pixel is within if its centre is.

Coordinates are x and y in pixels of the image, whose first pixel reaches from (0, 0) to (1, 1). What lies outside of
the image is cut off first, so that no coordinate, however large, costs memory or time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from hw3lib.core.values import numbers, whole
from hw3lib.errors import Hw3Error

# Diagonal neighbours belong together, as in the official evaluation of MVTec AD.
EIGHT_CONNECTED = np.ones((3, 3), int)

_FAR = 1e9  # pixels: coordinates beyond it are taken for it


class Region(NamedTuple):
    """Pixels of an image: ``crop``, bool ``(h, w)``, whose first pixel is ``x, y`` of the image; the box is tight."""

    x: int
    y: int
    crop: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, x: int = 0, y: int = 0) -> Region | None:
        """The true pixels of a mask that begins at ``x, y``; None if there is none."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return None
        crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls(x + int(columns[0]), y + int(rows[0]), crop.copy())


def placed(mask: np.ndarray, x: int, y: int, size: tuple[int, int]) -> Region | None:
    """A mask that begins at ``x, y``, as much of it as lies in an image of ``size`` ``(H, W)``."""
    part = mask[max(0, -y) : max(0, size[0] - y), max(0, -x) : max(0, size[1] - x)]
    return Region.of(part, max(0, x), max(0, y)) if part.size else None


def clipped(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A polygon, float ``(n, 2)``, as far as it lies in the image (Sutherland and Hodgman 1974)."""
    points = np.clip(np.asarray(points, float).reshape(-1, 2), -_FAR, _FAR)
    for axis, limit, sign in ((0, 0, 1), (0, size[1], -1), (1, 0, 1), (1, size[0], -1)):
        if not len(points):
            return points
        depth = sign * (points[:, axis] - limit)
        after, next_depth = np.roll(points, -1, 0), np.roll(depth, -1)
        crossing = (depth >= 0) != (next_depth >= 0)
        share = np.divide(depth, depth - next_depth, out=np.zeros_like(depth), where=crossing)
        cut = points + share[:, None] * (after - points)
        pairs = np.stack([points, cut], 1).reshape(-1, 2)
        points = pairs[np.stack([depth >= 0, crossing], 1).ravel()]
    return np.clip(points, 0, [size[1], size[0]])


def polygon_area(points: np.ndarray) -> float:
    """Square pixels within a polygon."""
    x, y = np.asarray(points, float).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def polygon(points: np.ndarray, size: tuple[int, int]) -> Region | None:
    """The pixels of a polygon, None if it has no area in the image.

    One so thin that it covers no pixel's centre is as wide as the pixels that it touches.
    """
    points = clipped(points, size)
    if len(points) < 3 or polygon_area(points) < 1e-6:
        return None
    low = np.floor(points.min(0)).astype(int)
    high = np.maximum(np.minimum(np.ceil(points.max(0)), [size[1], size[0]]).astype(int), low + 1)
    inside, shape = points - low, (int(high[1] - low[1]), int(high[0] - low[0]))
    crop = coco_mask.decode(coco_mask.frPyObjects([inside.ravel().tolist()], *shape))[..., 0].astype(bool)
    if not crop.any():
        canvas = Image.new("L", shape[::-1])
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in np.floor(inside).astype(int).tolist()], fill=1, outline=1)
        crop = np.asarray(canvas) > 0
    return placed(crop, int(low[0]), int(low[1]), size)


def outlined(points: np.ndarray, size: tuple[int, int]) -> Region | None:
    """The pixels that an outline, int ``(n, 2)``, goes through and those within; None where it leaves the image."""
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    if left < 0 or top < 0 or right >= size[1] or bottom >= size[0]:
        return None
    canvas = Image.new("1", (right - left + 1, bottom - top + 1))
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in (points - (left, top)).tolist()], fill=1, outline=1)
    return Region.of(np.asarray(canvas), left, top)


def ellipse(
    x: float, y: float, across: float, down: float, size: tuple[int, int], degrees: float = 0.0
) -> Region | None:
    """The pixels of an ellipse around ``x, y``, of two radii, turned clockwise as one sees it; at least one pixel."""
    if across <= 0 or down <= 0:
        return None
    x, y, across, down = (min(max(value, -_FAR), _FAR) for value in (x, y, across, down))
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    reach = np.hypot(across * cosine, down * sine), np.hypot(across * sine, down * cosine)
    left, top = max(0, int(np.floor(x - reach[0]))), max(0, int(np.floor(y - reach[1])))
    right, bottom = min(size[1], int(np.ceil(x + reach[0]))), min(size[0], int(np.ceil(y + reach[1])))
    if right <= left or bottom <= top:
        return None
    dx, dy = np.arange(left, right) + 0.5 - x, (np.arange(top, bottom) + 0.5 - y)[:, None]
    crop = ((dx * cosine + dy * sine) / across) ** 2 + ((dy * cosine - dx * sine) / down) ** 2 <= 1
    if not crop.any() and left <= x < right and top <= y < bottom:
        crop[int(y) - top, int(x) - left] = True
    return Region.of(crop, left, top)


def merged(found: Sequence[Region]) -> Region:
    """The pixels of any of them; at least one must be given."""
    left, top = min(r.x for r in found), min(r.y for r in found)
    right, bottom = (max(r.x + r.crop.shape[1] for r in found), max(r.y + r.crop.shape[0] for r in found))
    full = np.zeros((bottom - top, right - left), bool)
    for region in found:
        height, width = region.crop.shape
        full[region.y - top : region.y - top + height, region.x - left : region.x - left + width] |= region.crop
    return Region(left, top, full)


def box_corners(x: float, y: float, width: float, height: float, degrees: float, about: tuple[float, float]):
    """The corners of a box, float ``(4, 2)``, turned clockwise, as one sees it, about a point."""
    corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], float) - about
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return corners @ np.array([(cosine, sine), (-sine, cosine)]) + about


def pixel_box(xywh: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of a box in whole pixels, the last two the first ones outside, cut to the image.

    At least a pixel a side; None if nothing of it is in the image.
    """
    sides = []
    for start, length, most in ((xywh[0], xywh[2], size[1]), (xywh[1], xywh[3], size[0])):
        low, high = min(max(start, 0.0), most), min(max(start + length, 0.0), most)
        if not high > low:
            return None
        first, last = round(low), round(high)
        if last <= first:
            first = min(int(low), most - 1)
            last = first + 1
        sides.append((first, last))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def segmentation(shape: Any, size: tuple[int, int], where: str) -> Region | None:
    """The pixels of COCO's ``segmentation``, polygons or run lengths, in an image of ``size`` ``(H, W)``.

    Raises:
        Hw3Error: neither, a number that is not finite, or run lengths of another size.
    """
    if isinstance(shape, dict):
        return Region.of(run_lengths(shape, size, where))
    if not isinstance(shape, list):
        raise Hw3Error(f"{where}: expected a segmentation, a list of polygons or run lengths")
    regions: list[Region] = []
    for ring in shape:
        values = numbers(ring, None, f"{where}: polygon")
        if len(values) % 2:
            raise Hw3Error(f"{where}: a polygon of {len(values)} numbers, expected x and y of each point")
        if region := polygon(np.array(values), size):
            regions.append(region)
    return merged(regions) if regions else None


def run_lengths(shape: dict[str, Any], size: tuple[int, int], where: str) -> np.ndarray:
    """The mask of COCO's run lengths, bool ``(H, W)``, checked before they are decoded, for pycocotools trusts them.

    Raises:
        Hw3Error: of another size, no counts, or counts that do not fill the image.
    """
    if numbers(shape.get("size"), 2, f"{where}: size of the run lengths") != list(size):
        raise Hw3Error(
            f"{where}: run lengths of size {shape['size']}, expected {list(size)}, height and width of its image"
        )
    counts = shape.get("counts")
    counts = unpack(counts, where) if isinstance(counts, str) else counts
    if not isinstance(counts, list):
        raise Hw3Error(f"{where}: run lengths: expected counts, a text or a list of integers")
    return runs(counts, size[0] * size[1], where).reshape(size, order="F")


def runs(counts: list[Any], pixels: int, where: str, of: str = "its image") -> np.ndarray:
    """Run lengths, zeros first, as a bool array of ``pixels``.

    Raises:
        Hw3Error: no integers from 0 on, or not as many pixels in all.
    """
    lengths = np.array([whole(value, 0, f"{where}: run length") for value in counts], np.int64)
    if lengths.max(initial=0) > pixels:  # before they are added, for a sum may overflow to the right one
        raise Hw3Error(f"{where}: a run length of {lengths.max()}, {of} has {pixels} pixels")
    if lengths.sum() != pixels:
        raise Hw3Error(f"{where}: run lengths of {lengths.sum()} pixels in all, {of} has {pixels}")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def unpack(text: str, where: str) -> list[int]:
    """COCO's compressed counts: five bits a character, the sixth says that more follow; from the third on differences.

    Source: ``rleFrString`` in maskApi.c of the COCO API.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 50:
            raise Hw3Error(f"{where}: {character!r} in its run lengths; expected COCO's compressed counts")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise Hw3Error(f"{where}: its run lengths end in the middle of a number")
    return counts
