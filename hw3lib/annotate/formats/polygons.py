"""Masks as polygons that every rasteriser fills alike, and back."""

from __future__ import annotations

import numpy as np
from contourpy import contour_generator
from PIL import Image, ImageDraw
from scipy import ndimage

from hw3lib.annotate.instances import Instance
from hw3lib.data.regions.shapes import EIGHT_CONNECTED

_REACH = 0.49  # pixels from a pixel's centre to the outline around it: all but its edge


def outlines(instance: Instance) -> list[np.ndarray]:
    """One polygon for each 8-connected part of an instance, without its holes.

    The vertices lie inside the border pixels, 0.01 pixels from their edges. So the box of a polygon is the box of the
    mask, also that of a single pixel, and truncating the vertices to whole pixels gives exactly the border pixels,
    which OpenCV's and Pillow's polygons include; COCO's rasteriser, which fills what is within, fills the same.

    Returns:
        float64 ``(n, 2)``, n >= 4: x and y in pixels of the image; (0, 0) is the corner of the first pixel.
    """
    labels, count = ndimage.label(instance.crop, EIGHT_CONNECTED)
    corner = np.array([instance.x, instance.y], float)
    return [_outline(labels == number) + corner for number in range(1, count + 1)]


def _outline(mask: np.ndarray) -> np.ndarray:
    filled = ndimage.binary_fill_holes(np.pad(mask, 1))
    # Below 0.5 pixels that touch by a corner are joined. The line runs 0.6 pixels from the centres within.
    (line,) = list(contour_generator(z=filled.astype(float)).lines(0.4))
    line = np.asarray(line)[:-1]
    below = np.floor(line + 1e-6)
    part = line - below
    centre = below + (part > 0.3) * (part < 0.5)  # the centre within lies 0.6 above, 0.6 below, or at the coordinate
    points = centre + _REACH * np.sign(np.round(line - centre, 3)) - 0.5
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (np.abs(turn) < 1e-9) & ((before * after).sum(1) > 0)
    return points[~straight]


def fill(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask of a polygon, bool ``(H, W)``, its border pixels included, as ultralytics fills it."""
    canvas = Image.new("L", (size[1], size[0]))
    points = [tuple(point) for point in np.asarray(polygon, float).astype(int).tolist()]
    ImageDraw.Draw(canvas).polygon(points, fill=1, outline=1)
    return np.asarray(canvas) > 0


def holes(mask: np.ndarray) -> tuple[int, int]:
    """How many holes a mask has, and their pixels."""
    inside = ndimage.binary_fill_holes(mask) & ~mask
    return int(ndimage.label(inside)[1]), int(inside.sum())
