"""Features of an image that was compared with good patches: weighted by the anomaly, and of the region it points at."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from hw3lib.networks.devices import pooled_mean

from .memory import GoodPatches, PatchComparison


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


def describe_regions(compared: PatchComparison, scale: FeatureScale) -> dict[str, np.ndarray]:
    """All parts but the region's, ``(n, features)`` each."""
    weight = (compared.distance - scale.floor).clamp_min(0)[:, None] + 1e-4

    def weighted(values: torch.Tensor) -> np.ndarray:
        at = pooled_mean(weight, (values.shape[-2], values.shape[-1]))
        return (values * (at / at.sum((2, 3), keepdim=True))).sum((2, 3)).cpu().numpy()

    return {
        "patches": weighted(compared.residual),
        "stage": weighted(compared.maps[-1]),
        "statistics": scale.statistics(compared.distance.cpu().numpy()),
        "whole": compared.embedding.cpu().numpy(),
    }


def _pool(maps: list[torch.Tensor]) -> np.ndarray:
    """Mean of each channel of all stages, and maximum of those of the finer ones."""
    pooled = [m.mean((2, 3)) for m in maps] + [m.amax((2, 3)) for m in maps[:-1]]
    return torch.cat(pooled, 1).cpu().numpy()


def find_regions(distance: np.ndarray, share: float) -> np.ndarray:
    """Squares around the highest smoothed distance, moved inside the image: ``x0, y0, x1, y1`` in 0 to 1."""
    smooth = gaussian_filter(distance, (0, 1, 1))
    n, h, w = smooth.shape
    y, x = np.unravel_index(smooth.reshape(n, -1).argmax(1), (h, w))
    corner = np.stack([(x + 0.5) / w, (y + 0.5) / h], 1) - share / 2
    corner = corner.clip(0, 1 - share)
    return np.concatenate([corner, corner + share], 1)


def read_regions(memory: GoodPatches, images: torch.Tensor, boxes: np.ndarray, size: int) -> np.ndarray:
    cut = []
    for image, box in zip(images, np.round(boxes * images.shape[-1]).astype(int), strict=True):
        x0, y0, x1, y1 = box
        region = image[None, :, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].float()
        cut.append(interpolate(region, size=(size, size), mode="bilinear", antialias=True, align_corners=False))
    return _pool(memory.read(torch.cat(cut))[:-1])
