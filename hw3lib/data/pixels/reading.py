"""How a file becomes pixels: which values are black and white, and how a photograph comes to a network's square."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    import pandas as pd

FITS = ("stretch", "pad", "tile")
Fit = Literal["auto", "stretch", "pad", "tile"]
Polygons = tuple[tuple[tuple[float, float], ...], ...]
COLUMN = "reading"  # of a table whose images are not read as the defaults say
_NEVER_8_BITS = 1  # a range that ends here or below is one of floats


@dataclass(frozen=True)
class Reading:
    """How a file becomes pixels; the images of a category share one, and a detector keeps that of its good images.

    Attributes:
        pixel_range: values that are black and white, such as ``(0, 4095)``. None: files of 8 bits as they are, and one
            of more by the bits that its own values need, see :func:`.depth.natural_range`.
        fit: how a photograph comes to a square: ``stretch``, ``pad`` or ``tile``; or ``auto``, in tables alone: it is
            cut into tiles for those who can do with several squares an image, and stretched for the others.
        roi: the region of interest, polygons of three corners or more, x and y as shares of the sides, 0 to 1; what is
            outside becomes one colour, the same in all images, so that nothing there can be told. None: all.
    """

    pixel_range: tuple[float, float] | None = None
    fit: Fit = "stretch"
    roi: Polygons | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixel_range", checked_range(self.pixel_range))
        object.__setattr__(self, "roi", checked_roi(self.roi))
        if self.fit not in get_args(Fit):
            raise Hw3Error(f"fit={self.fit!r}: expected one of {', '.join(FITS)}")

    @property
    def scales_8_bits(self) -> bool:
        """Whether files of 8 bits are scaled too; a range that none of them can have leaves them as they are."""
        return self.pixel_range is not None and _NEVER_8_BITS < self.pixel_range[1] <= 255

    def settled(self, tiles: bool) -> Reading:
        """With ``auto`` replaced for somebody who can do with several squares an image, or cannot."""
        return replace(self, fit="tile" if tiles else "stretch") if self.fit == "auto" else self

    def as_text(self) -> str:
        """JSON, the same for the same reading."""
        said = {name: value for name, value in asdict(self).items() if name != "roi" or value}
        return json.dumps(said, sort_keys=True)


def checked_range(found: Any) -> tuple[float, float] | None:
    """Black and white as two finite floats, or None.

    Raises:
        Hw3Error: anything else, or white that is not above black.
    """
    if found is None:
        return None
    try:
        low, high = (float(value) for value in found)
    except (TypeError, ValueError, OverflowError):
        low = high = float("nan")
    if not (abs(low) < float("inf") and abs(high) < float("inf") and low < high):
        raise Hw3Error(f"pixel_range={found!r}: expected two numbers, black and white, such as 0 and 4095")
    return low, high


def checked_roi(found: Any) -> Polygons | None:
    """Polygons of shares as tuples, or None.

    Raises:
        Hw3Error: anything else.
    """
    if found is None:
        return None
    try:
        made = tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in found)
    except (TypeError, ValueError, OverflowError):
        made = ()
    if not made or not all(len(p) >= 3 and all(0 <= value <= 1 for point in p for value in point) for p in made):
        raise Hw3Error(f"roi={str(found)[:80]}: expected polygons of three corners or more, as shares of 0 to 1")
    return made


# Files of 8 bits as they are, each stretched to a square.
PLAIN = Reading()


def reading_of(row: Any) -> Reading:
    """How the image of a table's row, a Series or a named tuple, is read as one square."""
    return _settled(getattr(row, COLUMN, None), False)


def readings_of(table: pd.DataFrame, tiles: bool = False) -> list[Reading]:
    """How each image of a table is read, as one square or, with ``tiles``, as several where that is better."""
    found = table[COLUMN] if COLUMN in table else [None] * len(table)
    return [_settled(each, tiles) for each in found]


def _settled(found: Any, tiles: bool) -> Reading:
    return found.settled(tiles) if isinstance(found, Reading) else PLAIN


def shared_reading(table: pd.DataFrame, tiles: bool = False) -> Reading:
    """How all images of a table are read, see :func:`readings_of`.

    Raises:
        Hw3Error: not alike, as in a table that was put together from several categories.
    """
    found = set(readings_of(table, tiles)) or {PLAIN}
    if len(found) > 1:
        raise Hw3Error(f"images are read in {len(found)} ways ({' and '.join(map(str, found))}); expected one category")
    return found.pop()
