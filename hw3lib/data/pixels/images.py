"""Decode one image, as a person sees it: upright, in colours, of 8 bits; as one square, or several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from hw3lib.errors import Hw3Error

from .decoding import BROKEN, DEEP_COLOURS, is_deep, mode_of, open_image
from .depth import (
    Extremes,
    is_inverted,
    joined,
    low_bytes,
    natural_range,
    row_boxes,
    say_range,
    values_of,
)
from .geometry import FILL, Geometry, refuse_tiles
from .reading import PLAIN, Polygons, Reading, reading_of


class Decoded(NamedTuple):
    """An image uint8 ``(H, W, 3)``, and what is odd about its values: empty, or a sentence without its full stop."""

    pixels: np.ndarray
    warning: str


class Squares(NamedTuple):
    """An image as a network sees it: uint8 ``(n, size, size, 3)``, where they lie in it, and its warning."""

    pixels: np.ndarray
    geometry: Geometry
    warning: str


def read_image(path: str | Path | IO[bytes], size: int | None = None, reading: Reading = PLAIN) -> np.ndarray:
    """Decode an image as a person sees it: upright, RGB, 8 bits.

    Cameras' orientation marks are followed, values of more than 8 bits scaled to 8, transparency laid over white; grey
    and CMYK become RGB; of an animation the first frame is taken.

    Args:
        path: image file, or one that is open.
        size: side of the square that it is brought to (bilinear, antialiased), or None. How is said by the reading's
            ``fit``: by default the sides are scaled independently; see :class:`.Geometry`.
        reading: which values are black and white, too. By default files of 8 bits stay as they are, and one of more is
            scaled by the bits that it alone needs; :func:`read_row` takes what all images of its category need.

    Returns:
        uint8 ``(H, W, 3)``, 0 to 255.

    Raises:
        Hw3Error: the file is missing, truncated or no image, or holds NaN; it would be cut into several squares.
    """
    return decode_image(path, size, reading).pixels


def read_row(row: Any, size: int | None = None) -> np.ndarray:
    """The image of a table's row, a Series or a named tuple, for people: with a size, both sides are scaled to it.

    Black and white are those of its category; see :func:`read_image`. What a network sees is in an :class:`ImageStack`.
    """
    return read_image(row.image, size, replace(reading_of(row), fit="stretch"))


def decode_image(path: str | Path | IO[bytes], size: int | None = None, reading: Reading = PLAIN) -> Decoded:
    """As :func:`read_image`, and whether values are beyond the range, or of another depth than it is for."""
    if size is not None:
        squares, geometry, warning = decode_squares(path, size, reading)
        refuse_tiles(path, geometry)
        return Decoded(squares[0], warning)
    with naming(path):
        image, warning = _decoded(path, reading)
        boxes = row_boxes(image.size)
        if len(boxes) == 1:
            return Decoded(np.asarray(image), warning)
        found = np.empty((image.height, image.width, 3), np.uint8)
        for box in boxes:
            found[box[1] : box[3]] = np.asarray(image.crop(box))
        return Decoded(found, warning)


def decode_squares(path: str | Path | IO[bytes], size: int, reading: Reading = PLAIN) -> Squares:
    """Decode an image as the squares that a network sees of it: several if the reading's ``fit`` is ``tile``.

    Raises:
        Hw3Error: as :func:`read_image`, or the image is so long that too many tiles would be cut.
    """
    with naming(path):
        image, warning = _decoded(path, reading)
        geometry = Geometry(*image.size, size, reading.fit)
        return Squares(geometry.squares(image), geometry, warning)


@contextmanager
def naming(path: str | Path | IO[bytes]) -> Iterator[None]:
    """Errors name the file."""
    try:
        yield
    except Hw3Error as error:
        raise Hw3Error(f"{path}: {error}") from None
    except BROKEN as error:
        raise Hw3Error(f"{path}: cannot be decoded: {error}; `hw3 data check` lists every such file") from None


def _decoded(path: str | Path | IO[bytes], reading: Reading) -> tuple[Image.Image, str]:
    with open_image(path) as file:
        file.seek(0)
        mode = mode_of(file)
        file.load()
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if is_deep(mode):
            image, warning = _to_8_bits(image, mode, low_bytes(path) if mode in DEEP_COLOURS else None, reading)
        else:
            warning = ""
        if "A" in image.getbands() or "transparency" in image.info:
            image = _over_white(image)
        if image.mode != "RGB":
            image = image.convert("RGB")
        if not is_deep(mode) and reading.pixel_range is not None:
            image, warning = _scaled(image, reading)
        return image if reading.roi is None else _inside(image, reading.roi), warning


def _inside(image: Image.Image, roi: Polygons) -> Image.Image:
    """What lies in the polygons; the rest has the colour of padding."""
    mask = Image.new("1", image.size)
    for polygon in roi:
        ImageDraw.Draw(mask).polygon([(x * image.width, y * image.height) for x, y in polygon], fill=1)
    return Image.composite(image, Image.new("RGB", image.size, FILL), mask)


def _over_white(image: Image.Image) -> Image.Image:
    """Transparency laid over white."""
    made = Image.new("RGB", image.size)
    for box in row_boxes(image.size):
        part = image.crop(box).convert("RGBA")
        made.paste(Image.alpha_composite(Image.new("RGBA", part.size, "white"), part).convert("RGB"), box[:2])
    return made


def _to_8_bits(image: Image.Image, mode: str, low: Image.Image | None, reading: Reading) -> tuple[Image.Image, str]:
    """Values of more than 8 bits scaled to 8, alpha kept, and what is odd about them."""
    boxes = row_boxes(image.size)
    parts = (Extremes(float(v.min()), float(v.max()), mode == "F") for v in values_of(image, mode, low, boxes))
    found = joined(parts)
    assert found is not None  # an image has pixels
    natural = natural_range(found)
    black, white = reading.pixel_range or natural
    warning = _beyond(found, black, white) or _dark(found, black, white)
    if reading.pixel_range is None and natural != (0, 255):
        warning = f"more than 8 bits a pixel, read by its own values ({say_range(natural)}), for no range is known"
    known = scaled(np.arange(2**16), black, white) if mode not in ("I", "F") else None
    made = Image.new("L" if low is None else "RGB", image.size)
    for box, values in zip(boxes, values_of(image, mode, low, boxes), strict=True):
        pixels = scaled(values, black, white) if known is None else known[values]
        made.paste(Image.fromarray(255 - pixels if is_inverted(image) else pixels), box[:2])
    if mode in ("RGBA;16", "LA;16"):
        made.putalpha(image.getchannel("A"))
    return made, warning


def _scaled(image: Image.Image, reading: Reading) -> tuple[Image.Image, str]:
    """An RGB image of 8 bits scaled, if its range is one of 8 bits, and what is odd about it."""
    assert reading.pixel_range is not None
    black, white = reading.pixel_range
    if not reading.scales_8_bits:
        return image, f"8 bits a pixel, read as they are and not by the range {say_range(reading.pixel_range)}"
    if (black, white) == (0, 255):
        return image, ""
    present = np.flatnonzero(np.reshape(image.histogram(), (3, 256)).any(0))
    found = Extremes(float(present[0]), float(present[-1]), False)
    return image.point(scaled(np.arange(256), black, white).tolist() * 3), _beyond(found, black, white)


def scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Values as uint8 of the same shape: black becomes 0, white 255, linear between, rounded, cut off beyond."""
    return np.clip((values.astype(np.float64) - black) * (255 / (white - black)) + 0.5, 0, 255).astype(np.uint8)


def _dark(found: Extremes, black: float, white: float) -> str:
    """Of an image of another bit depth than the range was found from, such as floats up to 1 where 1023 is white."""
    if found.high - black >= (white - black) / 64:
        return ""
    return f"its largest value is {found.high:g}, where {white:g} is white: all of it is nearly black"


def _beyond(found: Extremes, black: float, white: float) -> str:
    wrong = [f"{found.low:g}"] if found.low < black else []
    wrong += [f"{found.high:g}"] if found.high > white else []
    if not wrong:
        return ""
    return f"holds values of {' and '.join(wrong)}, beyond the range {say_range((black, white))}; they are cut off"
