"""COCO instances: one JSON a split, simple masks as polygons and all others run-length encoded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from hw3lib.annotate.dataset import SPLITS, UNKNOWN, Dataset, Licence
from hw3lib.annotate.instances import Instance, Instances
from hw3lib.annotate.pictures import image_size, save_image
from hw3lib.core.untrusted import read_json
from hw3lib.core.values import numbers, records, text, whole
from hw3lib.data.regions.shapes import run_lengths
from hw3lib.errors import Hw3Error

from .lost import Lost
from .polygons import holes, outlines
from .reading import box_instance, check_polygon, image_shape, inside

_WHOLE = "annotations.json"


def write(folder: Path, data: Dataset, beside: bool = False) -> Lost:
    """Write ``annotations/instances_<split>.json`` and ``<split>/<image>``; nothing is lost.

    Numbers of images and instances start with 1 and do not repeat between splits. ``iscrowd`` is 0 always, for
    pycocotools leaves crowds out of its evaluation; images without instances are listed. ``beside`` the images, which
    are not copied, there is ``annotations.json``, of all of them.
    """
    if beside:
        _dump(folder / _WHOLE, to_coco(data))
        return Lost()
    (folder / "annotations").mkdir()
    for split in SPLITS:
        rows = data.rows(split)
        if not rows:
            continue
        (folder / split).mkdir()
        for row in rows:
            save_image(data.sources[row], folder / split / data.names[row], data.sizes[row], data.reading)
        _dump(folder / "annotations" / f"instances_{split}.json", to_coco(data, split))
    return Lost()


def _dump(path: Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


def to_coco(data: Dataset, split: str | None = None) -> dict[str, Any]:
    """A dataset, or one split of it, as the object that a COCO file holds."""
    rows = [row for row, name in enumerate(data.splits) if split in (None, name)]
    wanted = set(rows)
    return {
        "info": {"description": "written by hw3lib", "version": "1.0"},
        "licenses": [{"id": 1, "name": data.licence.name, "url": data.licence.url}],
        "images": [
            {
                "id": row + 1,
                "file_name": data.names[row],
                "width": data.sizes[row][1],
                "height": data.sizes[row][0],
                "license": 1,
            }
            for row in rows
        ],
        "annotations": [
            _annotation(at + 1, instance, data.classes.index(instance.defect) + 1)
            for at, instance in enumerate(data.instances)
            if instance.row in wanted
        ],
        "categories": [{"id": at + 1, "name": name, "supercategory": "defect"} for at, name in enumerate(data.classes)],
    }


def _annotation(at: int, instance: Instance, category: int) -> dict[str, Any]:
    return {
        "id": at,
        "image_id": instance.row + 1,
        "category_id": category,
        "bbox": [float(value) for value in instance.xywh],
        "area": instance.area,
        "iscrowd": 0,
        "segmentation": segmentation(instance),
    }


def segmentation(instance: Instance) -> list[list[float]] | dict[str, Any]:
    """A polygon, which annotation tools can edit, if pycocotools makes the same mask of it; run lengths otherwise.

    A box alone has none. Several parts are run lengths too, for some readers (supervision) take their polygons for one.
    """
    if instance.kind == "box":
        return []
    mask = instance.mask
    lines = outlines(instance)
    if len(lines) == 1 and not holes(instance.crop)[0]:
        polygon = [round(value, 2) for value in lines[0].ravel().tolist()]
        if np.array_equal(coco_mask.decode(coco_mask.frPyObjects([polygon], *instance.size))[..., 0], mask):
            return [polygon]
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(instance.size), "counts": encoded["counts"].decode("ascii")}


def read(folder: Path, images: Path | None = None) -> Dataset:
    """Read what :func:`write` wrote, beside the images if their folder is given.

    Raises:
        Hw3Error: as :func:`read_coco`, or an id that two splits share.
    """
    if images is not None:
        return read_coco(folder / _WHOLE, images)
    files = [(split, folder / "annotations" / f"instances_{split}.json") for split in SPLITS]
    files = [(split, path) for split, path in files if path.is_file()]
    if not files:
        raise Hw3Error(f"{folder}: no annotations/instances_<split>.json; expected a COCO export")
    return _parse([(split, path, read_json(path), folder / split) for split, path in files])


def read_coco(path: str | Path, images: str | Path | None = None, split: str = "train") -> Dataset:
    """Read one COCO file, such as one that a person corrected.

    Args:
        path: the JSON.
        images: folder that its images are in; they must be there and of the size that the file says. None: they are
            not looked for.
        split: of all its images.

    Raises:
        Hw3Error: no JSON or not COCO's, an id that is unknown or given twice, a missing image, a polygon or box
            outside its image, run lengths of another size.
    """
    path = Path(path)
    return _parse([(split, path, read_json(path), None if images is None else Path(images))])


def _parse(files: Iterable[tuple[str, Path, dict[str, Any], Path | None]]) -> Dataset:
    names: list[str] = []
    sources, sizes, splits, found = [], [], [], []
    classes: dict[int, str] = {}
    rows: dict[int, int] = {}
    seen: set[int] = set()
    used: set[Path] = set()
    licence = UNKNOWN
    for split, path, content, images in files:
        listed = _categories(content, path)
        if classes and listed != classes:
            raise Hw3Error(f"{path}: its categories are not those of the other splits")
        classes = listed
        licence = _licence(content) or licence
        for record in records(content, "images", path):
            key = whole(record.get("id"), 0, f"{path}: id of an image")
            where = f"{path}: image {key}"
            if key in rows:
                raise Hw3Error(f"{where}: its id is given twice")
            size = image_shape(record.get("width"), record.get("height"), where)
            source = inside(images or path.parent, record.get("file_name"), where)
            if images is not None and (real := image_size(source)) != size:
                raise Hw3Error(f"{where}: says {size[1]}x{size[0]} pixels, {source} has {real[1]}x{real[0]}")
            if source in used:
                raise Hw3Error(f"{where}: {record['file_name']!r} is another image's file already")
            used.add(source)
            rows[key] = len(names)
            names.append(record["file_name"])
            sources.append(str(source))
            sizes.append(size)
            splits.append(split)
        for record in records(content, "annotations", path):
            key = whole(record.get("id"), 0, f"{path}: id of an annotation")
            where = f"{path}: annotation {key}"
            if key in seen:
                raise Hw3Error(f"{where}: its id is given twice")
            seen.add(key)
            for field, known in (("image_id", rows), ("category_id", classes)):
                if not isinstance(record.get(field), int) or record[field] not in known:
                    raise Hw3Error(f"{where}: {field} {str(record.get(field))[:40]} is unknown")
            row = rows[record["image_id"]]
            found.append(_instance(record, row, classes[record["category_id"]], sizes[row], where))
    return Dataset(names, sources, sizes, splits, Instances(found), [classes[key] for key in sorted(classes)], licence)


def _categories(content: dict[str, Any], path: Path) -> dict[int, str]:
    classes: dict[int, str] = {}
    for record in records(content, "categories", path):
        key = whole(record.get("id"), 0, f"{path}: id of a category")
        name = text(record.get("name"), f"{path}: category {key}")
        if key in classes or name in classes.values():
            raise Hw3Error(f"{path}: category {key} ({name}): its id or its name is given twice")
        classes[key] = name
    return classes


def _licence(content: dict[str, Any]) -> Licence | None:
    listed = content.get("licenses")
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
        return None
    return Licence(str(listed[0].get("name", "")), str(listed[0].get("url", "")))


def _instance(record: dict[str, Any], row: int, defect: str, size: tuple[int, int], where: str) -> Instance:
    if record.get("segmentation") == [] and record.get("bbox"):
        x, y, width, height = numbers(record["bbox"], 4, f"{where}: bbox")
        return box_instance(row, defect, (x, y, x + width, y + height), size, where)
    mask = _mask(record, size, where)
    if not mask.any():
        raise Hw3Error(f"{where}: its mask is empty")
    return Instance.from_mask(row, defect, mask)


def _mask(record: dict[str, Any], size: tuple[int, int], where: str) -> np.ndarray:
    shape = record.get("segmentation")
    if isinstance(shape, dict):
        return run_lengths(shape, size, where)
    if not isinstance(shape, list) or not shape:
        raise Hw3Error(f"{where}: expected a segmentation, a list of polygons or run lengths")
    polygons = []
    for polygon in shape:
        values = numbers(polygon, None, f"{where}: polygon")
        if len(values) % 2:
            raise Hw3Error(f"{where}: a polygon of {len(values)} numbers, expected x and y of each point")
        check_polygon(np.array(values).reshape(-1, 2), size, where)
        polygons.append(values)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *size))).astype(bool)
