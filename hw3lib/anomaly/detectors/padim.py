"""PaDiM: a Gaussian at every position of the image."""

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
class PaDiM(Detector):
    """Mahalanobis distance of each patch from the good patches at the same position.

    Learns what is normal at each place, so it needs products that always lie alike. Fails where they are turned or
    moved, and needs more good images than features would need by themselves: the covariance is regularised.

    Attributes:
        arch: backbone with ImageNet weights, frozen.
        dimensions: channels drawn at random from the joined stages; all, if there are fewer.
        regularisation: added to the diagonal of each covariance, epsilon of the paper's equation 1.
    """

    name: ClassVar[str] = "PaDiM"
    source: ClassVar[str] = "Defard et al. 2021, arXiv 2011.08785: equations 1 and 2; image score: the map's maximum"

    arch: str = BACKBONE
    dimensions: int = 100
    regularisation: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions < 1 or self.regularisation <= 0:
            raise Hw3Error(
                f"{self.name}: dimensions={self.dimensions!r}, regularisation={self.regularisation!r}, expected 1 or "
                "more and above 0"
            )

    def _fit(self, images: Rows, progress: bool) -> None:
        self._start()
        starts = range(0, len(images), self.batch_size)
        batches = tqdm(starts, desc=f"{self.name}: read", unit="batch", disable=not progress)
        count, mean, covariance = moments(
            self._patches(torch.from_numpy(images[i : i + self.batch_size]).to(self._torch_device)) for i in batches
        )
        covariance *= count / (count - 1)
        covariance.diagonal(dim1=1, dim2=2).add_(self.regularisation)
        # |L^-1 (x - mean)| is the Mahalanobis distance where L L' is the covariance.
        factor = torch.linalg.cholesky(covariance)
        eye = torch.eye(covariance.shape[-1], dtype=torch.float64, device=factor.device)
        # In memory as it is when loaded: products of another layout round otherwise.
        whitening = torch.linalg.solve_triangular(factor, eye, upper=False).float().contiguous()
        self._whitening = whitening.to(self._torch_device)
        self._mean = mean.float().to(self._torch_device)

    def _start(self) -> None:
        self._backbone = backbones.load(self.arch).to(self._torch_device)
        self._layers = patch_layers(self._backbone)
        channels = sum(self._backbone.stages()[layer][0] for layer in self._layers)
        drawn = torch.randperm(channels, generator=torch.Generator().manual_seed(self.seed))[: self.dimensions]
        self._channels = drawn.sort().values.to(self._torch_device)

    @torch.no_grad()
    def _patches(self, images: torch.Tensor) -> torch.Tensor:
        """Patch features, ``(positions, n, dimensions)``."""
        features = read_patches(self._backbone, self._layers, images)[:, self._channels]
        self._grid = features.shape[-2:]
        return features.flatten(2).permute(2, 0, 1)

    def _score(self, images: torch.Tensor) -> tuple[None, torch.Tensor]:
        difference = self._patches(images) - self._mean[:, None]
        distance = torch.bmm(difference, self._whitening.transpose(1, 2)).norm(dim=2)
        return None, distance.T.reshape(len(images), *self._grid)

    def graph(self) -> torch.nn.Module:
        from hw3lib.anomaly.onnx.graphs import PaDiMGraph  # an export alone needs it

        return PaDiMGraph(
            self._backbone, self._patches, self._mean, self._whitening, lambda: (self._grid[0], self._grid[1])
        )

    def _state(self) -> dict[str, torch.Tensor]:
        return {"mean": self._mean, "whitening": self._whitening, "channels": self._channels}

    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        self._start()
        self._mean, self._whitening, self._channels = (
            state[key].to(self._torch_device) for key in ("mean", "whitening", "channels")
        )
