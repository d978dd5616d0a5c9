"""Tall figures that are rows of pictures, laid out anew in columns so that they fit a page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hw3lib.data.pixels.decoding import BROKEN, open_image
from hw3lib.errors import Hw3Error

_GAP = 24  # pixels between columns


def load(path: Path) -> Image.Image:
    """A figure of a run, RGB on white.

    Raises:
        Hw3Error: it is no picture.
    """
    try:
        with open_image(path) as file:
            picture = file.convert("RGBA")
    except BROKEN as error:
        number = path.parents[1].name
        raise Hw3Error(f"{path}: no readable picture ({error}); run `hw3 run {number} --force`") from error
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def bands(picture: Image.Image, least: int = 4) -> list[tuple[int, int]]:
    """First and last + 1 pixel row of everything between white stripes of ``least`` pixels or more."""
    ink = (np.asarray(picture) < 250).any(axis=(1, 2))
    edges = np.flatnonzero(np.diff(np.r_[False, ink, False].astype(int)))
    found: list[tuple[int, int]] = []
    for top, bottom in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if found and top - found[-1][1] < least:
            found[-1] = (found[-1][0], bottom)
        else:
            found.append((top, bottom))
    return found


def arrange(picture: Image.Image, aspect: float) -> Image.Image:
    """Rows of pictures side by side, in as many columns as bring width / height nearest to ``aspect``.

    A low first band is taken for the headings and put over each column; where every second band is low, it belongs to
    the pictures below it. A figure that is not made of rows of like height comes back as it is.
    """
    rows = bands(picture)
    heights = [bottom - top for top, bottom in rows]
    if (
        len(rows) > 2
        and len(rows) % 2 == 0
        and all(2 * a < b for a, b in zip(heights[::2], heights[1::2], strict=True))
    ):
        rows = [(title[0], below[1]) for title, below in zip(rows[::2], rows[1::2], strict=True)]
        heights = [bottom - top for top, bottom in rows]
    headed = len(rows) > 2 and heights[0] < heights[1] / 2
    head, rows = (rows[0], rows[1:]) if headed else (None, rows)
    heights = heights[headed:]
    if len(rows) < 2 or min(heights) < 0.8 * max(heights):
        return picture
    above = head[1] - head[0] + 6 if head else 0
    step = max(heights) + 8

    def size(deep: int) -> tuple[int, int]:
        columns = math.ceil(len(rows) / deep)
        return columns * picture.width + (columns - 1) * _GAP, above + deep * step

    def distance(deep: int) -> float:
        width, height = size(deep)
        return abs(math.log(width / height / aspect))

    deep = min({math.ceil(len(rows) / columns) for columns in range(1, len(rows) + 1)}, key=distance)  # filled evenly
    made = Image.new("RGB", size(deep), "white")
    for i, (top, bottom) in enumerate(rows):
        x, y = i // deep * (picture.width + _GAP), above + i % deep * step
        if head and i % deep == 0:
            made.paste(picture.crop((0, head[0], picture.width, head[1])), (x, 0))
        made.paste(picture.crop((0, top, picture.width, bottom)), (x, y))
    return made


def png(path: Path, aspect: float, rows: bool) -> tuple[bytes, tuple[int, int]]:
    """A figure as PNG for a box of this width / height, and its pixels; ``rows`` may be laid out anew."""
    picture = load(path)
    arranged = arrange(picture, aspect) if rows else picture
    if arranged is picture:
        return path.read_bytes(), picture.size
    buffer = io.BytesIO()
    arranged.save(buffer, "PNG")
    return buffer.getvalue(), arranged.size


def stacked(pictures: Sequence[bytes]) -> bytes:
    """PNG pages below each other, as one PNG of 128 colours, which is small enough for a notebook."""
    opened = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    made = Image.new("RGB", (max(p.width for p in opened), sum(p.height + 8 for p in opened) - 8), "#888888")
    top = 0
    for picture in opened:
        made.paste(picture, (0, top))
        top += picture.height + 8
    buffer = io.BytesIO()
    made.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
