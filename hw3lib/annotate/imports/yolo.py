"""YOLO: a text an image, boxes, polygons or turned boxes in shares of its sides, in any layout that is in use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hw3lib.annotate.formats.yolo import LISTED, label_rows, read_names, read_yaml
from hw3lib.core.untrusted import read_text
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error

from .drawn import Entry, Polygon, Shape, Told, box
from .files import ImageFiles, files_below

Keypoints = tuple[int, int] | None  # how many, and numbers of each
_LISTS = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels", "predefined_classes.txt")


def read(source: Path, images: ImageFiles, told: Told) -> Iterator[Entry]:
    """The images of a folder, or of the folder that a ``data.yaml`` lies in, with the labels that belong to them."""
    folder = source if source.is_dir() else source.parent
    if source.is_file() and source.suffix.lower() not in (".yaml", ".yml"):
        raise Hw3Error(f"{source}: expected the folder of images and labels, or its data.yaml")
    names, keypoints = _classes(source, folder)
    labels = {p for p in files_below(folder) if p.suffix.lower() == ".txt" and p.name not in _LISTS}
    rows: dict[Path, list[tuple[int, np.ndarray, str]]] = {}
    used: set[Path] = set()
    for image in images.all():
        if place := _label_of(image, labels, folder, images.folders):
            used.add(place)
            rows[image] = _rows(place)
    if not any(rows.values()):
        raise Hw3Error(
            f"{folder}: no image with a label, rows such as '0 0.5 0.5 0.1 0.2'; expected labels/<name>.txt for "
            "images/<name>.jpg, or the one beside the other"
        )
    for path in sorted(labels - used - {folder / LISTED}):
        told.leave("texts that are no image's labels", path.name)
    turned = _all_turned([values for found in rows.values() for _, values, _ in found], keypoints)
    for image, found in rows.items():
        images.take(image)
        try:
            width, height, _ = read_header(image)
        except Hw3Error as error:
            told.leave(f"images that cannot be read: {error}", image.name)
            continue
        shapes = []
        for number, values, where in found:
            if not names:
                told.change("classes without a name, called by their number", f"class {number}")
            elif number >= len(names):
                raise Hw3Error(f"{where}: class {number}, expected one of 0 to {len(names) - 1} ({', '.join(names)})")
            label = names[number] if names else f"class {number}"
            shapes.append(_shape(values, label, (height, width), keypoints, turned, where))
        yield Entry(image.name, str(image), image, (height, width), shapes)


def _classes(source: Path, folder: Path) -> tuple[list[str], Keypoints]:
    """Names of the classes, none if nothing tells them, and the keypoints that each row ends with."""
    yamls = [source] if source.is_file() else sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    for path in yamls:
        content = read_yaml(path)
        if "names" in content:
            shape = content.get("kpt_shape")
            if isinstance(shape, list) and [type(n) for n in shape] == [int, int] and shape[1] in (2, 3):
                return read_names(content["names"], path), (max(shape[0], 0), shape[1])
            return read_names(content["names"], path), None
    for name in _LISTS:
        for path in [folder / name, folder / "labels" / name, *sorted(folder.glob(f"*/{name}"))]:
            if path.is_file():
                return [line.strip() for line in read_text(path, 1_000_000).splitlines() if line.strip()], None
    return [], None


def _label_of(image: Path, labels: set[Path], folder: Path, roots: list[Path]) -> Path | None:
    """The label of an image: beside it, where ``images`` in its path is ``labels``, or in ``labels`` as in its root."""
    parts = list(image.parts)
    places = [image.with_suffix(".txt")]
    for at in range(len(parts) - 2, 0, -1):
        if parts[at].lower() == "images":
            places.insert(0, Path(*parts[:at], "labels", *parts[at + 1 :]).with_suffix(".txt"))
    places.append(image.parent / "labels" / f"{image.stem}.txt")
    for root in roots:
        if image.is_relative_to(root):
            below = image.relative_to(root).with_suffix(".txt")
            places += [folder / "labels" / below, folder / below]
    return next((place for place in places if place in labels), None)


def _rows(path: Path) -> list[tuple[int, np.ndarray, str]]:
    found = []
    for fields, values, where in label_rows(path):
        if values[0] != int(values[0]) or not 0 <= values[0] < 10**6:
            raise Hw3Error(f"{where}: class {fields[0][:20]}, expected an integer from 0 on")
        found.append((int(values[0]), values[1:], where))
    return found


def _all_turned(rows: list[np.ndarray], keypoints: Keypoints) -> bool:
    """Whether all rows are four corners at right angles: turned boxes, which polygons of a segmentation never all are.

    Shares of unlike sides distort angles, so that parallel opposite sides are asked for instead.
    """
    if keypoints or not rows or any(len(values) != 8 for values in rows):
        return False
    corners = np.array(rows).reshape(-1, 4, 2)
    gap = np.abs(corners[:, 0] + corners[:, 2] - corners[:, 1] - corners[:, 3]).max(1)
    return bool((gap < 0.002).all())


def _shape(
    values: np.ndarray, label: str, size: tuple[int, int], keypoints: Keypoints, turned: bool, where: str
) -> Shape:
    scale = np.array([size[1], size[0]], float)
    posed = keypoints is not None and len(values) == 4 + keypoints[0] * keypoints[1]
    if posed or len(values) in (4, 5):  # the fifth is a confidence
        x, y, width, height = values[:4] * np.tile(scale, 2)
        corners = box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        shape = Shape(label, box=corners)
        if posed and keypoints and len(values) > 4:
            marks = values[4:].reshape(keypoints)
            seen = marks[:, 2] > 0 if keypoints[1] == 3 else marks.any(1)
            shape.points = marks[seen, :2] * scale if seen.any() else None
        return shape
    if len(values) < 6 or len(values) % 2:
        raise Hw3Error(f"{where}: {len(values)} shares, expected 4 of a box or x and y of three points or more")
    points = values.reshape(-1, 2) * scale
    return Shape(label, box=points) if turned else Shape(label, [Polygon(points)])
