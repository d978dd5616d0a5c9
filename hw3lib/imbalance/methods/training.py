"""How each method learns from the long-tailed part of a split; all else is the same for all of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torchvision.transforms import v2

from hw3lib.core.seeds import spawned
from hw3lib.imbalance.oversamplers.base import Oversampler
from hw3lib.imbalance.oversamplers.copy_paste import CopyPaste
from hw3lib.networks.augment import RandomView
from hw3lib.networks.steps import shuffled_batches

from .adsh import TAU, adaptive_thresholds, unlabelled_loss
from .balanced import BalancedBatchSampler
from .feature_cloud import FeatureCloud, cloud_logits
from .heads import Embedder, Head, Loss, Recipe, plain_loss, train_head, weakly
from .losses import LogitAdjustment, focal_loss

Scores = Callable[[torch.Tensor], torch.Tensor]

_ADSH_EPOCH = 25  # batches between two updates of the thresholds; the paper's 512 are for 2^18 batches in all
_UNLABELLED = 2  # unlabelled images for each labelled one in a batch: Adsh's mu
_MIXED = 2  # mixed images for each training image; each passes through the backbone


@dataclass
class Part:
    """What a method may see of a split: the long-tailed training part and unlabelled images, none of the test part.

    Attributes:
        plain: features of the training images as they are, float32 ``(n, D)``.
        views: features of their weakly augmented views, float32 ``(n, V, D)``.
        y: labels, int64 ``(n,)``.
        num_classes: C; every class has an image.
        images: the training images, uint8 ``(n, 3, H, W)``.
        masks: of their defects, bool ``(n, H, W)``; empty where an image is good or has none.
        background: label of good images; None where no class is.
        unlabelled_weak, unlabelled_strong: views of unlabelled images, float32 ``(m, V, D)``.
        embedder: what turned images into features.
        recipe: how every head is trained.
        seed: of everything random.
    """

    plain: torch.Tensor
    views: torch.Tensor
    y: torch.Tensor
    num_classes: int
    images: torch.Tensor
    masks: np.ndarray
    background: int | None
    unlabelled_weak: torch.Tensor
    unlabelled_strong: torch.Tensor
    embedder: Embedder
    recipe: Recipe
    seed: int

    @property
    def counts(self) -> list[int]:
        """Training images of each class."""
        return torch.bincount(self.y, minlength=self.num_classes).tolist()

    def train(
        self,
        loss: Loss = plain_loss,
        *,
        views: torch.Tensor | None = None,
        y: torch.Tensor | None = None,
        batches: Iterator[list[int]] | None = None,
        cosine: bool = False,
    ) -> Head:
        """Train a head as every method does, on this part or on other views and labels; see :func:`train_head`.

        Its first weights are the same for all methods.
        """
        with _torch_seed(self.seed):
            head = Head(self.plain, self.num_classes, cosine)
        views, y = self.views if views is None else views, self.y if y is None else y
        return train_head(head, views, y, self.recipe, self.generator(0), loss=loss, batches=batches)

    def generator(self, purpose: int) -> torch.Generator:
        """A source of random numbers for a purpose; 0 draws batches and views."""
        seed = np.random.SeedSequence([self.seed, purpose]).generate_state(1)[0]
        return torch.Generator().manual_seed(int(seed))


@contextmanager
def _torch_seed(seed: int) -> Iterator[None]:
    """Torch's own generator, from which torchvision draws, seeded inside and left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def weighted(weights: Callable[[list[int]], torch.Tensor]) -> Callable[[Part], Scores]:
    def fit(part: Part) -> Scores:
        weight = weights(part.counts)
        return part.train(lambda head, x, y, step: cross_entropy(head(x), y, weight))

    return fit


def focal(part: Part) -> Scores:
    return part.train(lambda head, x, y, step: focal_loss(head(x), y))


def adjusted_loss(part: Part) -> Scores:
    adjusted = LogitAdjustment(part.counts)
    return part.train(lambda head, x, y, step: adjusted(head(x), y))


def adjusted_after(part: Part) -> Scores:
    head, adjusted = part.train(), LogitAdjustment(part.counts)
    return lambda x: adjusted.post_hoc(head(x))


