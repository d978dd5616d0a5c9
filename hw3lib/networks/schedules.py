"""The learning rate from step to step, for :class:`torch.optim.lr_scheduler.LambdaLR`."""

from __future__ import annotations

import math


def warm_up_then_cosine(step: int, steps: int, warm_up: int) -> float:
    """Share of the highest learning rate: a line up, then half a cosine down to zero.

    Args:
        step: counted from 0; above ``steps`` the share stays zero.
        steps: of the whole training.
        warm_up: steps of the line, which ends at 1; one or more.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1, (step - warm_up) / max(1, steps - warm_up))))


def tenth_then_cosine(step: int, steps: int) -> float:
    """Share of the highest learning rate, as :func:`warm_up_then_cosine` with a tenth of the steps, one at least.

    Here pi is multiplied before it is divided. That is another last bit of some shares, and the detectors of boxes
    whose figures are published learned with these.
    """
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
