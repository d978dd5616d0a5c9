"""Images of more than 8 bits: which files are, their values whole, and the range that many of them share.

Pillow gives grey images of 16 and 32 bits whole, but of colours of 16 bits the high bytes alone. It is asked a second
time, in the other byte order, for the low ones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import (
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    TiffImageFile,
)

from hw3lib.errors import Hw3Error

from .decoding import BROKEN, DEEP_COLOURS, mode_of, open_image

_BITS = (8, 10, 12, 14, 16)
_LEAST_OF_8_BITS = 64  # floats whose largest is between 1 and this are of no number of bits: 8 would show them black
_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
Box = tuple[int, int, int, int]


class Extremes(NamedTuple):
    """The smallest and the largest value of one image or of many, and whether there are floats among them."""

    low: float
    high: float
    floats: bool


def low_bytes(source: str | Path | IO[bytes]) -> Image.Image:
    """The low bytes of colours of 16 bits, upright, three bands or more; of grey with alpha the second band holds them.

    Raises:
        Exception: one of :data:`.decoding.BROKEN`.
    """
    with open_image(source) as image:
        image.tile = [tile._replace(args=_in_other_order(tile.args)) for tile in image.tile]
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image


def _in_other_order(arguments: str | tuple) -> str | tuple:
    """Arguments of Pillow's decoder, so that low bytes come where the high ones came."""
    if isinstance(arguments, tuple):
        return (_in_other_order(arguments[0]), *arguments[1:])
    return "RGBA" if arguments.startswith("LA") else arguments[:-1] + _OTHER_ORDER[arguments[-1]]


def values_of(image: Image.Image, mode: str, low: Image.Image | None, boxes: Iterable[Box]) -> Iterator[np.ndarray]:
    """Values of a loaded deep image, box by box: ``(h, w)`` of grey ones, ``(h, w, 3)`` of colours, without alpha.

    Raises:
        Hw3Error: NaN or infinite values.
    """
    unsigned = mode == "I" and isinstance(image, TiffImageFile) and image.tag_v2.get(SAMPLEFORMAT, (1,)) == (1,)
    for box in boxes:
        values = np.asarray(image.crop(box))
        if low is not None:
            below = np.asarray(low.crop(box))
            below = below[..., 1:2] if mode == "LA;16" else below[..., :3]
            values = values[..., :3].astype(np.uint16) << 8 | below
        if mode == "F" and not np.isfinite(values).all():
            raise Hw3Error("holds NaN or infinite values; expected finite numbers, replace them or leave the image out")
        yield values.view(np.uint32) if unsigned else values


def is_inverted(image: Image.Image) -> bool:
    """Whether a deep image says that its smallest value is white."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0


def natural_range(found: Extremes) -> tuple[float, float]:
    """Black and white of values of more than 8 bits, of which nobody said what they are.

    Numbers from 0 on: 8, 10, 12, 14 or 16 bits, the fewest that hold the largest. Floats: 0 to 1 if they are within,
    as the numbers if the largest may be one of those, and else 0 to the largest. Where some are negative, or larger
    than 16 bits hold: from the smallest (0 at most) to the largest.
    """
    low, high = min(found.low, 0.0), found.high
    if found.floats and low >= 0 and high <= 1:
        return 0.0, 1.0
    if low < 0 or high >= 2 ** _BITS[-1] or (found.floats and high < _LEAST_OF_8_BITS):
        return low, high if high > low else low + 1.0
    return 0.0, float(next(2**bits - 1 for bits in _BITS if high <= 2**bits - 1 or bits == _BITS[-1]))


def joined(extremes: Iterable[Extremes]) -> Extremes | None:
    """The smallest and the largest value of many images; None where there is none."""
    found = list(extremes)
    if not found:
        return None
    return Extremes(min(e.low for e in found), max(e.high for e in found), any(e.floats for e in found))


def extremes_of(path: str | Path) -> Extremes | None:
    """Of one deep image file, of colours at steps of 256; None of one that cannot be decoded, which others report.

    Raises:
        Hw3Error: NaN or infinite values.
    """
    try:
        with open_image(path) as image:
            image.seek(0)
            mode = mode_of(image)
            image.load()
            low, high = np.inf, -np.inf
            for values in values_of(image, mode, None, row_boxes(image.size)):
                if mode in DEEP_COLOURS:  # whose high bytes, which are decoded already, tell the number of bits
                    values = values[..., :3].astype(int) << 8 | 255
                low, high = min(low, float(values.min())), max(high, float(values.max()))
    except BROKEN:
        return None
    return Extremes(0.0 if mode in DEEP_COLOURS else low, high, mode == "F")


def row_boxes(size: tuple[int, int]) -> list[Box]:
    """Boxes of a few rows, all of the image together: what takes many bytes a pixel would take gigabytes at once."""
    width, height = size
    step = max(1, 2**20 // width)
    return [(0, row, width, min(row + step, height)) for row in range(0, height, step)]


_TAIL = 0.001  # of an image's values at either end: stars, glare and broken pixels
_NEARLY_BLACK = 64  # of 255: a camera of 14 bits read as one of 16 ends below it
_NARROW = 32  # of 255


def contrast(pixels: np.ndarray) -> tuple[int, int]:
    """The darkest and the brightest value of a uint8 image, 0 to 255, but for a few outliers."""
    count = np.bincount(pixels.ravel(), minlength=256).cumsum()
    return int(np.searchsorted(count, _TAIL * pixels.size)), int(np.searchsorted(count, (1 - _TAIL) * pixels.size))


def say_odd_contrast(
    low: float, high: float, pixel_range: tuple[float, float] | None, deep: bool
) -> tuple[str, str] | None:
    """What is odd about the values of most images: its kind, and a text with ``{}`` for the command that takes --range.

    Args:
        low, high: medians of the images' :func:`contrast`.
        pixel_range: values that are black and white; None: 0 and 255.
        deep: whether all images have more than 8 bits. Those of 8 bits are not told to be narrow: products are grey.
    """
    black, white = pixel_range or (0, 255)
    step = (white - black) / 255
    value = black + high * step
    if high < _NEARLY_BLACK:
        ending = next((2**bits - 1 for bits in range(1, 17) if value <= 2**bits - 1), value) if white > 1 else value
        return "nearly black", (
            f"99.9 % of its values are at most {value:.3g}, where {white:g} is white, and most images are as dark; if "
            f"the camera gives fewer bits, say what is white: {{}} --range {black:g} {ending:.4g}"
        )
    if deep and high - low < _NARROW:
        first, last = max(black, black + (low - 1) * step), min(white, value + step)
        return "narrow range", (
            f"99.8 % of its values lie between {black + low * step:.5g} and {value:.5g}, and most images are alike; "
            f"where {black:g} is black and {white:g} white, few of the 256 levels are left: {{}} --range {first:.5g} "
            f"{last:.5g}"
        )
    return None


def say_range(found: tuple[float, float]) -> str:
    """``12 bits: 0 to 4095``, or the values alone."""
    low, high = found
    bits = {float(2**bits - 1): f"{bits} bits: " for bits in _BITS} if low == 0 else {}
    return f"{bits.get(high, '')}{low:g} to {high:g}"
