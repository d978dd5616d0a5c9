"""labelme: a JSON an image, shapes in pixels, the image beside it or embedded; X-AnyLabeling writes the same."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hw3lib.core.untrusted import read_json
from hw3lib.core.values import number, numbers, records, text
from hw3lib.data.pixels.decoding import BROKEN, open_image
from hw3lib.errors import Hw3Error

from .drawn import Bitmap, Ellipse, Entry, Polygon, Shape, Told, bounds_of, box, grouped
from .files import ImageFiles, NotFound, documents

_LINES = ("line", "linestrip")
_TURNED = ("rotation", "oriented_rectangle")  # four corners


def read(source: Path, images: ImageFiles, told: Told) -> Iterator[Entry]:
    """The images of one JSON, or of all in a folder."""
    what = "labelme's: expected a list of 'shapes'"
    for path, content in documents(
        source, ".json", read_json, lambda content: isinstance(content.get("shapes"), list), what, told
    ):
        if entry := _entry(path, content, images, told):
            yield entry


def _entry(path: Path, content: dict[str, Any], images: ImageFiles, told: Told) -> Entry | None:
    name = content.get("imagePath")
    name = name if isinstance(name, str) and name.strip() else path.stem
    embedded = content.get("imageData")
    image: Path | bytes
    try:
        image = _beside(name, path, images) if embedded else images.find(name, path.parent)
    except NotFound as reason:
        try:
            image = _embedded(embedded, path) if embedded else images.of_stem(path.stem, path.parent)
        except NotFound:
            told.leave(f"images that are {reason}", f"{name} ({path.name})")
            return None
    size = None
    if content.get("imageHeight") and content.get("imageWidth"):
        height, width = (number(content[side], f"{path}: {side}") for side in ("imageHeight", "imageWidth"))
        size = int(height), int(width)
    found = []
    drawn = records(content, "shapes", path)
    for at, record in enumerate(drawn):
        if shape := _shape(record, f"{path}: shape {at}", told):
            found.append(shape)
    flags = content.get("flags")
    tags = [key for key, yes in flags.items() if yes is True and key.strip()] if isinstance(flags, dict) else []
    name, lost = name.replace("\\", "/").rsplit("/", 1)[-1], len(found) < len(drawn)
    return Entry(name, str(path), image, size, grouped(found), tags, lost=lost)


def _beside(name: str, path: Path, images: ImageFiles) -> Path:
    """The image where it was when it was annotated; a file of its name elsewhere is no match for one embedded."""
    found = images.find(name, path.parent)
    if found.parent.samefile(path.parent) or "/" in name.replace("\\", "/"):
        return found
    raise NotFound("elsewhere")


def _embedded(data: Any, path: Path) -> bytes:
    try:
        return base64.b64decode(text(data, f"{path}: imageData"), validate=True)
    except (binascii.Error, ValueError):
        raise Hw3Error(f"{path}: imageData: is no base64 text; expected an image, or null") from None


def _points(record: dict[str, Any], where: str) -> np.ndarray:
    found = record.get("points")
    if not isinstance(found, list):
        raise Hw3Error(f"{where}: points: found {str(found)[:40]!r}, expected a list of x and y")
    pairs = [numbers(pair, None, f"{where}: point") for pair in found]
    if any(len(pair) < 2 for pair in pairs):
        raise Hw3Error(f"{where}: a point of fewer than two numbers")
    return np.array([pair[:2] for pair in pairs], float).reshape(-1, 2)


def _shape(record: dict[str, Any], where: str, told: Told) -> Shape | None:
    label, kind = record.get("label"), record.get("shape_type") or "polygon"
    if isinstance(label, str) and not label.strip():
        told.leave("shapes without a label", where)
        return None
    label = text(label, f"{where}: label")
    points, group = _points(record, where), record.get("group_id")
    group = group if isinstance(group, int | str) else None
    if not len(points):
        told.leave("shapes without a point", where)
    elif kind in ("polygon", "quadrilateral"):
        return Shape(label, [Polygon(points)], group=group)
    elif kind == "rectangle" and len(points) == 2:
        return Shape(label, box=box(*bounds_of(points)))
    elif kind in ("rectangle", *_TURNED) and len(points) == 4:
        return Shape(label, box=points)
    elif kind == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        return Shape(label, [Ellipse(float(points[0, 0]), float(points[0, 1]), radius, radius)], group=group)
    elif kind == "mask" and len(points) == 2:
        return Shape(label, [_bitmap(record.get("mask"), bounds_of(points), where)], group=group)
    elif kind in ("point", "points"):
        marks = record.get("point_labels")
        if isinstance(marks, list) and len(marks) == len(points):
            points = points[[mark != 0 for mark in marks]]  # 0: beside the object
        return Shape(label, points=points) if len(points) else None
    elif kind in _LINES:
        told.change("lines, taken as points, for they have no width", where)
        return Shape(label, points=points)
    else:
        told.leave(f"shapes of the kind {str(kind)[:30]!r} with {len(points)} points", where)
    return None


def _bitmap(data: Any, bounds: tuple[float, float, float, float], where: str) -> Bitmap:
    """The mask in a shape: a PNG of the pixels from its first to its last point, both included."""
    if max(map(abs, bounds)) > 1e9:
        raise Hw3Error(f"{where}: a mask at {bounds}; expected pixels of its image")
    left, top, right, bottom = (round(value) for value in bounds)
    shape = bottom - top + 1, right - left + 1
    return Bitmap(left, top, shape, partial(picture, data, shape, where))


def picture(data: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    """The mask of a base64 PNG, bool ``(h, w)``; where it has transparency that is what counts.

    Raises:
        Hw3Error: no picture, or one of another size.
    """
    try:
        with open_image(io.BytesIO(base64.b64decode(text(data, f"{where}: mask"), validate=True))) as image:
            if image.size != shape[::-1]:
                raise Hw3Error(
                    f"{where}: its mask is {image.size[0]}x{image.size[1]} pixels, expected {shape[1]}x{shape[0]}"
                )
            values = np.asarray(image.getchannel("A") if "A" in image.getbands() else image.convert("L"))
    except BROKEN as error:
        raise Hw3Error(f"{where}: its mask cannot be decoded: {error}") from None
    return values > (127 if values.max(initial=0) > 1 else 0)
