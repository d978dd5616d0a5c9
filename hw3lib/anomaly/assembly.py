"""Scores and maps of images from those of the squares that a network saw of them; without PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from hw3lib.data.pixels.geometry import Geometry

Maps = np.ndarray | Sequence[np.ndarray]  # float32 (N, h, w), or (h, w) each where not all have one shape


def of_images(
    batches: Iterable[tuple[np.ndarray | None, np.ndarray | None]], geometries: Sequence[Geometry] | None
) -> Iterator[tuple[np.ndarray, Maps | None]]:
    """Scores and maps of images from those of the squares that a detector saw of them.

    An image's score is the highest of its squares. Its map covers the image, and nothing else, at the resolution that
    the detector saw it at, see :meth:`.Geometry.join`; :func:`hw3lib.anomaly.maps.upsample` brings it to the image's
    own.

    Args:
        batches: scores ``(n,)`` and maps ``(n, size, size)`` of squares, those of an image one after the other. Scores
            of None are the maxima of the maps, padding not counted; maps are None where a detector has none.
        geometries: of the images; None: each is one square that it fills.
    """
    images = iter(geometries or [])
    image = next(images, None)
    waiting: list[tuple[Any, Any]] = []  # score and map of each square, or None
    for scores, maps in batches:
        if geometries is None:
            yield scores if scores is not None else _peaks(maps), maps
            continue
        waiting += zip_longest([] if scores is None else scores, [] if maps is None else maps)
        done: list[tuple[float, Any]] = []
        while image is not None and len(image) <= len(waiting):
            own, waiting = waiting[: len(image)], waiting[len(image) :]
            done.append(_of_image(own, image))
            image = next(images, None)
        if done:
            yield np.array([score for score, _ in done], np.float32), None if maps is None else [m for _, m in done]


def _of_image(squares: list[tuple[Any, Any]], image: Geometry) -> tuple[float, np.ndarray | None]:
    inside = [m if m is None or len(image) > 1 else image.join(m[None]) for _, m in squares]
    score = max(m.max() if value is None else value for (value, _), m in zip(squares, inside, strict=True))
    if inside[0] is None:
        return score, None
    return score, inside[0] if len(image) == 1 else image.join(np.stack(inside))


def _peaks(maps: np.ndarray | None) -> np.ndarray:
    assert maps is not None  # of a detector without scores of its own
    return maps.max((1, 2))


def stacked(maps: Sequence[np.ndarray]) -> Maps:
    """Maps ``(h, w)`` as one array ``(N, h, w)``, if they have one shape."""
    return np.stack(maps) if len({m.shape for m in maps}) == 1 else list(maps)
