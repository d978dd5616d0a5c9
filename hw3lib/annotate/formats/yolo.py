"""YOLO's folders, detection and segmentation: one text an image, shares of width and height, and ``data.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hw3lib.annotate.dataset import SPLITS, Dataset, Licence
from hw3lib.annotate.instances import Instance, Instances
from hw3lib.annotate.pictures import image_size, save_image
from hw3lib.core.untrusted import parse, read_text
from hw3lib.errors import Hw3Error

from .lost import Lost
from .polygons import fill, holes, outlines
from .reading import box_instance, check_polygon, images_by_split, inside

SMALLEST = 10  # pixels a side of an image that ultralytics takes
LISTED = "images.txt"
_SLACK = 0.01  # shares may exceed 0 to 1 by it, as ultralytics allows


def write_boxes(folder: Path, data: Dataset, beside: bool = False) -> Lost:
    """Write ``images/<split>``, ``labels/<split>`` with rows ``class x y width height``, and ``data.yaml``.

    Images without instances have no label file: they are background. ``data.yaml`` has no ``path``, so that its folder
    is the root wherever it is moved to. ``beside`` images that are not copied there are ``labels/<folder>/<stem>.txt``,
    ``images.txt``, which lists them, those without label file too, and ``data.yaml`` names no splits.

    Raises:
        Hw3Error: no image to train on or none to validate on, or one of fewer than 10 pixels a side.
    """

    def rows(instance: Instance) -> list[list[float]]:
        (x, y, w, h), (height, width) = instance.xywh, instance.size
        return [[(x + w / 2) / width, (y + h / 2) / height, w / width, h / height]]

    merged = _write(folder, data, rows, beside)
    return Lost(shapes=len(data.instances), merged=merged, iou=None, lowest_iou=None)


def write_polygons(folder: Path, data: Dataset, beside: bool = False) -> Lost:
    """As :func:`write_boxes`, with rows ``class x1 y1 x2 y2 ...``: polygons that ultralytics fills exactly.

    YOLO has neither holes nor parts: holes are filled, and each part is an instance of its own.
    """
    ious, filled, pixels, parts = [], 0, 0, 0

    def rows(instance: Instance) -> list[list[float]]:
        nonlocal filled, pixels, parts
        lines = outlines(instance)
        (x, y), crop = (instance.x, instance.y), instance.crop
        kept = np.logical_or.reduce([fill(line - (x, y), crop.shape) for line in lines])
        filled += holes(crop)[0]
        pixels += int((kept ^ crop).sum())
        parts += len(lines) - 1
        ious.append((kept & crop).sum() / (kept | crop).sum())
        return [(line / (instance.size[1], instance.size[0])).ravel().tolist() for line in lines]

    merged = _write(folder, data, rows, beside)
    iou, lowest = (float(np.mean(ious)), float(min(ious))) if ious else (1.0, 1.0)
    return Lost(0, filled, pixels, parts, merged, iou, lowest)


def _write(folder: Path, data: Dataset, rows: Any, beside: bool) -> int:
    """Write the folder; how many rows were left out because ultralytics removes repeated ones with a warning."""
    _refuse(data, ("train", "val") if not beside else ())
    repeated = 0
    for row, found in enumerate(data.by_image()):
        split, name = data.splits[row], data.names[row]
        label = folder / "labels" / ("" if beside else split) / Path(name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        if not beside:
            (folder / "images" / split).mkdir(parents=True, exist_ok=True)
            save_image(data.sources[row], folder / "images" / split / name, data.sizes[row], data.reading)
        lines = [
            " ".join([str(data.classes.index(i.defect)), *(f"{value:.8f}" for value in line)])
            for i in found
            for line in rows(i)
        ]
        unique = list(dict.fromkeys(lines))
        repeated += len(lines) - len(unique)
        if unique:
            label.write_text("\n".join(unique) + "\n", encoding="utf-8")
    if beside:
        (folder / LISTED).write_text("".join(f"{name}\n" for name in data.names), encoding="utf-8")
    content: dict[str, Any] = {s: f"images/{s}" for s in SPLITS if s in data.splits and not beside}
    content |= {"names": dict(enumerate(data.classes)), "license": data.licence.name, "license_url": data.licence.url}
    with (folder / "data.yaml").open("w", encoding="utf-8") as file:
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
    return repeated


def _refuse(data: Dataset, splits: Sequence[str]) -> None:
    for split in splits:
        if split not in data.splits:
            raise Hw3Error(f"YOLO: no image in the split {split!r}; data.yaml needs images to train and to validate on")
    if not data.classes:
        raise Hw3Error("YOLO: no class; expected at least one instance, or the names of the classes")
    for name, size in zip(data.names, data.sizes, strict=True):
        if min(size) < SMALLEST:
            raise Hw3Error(f"{name}: {size[1]}x{size[0]} pixels; ultralytics takes images of {SMALLEST} or more a side")


def read(folder: Path, images: Path | None = None) -> Dataset:
    """Read a YOLO folder; boxes and polygons may differ from image to image, but not within one.

    Given the folder of the images, read what was written beside them.

    Raises:
        Hw3Error: no ``data.yaml`` or a wrong one, a label without image, a class that it does not name, a value that
            is no number or lies outside the image.
    """
    content = read_yaml(folder / "data.yaml")
    classes = read_names(content.get("names"), folder / "data.yaml")
    licence = Licence(str(content.get("license", "unknown")), str(content.get("license_url", "")))
    names: list[str] = []
    sources, sizes, splits, found = [], [], [], []
    pairs: Iterable[tuple[str, Path, Path]]
    if images is None:
        pairs = images_by_split(folder, "labels", ".txt", lambda path, place: f"belongs to no image in {place}")
    else:
        pairs = _listed(folder, images)
    for split, image, label in pairs:
        size = image_size(image)
        if label.is_file():
            found += _instances(label, len(names), classes, size)
        names.append(image.name if images is None else image.relative_to(images).as_posix())
        sources.append(str(image))
        sizes.append(size)
        splits.append(split)
    return Dataset(names, sources, sizes, splits, Instances(found), classes, licence)


def _listed(folder: Path, images: Path) -> list[tuple[str, Path, Path]]:
    """Images of ``images.txt`` with the paths of their labels.

    Raises:
        Hw3Error: a name that leads out of the folder, or a label of an image that is not listed.
    """
    names = [line for line in read_text(folder / LISTED).splitlines() if line.strip()]
    labels = folder / "labels"
    found = [
        ("train", inside(images, name, folder / LISTED), labels / Path(name).with_suffix(".txt")) for name in names
    ]
    used = {label for *_, label in found}
    for path in sorted(labels.rglob("*.txt")):
        if path not in used:
            raise Hw3Error(f"{path}: belongs to no image in {folder / LISTED}")
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = parse(read_text(path, 1_000_000))
    except ValueError as error:
        raise Hw3Error(f"{path}: is not YAML: {str(error)[:200]}") from None
    if not isinstance(content, dict):
        raise Hw3Error(f"{path}: expected train, val and names")
    return content


def read_names(found: Any, path: Path) -> list[str]:
    if isinstance(found, dict) and sorted(found, key=str) == sorted(range(len(found)), key=str):
        found = [found[at] for at in range(len(found))]
    if isinstance(found, list):  # YAML takes a class named 3 for a number
        found = [str(name) if type(name) is int else name for name in found]
    if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
        raise Hw3Error(f"{path}: names: expected the classes, a list or numbered from 0")
    return found


def label_rows(path: Path) -> Iterator[tuple[list[str], np.ndarray, str]]:
    """The lines of a label file: as written, as finite numbers, float ``(n,)``, and where each is, for errors.

    Raises:
        Hw3Error: what is no number, or not finite; or as :func:`hw3lib.core.untrusted.read_text`.
    """
    for at, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        where = f"{path}: line {at}"
        try:
            values = np.array(fields, float)
        except ValueError:
            raise Hw3Error(f"{where}: found {line[:60]!r}, expected numbers") from None
        if not np.isfinite(values).all():
            raise Hw3Error(f"{where}: a value is not finite")
        yield fields, values, where


def _instances(path: Path, row: int, classes: list[str], size: tuple[int, int]) -> list[Instance]:
    found, kinds = [], set()
    for fields, values, where in label_rows(path):
        number, shares = values[0], values[1:]
        if number != int(number) or not 0 <= number < len(classes):
            raise Hw3Error(
                f"{where}: class {fields[0]}, expected one of 0 to {len(classes) - 1} ({', '.join(classes)})"
            )
        if shares.min(initial=0) < -_SLACK or shares.max(initial=0) > 1 + _SLACK:
            worst = shares[np.abs(shares - 0.5).argmax()]
            raise Hw3Error(f"{where}: {worst:g} lies outside the image; expected shares of its sides, 0 to 1")
        kinds.add(len(shares) == 4)
        name = classes[int(number)]
        if len(kinds) > 1:
            raise Hw3Error(f"{where}: a box and a polygon in one file; expected one kind")
        if len(shares) == 4:
            x, y, w, h = shares * [size[1], size[0], size[1], size[0]]
            found.append(box_instance(row, name, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), size, where))
            continue
        if len(shares) % 2:
            raise Hw3Error(f"{where}: {len(shares)} shares, expected 4 of a box or x and y of each point")
        points = shares.reshape(-1, 2) * [size[1], size[0]]
        check_polygon(points, size, where)
        mask = fill(np.clip(points, 0, np.array([size[1], size[0]]) - 1e-6), size)
        found.append(Instance.from_mask(row, name, mask))
    return found
