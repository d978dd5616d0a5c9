"""What SAM learns from and is asked with: each instance's image, mask, tight box, and points on and beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hw3lib.annotate.dataset import SPLITS, Dataset, Licence
from hw3lib.annotate.instances import Instance, Instances, union
from hw3lib.annotate.pictures import image_size, save_image
from hw3lib.annotate.prompts import interior_click
from hw3lib.core.untrusted import read_json
from hw3lib.core.values import numbers, records, text
from hw3lib.errors import Hw3Error

from .lost import Lost
from .reading import box_instance, image_shape, inside, read_indexed


def write(folder: Path, data: Dataset) -> Lost:
    """Write ``images/<image>``, ``masks/<number>_<stem>.png`` (0 and 255) and ``prompts.json``; nothing is lost.

    ``prompts.json`` lists the images and, for each instance, ``image``, ``mask``, ``class``, ``box`` (left, top, right,
    bottom in pixels; right and bottom are the first ones outside), ``positive`` (the most interior pixel) and
    ``negative`` (see :func:`negative_points`), x and y of pixels.
    """
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    listed = []
    prompts: list[dict[str, Any]] = []
    for row, found in enumerate(data.by_image()):
        name, size = data.names[row], data.sizes[row]
        save_image(data.sources[row], folder / "images" / name, size, data.reading)
        listed.append({"file": name, "width": size[1], "height": size[0], "split": data.splits[row]})
        defective = union(found) if found else np.zeros(size, bool)
        for instance in found:
            mask = f"{len(prompts) + 1:05d}_{Path(name).stem}.png"  # numbered in front: no two can be the same
            Image.fromarray(instance.mask).save(folder / "masks" / mask)
            prompts.append(
                {
                    "image": name,
                    "mask": mask,
                    "class": instance.defect,
                    "box": list(map(int, instance.xyxy)),
                    "positive": [list(map(int, interior_click(instance)))],
                    "negative": negative_points(instance, defective),
                }
            )
    content = {
        "license": data.licence.name,
        "license_url": data.licence.url,
        "classes": data.classes,
        "images": listed,
        "prompts": prompts,
    }
    (folder / "prompts.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return Lost()


def negative_points(instance: Instance, defective: np.ndarray) -> list[list[int]]:
    """Up to four points that are not the defect: left, above, right and below its box, where the image goes on.

    A point lies half the box's side away from it, or half way to the edge of the image if that is nearer.

    Args:
        defective: bool ``(H, W)``, every defect of the image; no point lies on one.

    Returns:
        x and y of pixels.
    """
    left, top, right, bottom = instance.xyxy
    height, width = instance.size
    x, y = (left + right) // 2, (top + bottom) // 2
    across, down = (right - left + 1) // 2, (bottom - top + 1) // 2
    places = [
        (left - 1 - min(across, left // 2), y) if left else None,
        (x, top - 1 - min(down, top // 2)) if top else None,
        (right + min(across, (width - right) // 2), y) if right < width else None,
        (x, bottom + min(down, (height - bottom) // 2)) if bottom < height else None,
    ]
    points = [(max(0, min(place[0], width - 1)), max(0, min(place[1], height - 1))) for place in places if place]
    return [[int(a), int(b)] for a, b in points if not defective[b, a]]


def read(folder: Path) -> Dataset:
    """Read what :func:`write` wrote; the masks are the instances.

    Raises:
        Hw3Error: as :func:`hw3lib.core.untrusted.read_json`, a missing image or mask, one of another size, an unknown
            image, a mask that is empty, that is not the box's, or that no prompt names.
    """
    path = folder / "prompts.json"
    content = read_json(path)
    names: list[str] = []
    sources, sizes, splits, rows = [], [], [], {}
    for record in records(content, "images", path):
        name = text(record.get("file"), f"{path}: file of an image")
        size = image_shape(record.get("width"), record.get("height"), f"{path}: {name}")
        source = inside(folder / "images", name, path)
        if name in rows:
            raise Hw3Error(f"{path}: image {name!r} is listed twice")
        if (real := image_size(source)) != size:
            raise Hw3Error(f"{path}: {name}: says {size[1]}x{size[0]} pixels, {source} has {real[1]}x{real[0]}")
        if record.get("split") not in SPLITS:
            raise Hw3Error(f"{path}: {name}: split {record.get('split')!r}, expected {', '.join(SPLITS)}")
        rows[name] = len(names)
        names.append(name)
        sources.append(str(source))
        sizes.append(size)
        splits.append(record["split"])
    if not isinstance(listed := content.get("classes") or [], list):
        raise Hw3Error(f"{path}: expected a list of names under 'classes'")
    classes = [text(name, f"{path}: class") for name in listed]
    found, used = [], set()
    for at, record in enumerate(records(content, "prompts", path)):
        where = f"{path}: prompt {at}"
        if text(record.get("image"), f"{where}: image") not in rows:
            raise Hw3Error(f"{where}: a mask without an image: {str(record.get('image'))[:60]!r} is not listed")
        if record.get("class") not in classes:
            raise Hw3Error(f"{where}: class {str(record.get('class'))[:60]!r}, expected one of {', '.join(classes)}")
        row = rows[record["image"]]
        mask = read_indexed(inside(folder / "masks", record.get("mask"), where), sizes[row], where) > 0
        used.add(record["mask"])
        box = numbers(record.get("box"), 4, f"{where}: box")
        box_instance(row, record["class"], box, sizes[row], where)  # refuses one outside the image
        if not mask.any():
            raise Hw3Error(f"{where}: its mask {record['mask']} is empty")
        instance = Instance.from_mask(row, record["class"], mask)
        if list(instance.xyxy) != box:
            raise Hw3Error(f"{where}: its box is {box}, that of its mask {list(instance.xyxy)}")
        found.append(instance)
    for file in sorted((folder / "masks").glob("*.png")):
        if file.name not in used:
            raise Hw3Error(f"{file}: a mask that no prompt names; delete it or restore its prompt")
    licence = Licence(str(content.get("license", "unknown")), str(content.get("license_url", "")))
    return Dataset(names, sources, sizes, splits, Instances(found), classes, licence)
