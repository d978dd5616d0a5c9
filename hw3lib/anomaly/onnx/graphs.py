"""Detectors as modules of torch's own operators, with the number of images left open: what ONNX files are traced from.

Each gives scores ``(n,)``, or None where they are the maximum of the finished map, and raw maps ``(n, h, w)``, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from hw3lib.networks.nearest import NearestNeighbours

Raw = tuple[torch.Tensor | None, torch.Tensor | None]


class NetworkGraph(nn.Module):
    """Of a detector whose scores networks and tensors compute.

    Args:
        networks: that it calls.
        score: scores and raw maps of images, uint8 ``(n, 3, H, W)``.
    """

    def __init__(self, networks: Iterable[nn.Module], score: Callable[[torch.Tensor], Raw]):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._score = score

    def forward(self, images: torch.Tensor) -> Raw:
        return self._score(images)


class PaDiMGraph(nn.Module):
    """PaDiM's scores, with the number of images left open, which ``len`` would fix.

    Args:
        backbone: that ``patches`` calls.
        patches: features of images, ``(positions, n, dimensions)``.
        mean, whitening: ``(positions, dimensions)`` and ``(positions, dimensions, dimensions)``.
        grid: height and width of the positions, once features were computed.
    """

    mean: torch.Tensor
    whitening: torch.Tensor

    def __init__(
        self,
        backbone: nn.Module,
        patches: Callable[[torch.Tensor], torch.Tensor],
        mean: torch.Tensor,
        whitening: torch.Tensor,
        grid: Callable[[], tuple[int, int]],
    ):
        super().__init__()
        self.backbone, self._patches, self._grid = backbone, patches, grid
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening.transpose(1, 2).contiguous())

    def forward(self, images: torch.Tensor) -> Raw:
        difference = self._patches(images) - self.mean[:, None]
        distance = torch.bmm(difference, self.whitening).norm(dim=2)
        return None, distance.T.unflatten(1, self._grid())


class PatchCoreGraph(nn.Module):
    """PatchCore with a search that is one matrix product.

    The product ranks, and the distance to the vector that it ranks first is computed from the difference. Rounding may
    so choose a vector that is not the nearest, but its squared distance exceeds the nearest one's by at most twice the
    bound on the product's error, :func:`.product_slack`. The bank is centred, which keeps that bound low.
    The neighbours of each vector of the bank, which equation 7 asks for, are looked up beforehand, exactly.

    Args:
        backbone: that ``patches`` calls.
        patches: features of images, ``(n, h, w, channels)``.
        bank: float32 ``(M, channels)``.
        neighbours: of equation 7; 0 leaves the largest distance as it is.
        counted: distances with those of padding as 0, see :meth:`.PatchCore.counted`.
    """

    mean: torch.Tensor
    bank: torch.Tensor
    squares: torch.Tensor
    around: torch.Tensor

    def __init__(
        self,
        backbone: nn.Module,
        patches: Callable[[torch.Tensor], torch.Tensor],
        bank: torch.Tensor,
        neighbours: int,
        counted: Callable[[torch.Tensor, torch.Tensor, tuple[int, int]], torch.Tensor],
    ):
        super().__init__()
        self.backbone, self._patches, self._counted = backbone, patches, counted
        self.register_buffer("mean", bank.mean(0, dtype=torch.float64).float())
        self.register_buffer("bank", bank - self.mean)
        self.register_buffer("squares", self.bank.double().square().sum(1).float())
        self._weighs = neighbours > 0 and len(bank) > 1
        if self._weighs:
            self.register_buffer("around", NearestNeighbours(bank).query(bank, min(neighbours, len(bank)))[1])

    def forward(self, images: torch.Tensor) -> Raw:
        patches = self._patches(images)
        _, height, width, channels = patches.shape
        flat = patches.flatten(0, 2) - self.mean
        distance, nearest = self.search(flat)
        distance, nearest = distance.view(-1, height * width), nearest.view(-1, height * width)
        scores, most = self._counted(distance, images, (height, width)).max(1, keepdim=True)
        if self._weighs:
            chosen = flat.view(-1, height * width, channels).gather(1, most[:, :, None].expand(-1, 1, channels))
            around = self.bank[self.around[nearest.gather(1, most)[:, 0]]]
            others = (chosen - around).norm(dim=2)
            scores = scores * (1 - torch.exp(scores - others.logsumexp(1, keepdim=True)))
        return scores[:, 0], distance.view(-1, height, width)

    def search(self, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distance and position of the nearest vector of the bank, of centred patches ``(n, channels)``."""
        nearest = torch.addmm(self.squares, flat, self.bank.T, alpha=-2).argmin(1)
        return (flat - self.bank[nearest]).norm(dim=1), nearest
