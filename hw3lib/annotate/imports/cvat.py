"""CVAT for images 1.1: one XML, shapes in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from hw3lib.annotate.formats.voc import read_xml
from hw3lib.core.values import text
from hw3lib.data.regions.shapes import box_corners, runs
from hw3lib.errors import Hw3Error

from .drawn import Bitmap, Ellipse, Entry, Polygon, Shape, Told, box, grouped
from .files import ImageFiles, NotFound, documents
from .markup import attributes, finite, size_of

_MOST = 200_000_000  # bytes of one XML: some hundred thousand shapes


def read(source: Path, images: ImageFiles, told: Told) -> Iterator[Entry]:
    """The images of one XML, or of all of CVAT's in a folder."""
    what = "CVAT's: expected <annotations> around all"
    read = partial(read_xml, most=_MOST)
    for path, root in documents(source, ".xml", read, lambda root: root.tag == "annotations", what, told):
        if root.find("track") is not None and root.find("image") is None:
            raise Hw3Error(f"{path}: is CVAT for video; expected CVAT for images 1.1: export the task again as that")
        for track in root.findall("track"):
            told.leave("tracks of a video", f"{path.name}: {track.get('label')}")
        for place in root.findall("image"):
            if entry := _entry(place, path, images, told):
                yield entry


def _entry(place: Element, path: Path, images: ImageFiles, told: Told) -> Entry | None:
    name = text(place.get("name"), f"{path}: name of an image")
    where = f"{path}: image {name}"
    try:
        image = images.find(name, path.parent)
    except NotFound as reason:
        told.leave(f"images that are {reason}", name)
        return None
    found: list[tuple[float, Shape]] = []
    tags = []
    lost = False
    for at, drawn in enumerate(place):
        if drawn.tag == "tag":
            tags.append(text(drawn.get("label"), f"{where}: tag"))
        elif shape := _shape(drawn, f"{where}: {drawn.tag} {at}", told):
            found.append((finite(drawn.get("z_order", "0"), f"{where}: z_order"), shape))
        else:
            lost = True
    found.sort(key=lambda pair: pair[0])
    size = size_of(place.get("width"), place.get("height"), where)
    return Entry(name, where, image, size, grouped(shape for _, shape in found), tags, lost=lost)


def _pairs(value: str | None, where: str) -> np.ndarray:
    pairs = [pair.split(",") for pair in (value or "").split(";") if pair.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise Hw3Error(f"{where}: points: found {str(value)[:40]!r}, expected 'x,y;x,y'")
    return np.array([[finite(part, f"{where}: points") for part in pair] for pair in pairs]).reshape(-1, 2)


def _shape(drawn: Element, where: str, told: Told) -> Shape | None:
    if drawn.tag not in _READERS:
        told.leave(f"shapes of the kind <{drawn.tag}>", where)
        return None
    shape = _READERS[drawn.tag](drawn, where, told)
    if shape is not None:
        shape.label = text(drawn.get("label"), f"{where}: label")
        group = drawn.get("group_id", "0")
        shape.group = group if group not in ("", "0") else None
    return shape


def _box(drawn: Element, where: str, told: Told) -> Shape:
    left, top, right, bottom = attributes(drawn, "xtl ytl xbr ybr", where)
    degrees = finite(drawn.get("rotation", "0"), f"{where}: rotation")
    if not degrees:
        return Shape("", box=box(left, top, right, bottom))
    about = (left + right) / 2, (top + bottom) / 2
    return Shape("", box=box_corners(left, top, right - left, bottom - top, degrees, about))


def _polygon(drawn: Element, where: str, told: Told) -> Shape | None:
    points = _pairs(drawn.get("points"), where)
    if len(points):
        return Shape("", [Polygon(points)])
    told.leave("shapes without a point", where)
    return None


def _points(drawn: Element, where: str, told: Told) -> Shape | None:
    points = _pairs(drawn.get("points"), where)
    if drawn.tag == "polyline":
        told.change("lines, taken as points, for they have no width", where)
    if len(points):
        return Shape("", points=points)
    told.leave("shapes without a point", where)
    return None


def _skeleton(drawn: Element, where: str, told: Told) -> Shape | None:
    seen = [place for place in drawn.findall("points") if place.get("outside", "0") != "1"]
    points = [_pairs(place.get("points"), where) for place in seen]
    if points and len(found := np.concatenate(points)):
        told.change("skeletons, taken as points", where)
        return Shape("", points=found)
    told.leave("shapes without a point", where)
    return None


def _ellipse(drawn: Element, where: str, told: Told) -> Shape:
    x, y, across, down = attributes(drawn, "cx cy rx ry", where)
    return Shape("", [Ellipse(x, y, across, down, finite(drawn.get("rotation", "0"), f"{where}: rotation"))])


def _mask(drawn: Element, where: str, told: Told) -> Shape:
    left, top, width, height = (int(value) for value in attributes(drawn, "left top width height", where))
    if min(width, height) < 1 or width * height > 10**9:
        raise Hw3Error(f"{where}: a mask of {width}x{height} pixels")
    counts = drawn.get("rle") or ""
    return Shape("", [Bitmap(left, top, (height, width), partial(_decode, counts, height, width, where))])


def _decode(text: str, height: int, width: int, where: str) -> np.ndarray:
    """CVAT's run lengths: along the rows of the mask's own box, zeros first."""
    counts = [int(finite(part, f"{where}: rle")) for part in text.split(",") if part.strip()]
    return runs(counts, height * width, where, "its box").reshape(height, width)


_READERS = {
    "box": _box,
    "polygon": _polygon,
    "polyline": _points,
    "points": _points,
    "skeleton": _skeleton,
    "ellipse": _ellipse,
    "mask": _mask,
}
