"""A classifier of defect types as a folder that onnxruntime runs, see :mod:`.exported`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from hw3lib import __version__
from hw3lib.core.files import file_digest
from hw3lib.networks.onnx_file import write

from .exported import LOOK, REGION, SAVED
from .features import pooled, weighted_parts
from .memory import GoodPatches
from .reader import GuidedReader
from .types import DefectTypes


class _Whole(nn.Module):
    """Of a classifier without good images: the whole image."""

    def __init__(self, reader: GuidedReader):
        super().__init__()
        self.backbone = reader.backbone

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.backbone.embed(images)


class _Look(nn.Module):
    """Distances of the patches, and the parts of :func:`.weighted_parts`; the search is one matrix product."""

    squares: torch.Tensor

    def __init__(self, memory: GoodPatches, floor: float, parts: list[str]):
        super().__init__()
        self.backbone, self._memory, self._floor, self._parts = memory.backbone, memory, floor, parts
        self.register_buffer("squares", memory.bank.double().square().sum(1).float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        compared = self._memory.compare(images, self._query)
        described = weighted_parts(compared, self._floor)
        return compared.distance, *(described[part] for part in self._parts)

    def _query(self, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bank = self._memory.bank
        nearest = torch.addmm(self.squares, flat, bank.T, alpha=-2).argmin(1)
        return (flat - bank[nearest]).norm(dim=1), nearest


class _Region(nn.Module):
    def __init__(self, memory: GoodPatches):
        super().__init__()
        self.backbone, self._memory = memory.backbone, memory

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return pooled(self._memory, images)


def export_types(folder: str | Path, out: str | Path) -> None:
    """Write the classifier that lies in a folder into another, for :class:`.OnnxTypes`.

    Raises:
        Hw3Error: no classifier, a network that is none of ONNX's, or ``out`` holds something else.
    """
    types = DefectTypes.load(folder, device="cpu")
    reader, method, out = types._reader, types.method, Path(out)
    arrays = {name: torch.from_numpy(array.copy()) for name, array in types.arrays().items()}
    arrays["levels"] = torch.from_numpy(reader.scale.levels)
    out.mkdir(parents=True)
    images = torch.zeros(2, 3, reader.side, reader.side, dtype=torch.uint8)
    if reader.memory is None:
        write(_Whole(reader).eval(), images, out / LOOK, ["whole"], {}, "classifier of types")
    else:
        reader.memory.read(images)  # makes what reads the maps, which tracing cannot
        parts = [part for part in method.parts if part in ("patches", "stage", "whole")]
        look = _Look(reader.memory, reader.scale.floor, parts).eval()
        write(look, images, out / LOOK, ["distance", *parts], {}, "classifier of types")
        regions = torch.zeros(2, 3, method.region_size, method.region_size)
        write(_Region(reader.memory).eval(), regions, out / REGION, ["region"], {}, "classifier of types")
    settings = {
        "classes": types.classes,
        "reading": asdict(types.reading),
        "parts": list(method.parts),
        "side": reader.side,
        "full": reader.full,
        "region": method.region,
        "region_size": method.region_size,
        "networks": {file: file_digest(out / file) for file in (LOOK, REGION) if (out / file).exists()},
        "hw3lib": __version__,
    }
    SAVED.fill(out, settings, arrays)
