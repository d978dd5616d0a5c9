"""PatchCore: a memory of the patches of good images, thinned out to a coreset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from tqdm.auto import tqdm

from hw3lib.anomaly import coreset
from hw3lib.anomaly.detector import BACKBONE, Detector, Rows
from hw3lib.core.files import human_bytes
from hw3lib.core.text import counted
from hw3lib.data.pixels.geometry import FILL
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.devices import pick_device
from hw3lib.networks.nearest import NearestNeighbours
from hw3lib.networks.patches import PATCHES, locally_aware, moments, patch_layers

PATCH = 8  # pixels between patches, at least
SHRINKAGE = 0.07  # as in anomalib's MH-PatchCore, whose whitening this follows


@dataclass(kw_only=True)
class PatchCore(Detector):
    """Distance of each patch from the nearest patch that good images ever showed, anywhere in the image.

    Learns nothing: it remembers what good patches look like, wherever they lie, so that it bears products that move. It
    fails on defects that consist of good patches in a wrong place or number, and where the light differs from that in
    the good images.

    Attributes:
        arch: backbone with ImageNet weights, frozen.
        layers: stages to read, finest first; none: see :func:`hw3lib.networks.patch_layers`, one more than the paper
            reads. Patches lie on the grid of the first of them whose stride is :data:`PATCH` pixels or more.
        whiten: measure distances after whitening the features by the covariance of the good patches, shrunk by
            :data:`SHRINKAGE` towards a multiple of the identity: directions in which good patches hardly vary count
            as much as those in which they do. The paper does not, and few good images do not tell the covariance.
        ratio: share of the patches that the coreset keeps, above 0 to 1.
        neighbours: b of the paper's equation 7, which weighs an image's score by how crowded the memory is around
            it, so at least 2; 0 takes the largest distance as it is.
        memory_limit: bytes that patches and memory bank may take; None: no limit. Above it the coreset is made in
            a stream, whose loss is bounded, see :func:`.streaming_coreset`. A batch of images and what picking takes
            to work (:func:`.working_memory` of as many patches as fit) come on top; neither grows with the images.
        bank_limit: vectors that the memory bank keeps at most, whatever ``ratio`` says; None: no limit. With it and
            ``memory_limit`` memory does not grow with the number of images.
        coreset_radius_: no patch that was learned from is further than this from the memory bank.
    """

    name: ClassVar[str] = "PatchCore"
    source: ClassVar[str] = "Roth et al. 2022, arXiv 2106.08265: equations 1 to 7, algorithm 1"
    leaves_out: ClassVar[bool] = True

    arch: str = BACKBONE
    layers: tuple[str, ...] = ()
    whiten: bool = False
    ratio: float = 0.1
    neighbours: int = 9
    memory_limit: int | None = None
    bank_limit: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.ratio <= 1:
            raise Hw3Error(f"{self.name}: ratio={self.ratio!r}, expected a share of the patches, above 0 to 1")
        if self.bank_limit is not None and self.bank_limit < 1:
            raise Hw3Error(f"{self.name}: bank_limit={self.bank_limit!r}, expected 1 or more, or None")
        if self.neighbours < 0 or self.neighbours == 1:  # with the nearest alone every weight, and so score, is 0
            raise Hw3Error(f"{self.name}: neighbours={self.neighbours!r}, expected 0, or 2 or more")

    def plan(self, n: int) -> dict[str, int]:
        """What learning from ``n`` good images will take, before anything is fitted.

        Returns:
            ``patches``, ``channels``, ``memory_bank`` (vectors), and bytes: ``patches_bytes``, ``memory_bank_bytes``.
        """
        self._start()
        height, width, channels = self._features(torch.zeros(1, 3, self.image_size, self.image_size)).shape[1:]
        patches = n * height * width
        bank = min(max(1, round(self.ratio * patches)), self.bank_limit or patches)
        return {
            "patches": patches,
            "channels": channels,
            "memory_bank": bank,
            "patches_bytes": 4 * channels * patches,
            "memory_bank_bytes": 4 * channels * bank,
        }

    def _fit(self, images: Rows, progress: bool) -> None:
        plan = self.plan(len(images))
        if progress:
            print(
                f"{self.name}: {plan['patches']:,} patches ({human_bytes(plan['patches_bytes'])}), of which the memory "
                f"bank keeps {plan['memory_bank']:,} ({human_bytes(plan['memory_bank_bytes'])})"
            )
        limit = self.memory_limit
        if limit is not None and 2 * plan["memory_bank_bytes"] > limit:  # the bank, and the next one while it is made
            raise Hw3Error(
                f"{self.name}: the memory bank would take {human_bytes(plan['memory_bank_bytes'])}, twice while it is "
                f"made, and memory_limit is {human_bytes(limit)}; take a lower ratio than {self.ratio:g}, a "
                "bank_limit, fewer images, or a smaller image_size"
            )
        size, generator = plan["memory_bank"], torch.Generator().manual_seed(self.seed)
        self._whitening = None
        if self.whiten:
            self._whitening = self._learn_whitening(images, progress)
        if limit is None or plan["patches_bytes"] + 2 * plan["memory_bank_bytes"] <= limit:
            vectors = np.empty((plan["patches"], plan["channels"]), np.float32)
            end = 0
            for part in self._read(images, progress):
                vectors[end : end + len(part)] = part
                end += len(part)
            picked = coreset.k_center_greedy(vectors, size, generator=generator, progress=progress)
            bank, kept, self.coreset_radius_ = vectors[picked.indices], picked.indices, picked.radius
        else:
            most = limit // (4 * plan["channels"])
            chunks = _join(self._read(images, progress), chunk_length(plan["patches"], size, most))
            streamed = coreset.streaming_coreset(chunks, size, generator=generator, most_held=most)
            bank, kept, self.coreset_radius_ = streamed.vectors, streamed.indices, streamed.radius
        self._patches_each = plan["patches"] // len(images)
        self._squares = kept // self._patches_each  # that the vectors of the bank are from
        self._set_bank(torch.from_numpy(np.ascontiguousarray(bank)).to(self._torch_device))

    def _learn_whitening(self, images: Rows, progress: bool) -> torch.Tensor:
        """Inverse of the Cholesky factor of the good patches' covariance, from every so many-th image, 64 at most."""
        rows = np.unique(np.linspace(0, len(images) - 1, 64).astype(int))
        _, mean, covariance = moments(map(torch.from_numpy, self._read(images[rows], progress)))
        level = covariance.diagonal().mean()
        if not level > 0:
            raise Hw3Error(f"{self.name}: all patches of the good images are the same, so nothing shows how they vary")
        eye = torch.eye(len(mean), dtype=torch.float64)
        factor = torch.linalg.cholesky((1 - SHRINKAGE) * covariance + SHRINKAGE * level * eye)
        # In memory as it is when loaded: products of another layout round otherwise.
        return torch.linalg.solve_triangular(factor, eye, upper=False).float().contiguous().to(self._torch_device)

    def _start(self) -> None:
        self._torch_device = pick_device(self.device)
        self._backbone = backbones.load(self.arch).to(self._torch_device)
        self._layers = list(self.layers) or patch_layers(self._backbone)

    def _set_bank(self, bank: torch.Tensor) -> None:
        self._bank = bank
        self._nearest = NearestNeighbours(bank)

    @torch.no_grad()
    def _features(self, images: torch.Tensor) -> torch.Tensor:
        """Locally aware features, ``(n, h, w, channels)``."""
        # Channels last is what the convolutions work in, and what comes out is in the order of patches.
        images = images.to(self._torch_device, memory_format=torch.channels_last)
        maps = self._backbone.feature_maps(images, self._layers)
        for layer, m in maps.items():
            if m.ndim != 4:
                raise Hw3Error(
                    f"{self.name}: layer {layer!r} of {self.arch} gives no feature maps but {tuple(m.shape)}; take "
                    f"some of {', '.join(self._backbone.stages())}"
                )
        most = -(-images.shape[-1] // PATCH)  # patches across
        grid = next((i for i, m in enumerate(maps.values()) if m.shape[-1] <= most), len(maps) - 1)
        return locally_aware(list(maps.values()), grid, PATCHES).movedim(1, -1)

    def _patches(self, images: torch.Tensor) -> torch.Tensor:
        """The features in the space where distances are measured."""
        patches = self._features(images)
        return patches if self._whitening is None else patches @ self._whitening.T

    def _read(self, images: np.ndarray | Rows, progress: bool) -> Iterator[np.ndarray]:
        """Patches of a few images at a time, float32 ``(patches, channels)`` on the CPU."""
        starts = range(0, len(images), self.batch_size)
        for i in tqdm(starts, desc=f"{self.name}: read", unit="batch", disable=not progress):
            batch = torch.from_numpy(np.ascontiguousarray(images[i : i + self.batch_size]))
            yield self._patches(batch).flatten(0, 2).cpu().numpy()

    def _leave_out(self, products: np.ndarray) -> bool:
        owners = torch.from_numpy(products[self._squares]).to(self._torch_device)
        self._own(owners)
        if not self._others:
            raise Hw3Error(
                f"{self.name}: the memory bank of {counted(len(owners), 'vector')} is of one good product alone, which "
                "so has no score without it; add photographs of other products, take a higher ratio than "
                f"{self.ratio:g}, or fit with held_out=0, which sets no threshold"
            )
        # A memory of all patches, compared as they are: all else depends on which images there are.
        return self.memory_bank == len(products) * self._patches_each and not self.whiten and not self.neighbours

    def _extend(self, images: Rows, products: np.ndarray, progress: bool) -> None:
        """The greedy traversal goes on from the memory bank through the patches of each batch; with ``bank_limit`` the
        bank and they are thinned out together, as in :func:`.streaming_coreset`."""
        bank, radius = self._bank.cpu().numpy(), self.coreset_radius_
        owners = [np.full(len(bank), -1)]
        generator, end = torch.Generator().manual_seed(self.seed), 0
        for part in self._read(images, progress):
            count = min(self.batch_size, len(images) - end)
            squares, end = np.repeat(np.arange(end, end + count), len(part) // count), end + count
            known = self._nearest.query(part)[0].cpu().numpy()[:, 0]
            size = max(1, round(self.ratio * len(part)))
            picked = coreset.k_center_greedy(part, size, known=known, generator=generator)
            radius = max(radius, picked.radius)
            bank = np.concatenate([bank, part[picked.indices]])
            owners.append(products[squares[picked.indices]])
            if self.bank_limit is not None and len(bank) > self.bank_limit:
                kept = coreset.k_center_greedy(bank, self.bank_limit, generator=generator)
                bank, radius = bank[kept.indices], radius + kept.radius
                owners = [np.concatenate(owners)[kept.indices]]
            self._set_bank(torch.from_numpy(bank).to(self._torch_device))
        self.coreset_radius_ = radius
        self._own(torch.from_numpy(np.concatenate(owners)).to(self._torch_device))

    def _own(self, owners: torch.Tensor) -> None:
        """Say whose each vector of the bank is, -1: nobody's; so many are left of every product's others."""
        self._others = len(owners) - int((owners + 1).bincount(minlength=2)[1:].max())
        self._nearest.owners = owners

    def _score(self, images: torch.Tensor, products: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        patches = self._patches(images)
        n, height, width, _ = patches.shape
        flat = patches.flatten(0, 2)
        own = None if products is None else products.repeat_interleave(height * width)
        distance, index = self._nearest.query(flat, 1, own)
        distance, index = distance.view(n, -1), index.view(n, -1)
        scores, most = self.counted(distance, images, (height, width)).max(1)
        if self.neighbours and len(self._bank) > 1:
            rows = torch.arange(n, device=most.device)
            patch, nearest = flat.view(n, height * width, -1)[rows, most], index[rows, most]
            scores = scores * self._weight(patch, scores, nearest, products)
        return scores, distance.view(n, height, width)

    def counted(self, distance: torch.Tensor, images: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Distances ``(n, patches)`` with 0 for patches whose centre lies in padding, where images are padded.

        Padding is told by its colour, which fills whole rows or columns; so the graph of an ONNX file tells it too.
        """
        if self.reading_.fit != "pad":
            return distance
        fill = torch.tensor(FILL, dtype=torch.uint8, device=images.device)[:, None, None]
        padding = (images == fill).all(1)
        rows, columns = padding.all(2), padding.all(1)
        down, across = (
            (2 * torch.arange(k, device=images.device) + 1) * side // (2 * k)
            for k, side in zip(grid, images.shape[2:], strict=True)
        )
        outside = rows[:, down, None] | columns[:, None, across]
        return distance.masked_fill(outside.flatten(1), 0.0)

    def _weight(
        self,
        patch: torch.Tensor,
        distance: torch.Tensor,
        nearest: torch.Tensor,
        products: torch.Tensor | None,
    ) -> torch.Tensor:
        """Equation 7: one less the share of the nearest good patch in the exponentials of the distances to its own
        neighbours (itself among them): a patch far from a lonely good one is more anomalous."""
        b = min(self.neighbours, len(self._bank) if products is None else self._others)
        _, around = self._nearest.query(self._bank[nearest], b, products)
        others = (patch[:, None] - self._bank[around]).norm(dim=2)
        # The quotient of exponentials without overflow.
        return 1 - torch.exp(distance - torch.logsumexp(others, 1))

    def _state(self) -> dict[str, torch.Tensor]:
        whitening = {} if self._whitening is None else {"whitening": self._whitening}
        radius = torch.tensor(self.coreset_radius_, dtype=torch.float64)
        return {"bank": self._bank, "coreset_radius": radius, **whitening}

    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        self._start()
        self._whitening = state["whitening"].to(self._torch_device) if self.whiten else None
        self.coreset_radius_ = float(state["coreset_radius"])
        self._set_bank(state["bank"].to(self._torch_device))

    def graph(self) -> torch.nn.Module:
        from hw3lib.anomaly.onnx.graphs import PatchCoreGraph  # an export alone needs it

        return PatchCoreGraph(self._backbone, self._patches, self._bank, self.neighbours, self.counted)

    @property
    def memory_bank(self) -> int:
        return len(self._bank)


def chunk_length(patches: int, size: int, most: int) -> int:
    """Patches of a chunk, so that it, the coresets that wait and the one being picked are ``most`` vectors together.

    While the last of n chunks is looked at, up to log2(n) coresets wait. Where they leave less room than a coreset
    has vectors, one waits: those of later chunks are merged into it.
    """
    for waiting in range(1, 64):
        length = most - (waiting + 1) * size
        if length < size:
            break
        if math.ceil(patches / length).bit_length() - 1 <= waiting:
            return length
    return max(1, most - 2 * size)


def _join(parts: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The same vectors in parts of ``count``; each is let go of when the next is asked for."""
    chunk: list[np.ndarray] = []
    filled = 0
    for part in parts:
        while len(part):
            if not chunk:
                chunk, filled = [np.empty((count, part.shape[1]), np.float32)], 0
            taken, part = part[: count - filled], part[count - filled :]
            chunk[0][filled : filled + len(taken)] = taken
            filled += len(taken)
            if filled == count:
                yield chunk.pop()
    if chunk:
        yield chunk.pop()[:filled]
