"""Prompts as a person or a detector gives them: boxes that are not quite tight, clicks on a defect and beside it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from .instances import Instance

BOX, CLICK, DETECTOR = PROMPTS = "box", "click", "detector"
JITTER = 20.0  # pixels of the encoder's square of 1024; lightning-sam and SAM's own training take as much


def interior_point(mask: np.ndarray) -> tuple[float, float]:
    """x and y of the pixel farthest from the border of a mask, bool ``(H, W)``: where a person would click.

    The edge of the image counts as border. Of several such pixels the first is taken.

    Example:
        >>> mask = np.zeros((7, 9), bool)
        >>> mask[1:6, 2:7] = True
        >>> interior_point(mask)
        (4.0, 3.0)
    """
    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), mask.shape)
    return float(x), float(y)


def interior_click(instance: Instance) -> tuple[float, float]:
    """:func:`interior_point` of an instance, in pixels of its image."""
    x, y = interior_point(instance.crop)
    return x + instance.x, y + instance.y


def jittered_box(instance: Instance, scale: float, rng: np.random.Generator) -> np.ndarray:
    """The box of an instance, each side moved at random, float32 ``(4,)`` in pixels of its image.

    A side moves by up to 5 % of the box's width or height or :data:`JITTER`, whichever is more, but by no more than a
    quarter, so that a small box stays one.

    Args:
        scale: pixels of the encoder's square of 1024 for one pixel of the image.
    """
    x, y, width, height = instance.xywh
    reach = np.array([min(max(0.05 * length, JITTER / scale), length / 4) for length in (width, height)] * 2)
    box = np.array(instance.xyxy) + rng.uniform(-reach, reach)
    return np.clip(box, 0, [instance.size[1], instance.size[0]] * 2).astype(np.float32)


def random_clicks(
    instance: Instance, others: np.ndarray, negatives: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One click on an instance, half of the time the most interior pixel, and clicks beside it.

    Args:
        others: bool ``(H, W)``, all that is defective in the image: no negative click falls there.
        negatives: number of clicks beside the instance, outside of its box.

    Returns:
        Points float32 ``(1 + negatives, 2)``, x and y, and labels int64 ``(1 + negatives,)``.
    """
    if rng.random() < 0.5:
        points = [interior_click(instance)]
    else:
        inside = np.argwhere(instance.crop)
        y, x = inside[rng.integers(len(inside))]
        points = [(float(x + instance.x), float(y + instance.y))]
    left, top, right, bottom = instance.xyxy
    labels = [1]
    for _ in range(negatives):
        for _attempt in range(20):  # a defect that fills its image leaves no place beside it
            x, y = int(rng.integers(instance.size[1])), int(rng.integers(instance.size[0]))
            if not (left <= x < right and top <= y < bottom) and not others[y, x]:
                points.append((float(x), float(y)))
                labels.append(0)
                break
        else:
            points.append(points[0])
            labels.append(1)
    return np.array(points, np.float32), np.array(labels)
