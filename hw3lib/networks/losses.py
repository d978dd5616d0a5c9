"""Losses of masks. Two forms of the Dice loss are in use, and they differ in what they favour."""

from __future__ import annotations

import torch


def dice_loss_per_image(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over ``N`` of ``1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``, ``p`` the sigmoid of logits ``(N, h, w)``.

    Milletari et al. 2016, arXiv 1606.04797, without the squares, so that small defects weigh as much as large ones.
    """
    p = logits.sigmoid().flatten(1)
    target = target.flatten(1)
    return (1 - (2 * (p * target).sum(1) + 1) / (p.sum(1) + target.sum(1) + 1)).mean()


def squared_dice_loss_of_batch(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``1 - (2 sum(p t) + 1) / (sum(p^2) + sum(t^2) + 1)`` over a batch, ``p`` the sigmoid of the logits.

    As Milletari et al. 2016, arXiv 1606.04797. Images without a defect, of which a batch may hold many, count through
    the batch's sums alone.
    """
    p = logits.sigmoid()
    return 1 - (2 * (p * target).sum() + 1) / (p.square().sum() + target.square().sum() + 1)
