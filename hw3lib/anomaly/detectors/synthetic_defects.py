"""A segmenter of synthetic defects: good images are damaged on purpose, and a small head learns to find where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate
from torch.optim.lr_scheduler import CosineAnnealingLR

from hw3lib.anomaly.detector import BACKBONE, Rows
from hw3lib.networks import backbones
from hw3lib.networks.devices import double
from hw3lib.networks.losses import squared_dice_loss_of_batch
from hw3lib.networks.patches import stage_names
from hw3lib.networks.steps import Steps

from .painted_defects import paint_defect
from .trained import Trained

_ENOUGH = 64  # good images that say how large the values of a channel are


@dataclass(kw_only=True)
class SyntheticDefects(Trained["_DefectHead"]):
    """A head on frozen feature maps that predicts the mask of painted defects; the map is its logit.

    Each batch paints defects of random shape, texture and strength on half of its good images
    (:func:`.paint_defect`); the head learns from the masks by cross-entropy and the Dice loss. What is learned is a
    decision, not a description of what is good, so it sees well what resembles the painted: foreign matter, stains,
    scratches, dents that change the texture. It cannot see what was never painted: a missing or misplaced part, a wrong
    shape, a change too weak to be painted (under 10 grey levels); and where good images have marks that look painted it
    raises false alarms unless they are many among those that it learns from.

    Attributes:
        arch: backbone with ImageNet weights, frozen; its stages with strides from 4 to 32 pixels are read.
        hidden_size: channels of the head.
    """

    name: ClassVar[str] = "Synthetic defects"
    source: ClassVar[str] = (
        "the idea of DRAEM (Zavrtanik et al. 2021, arXiv 2108.07610) and NSA (Schlueter et al. 2022, arXiv 2109.15222) "
        "on frozen features; loss: cross-entropy and Dice (Milletari et al. 2016, arXiv 1606.04797)"
    )

    num_steps: int = 150
    lr: float = 3e-3
    train_batch_size: int = 8
    arch: str = BACKBONE
    hidden_size: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(hidden_size=1)

    def _build(self) -> _DefectHead:
        self._backbone = backbones.load(self.arch).requires_grad_(False).to(self._torch_device)
        stages = self._backbone.stages()
        finest = [name for name, (_, stride) in stages.items() if stride == 4]
        self._layers = finest[-1:] + stage_names(self._backbone)
        return _DefectHead([stages[layer][0] for layer in self._layers], self.hidden_size)

    def _fit(self, images: Rows, progress: bool) -> None:
        head = self._network = self._new(self._build)
        optimiser = torch.optim.Adam(head.parameters(), self.lr)
        update = Steps(optimiser, CosineAnnealingLR(optimiser, self.num_steps), name=self.name)
        rng = np.random.default_rng([self.seed, 1])
        self._standardise(images)

        def step(batch: np.ndarray) -> float:
            inputs, masks = batch.copy(), np.zeros((len(batch), *batch.shape[2:]), np.float32)
            for i in range(len(batch) // 2):
                inputs[i], masks[i] = paint_defect(batch[i], images[int(rng.integers(len(images)))], rng)
            target = torch.from_numpy(masks).to(self._torch_device)
            logits = head(self._maps(torch.from_numpy(inputs)))
            logits = interpolate(logits, size=target.shape[1:], mode="bilinear", align_corners=False)[:, 0]
            return update(binary_cross_entropy_with_logits(logits, target) + squared_dice_loss_of_batch(logits, target))

        self._learn(images, step, progress)
        head.eval()

    def _standardise(self, images: Rows) -> None:
        """Mean and standard deviation of each channel over good images, of which a few dozen suffice."""
        rows = np.random.default_rng(self.seed).permutation(len(images))[:_ENOUGH]
        sums = [torch.zeros((), dtype=torch.float64)] * 2 * len(self._layers)
        for i in range(0, len(rows), self.batch_size):
            for k, m in enumerate(self._maps(torch.from_numpy(images[rows[i : i + self.batch_size]]))):
                exact = double(m)
                sums[2 * k] = sums[2 * k] + exact.mean((2, 3)).sum(0) / len(rows)
                sums[2 * k + 1] = sums[2 * k + 1] + exact.square().mean((2, 3)).sum(0) / len(rows)
        for stage, mean, square in zip(self._network.stages, sums[::2], sums[1::2], strict=True):
            assert isinstance(stage, _Stage)
            stage.mean.copy_(mean.float())
            stage.std.copy_((square - mean**2).clamp_min(1e-12).sqrt().float())

    @torch.no_grad()
    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of the stages, finest first, ``(n, channels, h, w)`` each."""
        return list(self._backbone.feature_maps(images.to(self._torch_device), self._layers).values())

    def _score(self, images: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, self._network(self._maps(images))[:, 0]


class _Stage(nn.Module):
    """A 1x1 convolution of one stage's standardised map."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, channels: int, hidden_size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.layer = nn.Conv2d(channels, hidden_size, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.layer((maps - self.mean[:, None, None]) / self.std[:, None, None])


class _DefectHead(nn.Module):
    """Logits ``(n, 1, h, w)`` on the finest grid, of the feature maps of all stages."""

    def __init__(self, channels: list[int], hidden_size: int):
        super().__init__()
        # Enlarging and 1x1 convolutions commute; this order never holds the many channels on the finest grid.
        self.stages = nn.ModuleList(_Stage(count, hidden_size) for count in channels)
        self.rest = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(hidden_size, hidden_size, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden_size, 1, 1),
        )

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        size = maps[0].shape[2:]
        parts = [stage(m) for stage, m in zip(self.stages, maps, strict=True)]
        return self.rest(sum(interpolate(p, size=size, mode="bilinear", align_corners=False) for p in parts))
