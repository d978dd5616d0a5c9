"""Label Studio's JSON export: a list of tasks, each with an image's address and what was drawn, in percent."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hw3lib.core.untrusted import read_json_value
from hw3lib.core.values import number, numbers, records, text
from hw3lib.data.folders.contents import IMAGE_SUFFIXES
from hw3lib.data.regions.shapes import box_corners
from hw3lib.errors import Hw3Error

from .drawn import Bitmap, Ellipse, Entry, Polygon, Shape, Told
from .files import ImageFiles, NotFound, documents
from .labelme import picture

_WORDS = ("rectangle", "ellipse", "polygon", "keypoint", "brush", "bitmask")
_BESIDE = ("choices", "taxonomy", "textarea", "rating", "number", "relation", "pairwise", "datetime")  # nothing drawn


def read(source: Path, images: ImageFiles, told: Told) -> Iterator[Entry]:
    """The images of one JSON, or of all in a folder that are lists of tasks."""
    what = "Label Studio's: expected a list of tasks with 'data' and 'annotations', exported as JSON (not JSON-MIN)"
    for path, tasks in documents(source, ".json", _tasks, bool, what, told):
        for at, task in enumerate(tasks):
            if entry := _entry(task, path, f"{path}: task {str(task.get('id', at))[:20]}", images, told):
                yield entry


def _tasks(path: Path) -> list[dict[str, Any]]:
    content = read_json_value(path)
    tasks = [content] if isinstance(content, dict) and "data" in content else content
    is_list = isinstance(tasks, list) and all(isinstance(task, dict) and "data" in task for task in tasks)
    return tasks if is_list else []


def _entry(task: dict[str, Any], path: Path, where: str, images: ImageFiles, told: Told) -> Entry | None:
    address = _address(task, where)
    chosen = _annotation(task, address, where, told)
    if chosen is None:
        images.forget(address, path.parent)
        return None
    image: Path | bytes
    if address.startswith("data:"):
        try:
            image = base64.b64decode(address.partition(",")[2], validate=True)
        except (binascii.Error, ValueError):
            raise Hw3Error(f"{where}: its image is no base64 text") from None
        address = f"task_{task.get('id', 0)}"
    else:
        try:
            image = images.find(address, path.parent, upload=True)
        except NotFound as reason:
            told.leave(f"images that are {reason}", address[-80:])
            return None
    found, tags, size, lost = _results(chosen, where, told)
    name = image.name if isinstance(image, Path) else address
    return Entry(name, where, image, size, found, tags, seen=bool(task.get("annotations")), lost=lost)


def _address(task: dict[str, Any], where: str) -> str:
    """Where the task's image is: under ``image``, or the one text that is the address of an image."""
    data = task["data"]
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    named = [v for v in texts.values() if v.lower().split("?")[0].endswith(IMAGE_SUFFIXES) or "/local-files/?d=" in v]
    found = texts.get("image") or (named[0] if len(set(named)) == 1 else None)
    return text(found, f"{where}: address of its image (data.image)")


def _annotation(task: dict[str, Any], address: str, where: str, told: Told) -> list[dict[str, Any]] | None:
    """The results that count: of the last annotation that is not cancelled, or where there is none of a prediction."""
    done = records(task, "annotations", where) if task.get("annotations") else []
    valid = [annotation for annotation in done if not annotation.get("was_cancelled")]
    name = address[-80:]
    if done and not valid:
        told.leave("images whose annotations were all cancelled", name)
        return None
    if len(valid) > 1:
        told.change("images with several annotations, of which the last is taken", name)
        valid = [a for a in valid if a.get("ground_truth")] or valid
    if not valid and task.get("predictions"):
        valid = [p for p in records(task, "predictions", where) if "result" in p]
        told.change("images without annotation, of which the last prediction is taken", name)
    none: dict[str, Any] = {"result": []}
    last = max(valid, key=lambda a: str(a.get("updated_at") or a.get("created_at") or ""), default=none)
    return records(last, "result", where)


def _results(results: list[dict[str, Any]], where: str, told: Told):
    """Shapes, image labels, the size ``(H, W)`` of an annotation's results, and whether one was left out.

    What was drawn and its label may be two results of one id.
    """
    regions: dict[str, list[dict[str, Any]]] = {}
    for at, result in enumerate(results):
        regions.setdefault(str(result.get("id", f"result {at}")), []).append(result)
    found: list[Shape] = []
    tags: list[str] = []
    size: tuple[int, int] | None = None
    lost = False
    for key, parts in regions.items():
        here = f"{where}: region {key[:20]}"
        drawn = [result for result in parts if _kind(result)]
        if not drawn:
            for result in parts:
                tags += _named(result, ("choices",))
                if (kind := str(result.get("type"))) not in _BESIDE:
                    told.leave(f"regions of the kind {kind[:30]!r}", here)
                    lost = True
            continue
        result = drawn[0]
        labels = [name for part in parts for name in _named(part, ("labels",))] or [
            name for part in parts for name in _named(part, tuple(f"{word}labels" for word in _WORDS))
        ]
        if len(set(labels)) > 1:
            told.change("regions of several labels, of which the first is taken", here)
        if not labels:
            told.change("regions without a label, taken as 'defect'", here)
        if result.get("image_rotation"):
            told.leave("regions on an image that was turned in Label Studio", here)
            lost = True
            continue
        sides = [number(result.get(f"original_{side}"), f"{here}: original_{side}") for side in ("height", "width")]
        if min(sides) < 1 or max(sides) > 1e6:
            raise Hw3Error(f"{here}: an image of {sides[1]:g}x{sides[0]:g} pixels")
        size = int(sides[0]), int(sides[1])
        found.append(_shape(result, labels[0] if labels else "defect", size, here))
    return found, tags, size, lost


