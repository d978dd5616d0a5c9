"""Losses that know how many images each class has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torchvision.ops import sigmoid_focal_loss

from hw3lib.errors import Hw3Error
from hw3lib.imbalance.longtail import effective_samples


def inverse_frequency_weights(counts: Sequence[int]) -> torch.Tensor:
    """Class weights ``n / (C n_c)``, float32 ``(C,)``: every class weighs the same in all, an average image one.

    King and Zeng, Political Analysis 9, 2001; scikit-learn's ``class_weight="balanced"``.

    Raises:
        Hw3Error: no classes, or a class without images.
    """
    images = _counts(counts)
    return (images.sum() / (len(images) * images)).float()


def class_balanced_weights(counts: Sequence[int], beta: float = 0.9) -> torch.Tensor:
    """Class weights by the inverse effective number of images, scaled to the sum C, float32 ``(C,)``.

    Cui et al. 2019, arXiv 1901.05555, Proposition 1 and section 4; see :func:`effective_samples`. With ``beta = 0`` all
    weights are 1, with ``beta`` towards 1 they are proportional to the inverse frequency.

    Args:
        counts: training images of each class.
        beta: 0 or more, below 1. The paper tries 0.9 to 0.9999; with fewer than some hundred images a class only the
            smallest differs from the inverse frequency.

    Raises:
        Hw3Error: a class without images, or ``beta`` outside its range.
    """
    images = _counts(counts)
    weights = 1 / torch.from_numpy(effective_samples(images.numpy(), beta))
    return (weights * (len(images) / weights.sum())).float()


def focal_loss(logits: torch.Tensor, y: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0) -> torch.Tensor:
    """Focal loss of one sigmoid a class, summed over the classes and averaged over the images; a scalar, 0 or more.

    Lin et al. 2017, arXiv 1708.02002, equation 5: ``-alpha_t (1 - p_t)^gamma log(p_t)``, with torchvision's function.

    Args:
        logits: float ``(n, C)``.
        y: labels, int64 ``(n,)``.
        alpha: weight of an image's own class, 0 to 1, the other classes weigh ``1 - alpha``; below 0 no weighting.
        gamma: how much less an image counts that is already right, 0 or more.

    Raises:
        Hw3Error: ``alpha`` above 1 or ``gamma`` below 0.
    """
    if alpha > 1 or gamma < 0:
        raise Hw3Error(f"alpha={alpha}, gamma={gamma}: expected alpha of at most 1 and gamma of 0 or more")
    target = one_hot(y, logits.shape[1]).to(logits.dtype)
    return sigmoid_focal_loss(logits, target, alpha, gamma, reduction="sum") / len(y)


class LogitAdjustment(nn.Module):
    """Logit adjustment by the classes' share of the training images.

    Menon et al. 2021, arXiv 2007.07314: called on logits and labels it is the loss of equation 10; :meth:`post_hoc`
    adjusts an ordinarily trained classifier (equation 9).

    Args:
        counts: training images of each class.
        tau: strength; 1 aims at the balanced error.

    Raises:
        Hw3Error: a class without images.
    """

    shift: torch.Tensor

    def __init__(self, counts: Sequence[int], tau: float = 1.0):
        super().__init__()
        images = _counts(counts)
        self.register_buffer("shift", (tau * (images / images.sum()).log()).float())

    def forward(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of ``logits + tau log(share)``, logits ``(n, C)``, labels int64 ``(n,)``."""
        return cross_entropy(logits + self.shift, y)

    def post_hoc(self, logits: torch.Tensor) -> torch.Tensor:
        """``logits - tau log(share)``, ``(n, C)``, of a classifier trained by ordinary cross-entropy."""
        return logits - self.shift


def _counts(counts: Sequence[int]) -> torch.Tensor:
    values = torch.as_tensor(counts, dtype=torch.float64)
    if values.ndim != 1 or len(values) == 0 or not (values >= 1).all():
        raise Hw3Error(f"counts={values.tolist()}: expected the number of training images of each class, 1 or more")
    return values
