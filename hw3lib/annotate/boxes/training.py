"""What training a detector of boxes needs beside the network: early stopping, a clock."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

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
