"""What good images teach: a memory of their patches, how far any patch is from it, and which symmetries they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from hw3lib.networks.backbone import Backbone
from hw3lib.networks.nearest import NearestNeighbours
from hw3lib.networks.patches import locally_aware, stage_names
from hw3lib.networks.symmetries import SYMMETRIES

Query = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass
class PatchComparison:
    """Images beside the memory of good patches.

    Attributes:
        distance: of each patch to the nearest good one, float32 ``(n, h, w)``; higher is more anomalous.
        residual: each patch less the nearest good one, float32 ``(n, channels, h, w)``.
        maps: outputs of the stages, finest first, float32 ``(n, channels, h, w)`` each.
        embedding: mean of the network's last feature map, float32 ``(n, features)``.
    """

    distance: torch.Tensor
    residual: torch.Tensor
    maps: list[torch.Tensor]
    embedding: torch.Tensor


class GoodPatches:
    """Memory of the patches of good images (PatchCore: Roth et al. 2022, arXiv 2106.08265, section 3.1).

    A patch is described by the stages of stride 8 and 16, each averaged over 3x3 neighbours, every channel standardised
    over the good images. Of all patches ``size`` are kept, drawn at random.

    Args:
        backbone: frozen network.
        images: good images, uint8 ``(n, 3, side, side)``, on the backbone's device.
        size: patches to keep.
        generator: draws them.
    """

    def __init__(self, backbone: Backbone, images: torch.Tensor, size: int, generator: torch.Generator):
        self._reads(backbone)
        patches = torch.cat([locally_aware(self.read(batch)[:2]) for batch in images.split(8)])
        self.mean = patches.mean((0, 2, 3), keepdim=True)
        self.std = patches.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
        flat = ((patches - self.mean) / self.std).movedim(1, -1).flatten(0, 2)
        self._remember(flat[torch.randperm(len(flat), generator=generator)[:size].to(flat.device)])

    def _reads(self, backbone: Backbone) -> None:
        self.backbone, self.layers = backbone, stage_names(backbone)
        self._last = list(backbone.stages())[-1]

    def _remember(self, bank: torch.Tensor) -> None:
        self.bank, self._nearest = bank, NearestNeighbours(bank)

    def state(self) -> dict[str, torch.Tensor]:
        """What was remembered; :meth:`restored` reads it."""
        return {"mean": self.mean, "std": self.std, "bank": self.bank}

    @classmethod
    def restored(cls, backbone: Backbone, state: Mapping[str, torch.Tensor]) -> GoodPatches:
        """The inverse of :meth:`state`, for the same network."""
        made = cls.__new__(cls)
        made._reads(backbone)
        made.mean, made.std = state["mean"], state["std"]
        made._remember(state["bank"])
        return made

    @torch.no_grad()
    def read(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of the stages for images in 0 to 255, ``(n, 3, H, W)``; the network's last stage comes last."""
        maps = self.backbone.feature_maps(images, list(dict.fromkeys([*self.layers, self._last])))
        return [maps[layer] for layer in [*self.layers, self._last]]

    def compare(self, images: torch.Tensor, query: Query | None = None) -> PatchComparison:
        """Compare a batch of images, uint8 ``(n, 3, side, side)``, with the memory.

        ``query`` gives distance and position of the nearest vectors of the bank; None: exactly those.
        """
        *maps, last = self.read(images)
        patches = (locally_aware(maps[:2]) - self.mean) / self.std
        flat = patches.movedim(1, -1)
        distance, index = (query or self._nearest.query)(flat.flatten(0, 2))
        residual = (flat - self.bank[index].view(flat.shape)).movedim(-1, 1)
        return PatchComparison(distance.view(flat.shape[:-1]), residual, maps, last.mean((2, 3)))


def symmetry_test(good: np.ndarray, defects: np.ndarray) -> pd.DataFrame:
    """Which symmetries the product has: moved good images must still look good.

    A symmetry is accepted if it raises the median score of good images by less than half of the way to the median score
    of defective ones: less than a defect does, so that features may be averaged over it.

    Args:
        good: highest patch distance of good images that the memory does not hold, moved by each of
            :data:`~hw3lib.networks.symmetries.SYMMETRIES`, ``(8, n)``; row 0 is unmoved.
        defects: the same of unmoved defective images, ``(m,)``; none: only the first is accepted.

    Returns:
        One row a symmetry: ``symmetry``, ``good``, ``moved``, ``defect`` (medians), ``accepted``.
    """
    unmoved = float(np.median(good[0]))
    defect = float(np.median(defects)) if len(defects) else np.nan
    moved = np.median(good, 1)
    accepted = moved - unmoved < (defect - unmoved) / 2
    accepted[0] = True
    return pd.DataFrame(
        {"symmetry": SYMMETRIES, "good": unmoved, "moved": moved, "defect": defect, "accepted": accepted}
    )
