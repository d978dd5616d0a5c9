"""What a reader gives: images as an annotation file names them, and what was drawn on each, not yet as pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hw3lib.data.regions import shapes
from hw3lib.data.regions.shapes import Region

_ROUNDED = 0.006  # pixels: what is left of a whole number in shares of five decimals
Bounds = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, eq=False)
class Polygon:
    """Its corners, float ``(n, 2)``."""

    points: np.ndarray

    def bounds(self) -> Bounds:
        return bounds_of(self.points)

    @property
    def is_outline(self) -> bool:
        """Whether it goes from pixel to pixel, as OpenCV follows the border of a mask, so that these belong to it.

        Corners are whole numbers then, and sides level, upright or at 45 degrees, as nobody draws eight of them.
        """
        corners = np.round(self.points)
        if len(corners) < 8 or np.abs(self.points - corners).max() > _ROUNDED:
            return False
        across, down = np.abs(np.roll(corners, -1, 0) - corners).T
        diagonal = across == down
        return bool((diagonal | (across == 0) | (down == 0)).all() and (diagonal & (across > 0)).any())

    def region(self, size: tuple[int, int]) -> Region | None:
        if self.is_outline and (found := shapes.outlined(np.round(self.points).astype(int), size)):
            return found
        return shapes.polygon(self.points, size)


@dataclass(frozen=True)
class Ellipse:
    """Centre, radii, and degrees by which it is turned clockwise."""

    x: float
    y: float
    across: float
    down: float
    degrees: float = 0.0

    def bounds(self) -> Bounds:
        cosine, sine = np.cos(np.deg2rad(self.degrees)), np.sin(np.deg2rad(self.degrees))
        reach = np.hypot(self.across * cosine, self.down * sine), np.hypot(self.across * sine, self.down * cosine)
        return self.x - reach[0], self.y - reach[1], self.x + reach[0], self.y + reach[1]

    def region(self, size: tuple[int, int]) -> Region | None:
        return shapes.ellipse(self.x, self.y, self.across, self.down, size, self.degrees)


@dataclass(frozen=True)
class Bitmap:
    """Pixels whose first is ``x, y`` of the image.

    Attributes:
        shape: ``(h, w)``.
        read: decodes them, bool ``(h, w)``; only called for an image that is taken, for decoded they are large.
    """

    x: int
    y: int
    shape: tuple[int, int]
    read: Callable[[], np.ndarray]

    def bounds(self) -> Bounds:
        return self.x, self.y, self.x + self.shape[1], self.y + self.shape[0]

    def region(self, size: tuple[int, int]) -> Region | None:
        return shapes.placed(self.read(), self.x, self.y, size)


Part = Polygon | Ellipse | Bitmap


@dataclass(eq=False)
class Shape:
    """One object of an image.

    Attributes:
        label: class.
        parts: that its pixels are the union of; empty where only a box or points are known.
        box: corners of its box, float ``(4, 2)``, if a box was drawn.
        points: float ``(n, 2)``, if points were set.
        crowd: several objects drawn as one.
        group: shapes of one label and group are one object; None: it stands alone.
    """

    label: str
    parts: list[Part] = field(default_factory=list)
    box: np.ndarray | None = None
    points: np.ndarray | None = None
    crowd: bool = False
    group: object = None


@dataclass(eq=False)
class Entry:
    """An image as an annotation file names it.

    Attributes:
        name: as it stands in the file.
        where: file, and where in it, for messages.
        source: the image's file, or its bytes where they are embedded.
        size: ``(H, W)`` that the shapes are for; None: that of the image.
        shapes: in the order in which they were drawn, from the lowest up.
        tags: labels of the image as a whole.
        seen: a person may have looked at it; False where the file says that nobody has.
        lost: something was drawn that is not among the shapes, for it was left out.
    """

    name: str
    where: str
    source: Path | bytes
    size: tuple[int, int] | None = None
    shapes: list[Shape] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    seen: bool = True
    lost: bool = False


class Told:
    """What was left out, or taken otherwise than it stood there: by reason, with the names that it concerns."""

    def __init__(self) -> None:
        self.left_out: dict[str, list[str]] = {}
        self.changed: dict[str, list[str]] = {}

    def leave(self, reason: str, name: str) -> None:
        """Note that something was left out."""
        self.left_out.setdefault(reason, []).append(name)

    def change(self, what: str, name: str) -> None:
        """Note that something was taken in another form."""
        self.changed.setdefault(what, []).append(name)


def bounds_of(points: np.ndarray) -> Bounds:
    """Of points, float ``(n, 2)``."""
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return left, top, right, bottom


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Corners of an upright box, float ``(4, 2)``."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def upright(corners: np.ndarray) -> bool:
    """Whether a box's sides are those of its bounds."""
    left, top, right, bottom = bounds_of(corners)
    return bool(np.allclose(np.sort(corners, 0), np.sort(box(left, top, right, bottom), 0), atol=1e-3))


def grouped(found: Iterable[Shape]) -> list[Shape]:
    """Shapes of one label and group joined to the first of them, if their pixels are known."""
    kept: list[Shape] = []
    first: dict[tuple[str, object], Shape] = {}
    for shape in found:
        alone = shape.group is None or not shape.parts
        other = shape if alone else first.setdefault((shape.label, shape.group), shape)
        if other is shape:
            kept.append(shape)
        else:
            other.parts.extend(shape.parts)
    return kept
