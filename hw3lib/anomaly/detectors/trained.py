"""What the detectors that train a network share: seeded weights, a loop over random batches, images made ready."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate
from tqdm.auto import tqdm

from hw3lib.anomaly.detector import Detector, Rows
from hw3lib.errors import Hw3Error

Step = Callable[[np.ndarray], float]  # learns of a batch and gives its loss
Network = TypeVar("Network", bound=nn.Module)  # what a detector trains
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


@dataclass(kw_only=True)
class Trained(Detector, Generic[Network]):
    """Base of the detectors that train a network; what is saved is the network's parameters and buffers.

    Attributes:
        num_steps: mini-batches to learn from. Steps, not epochs, so that the cost does not grow with the images.
        train_batch_size: images of a mini-batch; all of them where there are fewer.
        lr: learning rate of Adam.
    """

    num_steps: int = 600
    train_batch_size: int = 16
    lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(num_steps=1, train_batch_size=2)
        self._above_zero("lr")

    @abstractmethod
    def _build(self) -> Network:
        """The untrained network on the CPU; its weights may come from torch's global generator, which is seeded."""

    def _new(self, build: Callable[[], AnyNetwork]) -> AnyNetwork:
        """A network whose weights are drawn with the seed; torch's global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            return build().to(self._torch_device)

    def _learn(self, data: np.ndarray | Rows, step: Step, progress: bool, batch_size: int | None = None) -> None:
        """Call ``step`` with ``num_steps`` batches of ``data``, one shuffling of all rows after the other.

        So no row comes a second time before all others have come once. A batch may hold the end of one shuffling and
        the start of the next.
        """
        rng = np.random.default_rng(self.seed)
        batch_size = min(batch_size or self.train_batch_size, len(data))
        order = np.zeros(0, np.int64)
        with tqdm(total=self.num_steps, desc=f"{self.name}: train", unit="step", disable=not progress) as bar:
            for _ in range(self.num_steps):
                if len(order) < batch_size:
                    order = np.concatenate([order, rng.permutation(len(data))])
                rows, order = order[:batch_size], order[batch_size:]
                bar.set_postfix(loss=f"{step(data[rows]):.4g}", refresh=False)
                bar.update()

    def graph(self) -> nn.Module:
        from hw3lib.anomaly.onnx.graphs import NetworkGraph  # an export alone needs it

        return NetworkGraph([part for part in vars(self).values() if isinstance(part, nn.Module)], self._score)

    def _state(self) -> dict[str, torch.Tensor]:
        return self._network.state_dict()

    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        self._network: Network = self._new(self._build).eval()
        self._network.load_state_dict(state)

    def _at_least(self, **lowest: float) -> None:
        for field, low in lowest.items():
            if not getattr(self, field) >= low:
                raise Hw3Error(f"{self.name}: {field}={getattr(self, field)!r}, expected {low} or more")

    def _above_zero(self, *names: str) -> None:
        for field in names:
            if not 0 < getattr(self, field) < math.inf:
                raise Hw3Error(f"{self.name}: {field}={getattr(self, field)!r}, expected a number above 0")


def as_input(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images of 0 to 255 as float32 ``(n, 3, side, side)`` of 0 to 1, reduced without aliasing."""
    images = images.float() / 255
    if images.shape[-1] == side:
        return images
    return interpolate(images, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
