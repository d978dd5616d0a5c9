"""How an image of any shape comes to a network's square, and how what is found there comes back onto the image.

An image is scaled to its *frame*, and squares of the network's side show parts of the frame:

- ``stretch``: the frame is the square; each side is scaled on its own, and a circle becomes an ellipse.
- ``pad``: the frame keeps the image's aspect ratio, its longer side is the square's; the rest of the square is filled.
- ``tile``: the frame keeps the aspect ratio, its shorter side is the square's; squares that overlap cover it.

A padded frame lies in the middle of its square, where mirroring and turning by 90 degrees, which training does, leave
it. It is filled with one colour, the same for all images: what never varies raises no alarm, repeats no defect, which
a reflection does, and draws none out to the edge of the square, which the image's own edge does. The colour is the mean
of ImageNet. Networks that are trained there subtract it and pad with zeros in every layer, so that to them such a
border looks like the border of any photograph.

Coordinates are x to the right and y downwards from the outer corner of the first pixel, whose centre is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from hw3lib.errors import Hw3Error

from .reading import FITS, Fit

FILL = (124, 116, 104)  # of padding, RGB: 255 times (0.485, 0.456, 0.406)
OVERLAP = 0.2  # least share of a tile that the next one sees again: what is smaller lies whole in one of them
MOST_TILES = 64  # of one image
SQUEEZED = 1.5  # longer over shorter side, beyond which stretching squeezes an image


@dataclass(frozen=True)
class Geometry:
    """Where an image of ``width`` x ``height`` pixels lies in squares of ``size`` pixels.

    Attributes:
        width, height: of the image, upright, in pixels.
        size: side of the squares in pixels.
        fit: ``stretch``, ``pad`` or ``tile``, see the module.
        centred: whether a padded frame lies in the middle of its square; if not, in the upper left corner.

    Raises:
        Hw3Error: a side below 1, an unknown fit, or an image so long that it takes more than 64 tiles.
    """

    width: int
    height: int
    size: int
    fit: Fit = "stretch"
    centred: bool = True

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.size) < 1:
            raise Hw3Error(
                f"an image of {self.width}x{self.height} pixels for squares of size={self.size}: expected sides of 1 "
                "or more"
            )
        if self.fit not in FITS:
            raise Hw3Error(f"fit={self.fit!r}: expected one of {', '.join(FITS)}")
        if self.fit == "tile" and (count := _count(max(self.frame), self.size)) > MOST_TILES:
            raise Hw3Error(
                f"an image of {self.width}x{self.height} pixels takes {count} tiles, at most {MOST_TILES} are cut; "
                "take fit=pad, or cut the image into several files"
            )

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height in pixels to which the image is scaled."""
        if self.fit == "stretch":
            return self.size, self.size
        side = max(self.width, self.height) if self.fit == "pad" else min(self.width, self.height)
        # Not round(), which takes halves to even numbers.
        width, height = (max(1, int(length * self.size / side + 0.5)) for length in (self.width, self.height))
        return width, height

    @cached_property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """Where in the frame, as x and y, the upper left corner of each square lies; negative where it is padded."""
        width, height = self.frame
        if self.fit == "pad":
            return ((-((self.size - width) // 2), -((self.size - height) // 2)) if self.centred else (0, 0),)
        return tuple((x, y) for y in _starts(height, self.size) for x in _starts(width, self.size))

    def __len__(self) -> int:
        """Number of squares."""
        return len(self.corners)

    def squares(self, image: Image.Image) -> np.ndarray:
        """The image's pixels: uint8 ``(n, size, size, 3)`` of an RGB image (bilinear, antialiased)."""
        return self.cut(np.asarray(image.resize(self.frame, Image.Resampling.BILINEAR)), FILL)

    def mask_squares(self, mask: np.ndarray) -> np.ndarray:
        """A mask, bool ``(height, width)``, as bool ``(n, size, size)``: a pixel is True if any part of it is marked,
        so that thin defects survive; padding is False."""
        grey = Image.fromarray(mask.astype(np.float32)).resize(self.frame, Image.Resampling.BOX)
        return self.cut(np.asarray(grey) > 1e-6, False)

    def cut(self, frame: np.ndarray, fill: int | bool | tuple[int, ...] = 0) -> np.ndarray:
        """Squares ``(n, size, size, ...)`` of what lies on the frame, ``(frame height, frame width, ...)``."""
        if frame.shape[:2] == (self.size, self.size):
            return frame[None]
        made = np.empty((len(self), self.size, self.size, *frame.shape[2:]), frame.dtype)
        made[:] = fill
        for square, corner in zip(made, self.corners, strict=True):
            here, there = self._meeting(corner)
            square[here] = frame[there]
        return made

    def join(self, squares: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`cut`: what lies on the frame, ``(frame height, frame width, ...)``, without padding.

        Where tiles overlap it is their mean, float32. A tile's weight falls towards its edges, where a network sees
        least of what is around, so that no seam shows. To bring it onto the image is to scale it: see
        :func:`hw3lib.anomaly.maps.upsample`.

        Args:
            squares: ``(n, size, size, ...)``, such as anomaly maps.

        Raises:
            Hw3Error: another shape.
        """
        if squares.shape[:3] != (len(self), self.size, self.size):
            raise Hw3Error(f"squares: found {squares.shape}, expected {(len(self), self.size, self.size)}")
        if len(self) == 1:
            here, _ = self._meeting(self.corners[0])
            return squares[0][here]
        width, height = self.frame
        ramp = np.minimum(np.arange(self.size) + 1, self.size - np.arange(self.size)).astype(np.float32)
        along = (1, self.size) if width > height else (self.size, 1)
        weight = ramp.reshape(*along, *[1] * (squares.ndim - 3))
        total = np.zeros((height, width, *squares.shape[3:]), np.float32)
        weights = np.zeros((height, width, *[1] * (squares.ndim - 3)), np.float32)
        for square, corner in zip(squares, self.corners, strict=True):
            _, there = self._meeting(corner)
            total[there] += square * weight
            weights[there] += weight
        return total / weights

    def to_square(self, places: np.ndarray, square: int = 0) -> np.ndarray:
        """Points, float ``(..., 2)``, or boxes (left, top, right, bottom), ``(..., 4)``, from the image to a square."""
        return self._moved(places, lambda pairs: pairs * self._scale - self.corners[square])

    def to_image(self, places: np.ndarray, square: int = 0) -> np.ndarray:
        """The inverse of :meth:`to_square`; what lies in the padding comes to lie outside of the image."""
        return self._moved(places, lambda pairs: (pairs + self.corners[square]) / self._scale)

    @property
    def _scale(self) -> np.ndarray:
        return np.array(self.frame) / (self.width, self.height)

    @staticmethod
    def _moved(places: np.ndarray, move: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        places = np.asarray(places, float)
        return move(places.reshape(-1, 2)).reshape(places.shape)

    def _meeting(self, corner: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns where a square and the frame meet, in the square and in the frame."""
        here, there = [], []
        for start, length in zip(reversed(corner), reversed(self.frame), strict=True):
            first, last = max(start, 0), min(start + self.size, length)
            here.append(slice(first - start, last - start))
            there.append(slice(first, last))
        return (here[0], here[1]), (there[0], there[1])


def _count(length: int, size: int) -> int:
    return 1 + math.ceil((length - size) / (size * (1 - OVERLAP)))


def _starts(length: int, size: int) -> list[int]:
    """Where tiles begin that cover a length, evenly spaced, the first at its start and the last at its end."""
    count = _count(length, size)
    return [round(i * (length - size) / max(count - 1, 1)) for i in range(count)]


def refuse_tiles(path: Any, geometry: Geometry) -> None:
    """Refuse several squares where one picture an image is wanted.

    Raises:
        Hw3Error: the image at ``path`` is cut into several.
    """
    if len(geometry) > 1:
        raise Hw3Error(
            f"{path}: fit=tile cuts it into {len(geometry)} squares, which only anomaly detectors put together again; "
            "one picture an image takes fit=pad: `hw3 data settings CATEGORY --fit pad`, and `hw3 detect fit --fit "
            "tile` (in Python ImageStack.load(..., tiles=True)) for a detector alone"
        )


def natural_fit(shapes: Iterable[tuple[int, int]]) -> Fit:
    """How photographs of these widths and heights come to squares where nobody says it.

    ``auto``, which cuts them into tiles for anomaly detectors, where the median of longer over shorter side is beyond
    :data:`SQUEEZED` and none is too long for that; else ``stretch``.
    """
    ratios = sorted(max(shape) / min(shape) for shape in shapes)
    if not ratios or ratios[len(ratios) // 2] <= SQUEEZED:
        return "stretch"
    return "auto" if _count(math.ceil(1000 * ratios[-1]), 1000) <= MOST_TILES else "stretch"


def say_fit(fit: Fit, size: int | None, shapes: Iterable[tuple[int, int]] = ()) -> str:
    """What becomes of images, of these widths and heights, the end of a sentence: ``resized to 224x224``."""
    side, size = (f"{size}x{size}", size) if size else ("one size", 224)
    if fit == "stretch":
        return f"resized to {side}"
    if fit == "pad":
        return f"padded to {side}, its aspect ratio kept"
    counts = sorted({_count(int(max(shape) * size / min(shape) + 0.5), size) for shape in set(shapes)})
    several = f"{counts[0]} to {counts[-1]} " if len(counts) > 1 else f"{counts[0]} " if counts else ""
    return f"cut into {several}tiles of {side} that overlap" if counts != [1] else f"resized to {side}"


def say_squeezed(fit: Fit, shapes: Iterable[tuple[int, int]]) -> str:
    """That stretching squeezes long images, a sentence without its full stop; empty where nothing is to be said."""
    width, height = max(set(shapes), key=lambda shape: max(shape) / min(shape), default=(1, 1))
    times = max(width, height) / min(width, height)
    if fit != "stretch" or times <= SQUEEZED:
        return ""
    return f"images of {width}x{height} pixels are squeezed {times:.1f} times to fit into a square"
