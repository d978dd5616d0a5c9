"""AnomalyDINO: patches of a vision transformer, compared by their directions with those of a few good images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import normalize

from hw3lib.anomaly.detector import Detector
from hw3lib.errors import Hw3Error

from .patchcore import PatchCore
from .subspace import top_mean


@dataclass(kw_only=True)
class AnomalyDINO(PatchCore):
    """PatchCore without a coreset on the last tokens of DINOv2: cosine distances, of which an image has the top mean.

    Made for few good images: all their patches are kept, so that many take much memory. Its weights are fetched from
    Hugging Face, see :mod:`hw3lib.networks.from_timm`; any other backbone does, but is not what the paper measured.
    Good images are not turned, see ``tolerate``, and nothing is masked.

    Attributes:
        top: share of the patches, those with the largest distances, whose mean is the image's score.
    """

    name: ClassVar[str] = "AnomalyDINO"
    source: ClassVar[str] = "Damm et al. 2025, arXiv 2405.14529: section 3.1, full resolution 448 px; no masking"
    no_graph: ClassVar[str] = "its score is a mean of cosine distances"

    image_size: int = 448
    arch: str = "timm:vit_small_patch14_dinov2.lvd142m"
    ratio: float = 1.0
    neighbours: int = 0
    top: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.top <= 1 or self.neighbours or self.whiten:
            raise Hw3Error(
                f"{self.name}: top={self.top!r}, neighbours={self.neighbours!r}, whiten={self.whiten!r}, expected a "
                "share above 0 to 1, and neither of the others, which are PatchCore's"
            )

    @torch.no_grad()
    def _features(self, images: torch.Tensor) -> torch.Tensor:
        maps = self._backbone.feature_maps(images.to(self._torch_device), self._layers[-1:])
        return normalize(maps[self._layers[-1]].movedim(1, -1), dim=-1)

    def _score(self, images: torch.Tensor, products: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        _, distance = super()._score(images, products)
        cosine = distance.square() / 2  # of vectors of length 1
        n, *grid = cosine.shape
        return top_mean(self.counted(cosine.flatten(1), images, (grid[0], grid[1])), self.top), cosine

    def graph(self) -> torch.nn.Module:
        return Detector.graph(self)
