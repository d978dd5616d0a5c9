"""What good images teach, once, and what is then seen of any image beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from hw3lib.data.groups import products
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import reading_of
from hw3lib.networks import backbones
from hw3lib.networks.symmetries import SYMMETRIES, mirrored_then_turned

from .distances import FeatureScale, find_regions
from .features import describe_regions, read_regions
from .memory import GoodPatches

if TYPE_CHECKING:
    from .classifier import DefectGuided

_LARGEST = 1024  # pixels of the side at which a region is cut out; larger photographs are reduced to it


class GuidedReader:
    """A memory of good patches, and how far good images that it does not hold are from it.

    Args:
        method: settings.
        good: good images; some of them, drawn, are learned from. None: whole images alone are described.
        largest: pixels of the longest side of the images that will be seen; none is enlarged.
        seed: draws the good images and the patches to remember.
        device: where the network runs.
        progress: show a bar.

    Attributes:
        side, full: pixels of the squares in which images are compared, and from which regions are cut.
        good_scores: highest patch distance of good images that the memory does not hold, for each of
            :data:`~hw3lib.networks.symmetries.SYMMETRIES`, float32 ``(8, n)``.
    """

    method: DefectGuided
    device: torch.device
    backbone: backbones.Backbone
    memory: GoodPatches | None
    scale: FeatureScale
    good_scores: np.ndarray
    side: int
    full: int

    def __init__(
        self,
        method: DefectGuided,
        good: pd.DataFrame,
        largest: int,
        seed: int,
        device: torch.device,
        progress: bool = False,
    ):
        self._sized(method, largest, device)
        if not len(good):
            return
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(good), generator=generator)[: method.good_images].tolist()
        apart_rows, learned = _apart(chosen, max(2, len(chosen) // 3), products(good))
        small = self.read(good.iloc[learned], self.side)
        self.memory = GoodPatches(self.backbone, small, method.memory, generator)
        apart = self.read(good.iloc[apart_rows], self.side)
        normal = torch.cat([self.memory.compare(batch).distance for batch in apart.split(8)])
        self.scale = FeatureScale.of(normal.cpu().numpy())
        symmetries = tqdm(range(len(SYMMETRIES)), "good images, moved", unit="symmetry", disable=not progress)
        moved = (mirrored_then_turned(apart, s).split(8) for s in symmetries)
        scores = [torch.cat([self.memory.compare(b).distance.amax((1, 2)) for b in m]).cpu().numpy() for m in moved]
        self.good_scores = np.stack(scores)

    def _sized(self, method: DefectGuided, largest: int, device: torch.device) -> None:
        self.method, self.device = method, device
        self.memory = None
        self.scale, self.good_scores = FeatureScale(np.zeros(6)), np.zeros((len(SYMMETRIES), 0), np.float32)
        self.backbone = backbones.load(method.arch).to(device).eval()
        self.side, self.full = min(method.image_size, largest), min(_LARGEST, largest)

    def read(self, part: pd.DataFrame, size: int) -> torch.Tensor:
        """Images of a table as squares, uint8 ``(n, 3, size, size)``."""
        stack = np.stack([read_image(row.image, size, reading_of(row)) for row in part.itertuples()])
        return torch.from_numpy(stack).movedim(-1, 1).to(self.device)

    def see(self, small: torch.Tensor, large: torch.Tensor, symmetry: int = 0) -> dict[str, np.ndarray]:
        """Features of a batch by part, its anomaly maps and the regions that were looked at again.

        Without good images these are those of the whole image alone.

        Args:
            small, large: the same images, uint8 ``(n, 3, side, side)`` and ``(n, 3, full, full)``.
            symmetry: that moves them first.
        """
        if self.memory is None:
            with torch.no_grad():
                return {"whole": self.backbone.embed(mirrored_then_turned(small, symmetry)).cpu().numpy()}
        compared = self.memory.compare(mirrored_then_turned(small, symmetry))
        distances = compared.distance.cpu().numpy()
        boxes = find_regions(distances, self.method.region)
        region = read_regions(self.memory, mirrored_then_turned(large, symmetry), boxes, self.method.region_size)
        return describe_regions(compared, self.scale) | {"region": region, "maps": distances, "regions": boxes}

    def state(self) -> dict[str, torch.Tensor]:
        """What was learned; :meth:`restored` reads it."""
        arrays = {"levels": self.scale.levels, "good_scores": self.good_scores, "full": np.array(self.full)}
        remembered = {} if self.memory is None else self.memory.state()
        return remembered | {name: torch.from_numpy(array) for name, array in arrays.items()}

    @classmethod
    def restored(cls, method: DefectGuided, state: Mapping[str, torch.Tensor], device: torch.device) -> GuidedReader:
        """The inverse of :meth:`state`."""
        made = cls.__new__(cls)
        made._sized(method, int(state["full"]), device)
        if "bank" in state:
            here = {name: state[name].to(device) for name in ("mean", "std", "bank")}
            made.memory = GoodPatches.restored(made.backbone, here)
        made.scale, made.good_scores = FeatureScale(state["levels"].numpy()), state["good_scores"].numpy()
        return made


def _apart(chosen: list[int], number: int, groups: np.ndarray | None) -> tuple[list[int], list[int]]:
    """So many of the chosen images, or a few more so that they are whole products, and the others."""
    if groups is None or len(order := dict.fromkeys(groups[chosen].tolist())) < 2:
        return chosen[:number], chosen[number:]
    apart: list[int] = []
    for product in list(order)[:-1]:
        if len(apart) < number:
            apart += [row for row in chosen if groups[row] == product]
    return apart, [row for row in chosen if row not in apart]
