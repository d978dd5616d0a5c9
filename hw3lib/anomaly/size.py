"""The size at which photographs are looked at: the largest that they can fill and that a time an image allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.reading import Fit

if TYPE_CHECKING:
    from hw3lib.data.stack import ImageStack

    from .detector import Detector

SIZES = (224, 256, 320, 384, 448, 512)  # multiples of the backbones' 32 pixels; 224 is what they were trained at
TRIALS = 8  # images that a trial learns from, and scores one by one


def filled_by(shapes: Sequence[tuple[int, int]], fit: Fit) -> list[int]:
    """Those of :data:`SIZES` that most photographs fill without being enlarged; the first one always.

    Args:
        shapes: width and height of each photograph in pixels.
        fit: how they come to squares.
    """

    def fills(size: int) -> bool:
        frames = [Geometry(*shape, size, fit).frame for shape in shapes]
        enlarged = [np.any(np.greater(frame, shape)) for frame, shape in zip(frames, shapes, strict=True)]
        return bool(2 * sum(enlarged) < len(shapes))

    return [SIZES[0], *(size for size in SIZES[1:] if fills(size))]


def within(
    model: Detector, sizes: Sequence[int], milliseconds: float, load: Callable[[int], ImageStack], number: int
) -> tuple[int, float]:
    """The largest size at which one photograph after the other is scored within a time, by trial on this machine.

    Each trial is a detector of few images, with a memory bank as large as the real one's; what is trained is trained
    for one step. Decoding is left out.

    Args:
        model: not fitted; it stays as it is.
        sizes: to choose from, ascending.
        milliseconds: that a photograph may take, the median of a few.
        load: gives some good photographs at a size, at least two.
        number: of good photographs that the detector will learn from.

    Returns:
        The size, and the milliseconds that its trial took: more than allowed where the first size takes more.
    """
    chosen, taken = sizes[0], 0.0
    for size in sizes:
        images = load(size)
        took = _trial(replace(model, image_size=size), images, number)
        if took > milliseconds and taken:
            break
        chosen, taken = size, took
    return chosen, taken


def _trial(model: Detector, images: ImageStack, number: int) -> float:
    changes: dict[str, Any] = {}
    if hasattr(model, "num_steps"):
        changes["num_steps"] = 1
    if hasattr(model, "ratio"):
        changes["ratio"] = min(1.0, model.ratio * number / len(images))
    trial = replace(model, **changes).fit(images, held_out=0)
    times = []
    for i in range(len(images)):
        one = images.part(np.array([i]))
        start = time.perf_counter()
        trial.score(one)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))  # the first call also allocates
