"""Random changes of training images, drawn for each image on its own and applied to whole batches on the device."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import nn

_GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


class Augmentation(Protocol):
    """Random numbers are drawn apart from their use, so that several processes share out one batch's draw."""

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Random numbers for ``n`` inputs, float32 ``(n, ...)`` in 0 to 1, on the CPU."""

    def __call__(self, inputs: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """The changed inputs, ``(n, ...)``."""


class RandomAugment:
    """Flips, rotation and colour jitter.

    Args:
        flip: mirror left to right and top to bottom, each with probability one half.
        rotation: turn by up to this many degrees either way; corners that it uncovers are filled by reflection.
        colour_jitter: multiply brightness, contrast and saturation by factors within ``1 +- colour_jitter``.
    """

    def __init__(self, flip: bool = False, rotation: float = 0.0, colour_jitter: float = 0.0):
        self.flip, self.rotation, self.colour_jitter = flip, rotation, colour_jitter

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.rand(n, 6, generator=generator)

    def __call__(self, inputs: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """Changed images, float32 ``(n, 3, H, W)`` in 0 to 255, of images in 0 to 255."""
        images = inputs.float()
        draw = draw.view(len(images), 6, 1, 1, 1)
        if self.flip:
            images = torch.where(draw[:, 0] < 0.5, images.flip(3), images)
            images = torch.where(draw[:, 1] < 0.5, images.flip(2), images)
        if self.rotation:
            images = _rotate(images, (draw[:, 2].flatten() * 2 - 1) * math.radians(self.rotation))
        if self.colour_jitter:
            brightness, contrast, saturation = (
                1 + (draw[:, 3:].unbind(1)[i] * 2 - 1) * self.colour_jitter for i in range(3)
            )
            grey = images.new_tensor(_GREY).view(1, 3, 1, 1)
            images = (images * brightness).clamp(0, 255)
            mean = (images * grey).sum(1, keepdim=True).mean((2, 3), keepdim=True)
            images = (mean + (images - mean) * contrast).clamp(0, 255)
            luma = (images * grey).sum(1, keepdim=True)
            images = (luma + (images - luma) * saturation).clamp(0, 255)
        return images


class RandomView:
    """Draws one of several ready-made views for each input: ``(n, views, ...)`` becomes ``(n, ...)``."""

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.rand(n, generator=generator)

    def __call__(self, inputs: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        return self.of_rows(inputs, torch.arange(len(inputs), device=inputs.device), draw)

    def of_rows(self, inputs: torch.Tensor, rows: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """A view of each input at ``rows``, int64 ``(n,)``, without a copy of the views that are not drawn."""
        views = inputs.shape[1]
        # float32 rounds the largest draws up to 1.
        chosen = (draw * views).long().clamp(max=views - 1)
        return inputs[rows, chosen]


def _rotate(images: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn square images about their centre by angles in radians, ``(n,)``."""
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    affine = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = nn.functional.affine_grid(affine, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
