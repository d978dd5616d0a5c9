"""Features of an image that was compared with good patches: weighted by the anomaly, and of the region it points at."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate

from hw3lib.networks.devices import pooled_mean

from .distances import FeatureScale, in_pixels
from .memory import GoodPatches, PatchComparison


def describe_regions(compared: PatchComparison, scale: FeatureScale) -> dict[str, np.ndarray]:
    """All parts but the region's, ``(n, features)`` each."""
    found = {name: part.cpu().numpy() for name, part in weighted_parts(compared, scale.floor).items()}
    return found | {"statistics": scale.statistics(compared.distance.cpu().numpy())}


def weighted_parts(compared: PatchComparison, floor: float) -> dict[str, torch.Tensor]:
    """Those parts that a network's features are weighted to, ``(n, features)`` each."""
    weight = (compared.distance - floor).clamp_min(0)[:, None] + 1e-4

    def weighted(values: torch.Tensor) -> torch.Tensor:
        at = pooled_mean(weight, (values.shape[-2], values.shape[-1]))
        return (values * (at / at.sum((2, 3), keepdim=True))).sum((2, 3))

    return {
        "patches": weighted(compared.residual),
        "stage": weighted(compared.maps[-1]),
        "whole": compared.embedding,
    }


def pooled(memory: GoodPatches, regions: torch.Tensor) -> torch.Tensor:
    """Of regions ``(n, 3, size, size)``: mean of each channel of all stages, and maximum of those of the finer ones."""
    maps = memory.read(regions)[:-1]
    return torch.cat([m.mean((2, 3)) for m in maps] + [m.amax((2, 3)) for m in maps[:-1]], 1)


def read_regions(memory: GoodPatches, images: torch.Tensor, boxes: np.ndarray, size: int) -> np.ndarray:
    cut = []
    for image, (x0, y0, x1, y1) in zip(images, in_pixels(boxes, images.shape[-1]), strict=True):
        region = image[None, :, y0:y1, x0:x1].float()
        cut.append(interpolate(region, size=(size, size), mode="bilinear", antialias=True, align_corners=False))
    return pooled(memory, torch.cat(cut)).cpu().numpy()
