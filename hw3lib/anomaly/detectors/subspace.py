"""SubspaceAD: the principal components of good patches, and what of a patch they cannot describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from tqdm.auto import tqdm

from hw3lib.anomaly.detector import BACKBONE, Detector, Rows
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.patches import moments, patch_layers, read_patches


@dataclass(kw_only=True)
class Subspace(Detector):
    """What is left of a patch once it is described by the principal components of good patches.

    No memory bank and no training: a mean and some directions, which a few good images tell. It bears products that
    move, for all positions share them. It fails on defects that are a mixture of good patches.

    Attributes:
        arch: backbone with ImageNet weights, frozen; the paper's is a DINOv2 (``timm:vit_giant_patch14_reg4_dinov2``).
        variance: share of the variance of good patches that the components hold, above 0 and below 1. The paper's is
            0.99, of DINOv2; of the default backbone 0.95 is better on six of seven sets (``make bench
            ARGS="detectors"``).
        top: share of the patches, those with the largest residuals, whose mean is the image's score.
    """

    name: ClassVar[str] = "SubspaceAD"
    source: ClassVar[str] = (
        "Lendering et al. 2026, arXiv 2602.23013; features of neighbouring stages as PatchCore's, images not turned"
    )

    arch: str = BACKBONE
    variance: float = 0.95
    top: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.variance < 1 and 0 < self.top <= 1):
            raise Hw3Error(
                f"{self.name}: variance={self.variance!r}, top={self.top!r}, expected shares above 0, below 1 and to 1"
            )

    def _fit(self, images: Rows, progress: bool) -> None:
        self._start()
        starts = range(0, len(images), self.batch_size)
        batches = tqdm(starts, desc=f"{self.name}: read", unit="batch", disable=not progress)
        _, mean, covariance = moments(
            self._patches(torch.from_numpy(images[i : i + self.batch_size])).flatten(0, 2) for i in batches
        )
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        share = values.cumsum(0) / values.sum()
        kept = int((share < self.variance).sum()) + 1
        self._mean = mean.float().to(self._torch_device)
        # In memory as it is when loaded: products of another layout round otherwise.
        self._components = vectors[:, :kept].T.float().contiguous().to(self._torch_device)

    def _start(self) -> None:
        self._backbone = backbones.load(self.arch).to(self._torch_device)
        self._layers = patch_layers(self._backbone)

    @torch.no_grad()
    def _patches(self, images: torch.Tensor) -> torch.Tensor:
        """Patch features, ``(n, h, w, channels)``."""
        return read_patches(self._backbone, self._layers, images.to(self._torch_device)).movedim(1, -1)

    def _score(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        centred = self._patches(images) - self._mean
        residual = (centred - centred @ self._components.T @ self._components).norm(dim=3)
        return top_mean(residual.flatten(1), self.top), residual

    def graph(self) -> torch.nn.Module:
        from hw3lib.anomaly.onnx.graphs import NetworkGraph  # an export alone needs it

        return NetworkGraph([self._backbone], self._score)

    def _state(self) -> dict[str, torch.Tensor]:
        return {"mean": self._mean, "components": self._components}

    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        self._start()
        self._mean, self._components = (state[key].to(self._torch_device) for key in ("mean", "components"))


def top_mean(values: torch.Tensor, share: float) -> torch.Tensor:
    """Mean of the largest ``share`` of values, at least one, of each row of ``(n, patches)``: ``(n,)``."""
    return values.topk(max(1, round(share * values.shape[1])), dim=1).values.mean(1)
