"""Attributes and elements of XML that is not trusted."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from hw3lib.errors import Hw3Error


def finite(value: str | None, where: str) -> float:
    """A number that stands in a text; ``where`` says what it is.

    Raises:
        Hw3Error: none, or one that is not finite.
    """
    try:
        found = float(value or "")
    except ValueError:
        found = math.nan
    if not abs(found) < math.inf:
        raise Hw3Error(f"{where}: found {str(value)[:40]!r}, expected a finite number")
    return found


def attributes(place: Element, names: str, where: str) -> list[float]:
    """The numbers in attributes, whose names stand in one text."""
    return [finite(place.get(name), f"{where}: {name}") for name in names.split()]


def size_of(width: str | None, height: str | None, where: str) -> tuple[int, int] | None:
    """``(H, W)``; None where a tool did not know it and wrote 0 or nothing."""
    found = [finite(value or "0", f"{where}: {name}") for name, value in (("height", height), ("width", width))]
    return (int(found[0]), int(found[1])) if min(found) >= 1 else None
