"""Indexed PNG: the value of a pixel is its class, 0 is background. What semantic segmentation learns from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from hw3lib.annotate.dataset import Dataset, Licence
from hw3lib.annotate.instances import Instance, Instances, components
from hw3lib.annotate.pictures import image_size, save_image
from hw3lib.core.untrusted import read_json
from hw3lib.core.values import text
from hw3lib.errors import Hw3Error

from .lost import Lost
from .reading import images_by_split, read_indexed

_MOST_CLASSES = 255
# Okabe and Ito's colours, from the second on; background is black.
_COLOURS = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)]


def write(folder: Path, data: Dataset) -> Lost:
    """Write ``images/<split>``, ``masks/<split>/<stem>.png`` of every image, good ones too, and ``classes.json``.

    Where instances of two classes overlap, the smaller one is kept. Instances of one class that touch or overlap become
    one, and parts of an instance that do not touch become several.

    Raises:
        Hw3Error: more classes than a byte can tell.
    """
    if len(data.classes) > _MOST_CLASSES:
        raise Hw3Error(f"indexed PNG: {len(data.classes)} classes, expected at most {_MOST_CLASSES}")
    content = {"background": 0, "classes": {name: at for at, name in enumerate(data.classes, 1)}}
    content |= {"license": data.licence.name, "license_url": data.licence.url}
    (folder / "classes.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    ious, pixels, merged, parts = [], 0, 0, 0
    for row, found in enumerate(data.by_image()):
        split, name, size = data.splits[row], data.names[row], data.sizes[row]
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        save_image(data.sources[row], folder / "images" / split / name, size, data.reading)
        values = np.zeros(size, np.uint8)
        for instance in sorted(found, key=lambda i: -i.area):
            instance.within(values)[instance.crop] = data.classes.index(instance.defect) + 1
        picture = Image.fromarray(values)
        picture.putpalette(_palette())  # makes it indexed and leaves the values as they are
        picture.save(folder / "masks" / split / f"{Path(name).stem}.png")
        for instance in found:
            kept = (instance.within(values) == data.classes.index(instance.defect) + 1) & instance.crop
            pixels += instance.area - int(kept.sum())
            ious.append(kept.sum() / instance.area)
        left = len(_split_up(values, row, data.classes))
        merged, parts = merged + max(len(found) - left, 0), parts + max(left - len(found), 0)
    iou, lowest = (float(np.mean(ious)), float(min(ious))) if ious else (1.0, 1.0)
    return Lost(0, 0, pixels, parts, merged, iou, lowest)


def _palette() -> list[int]:
    colours = [(0, 0, 0), *(_COLOURS[at % len(_COLOURS)] for at in range(_MOST_CLASSES))]
    return [value for colour in colours for value in colour]


def _split_up(values: np.ndarray, row: int, classes: list[str]) -> list[Instance]:
    masks = [(row, name, values == at) for at, name in enumerate(classes, 1)]
    return list(components(mask for mask in masks if mask[2].any()))


def read(folder: Path) -> Dataset:
    """Read what :func:`write` wrote; each 8-connected area of a class is an instance.

    Raises:
        Hw3Error: no or a wrong ``classes.json``, a mask without its image or an image without its mask, another size,
            a value that no class has.
    """
    path = folder / "classes.json"
    content = read_json(path)
    listed = content.get("classes")
    if not isinstance(listed, dict) or sorted(map(str, listed.values())) != sorted(map(str, range(1, len(listed) + 1))):
        raise Hw3Error(f"{path}: classes: expected names with the values 1, 2, ...")
    classes = [text(name, f"{path}: class") for name in sorted(listed, key=lambda name: int(listed[name]))]
    names: list[str] = []
    sources, sizes, splits, found = [], [], [], []
    for split, image, mask in images_by_split(
        folder, "masks", ".png", lambda path, place: f"a mask without an image; expected {place / path.name}"
    ):
        size = image_size(image)
        values = read_indexed(mask, size, image)
        if values.max(initial=0) > len(classes):
            raise Hw3Error(f"{mask}: holds the value {values.max()}, expected 0 to {len(classes)}")
        found += _split_up(values, len(names), classes)
        names.append(image.name)
        sources.append(str(image))
        sizes.append(size)
        splits.append(split)
    licence = Licence(str(content.get("license", "unknown")), str(content.get("license_url", "")))
    return Dataset(names, sources, sizes, splits, Instances(found), classes, licence)
