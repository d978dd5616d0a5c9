"""The common footing of the comparison: linear heads on frozen features of ready-made views, trained all alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, normalize
from torchvision.transforms import v2

from hw3lib.core.seeds import spawned
from hw3lib.errors import Hw3Error
from hw3lib.networks.augment import RandomView
from hw3lib.networks.backbone import Backbone
from hw3lib.networks.steps import Steps, shuffled_batches
from hw3lib.networks.trainer import make_optimiser, predict

Loss = Callable[["Head", torch.Tensor, torch.Tensor, int], torch.Tensor]

# FixMatch, arXiv 2001.07685, section 2.3: flips and shifts by an eighth are weak, RandAugment is strong.
_SHIFT = 0.125
_STRONG = {"num_ops": 2, "magnitude": 10}


@dataclass(frozen=True)
class Recipe:
    """How every head is trained: Adam, ``steps`` batches of about ``batch_size`` images, no weight decay.

    Raises:
        Hw3Error: a number that is not positive.
    """

    steps: int = 200
    batch_size: int = 32
    lr: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lr"):
            if getattr(self, name) <= 0:
                raise Hw3Error(f"Recipe: {name}={getattr(self, name)!r}, expected more than 0")


class Standardise(nn.Module):
    """Features minus their means, over their standard deviations, as batch normalisation has them after training.

    Args:
        features: the source of both, float32 ``(N, D)``; a single row changes nothing.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: torch.Tensor):
        super().__init__()
        mean, variance = features.mean(0), features.var(0)
        if len(features) < 2:
            mean, variance = torch.zeros_like(mean), torch.ones_like(variance)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", (variance + 1e-5).rsqrt())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) * self.scale


class Head(nn.Module):
    """Standardisation and one linear layer, as the head of a transferred network.

    Mean and scale of each feature are those of the plain training images and are not learned on: batches that a method
    fills otherwise (balanced, mixed, unlabelled) are then read as every other method reads them.

    Args:
        features: of the labelled training images, float32 ``(N, D)``: the source of mean and scale.
        num_classes: C.
        cosine: give the cosines of the angles to the class weights instead of logits.
    """

    def __init__(self, features: torch.Tensor, num_classes: int, cosine: bool = False):
        super().__init__()
        self.norm = Standardise(features)
        self.linear = nn.Linear(features.shape[1], num_classes, bias=not cosine, device=features.device)
        self.cosine = cosine

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of features ``(n, D)``, or cosines in -1 to 1, float32 ``(n, C)``."""
        x = self.norm(x)
        return linear(normalize(x), normalize(self.linear.weight)) if self.cosine else self.linear(x)


def plain_loss(head: Head, x: torch.Tensor, y: torch.Tensor, step: int) -> torch.Tensor:
    """Mean cross-entropy with labels ``(n,)`` or class shares ``(n, C)``."""
    return cross_entropy(head(x), y)


def train_head(
    head: Head,
    views: torch.Tensor,
    y: torch.Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    loss: Loss = plain_loss,
    batches: Iterator[Sequence[int] | torch.Tensor] | None = None,
) -> Head:
    """Train a head on a random view of each image of a batch.

    Args:
        head: changed in place.
        views: features of each image's views, float32 ``(N, V, D)``.
        y: labels int64 ``(N,)`` or class shares float32 ``(N, C)``.
        recipe: how long, how much at once, how fast.
        generator: on the CPU; batches and views are drawn from it.
        loss: ``loss(head, x, y, step)`` of a batch ``(n, D)``, a scalar.
        batches: positions; None takes :func:`shuffled_batches`.

    Raises:
        Hw3Error: the loss is no longer finite.
    """
    batches = batches or shuffled_batches(len(views), recipe.batch_size, generator)
    update = Steps(make_optimiser("adam", head.parameters(), recipe.lr, 0.0))
    pick = RandomView()
    head.train()
    for step in range(recipe.steps):
        rows = torch.as_tensor(next(batches)).to(views.device)
        x = pick.of_rows(views, rows, pick.draw(len(rows), generator).to(views.device))
        update(loss(head, x, y[rows], step))
    return head.eval()


class Embedder:
    """A frozen backbone and the views in which it sees images.

    Args:
        backbone: in ``eval`` state.
        weak, strong: number of views of each kind.
        seed: of the views.
    """

    def __init__(self, backbone: Backbone, weak: int = 4, strong: int = 4, seed: int = 0):
        if weak < 1 or strong < 1:
            raise Hw3Error(f"weak={weak}, strong={strong}: expected at least one view of each kind")
        self.backbone, self.weak, self.strong, self.seed = backbone, weak, strong, seed

    def plain_views(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of images as they are, float32 ``(N, D)`` on the CPU, of images in 0 to 255, ``(N, 3, H, W)``."""
        device = self.backbone.mean.device
        read = partial(predict, self.backbone.embed, precision="auto")
        return torch.cat([read(batch.to(device)).cpu() for batch in images.split(32)])

    def weak_views(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of weakly augmented images, float32 ``(N, weak, D)``."""
        return self._views(images, self.weak, 1, weakly)

    def strong_views(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of strongly augmented images, float32 ``(N, strong, D)``."""
        return self._views(images, self.strong, 2, strongly)

    def _views(
        self, images: torch.Tensor, number: int, kind: int, change: Callable[[torch.Tensor, int], torch.Tensor]
    ) -> torch.Tensor:
        seeds = np.random.SeedSequence([self.seed, kind]).generate_state(number).tolist()
        return torch.stack([self.plain_views(change(images, seed)) for seed in seeds], 1)


def weakly(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Each image mirrored or not, left to right and top to bottom, and shifted by up to an eighth of its side.

    Args:
        images: uint8 ``(N, 3, H, W)``.
        seed: the same seed gives the same images; torch's own generator is left as it was.

    Returns:
        uint8 ``(N, 3, H, W)``; what a shift uncovers is filled by reflection.
    """
    pad = max(1, round(images.shape[-1] * _SHIFT))
    change = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.Pad(pad, padding_mode="reflect"),
            v2.RandomCrop(tuple(images.shape[-2:])),
        ]
    )
    return _each(images, change, seed)


def strongly(images: torch.Tensor, seed: int) -> torch.Tensor:
    """As :func:`weakly`, then RandAugment (arXiv 1909.13719), drawn for each image, with torchvision's function."""
    change = v2.RandAugment(**_STRONG, interpolation=v2.InterpolationMode.BILINEAR, fill=127)
    return _each(weakly(images, seed), change, spawned(seed, 1))


def _each(images: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor], seed: int) -> torch.Tensor:
    # torchvision draws from torch's generator, one draw a call.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([change(image) for image in images])
