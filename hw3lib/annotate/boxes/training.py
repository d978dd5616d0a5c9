"""What training a detector of boxes needs beside the network: symmetries, learning rate, early stopping, a clock."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn


def turned(image: torch.Tensor, symmetry: int) -> torch.Tensor:
    """A square image ``(..., s, s)`` under one of the eight symmetries of the square.

    1 mirrors left and right, 2 up and down, 4 at the diagonal, in this order; sums of them do several.
    """
    if symmetry & 1:
        image = image.flip(-1)
    if symmetry & 2:
        image = image.flip(-2)
    return image.transpose(-1, -2) if symmetry & 4 else image


def turned_boxes(boxes: torch.Tensor, symmetry: int, size: int) -> torch.Tensor:
    """Boxes ``(n, 4)`` of an image that :func:`turned` turns."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    if symmetry & 1:
        x0, x1 = size - x1, size - x0
    if symmetry & 2:
        y0, y1 = size - y1, size - y0
    return torch.stack((y0, x0, y1, x1) if symmetry & 4 else (x0, y0, x1, y1), -1)


def factor(step: int, steps: int) -> float:
    """Share of the highest learning rate: a line up over the first tenth of the steps, then a cosine down to zero."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


Detector = TypeVar("Detector")


class Best:
    """Early stopping: the best network so far, by its score on held-out images."""

    def __init__(self, patience: int | None, epochs: int):
        self.patience, self.epochs, self.every = patience, epochs, max(1, epochs // 10)
        self.best, self.misses = -1.0, 0
        self.state: dict[str, torch.Tensor] | None = None

    def due(self, epoch: int) -> bool:
        """Whether to measure after this epoch, counted from 0."""
        return self.patience is not None and ((epoch + 1) % self.every == 0 or epoch + 1 == self.epochs)

    def stop(self, network: nn.Module, measure: Callable[[], float]) -> bool:
        """Measure; True after ``patience`` measurements without a new best."""
        score = measure()
        self.misses += 1
        if score > self.best:
            self.best, self.state, self.misses = score, copy.deepcopy(network.state_dict()), 0
        return self.patience is not None and self.misses >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Bring the best network back, if any was measured."""
        if self.state is not None:
            network.load_state_dict(self.state)


class Clock:
    """Seconds since it was made, without those spent in a caller's function."""

    def __init__(self):
        self.start = time.perf_counter()

    def seconds(self) -> float:
        """Until now."""
        return time.perf_counter() - self.start

    def outside(self, function: Callable[[int, Detector], None] | None, detector: Detector) -> Callable[[int], None]:
        """The caller's function of an epoch and a detector as one of the epoch, whose time is not counted."""

        def call(epoch: int) -> None:
            if function is not None:
                before = time.perf_counter()
                function(epoch, detector)
                self.start += time.perf_counter() - before

        return call
