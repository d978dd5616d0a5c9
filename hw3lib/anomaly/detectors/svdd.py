"""Deep SVDD: a network that draws good images, or their patches, together around one point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR
from tqdm.auto import tqdm

from hw3lib.anomaly.detector import BACKBONE, Rows
from hw3lib.networks import backbones
from hw3lib.networks.devices import double
from hw3lib.networks.patches import PATCHES, locally_aware, stage_names
from hw3lib.networks.steps import Steps

from .trained import Trained, as_input

_PATCHES = 64  # patches of a batch for each of its images
_CELL = 8  # a pooled map of the small network has at least this side: 64 pixels after three halvings


@dataclass(kw_only=True)
class DeepSVDD(Trained["_Sphere"]):
    """Squared distance from the centre of a hypersphere into which a trained network maps what is good.

    The one-class objective: the mean of ``|phi(x) - c|^2`` and weight decay. No layer has a bias term or a learned
    shift, and activations are unbounded, since otherwise the network could map everything to ``c`` (the paper's
    Propositions 2 and 3); ``c`` is the mean of a first pass, its components near 0 moved away from it.

    With ``arch`` (the default) ``x`` is a patch, described by the frozen feature maps of a pretrained network
    (strides 8 and 16, as PatchCore takes; coarser ones know little of the place), and ``phi`` is two linear layers, so
    that there is a map. This departs from the paper. With ``arch=None`` it is the
    paper's: ``x`` is the whole image at 64 pixels, ``phi`` three convolutions and a linear layer from random weights
    (its network for CIFAR-10), without the paper's autoencoder pretraining. That is not the default because a few
    hundred images teach such a network little: its scores are little better than chance.

    Learns which combinations of features good patches leave unchanged. Fails where a defect moves along the others,
    which the training has shrunk to nothing.

    Attributes:
        arch: backbone with ImageNet weights, frozen; None trains the paper's small network on whole images.
        latent_size: dimensions of the hypersphere's space.
        hidden_size: of the layer between, with ``arch``.
        weight_decay: lambda of equation 4.
        max_patches: good patches to learn from, drawn from all images alike.
    """

    name: ClassVar[str] = "Deep SVDD"
    source: ClassVar[str] = "Ruff et al. 2018, ICML, PMLR 80: one-class objective, equation 4; score equation 5"

    num_steps: int = 500
    lr: float = 1e-4
    arch: str | None = BACKBONE
    latent_size: int = 128
    hidden_size: int = 256
    weight_decay: float = 1e-6
    max_patches: int = 50_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(latent_size=1, hidden_size=1, weight_decay=0, max_patches=2)

    @property
    def has_maps(self) -> bool:
        return self.arch is not None

    def _build(self) -> _Sphere:
        channels = 0
        if self.arch is not None:
            self._backbone = backbones.load(self.arch).to(self._torch_device)
            self._layers = stage_names(self._backbone)[:2]
            channels = sum(self._backbone.stages()[layer][0] for layer in self._layers)
        return _Sphere(channels, self.hidden_size, self.latent_size)

    def _fit(self, images: Rows, progress: bool) -> None:
        network = self._network = self._new(self._build)
        data: np.ndarray | Rows = images
        batch_size = self.train_batch_size
        if self.arch is not None:
            patches = data = self._read(images, progress)
            batch_size *= _PATCHES
            network.mean.copy_(torch.from_numpy(patches.mean(0)))
            network.std.copy_(torch.from_numpy(patches.std(0)).clamp_min(1e-6))
        network.eval()
        with torch.no_grad():
            total = torch.zeros((), dtype=torch.float64)
            for part in self._parts(data, batch_size):
                total = total + double(network.phi(part)).sum(0)
        network.centre.copy_(away_from_zero(total / len(data)).float())
        optimiser = torch.optim.Adam(network.parameters(), self.lr, weight_decay=self.weight_decay)
        # The paper searches at one rate and then refines at a tenth of it.
        schedule = MultiStepLR(optimiser, [max(1, self.num_steps * 3 // 5)])
        network.train()
        update = Steps(optimiser, schedule, name=self.name)
        self._learn(data, lambda batch: update(network(self._ready(batch)).mean()), progress, batch_size)
        network.eval()

    def _read(self, images: Rows, progress: bool) -> np.ndarray:
        """Patches of good images, float32 ``(at most max_patches, channels)``, as many of each image."""
        rng = np.random.default_rng(self.seed)
        each = max(1, self.max_patches // len(images))
        kept = []
        for i in tqdm(range(0, len(images), self.batch_size), f"{self.name}: read", unit="batch", disable=not progress):
            batch = torch.from_numpy(images[i : i + self.batch_size]).to(self._torch_device)
            for patches in self._patches(batch).flatten(2).transpose(1, 2).cpu().numpy():
                kept.append(patches[rng.permutation(len(patches))[:each]])
        return np.concatenate(kept)

    @torch.no_grad()
    def _patches(self, images: torch.Tensor) -> torch.Tensor:
        return locally_aware(list(self._backbone.feature_maps(images, self._layers).values()), most=PATCHES)

    def _parts(self, data: np.ndarray | Rows, size: int):
        return (self._ready(data[i : i + size]) for i in range(0, len(data), size))

    def _ready(self, batch: np.ndarray) -> torch.Tensor:
        """What the network takes, of patches or of whole images."""
        inputs = torch.from_numpy(batch).to(self._torch_device)
        return inputs if self.arch is not None else normalise_contrast(as_input(inputs, 8 * _CELL))

    def _score(self, images: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if self.arch is None:
            return self._network(normalise_contrast(as_input(images, 8 * _CELL))), None
        patches = self._patches(images)
        n, _, h, w = patches.shape
        return None, self._network(patches.permute(0, 2, 3, 1).flatten(0, 2)).view(n, h, w)


class _Sphere(nn.Module):
    """Squared distances ``(n,)`` from the centre, of patches ``(n, channels)`` or, with 0 channels, whole images."""

    mean: torch.Tensor
    std: torch.Tensor
    centre: torch.Tensor

    def __init__(self, channels: int, hidden_size: int, latent_size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.register_buffer("centre", torch.zeros(latent_size))
        if channels:
            layers = [nn.Linear(channels, hidden_size, bias=False), nn.LeakyReLU(0.1)]
            layers += [nn.Linear(hidden_size, latent_size, bias=False)]
        else:
            layers = []
            for fan_in, out in ((3, 32), (32, 64), (64, 128)):
                layers += [nn.Conv2d(fan_in, out, 5, padding=2, bias=False)]
                layers += [nn.BatchNorm2d(out, eps=1e-4, affine=False), nn.LeakyReLU(0.1), nn.MaxPool2d(2)]
            layers += [nn.Flatten(), nn.Linear(128 * _CELL**2, latent_size, bias=False)]
        self.layers = nn.Sequential(*layers)

    def phi(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers((inputs - self.mean) / self.std if len(self.mean) else inputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (self.phi(inputs) - self.centre).square().sum(1)


def away_from_zero(centre: torch.Tensor, least: float = 0.1) -> torch.Tensor:
    """The centre with components nearer to 0 than ``least`` moved to it, keeping their sign (0 goes up).

    A zero weight matches a component of 0, without any learning: the collapse that the paper's Proposition 1 describes.
    """
    sign = torch.where(centre < 0, -1.0, 1.0).to(centre.dtype)
    return torch.where(centre.abs() < least, sign * least, centre)


def normalise_contrast(images: torch.Tensor) -> torch.Tensor:
    """Each image ``(n, 3, h, w)`` minus its mean, divided by its mean absolute deviation (L1 contrast)."""
    images = images - images.mean((1, 2, 3), keepdim=True)
    return images / images.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
