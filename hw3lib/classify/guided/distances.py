"""What is read off a map of patch distances: how much of it is anomalous, and where to look again; without PyTorch."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# Gaussian of a standard deviation of one patch. To import SciPy's filter takes as long as all else of an answer.
_NEAR = np.exp(-0.5 * np.arange(-4, 5) ** 2)
_NEAR /= _NEAR.sum()


class FeatureScale:
    """How far the patches of good images lie from the memory: what counts as anomalous, and how anomalous."""

    def __init__(self, levels: np.ndarray):
        self.levels, self.floor = levels, float(levels[0])

    @classmethod
    def of(cls, normal: np.ndarray) -> FeatureScale:
        """Of the distances of good images that the memory does not hold."""
        highest = normal.max()
        return cls(np.array([*np.quantile(normal, [0.99, 0.999, 0.9999]), highest, 1.25 * highest, 1.5 * highest]))

    def statistics(self, distance: np.ndarray) -> np.ndarray:
        """Logarithms of how many patches exceed each level, and of the highest values, ``(n, 13)``."""
        flat = distance.reshape(len(distance), -1)
        areas = np.log1p((flat[:, None] > self.levels[:, None]).sum(2))
        places = (np.array([0, 0.0016, 0.006, 0.016, 0.03, 0.06, 0.13]) * flat.shape[1]).astype(int)
        highest = np.sort(flat, 1)[:, ::-1][:, places]
        return np.concatenate([areas, np.log(highest.clip(1e-6))], 1)


def find_regions(distance: np.ndarray, share: float) -> np.ndarray:
    """Squares around the highest smoothed distance, moved inside the image: ``x0, y0, x1, y1`` in 0 to 1."""
    smooth = np.pad(distance.astype(np.float64), ((0, 0), (4, 4), (4, 4)), "symmetric")
    for axis in (1, 2):
        smooth = sliding_window_view(smooth, len(_NEAR), axis) @ _NEAR
    n, h, w = smooth.shape
    y, x = np.unravel_index(smooth.reshape(n, -1).argmax(1), (h, w))
    corner = np.stack([(x + 0.5) / w, (y + 0.5) / h], 1) - share / 2
    corner = corner.clip(0, 1 - share)
    return np.concatenate([corner, corner + share], 1)


def in_pixels(boxes: np.ndarray, side: int) -> np.ndarray:
    """Boxes in 0 to 1 in whole pixels of squares of this side, at least one pixel wide and high, int ``(n, 4)``."""
    found = np.round(boxes * side).astype(int)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    return found
