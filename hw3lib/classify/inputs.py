"""What the splits of an attempt share: the device, decoded images, and what a frozen part makes of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from hw3lib.data.labels import as_labels, class_names
from hw3lib.data.stack import ImageStack
from hw3lib.networks.augment import RandomAugment
from hw3lib.networks.devices import default_accelerator, resolve
from hw3lib.networks.trainer import predict

from .attempts import Attempt
from .models import Classifier


class Inputs:
    """What all splits of an attempt have in common, made when first asked for: decoded images and frozen features."""

    def __init__(self, attempt: Attempt, table: pd.DataFrame, seed: int, device: torch.device, precision: str):
        self.attempt, self.table = attempt, table
        self.classes = class_names(table)
        self.labels = as_labels(table["defect"], self.classes)
        self.device = device
        self.precision = precision
        self.reading = resolve(precision, self.device)  # of frozen parts
        self.is_main = default_accelerator().is_main_process
        self.augment = (
            RandomAugment(attempt.flip, attempt.rotation, attempt.colour_jitter) if attempt.augments else None
        )
        self._seed = seed
        self._images: torch.Tensor | None = None
        self._features: torch.Tensor | None = None
        self._maps: torch.Tensor | None = None

    @property
    def images(self) -> torch.Tensor:
        if self._images is None:
            stack = ImageStack.load(self.table, self.attempt.image_size)
            images = torch.from_numpy(stack.images).to(self.device)
            self._images = images.contiguous(memory_format=torch.channels_last)
        return self._images

    def features(self, model: Classifier) -> torch.Tensor:
        """What the frozen backbone gives for all images, ``(N, views, num_features)``; the same in every split."""
        if self._features is None:
            self._features = self._read(model.features)
        return self._features

    def maps(self, model: Classifier) -> torch.Tensor:
        """Output of the last frozen stage for all images, ``(N, views, channels, h, w)``."""
        if self._maps is None:
            assert self.attempt.fine_tune_stages is not None, "where everything learns, no stage stays frozen"
            stage = model.frozen_stage(self.attempt.fine_tune_stages)
            model.eval()
            self._maps = self._read(lambda images: model.backbone.feature_maps(images, [stage])[stage])
        return self._maps

    def _read(self, part: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Outputs of a frozen part for each image and, with augmentation, for random views of it."""
        views = [predict(part, self.images, precision=self.reading)]
        augment = self.augment
        if augment is None:
            return torch.stack(views, 1)
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([self._seed, 1]).generate_state(1)[0]))
        for _ in range(self.attempt.views - 1):
            draws = augment.draw(len(self.images), generator).to(self.device)
            changed = (augment(b, d) for b, d in zip(self.images.split(32), draws.split(32), strict=True))
            views.append(torch.cat([predict(part, batch, precision=self.reading) for batch in changed]))
        return torch.stack(views, 1)