def balanced(part: Part) -> Scores:
    sampler = BalancedBatchSampler(part.y, max(1, part.recipe.batch_size // part.num_classes), part.seed)

    def batches() -> Iterator[list[int]]:
        while True:
            yield from sampler

    return part.train(batches=batches())


def oversampled(make: Callable[[int], Oversampler]) -> Callable[[Part], Scores]:
    def fit(part: Part) -> Scores:
        # One view of every image at a time: between views of one image there is nothing to interpolate.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes with one image are copied, as documented
            made = [make(part.seed).fit_resample(view.numpy(), part.y.numpy()) for view in part.views.unbind(1)]
        views = torch.from_numpy(np.stack([x for x, _ in made], 1))
        return part.train(views=views, y=torch.from_numpy(made[0][1]))

    return fit


def mixed_features(part: Part) -> Scores:
    mix = v2.MixUp(alpha=0.2, num_classes=part.num_classes)

    def loss(head: Head, x: torch.Tensor, y: torch.Tensor, step: int) -> torch.Tensor:
        mixed, shares = mix(x[:, :, None, None], y)  # features as images of one pixel
        return cross_entropy(head(mixed[:, :, 0, 0]), shares)

    with _torch_seed(part.seed):
        return part.train(loss)


def mixed_images(part: Part) -> Scores:
    cut, generator = v2.CutMix(alpha=1.0, num_classes=part.num_classes), part.generator(1)
    images, shares = [], []
    with _torch_seed(part.seed):
        for turn in range(_MIXED):
            weak = weakly(part.images, spawned(part.seed, turn))
            order = torch.randperm(len(weak), generator=generator)
            # Every pair its own share: torchvision draws one for a whole batch.
            for pair in torch.stack([order, order.roll(1)], 1):
                mixed, share = cut(weak[pair], part.y[pair])
                images.append(mixed[0])
                shares.append(share[0])
    views = part.embedder.plain_views(torch.stack(images))[:, None]
    return part.train(views=views, y=torch.stack(shares))


def margin(form: str, rule: str | None) -> Callable[[Part], Scores]:
    def fit(part: Part) -> Scores:
        cloud = FeatureCloud(part.counts, rule or "fixed")
        generator = part.generator(1)
        epoch = math.ceil(len(part.y) / part.recipe.batch_size)
        warm_up = max(epoch, part.recipe.steps // 5)

        def loss(head: Head, x: torch.Tensor, y: torch.Tensor, step: int) -> torch.Tensor:
            if rule is not None:
                cloud.update(head.norm(x), y)
                if step >= warm_up and (step - warm_up) % epoch == 0:
                    cloud.refresh(head.norm(part.views[:, step % part.views.shape[1]]), part.y)
            return cross_entropy(cloud_logits(head(x), y, cloud.draw(y, generator), form=form), y)

        return part.train(loss, cosine=True)

    return fit


def pseudo_labelled(adaptive: bool) -> Callable[[Part], Scores]:
    def fit(part: Part) -> Scores:
        weak, strong = part.unlabelled_weak, part.unlabelled_strong
        if len(weak) == 0:
            return part.train()
        generator, pick = part.generator(1), RandomView()
        batches = shuffled_batches(len(weak), _UNLABELLED * part.recipe.batch_size, generator)
        thresholds = torch.full((part.num_classes,), TAU)
        majority = int(np.argmax(part.counts))

        def loss(head: Head, x: torch.Tensor, y: torch.Tensor, step: int) -> torch.Tensor:
            nonlocal thresholds
            if adaptive and step % _ADSH_EPOCH == 0 and step // _ADSH_EPOCH > 1:
                with torch.no_grad():
                    seen = head(pick(weak, pick.draw(len(weak), generator))).softmax(1)
                thresholds = adaptive_thresholds(seen, thresholds, majority)
            rows = next(batches)
            # The two views are drawn apart, as FixMatch augments anew for each.
            views = [pick.of_rows(v, rows, pick.draw(len(rows), generator)) for v in (weak, strong)]
            logits = head(torch.cat([x, *views])).split([len(x), len(rows), len(rows)])
            return cross_entropy(logits[0], y) + unlabelled_loss(logits[1], logits[2], thresholds)

        return part.train(loss)

    return fit


def pasted(part: Part) -> Scores:
    if part.background is None:
        return part.train()  # nothing to paste onto
    return made(lambda p: CopyPaste(masks=p.masks, background=p.background, random_state=p.seed))(part)


def made(make: Callable[[Part], Oversampler]) -> Callable[[Part], Scores]:
    def fit(part: Part) -> Scores:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            images, y = make(part).fit_resample(part.images.numpy(), part.y.numpy())
        new = torch.from_numpy(images[len(part.y) :])
        if len(new) == 0:
            return part.train()
        views = torch.cat([part.views, part.embedder.weak_views(new)])
        return part.train(views=views, y=torch.from_numpy(y))

    return fit
