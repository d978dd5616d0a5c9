"""What is a defect in a mask, decided once for every kind of file: grey, colour, palette, alpha, smoothed, a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageOps

from hw3lib.data.pixels.decoding import BROKEN, DEEP_COLOURS, is_deep, mode_of, open_image
from hw3lib.data.pixels.depth import is_inverted, low_bytes, row_boxes, values_of
from hw3lib.data.pixels.geometry import Geometry, refuse_tiles
from hw3lib.data.pixels.reading import Fit, readings_of
from hw3lib.data.table import mask_files
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    import pandas as pd

_MOST_CLASSES = 16  # shades of grey in a palette; what has more is a grey picture, stored in another way


@dataclass(frozen=True, eq=False)
class Region:
    """What one mask file marks.

    Attributes:
        file: path.
        marked: bool ``(H, W)``, True on the defect.
        between: pixels that are neither background nor defect in a smoothed mask, as JPEG and resizing make them; 0 in
            one that holds two values, or a number for each class.
    """

    file: str
    marked: np.ndarray
    between: int = 0


def read_regions(path: str | Path) -> list[Region]:
    """Decode a mask: the one region of a file, or one for each file of a folder, as MVTec LOCO has them.

    What marks a defect in a file:

    - *values* (grey of 1 to 32 bits, float): the smallest is background, so in a mask of zeros and ones, of zeros and
      255 or of class numbers everything but 0 is defect. In a smoothed mask, which has a slope of values between
      background and defect, what is above half is defect; so it is in every JPEG. A slope is told from class numbers by
      its neighbours: a pixel of a class mostly lies among its like and background.
    - *colours*: the brightest of the three channels is the value, so that the darkest blue is a mark. Where colours
      are all as bright, such as red on white, the most frequent one is background.
    - *palettes*: every index but that of the background, which is 0 (the smallest, where there is no 0) whatever its
      colour; or that of black, where the palette has it elsewhere and more of the image is black. A palette of greys in
      their order, or of many greys, is a grey picture.
    - *transparency*: what is opaque is defect, whatever its colour, unless nothing is transparent, or what is opaque is
      itself black and white: then colours decide, and what is transparent is background.

    A mark of orientation is followed, as in images.

    Args:
        path: mask file or folder of such, see the column ``mask`` of :func:`hw3lib.data.load_table`.

    Raises:
        Hw3Error: a file that cannot be decoded or holds NaN or infinity; no file in a folder, or files of several
            sizes.
    """
    return list(_regions(path))


def read_mask(path: str | Path, size: int | None = None) -> np.ndarray:
    """Decode a mask: bool ``(H, W)``, True on the defect; of a folder of masks their union.

    See :func:`read_regions` for what counts as defect. With ``size`` it is reduced to ``(size, size)`` so that a pixel
    is True if any part of it is defective: thin defects survive.

    Raises:
        Hw3Error: as :func:`read_regions`.
    """
    mask = reduce(np.logical_or, (region.marked for region in _regions(path)))
    if size is None:
        return mask
    grey = Image.fromarray(mask.astype(np.float32))
    return np.asarray(grey.resize((size, size), Image.Resampling.BOX)) > 1e-6


def load_masks(table: pd.DataFrame, size: int, fit: Fit | None = None) -> np.ndarray:
    """Masks of a table's images, bool ``(N, size, size)``; all False where an image has none, and on padding.

    A defective image without a mask is not annotated: where that is not the same as having no defect, ask the column
    ``mask``.

    Args:
        table: column ``mask``.
        size: side of the squares in pixels.
        fit: how images come to squares, see :class:`.Geometry`; None: as their category is read.

    Raises:
        Hw3Error: as :func:`read_regions`, or the image of a mask would be cut into several squares.
    """
    result = np.zeros((len(table), size, size), bool)
    for i, (path, reading) in enumerate(zip(table["mask"], readings_of(table), strict=True)):
        if isinstance(path, str):
            mask = read_mask(path)
            geometry = Geometry(mask.shape[1], mask.shape[0], size, fit or reading.fit)
            refuse_tiles(path, geometry)
            result[i] = geometry.mask_squares(mask)[0]
    return result


def _regions(path: str | Path) -> Iterator[Region]:
    shape = None
    for file in mask_files(path):
        region = _decoded(file)
        if shape is not None and region.marked.shape != shape:
            raise Hw3Error(
                f"{file}: the mask is {region.marked.shape[1]}x{region.marked.shape[0]} pixels, the others of its "
                f"folder are {shape[1]}x{shape[0]}; expected the size of their image"
            )
        shape = region.marked.shape
        yield region
    if shape is None:
        raise Hw3Error(f"{path}: no mask in this folder; expected one image file for each defect")


def _decoded(file: str) -> Region:
    try:
        with open_image(file) as image:
            mode, lossy = mode_of(image), image.format in ("JPEG", "MPO")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            values, alpha = _deep_values(image, mode, file) if is_deep(mode) else _values(image), _alpha(image)
    except Hw3Error as error:
        raise Hw3Error(f"{file}: {error}") from None
    except BROKEN as error:
        raise Hw3Error(f"{file}: mask cannot be decoded: {error}") from None
    if alpha is not None and not alpha.any() and values.min() == values.max():  # a layer on which nothing is drawn
        return Region(file, np.zeros(alpha.shape, bool))
    if alpha is not None and alpha.min() < alpha.max():
        opaque = alpha > alpha.max() / 2
        values = np.where(opaque, values, 0) if _is_black_and_white(values[opaque]) else alpha
    low, high = values.min(), values.max()
    if low == high:
        return Region(file, np.full(values.shape, bool(high)))
    half = (float(low) + float(high)) / 2
    if lossy or _is_noisy(values, low, high) or _is_slope(values, low, half):
        return Region(file, values > half, int(((values > low) & (values < high)).sum()))
    return Region(file, values > low)


def _deep_values(image: Image.Image, mode: str, file: str) -> np.ndarray:
    """As :func:`_values`, of more than 8 bits."""
    low = low_bytes(file) if mode in DEEP_COLOURS else None
    parts = values_of(image, mode, low, row_boxes(image.size))
    values = np.concatenate([part if part.ndim == 2 else part.max(2) for part in parts])
    return values.max() - values if is_inverted(image) else values


def _values(image: Image.Image) -> np.ndarray:
    """What colours say of each pixel as one number, ``(H, W)``; the smallest stands for background."""
    if image.mode in ("P", "PA"):
        return _of_palette(image)
    if image.mode in ("1", "L"):
        return np.asarray(image)
    if image.mode in ("LA", "La"):
        return np.asarray(image.getchannel("L"))
    colours = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    brightest = np.asarray(reduce(ImageChops.lighter, map(colours.getchannel, "RGB")))
    pixels = np.asarray(colours)[..., :3]
    all_as_bright = np.ptp(brightest) < 64 and np.ptp(pixels.reshape(-1, 3), axis=0).max() >= 128
    return _from_background(pixels) if all_as_bright else brightest


def _from_background(colours: np.ndarray) -> np.ndarray:
    """How far each pixel of uint8 ``(H, W, 3)`` is from the most frequent colour, uint8 ``(H, W)``."""
    coarse = (colours >> 5).astype(np.uint16) @ np.array([64, 8, 1], np.uint16)  # a lossy format scatters a colour
    often = coarse == np.bincount(coarse.ravel()).argmax()
    return np.abs(colours.astype(np.int16) - np.median(colours[often], 0).astype(np.int16)).max(2).astype(np.uint8)


def _alpha(image: Image.Image) -> np.ndarray | None:
    for band in ("A", "a"):
        if band in image.getbands():
            return np.asarray(image.getchannel(band))
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        return np.asarray(image.convert("RGBA").getchannel("A"))
    return None


def _of_palette(image: Image.Image) -> np.ndarray:
    """Greys of a grey picture, and else 1 for every index that is not the background's and 0 for that."""
    indices = np.asarray(image if image.mode == "P" else image.getchannel("P"))
    counts = np.array(image.histogram()[:256])
    used = np.flatnonzero(counts)
    if len(used) == 1:
        return indices
    colours = np.zeros((256, 3), np.uint8)  # what is beyond the palette is black
    known = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    colours[: len(known)] = known
    greys = colours[:, 0]
    shades = greys[used].astype(int)
    in_order = len(used) > 2 and shades[0] == 0 and (np.diff(shades) > 0).all()
    if (colours[used] == colours[used, :1]).all() and (in_order or len(used) > _MOST_CLASSES):
        return greys[indices]
    black = used[~colours[used].any(1)]
    candidates = used[:1] if used[0] in black else np.array([used[0], *black])
    background = candidates[counts[candidates].argmax()]
    return (indices != background).astype(np.uint8)


