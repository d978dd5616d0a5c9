"""Batches that hold every class in equal numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from hw3lib.errors import Hw3Error


class BalancedBatchSampler(Sampler[list[int]]):
    """Batches with ``per_class`` images of every class, for ``DataLoader(..., batch_sampler=...)``.

    The images of a class come in random order, and none comes again before all of its class have come; a class that is
    used up is shuffled anew. An epoch ends when the largest class has come once: ``ceil(n_max / per_class)`` batches,
    the last of which may hold images of the largest class for the second time.

    Each pass is another epoch, whose order depends on the seed and on its number, ``epoch``, alone.

    Args:
        labels: int ``(N,)``; every value that occurs is a class.
        per_class: images of each class in a batch.
        seed: 0 or more.

    Raises:
        Hw3Error: no images, ``per_class`` below 1, or a negative seed.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray | torch.Tensor, per_class: int, seed: int = 0):
        y = np.asarray(labels)
        if y.ndim != 1 or len(y) == 0:
            raise Hw3Error(f"labels: found shape {y.shape}, expected one label an image, 1 or more")
        if per_class < 1 or seed < 0:
            raise Hw3Error(f"per_class={per_class}, seed={seed}: expected 1 or more, and 0 or more")
        self.groups = [np.flatnonzero(y == c) for c in np.unique(y)]
        self.per_class, self.seed, self.epoch = per_class, seed, 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(max(map(len, self.groups)) / self.per_class)

    def __iter__(self) -> Iterator[list[int]]:
        """Positions in ``labels``, one list a batch, shuffled within the batch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        need = len(self) * self.per_class
        queues = [
            np.concatenate([rng.permutation(group) for _ in range(math.ceil(need / len(group)))])[:need]
            for group in self.groups
        ]
        for start in range(0, need, self.per_class):
            batch = np.concatenate([queue[start : start + self.per_class] for queue in queues])
            yield rng.permutation(batch).tolist()
