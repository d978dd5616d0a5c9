"""Patches of an image as a network describes them: which stages to read, locally aware features, and their moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from hw3lib.errors import Hw3Error

from .backbone import Backbone
from .devices import double, pooled_mean

# Patches across an image and down, at most: those of stride 8 in 224 pixels, for which the methods were published. More
# pixels then show more within each; more patches, each a smaller share of the image, would know less of what is around.
PATCHES = 28


def stage_names(backbone: Backbone) -> list[str]:
    """The last stage of each stride of 8, 16 and 32 pixels, by which patches and regions are described.

    A 1x1 convolution at the end, which only widens the features for ImageNet's thousand classes, does not count: what
    it gives says less of a defect.

    Raises:
        Hw3Error: the network has no stage of 8 and of 16 pixels.
    """
    stages = backbone.stages()
    names = [name for name in stages if not _only_widens(backbone.network.get_submodule(name))]
    last = {stages[name][1]: name for name in names}
    if not {8, 16} <= last.keys():
        raise Hw3Error(f"{backbone.name}: its stages have strides {sorted(last)}, expected 8 and 16 among them")
    return [last[stride] for stride in (8, 16, 32) if stride in last]


def _only_widens(stage: nn.Module) -> bool:
    convolutions = [m for m in stage.modules() if isinstance(m, nn.Conv2d)]
    return len(convolutions) == 1 and convolutions[0].kernel_size == (1, 1)


def patch_layers(backbone: Backbone) -> list[str]:
    """The stages that patches are compared by: the last of each stride of 4, 8 and 16 pixels.

    Of a ResNet these are layer1, layer2 and layer3, which PaDiM reads; PatchCore's paper reads the last two of them. Of
    a vision transformer, whose blocks are all of one stride, it is the last block (AnomalyDINO: arXiv 2405.14529).

    Raises:
        Hw3Error: the network lacks one of these strides.
    """
    last = {stride: name for name, (_, stride) in backbone.stages().items()}
    if len(last) == 1:
        return list(last.values())
    if not {4, 8, 16} <= last.keys():
        raise Hw3Error(f"{backbone.name}: its stages have strides {sorted(last)}, expected 4, 8 and 16 among them")
    return [last[4], last[8], last[16]]


def locally_aware(maps: Sequence[torch.Tensor], grid: int = 0, most: int | None = None) -> torch.Tensor:
    """Locally aware patch features: each map averaged over 3x3 neighbours, brought to one grid and joined.

    PatchCore: Roth et al. 2022, arXiv 2106.08265, section 3.1, equations 1 to 3 with a neighbourhood of 3.

    Args:
        maps: outputs of stages, finest first, float32 ``(n, channels, h, w)`` each.
        grid: position of the map whose grid is taken: coarser ones are interpolated, finer ones averaged.
        most: patches across and down at most; a finer grid is averaged to as many.

    Returns:
        float32 ``(n, sum of the channels, h, w)``.
    """
    averaged = [avg_pool2d(m, 3, 1, 1) for m in maps]
    height, width = averaged[grid].shape[-2:]
    size = (min(height, most or height), min(width, most or width))
    return torch.cat([_resized(m, size) for m in averaged], 1)


def read_patches(backbone: Backbone, layers: list[str], images: torch.Tensor) -> torch.Tensor:
    """:func:`locally_aware` features of images, of the grid of the second stage, at most :data:`PATCHES` each way.

    Args:
        layers: stages to read, finest first; of one alone the grid is its own.
        images: as :meth:`.Backbone.feature_maps` takes them, on the backbone's device.

    Returns:
        float32 ``(n, channels, h, w)``.
    """
    maps = list(backbone.feature_maps(images, layers).values())
    return locally_aware(maps, min(1, len(maps) - 1), PATCHES)


def _resized(m: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if m.shape[-1] > size[1]:
        return pooled_mean(m, size)
    return m if m.shape[-2:] == size else interpolate(m, size=size, mode="bilinear", align_corners=False)


def moments(parts: Iterable[torch.Tensor]) -> tuple[int, torch.Tensor, torch.Tensor]:
    """How many vectors there are, their mean and their covariance.

    Args:
        parts: vectors, ``(..., n, d)``; at least one part, all of the same leading and last sizes.

    Returns:
        The number, the mean ``(..., d)`` and the covariance ``(..., d, d)``, its sums divided by the number; float64.
    """
    count, total, products = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for part in map(double, parts):
        if not count:
            shift = part.mean(-2, keepdim=True)  # keeps the sums of squares small, and so exact
        part = part - shift
        count, total, products = count + part.shape[-2], total + part.sum(-2), products + part.mT @ part
    mean = total / count
    return count, mean + shift.squeeze(-2), products / count - mean[..., :, None] * mean[..., None, :]
