"""COCO: polygons, run lengths, boxes alone and keypoints, in one JSON or in several, also as other tools write it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hw3lib.core.untrusted import read_json
from hw3lib.core.values import number, numbers, records, text
from hw3lib.data.regions.shapes import run_lengths
from hw3lib.errors import Hw3Error

from .drawn import Bitmap, Entry, Polygon, Shape, Told, box
from .files import ImageFiles, NotFound, documents


def read(source: Path, images: ImageFiles, told: Told) -> Iterator[Entry]:
    """The images of one JSON, or of all of COCO's in a folder."""
    what = "COCO's: expected lists of 'images' and 'annotations'"
    for path, content in documents(source, ".json", read_json, _fits, what, told):
        yield from _file(content, path, images, told)


def _fits(content: dict[str, Any]) -> bool:
    return all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def _key(value: Any, where: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Hw3Error(f"{where}: found {str(value)[:40]!r}, expected an id, an integer or a text")
    return value


def _file(content: dict[str, Any], path: Path, images: ImageFiles, told: Told) -> Iterator[Entry]:
    listed = records(content, "categories", path) if "categories" in content else []
    names = {_key(c.get("id"), f"{path}: id of a category"): text(c.get("name"), f"{path}: category") for c in listed}
    drawn: dict[int | str, list[Shape]] = {}
    lost: set[int | str] = set()
    records_of = records(content, "images", path)
    for record in records_of:
        key = _key(record.get("id"), f"{path}: id of an image")
        if key in drawn:
            raise Hw3Error(f"{path}: image {key}: its id is given twice")
        drawn[key] = []
    for record in records(content, "annotations", path):
        where = f"{path}: annotation {str(record.get('id'))[:40]}"
        image, label = (_key(record.get(field), f"{where}: {field}") for field in ("image_id", "category_id"))
        if image not in drawn:
            told.leave("annotations of an image that their file does not list", f"{where}: image {image}")
            continue
        if label not in names:
            raise Hw3Error(f"{where}: category {label} is unknown, expected one of {', '.join(map(str, names))}")
        if shape := _shape(record, names[label], where, told):
            drawn[image].append(shape)
        else:
            lost.add(image)
    for record in records_of:
        name = text(record.get("file_name"), f"{path}: file_name of an image")
        where = f"{path}: image {record['id']}"
        try:
            source = images.find(name, path.parent, hint=path.stem)
        except NotFound as reason:
            told.leave(f"images that are {reason}", name)
            continue
        size = None
        if record.get("width") and record.get("height"):
            height, width = (number(record[side], f"{where}: {side}") for side in ("height", "width"))
            size = int(height), int(width)
        shapes = drawn[record["id"]]
        count = len(shapes)
        if size is None:  # then run lengths say it
            size = next((part.shape for shape in shapes for part in shape.parts if isinstance(part, Bitmap)), None)
        shapes = _resolved(shapes, size, where, told)
        yield Entry(name, where, source, size, shapes, lost=record["id"] in lost or len(shapes) < count)


def _shape(record: dict[str, Any], label: str, where: str, told: Told) -> Shape | None:
    shape = Shape(label, crowd=bool(record.get("iscrowd")))
    segmentation = record.get("segmentation")
    if isinstance(segmentation, dict):
        height, width = (int(side) for side in numbers(segmentation.get("size"), 2, f"{where}: size"))
        if min(height, width) < 1 or height * width > 10**9:
            raise Hw3Error(f"{where}: run lengths of {width}x{height} pixels")
        read = partial(run_lengths, segmentation, (height, width), where)
        shape.parts.append(Bitmap(0, 0, (height, width), read))
    elif isinstance(segmentation, list):
        for ring in segmentation if segmentation and isinstance(segmentation[0], list) else [segmentation]:
            values = numbers(ring, None, f"{where}: polygon")
            if len(values) % 2:
                raise Hw3Error(f"{where}: a polygon of {len(values)} numbers, expected x and y of each point")
            if values:
                shape.parts.append(Polygon(np.array(values).reshape(-1, 2)))
    elif segmentation is not None:
        raise Hw3Error(f"{where}: expected a segmentation, a list of polygons or run lengths")
    if record.get("bbox"):
        left, top, across, down = numbers(record["bbox"], 4, f"{where}: bbox")
        shape.box = box(left, top, left + across, top + down)
    if record.get("keypoints"):
        values = numbers(record["keypoints"], None, f"{where}: keypoints")
        if len(values) % 3:
            raise Hw3Error(f"{where}: {len(values)} numbers in keypoints, expected x, y and visibility of each")
        triples = np.array(values).reshape(-1, 3)
        shape.points = triples[triples[:, 2] > 0, :2] if (triples[:, 2] > 0).any() else None
    if shape.parts or shape.box is not None or shape.points is not None:
        return shape
    told.leave("annotations without a segmentation, a box or points", where)
    return None


def _resolved(found: list[Shape], size: tuple[int, int] | None, where: str, told: Told) -> list[Shape]:
    """Run lengths of another size than their image's say something of another image: left out."""
    kept = []
    for shape in found:
        sizes = {part.shape for part in shape.parts if isinstance(part, Bitmap)}
        if size and sizes - {size}:
            told.leave("run lengths of another size than their image's", where)
        else:
            kept.append(shape)
    return kept