def _is_black_and_white(values: np.ndarray) -> bool:
    """Whether values, ``(N,)``, are nearly all black or the brightest there is, as a mask's and not a photograph's."""
    ends = (values == 0).sum(), (values == values.max()).sum()
    return bool(values.max()) and min(ends) > 0 and sum(ends) >= 0.75 * len(values)


def _is_noisy(values: np.ndarray, low: float, high: float) -> bool:
    """Whether values are noise about two, as a lossy format leaves it: more of them near either end than between."""
    step = (float(high) - float(low)) / 20
    ends = int(((values > low) & (values < low + step)).sum()), int(((values < high) & (values > high - step)).sum())
    between = int(((values > low) & (values < high)).sum()) - sum(ends)
    return min(ends) > 0 and between < sum(ends)


def _is_slope(values: np.ndarray, low: float, half: float) -> bool:
    """Whether what lies between background and half-way, in ``(H, W)``, is the border of a smoothed mask.

    A pixel of a class lies among its like and background; one of a slope, or of a lossy format's noise, does not. In a
    large mask some rows are enough to tell.
    """
    rows = np.arange(0, len(values), max(1, values.size // 2**22))
    middle = values[rows]
    lower = (middle > low) & (middle <= half)
    if not lower.any():
        return False
    like, alone = np.zeros(middle.shape, np.uint8), np.ones(middle.shape, bool)
    for down in (-1, 0, 1):
        line = np.pad(values[(rows + down).clip(0, len(values) - 1)], ((0, 0), (1, 1)), mode="edge")
        for right in range(3):
            neighbour = line[:, right : right + middle.shape[1]]
            like += neighbour == middle
            alone &= (neighbour == middle) | (neighbour == low)
    of_class = lower & alone & (like > 2)  # a pixel is like itself, and in a line like two others
    return bool(2 * of_class.sum() < lower.sum())