def _kind(result: dict[str, Any]) -> str | None:
    """What was drawn, by the values that are there: a result of type ``labels`` holds a rectangle or an ellipse too."""
    value = result.get("value")
    if not isinstance(value, dict):
        return None
    fields = {
        "brush": ("rle",),
        "bitmask": ("imageDataURL",),
        "polygon": ("points",),
        "ellipse": ("radiusX", "radiusY"),
        "rectangle": ("x", "y", "width", "height"),
        "keypoint": ("x", "y"),
    }
    if str(result.get("type", "")).startswith("keypoint"):  # whose width is that of its mark
        return "keypoint"
    return next((kind for kind, names in fields.items() if all(name in value for name in names)), None)


def _named(result: dict[str, Any], keys: tuple[str, ...]) -> list[str]:
    value = result.get("value")
    names = [value.get(key) for key in keys] if isinstance(value, dict) else []
    listed = [name for found in names if isinstance(found, list) for name in found]
    return [name for name in listed if isinstance(name, str) and name.strip()]


def _shape(result: dict[str, Any], label: str, size: tuple[int, int], where: str) -> Shape:
    value, kind = result["value"], _kind(result)
    across, down = size[1] / 100, size[0] / 100

    def percent(*names: str) -> list[float]:
        return [number(value.get(name), f"{where}: {name}") for name in names]

    if kind == "brush":
        data = value["rle"]
        if not isinstance(data, list):
            raise Hw3Error(f"{where}: rle: expected a list of bytes")
        return Shape(label, [Bitmap(0, 0, size, partial(brush, data, size, where))])
    if kind == "bitmask":
        data = text(value["imageDataURL"], f"{where}: imageDataURL").partition(",")[2]
        return Shape(label, [Bitmap(0, 0, size, partial(picture, data, size, where))])
    if kind == "polygon":
        if not isinstance(value["points"], list) or not value["points"]:
            raise Hw3Error(f"{where}: points: expected a list of x and y in percent")
        points = np.array([numbers(pair, 2, f"{where}: point") for pair in value["points"]])
        return Shape(label, [Polygon(points * (across, down))])
    if kind == "ellipse":
        x, y, first, second = percent("x", "y", "radiusX", "radiusY")
        degrees = number(value.get("rotation", 0), f"{where}: rotation")
        return Shape(label, [Ellipse(x * across, y * down, first * across, second * down, degrees)])
    if kind == "rectangle":
        x, y, width, height = percent("x", "y", "width", "height")
        degrees = number(value.get("rotation", 0), f"{where}: rotation")
        corner = x * across, y * down  # about which it is turned
        return Shape(label, box=box_corners(*corner, width * across, height * down, degrees, corner))
    x, y = percent("x", "y")
    return Shape(label, points=np.array([(x * across, y * down)]))


def brush(data: list[Any], size: tuple[int, int], where: str) -> np.ndarray:
    """The mask of a brush, bool ``size``: the last of four channels, of which each byte follows in runs.

    The list's bytes are a stream of bits: the number of bytes in all (32), bits a byte less one (5), the bits of four
    kinds of run lengths less one (4 each), and then runs: whether one byte is repeated (1), the kind of its length (2),
    its length less one, and the byte or the bytes.

    Source: ``rle-pack`` of thi.ng/umbrella, which Label Studio packs brushes with.

    Raises:
        Hw3Error: no bytes, another size, or an end before the last pixel.
    """
    try:
        packed = bytes(data)
    except (TypeError, ValueError):
        raise Hw3Error(f"{where}: rle: expected a list of bytes, 0 to 255") from None
    bits = np.unpackbits(np.frombuffer(packed + bytes(8), np.uint8))
    position, length = 0, 8 * len(packed)

    def take(count: int) -> int:
        nonlocal position
        start, position = position, position + count
        if position > length:
            raise Hw3Error(f"{where}: rle: ends before the last of {size[1]}x{size[0]} pixels")
        window = int.from_bytes(packed[start // 8 : start // 8 + 6].ljust(6, b"\0"), "big")
        return window >> (48 - count - start % 8) & ((1 << count) - 1)

    total = take(32)
    if total != 4 * size[0] * size[1]:
        raise Hw3Error(f"{where}: rle: {total} bytes, expected {4 * size[0] * size[1]} of {size[1]}x{size[0]} pixels")
    word = take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    if word != 8:
        raise Hw3Error(f"{where}: rle: values of {word} bits, expected 8")
    found, at = np.zeros(total, np.uint8), 0
    while at < total:
        repeated = take(1)
        count = min(take(widths[take(2)]) + 1, total - at)
        if repeated:
            found[at : at + count] = take(word)
        else:
            if position + count * word > length:
                raise Hw3Error(f"{where}: rle: ends before the last of {size[1]}x{size[0]} pixels")
            found[at : at + count] = np.packbits(bits[position : position + count * word])
            position += count * word
        at += count
    return found.reshape(*size, 4)[..., 3] > 127
