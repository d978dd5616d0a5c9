"""A step of learning by a loss, and its batch, for loops that count steps; :mod:`.trainer` counts epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from hw3lib.errors import Hw3Error


class Steps:
    """Learns by one loss after the other.

    Args:
        optimiser, schedule: torch's; the schedule steps with the optimiser.
        name: of what is trained, for messages.
        clip: longest gradient of all parameters together; None lets it be.
    """

    def __init__(
        self,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
        *,
        name: str = "",
        clip: float | None = None,
    ):
        self.optimiser, self.schedule, self.clip = optimiser, schedule, clip
        self.name, self.number = f"{name}: " if name else "", 0

    def __call__(self, loss: torch.Tensor) -> float:
        """Change the parameters by the gradient of a scalar loss, and say what it was.

        Raises:
            Hw3Error: the loss is no longer finite.
        """
        value, first = float(loss.detach()), self.optimiser.param_groups[0]
        self.number += 1
        if not math.isfinite(value):
            raise Hw3Error(
                f"{self.name}the training loss became {value} in step {self.number} at "
                f"lr={first.get('initial_lr', first['lr']):g}; use a lower learning rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.clip is not None:
            learned = [p for group in self.optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(learned, self.clip)
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        return value


def shuffled_batches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Batches of always ``batch_size`` positions below ``n``, without end; one shuffling follows the other."""
    queue = torch.empty(0, dtype=torch.int64)
    while True:
        while len(queue) < batch_size:
            queue = torch.cat([queue, torch.randperm(n, generator=generator)])
        yield queue[:batch_size]
        queue = queue[batch_size:]
