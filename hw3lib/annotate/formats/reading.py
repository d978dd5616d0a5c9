"""Reading what others wrote: every value is checked before it is used, and a mistake is one clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw3lib.annotate.dataset import SPLITS
from hw3lib.annotate.instances import Instance
from hw3lib.core.values import text, whole
from hw3lib.data.folders.contents import IMAGE_SUFFIXES
from hw3lib.data.pixels.decoding import BROKEN, open_image
from hw3lib.errors import Hw3Error

MOST_PIXELS = 200_000_000  # of one image: what Pillow decodes at all


def images_by_split(
    folder: Path, annotations: str, suffix: str, stray: Callable[[Path, Path], str]
) -> Iterator[tuple[str, Path, Path]]:
    """The images of ``folder/images/<split>``, each with its split and the path that its annotation would have.

    Args:
        folder: of a format that keeps images and annotations side by side.
        annotations: folder of the annotations, ``labels`` or ``masks``; those of an image have its stem.
        suffix: of an annotation.
        stray: what is wrong with an annotation, given it and the folder that holds no image of its stem.

    Raises:
        Hw3Error: an annotation without image, or no image at all.
    """
    empty = True
    for split in SPLITS:
        place = folder / "images" / split
        images = sorted(p for p in place.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        stems = {image.stem for image in images}
        for path in sorted((folder / annotations / split).glob(f"*{suffix}")):
            if path.stem not in stems:
                raise Hw3Error(f"{path}: {stray(path, place)}")
        for image in images:
            empty = False
            yield split, image, folder / annotations / split / f"{image.stem}{suffix}"
    if empty:
        raise Hw3Error(f"{folder}: no image in images/{{{','.join(SPLITS)}}}")


def image_shape(width: Any, height: Any, where: str) -> tuple[int, int]:
    """``(H, W)`` of an image, not larger than can be decoded."""
    size = whole(height, 1, f"{where}: height"), whole(width, 1, f"{where}: width")
    if size[0] * size[1] > MOST_PIXELS:
        raise Hw3Error(f"{where}: {size[1]}x{size[0]} pixels, expected at most {MOST_PIXELS:,} in all")
    return size


def inside(folder: Path, name: Any, where: str | Path) -> Path:
    """A file below ``folder``; a name that leads out of it is refused."""
    name = text(name, f"{where}: file name")
    path = folder / name
    if Path(name).is_absolute() or "\\" in name or "\0" in name or ".." in Path(name).parts:
        raise Hw3Error(f"{where}: file name {name!r} leads out of {folder}")
    return path


def box_instance(row: int, defect: str, xyxy: Sequence[float], size: tuple[int, int], where: str) -> Instance:
    """An instance that fills a box, rounded to whole pixels.

    Args:
        xyxy: left, top, right, bottom in pixels, the last two the first ones outside.
        size: ``(H, W)`` of the image.
        where: says which box it is.

    Raises:
        Hw3Error: a box that is empty, or more than a pixel outside the image.
    """
    left, top, right, bottom = (round(value) for value in xyxy)
    if min(xyxy[0], xyxy[1]) < -1 or xyxy[2] > size[1] + 1 or xyxy[3] > size[0] + 1:
        raise Hw3Error(f"{where}: the box {list(xyxy)} lies outside its image of {size[1]}x{size[0]} pixels")
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    if right <= left or bottom <= top:
        raise Hw3Error(f"{where}: the box {list(xyxy)} is empty")
    return Instance(row, defect, left, top, np.ones((bottom - top, right - left), bool), size, "box")


def check_polygon(points: np.ndarray, size: tuple[int, int], where: str) -> None:
    """Refuse a polygon of fewer than three points, or with one more than a pixel outside its image."""
    if len(points) < 3:
        raise Hw3Error(f"{where}: a polygon of {len(points)} points, expected 3 or more")
    low, high = points.min(0), points.max(0)
    if low.min() < -1 or high[0] > size[1] + 1 or high[1] > size[0] + 1:
        raise Hw3Error(
            f"{where}: a polygon from ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g}) lies outside its image "
            f"of {size[1]}x{size[0]} pixels"
        )


def read_indexed(path: Path, size: tuple[int, int], where: str | Path) -> np.ndarray:
    """Pixel values of a mask file as they are stored, integers ``(H, W)``; ``size`` is its image's."""
    try:
        with open_image(path) as image:
            if image.mode not in ("1", "L", "P"):
                raise Hw3Error(f"{path}: a mask of mode {image.mode}, expected one 8-bit value a pixel")
            values = np.asarray(image)
    except FileNotFoundError:
        raise Hw3Error(f"{where}: the mask {path} is missing") from None
    except BROKEN as error:
        raise Hw3Error(f"{path}: mask cannot be decoded: {error}") from None
    if values.shape != tuple(size):
        raise Hw3Error(
            f"{path}: the mask is {values.shape[1]}x{values.shape[0]}, its image is {size[1]}x{size[0]}; "
            "expected the same size"
        )
    return values
