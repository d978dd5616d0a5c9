"""Autoencoder: what it cannot reproduce is anomalous; compared pixel by pixel (L2) or by local structure (SSIM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from hw3lib.anomaly.detector import Rows
from hw3lib.errors import Hw3Error
from hw3lib.networks.steps import Steps

from .trained import Trained, as_input

LOSSES = ("l2", "ssim")
WINDOW = 11  # pixels, of the paper's SSIM
_C1, _C2 = 0.01**2, 0.03**2  # for images of 0 to 1


@dataclass(kw_only=True)
class Autoencoder(Trained[nn.Module]):
    """Convolutional autoencoder through a narrow bottleneck; the map is the residual of the reconstruction.

    Learns to reproduce what good images have in common. Fails where the texture is random, which no bottleneck can
    hold: then good images have residuals too; where the decoder learns to copy, so that defects are reproduced as well;
    and, with L2, where a defect changes the structure but hardly the brightness, which is what SSIM is for.

    Images are reduced to ``working_size``; the paper's 128 pixels show smaller defects at four times the cost. The
    network is the paper's (Table 1) with the kernel of the bottleneck fitted to that size. The paper trains for 200
    epochs on 10,000 crops at a rate of 2e-4; here are fewer steps at a higher rate, with which L2 stays far behind
    SSIM.

    Attributes:
        loss: ``l2`` (equation 2) or ``ssim`` (equations 4 to 8, windows of 11x11 pixels); the map is of the same kind.
        latent_size: numbers that an image must pass through, d of the paper.
        working_size: side in pixels at which it reconstructs, a multiple of 16; never more than ``image_size``.
        weight_decay: L2 penalty of Adam.
    """

    name: ClassVar[str] = "Autoencoder"
    source: ClassVar[str] = "Bergmann et al. 2019, arXiv 1807.02011: L2 loss and SSIM loss; image score: map's maximum"

    num_steps: int = 400
    loss: str = "ssim"
    latent_size: int = 100
    working_size: int = 64
    weight_decay: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(latent_size=1, working_size=32, weight_decay=0)
        if self.loss not in LOSSES:
            raise Hw3Error(f"{self.name}: loss={self.loss!r}, expected one of {', '.join(LOSSES)}")
        if self.working_size % 16:
            raise Hw3Error(f"{self.name}: working_size={self.working_size!r}, expected a multiple of 16")

    @property
    def _side(self) -> int:
        return min(self.working_size, self.image_size // 16 * 16)

    def _build(self) -> nn.Module:
        return _network(self._side, self.latent_size)

    def _fit(self, images: Rows, progress: bool) -> None:
        self._network = self._new(self._build)
        optimiser = torch.optim.Adam(self._network.parameters(), self.lr, weight_decay=self.weight_decay)
        update = Steps(optimiser, name=self.name)

        def step(batch: np.ndarray) -> float:
            return update(self._residual(torch.from_numpy(batch).to(self._torch_device)).mean())

        self._learn(images, step, progress)
        self._network.eval()

    def _residual(self, images: torch.Tensor) -> torch.Tensor:
        inputs = as_input(images, self._side)
        reconstruction = self._network(inputs)
        if self.loss == "l2":
            return (inputs - reconstruction).square().mean(1)
        return 1 - ssim_map(inputs, reconstruction)

    def _score(self, images: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, self._residual(images)


def ssim_map(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Structural similarity at each pixel, float32 ``(n, h, w)``, -1 to 1, of images ``(n, c, h, w)`` of 0 to 1.

    Bergmann et al. 2019, equation 8, with uniform windows of 11x11 pixels, population variances and the constants of
    Wang et al. 2004 (0.01 and 0.03, squared), averaged over the channels. At the border a window is the part of it
    inside the image.
    """

    rows, columns = (_windows(side, a) for side in a.shape[2:])

    def mean(x: torch.Tensor) -> torch.Tensor:
        return rows @ x @ columns.T  # several times as fast as pooling, whose backward pass is slow

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return (luminance * (2 * covariance + _C2) / (variances + _C2)).mean(1)


def _windows(side: int, like: torch.Tensor) -> torch.Tensor:
    """Matrix ``(side, side)`` that replaces each value by the mean of the window around it."""
    place = torch.arange(side, device=like.device)
    near = ((place[:, None] - place).abs() <= WINDOW // 2).to(like.dtype)
    return near / near.sum(1, keepdim=True)


def _network(side: int, latent_size: int) -> nn.Sequential:
    down = [(3, 32, 4, 2), (32, 32, 4, 2), (32, 32, 3, 1), (32, 64, 4, 2), (64, 64, 3, 1), (64, 128, 4, 2)]
    down += [(128, 64, 3, 1), (64, 32, 3, 1)]  # channels in and out, kernel, stride
    layers: list[nn.Module] = []
    for fan_in, out, kernel, stride in down:
        layers += [nn.Conv2d(fan_in, out, kernel, stride, 1), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(32, latent_size, side // 16), nn.ConvTranspose2d(latent_size, 32, side // 16)]
    for out, fan_in, kernel, stride in reversed(down):
        layers += [nn.LeakyReLU(0.2), nn.ConvTranspose2d(fan_in, out, kernel, stride, 1)]
    return nn.Sequential(*layers)
