"""Adsh: pseudo-labels for unlabelled images with a confidence threshold for each class, on top of FixMatch.

Guo and Li, ICML 2022 (PMLR 162, 8082-8094), after the rule of its official code with one correction, see
:func:`adaptive_thresholds`; FixMatch: Sohn et al. 2020, arXiv 2001.07685.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import double

TAU = 0.95  # of FixMatch, and Adsh's upper limit


def adaptive_thresholds(
    probabilities: torch.Tensor, thresholds: torch.Tensor, majority: int = 0, tau: float = TAU
) -> torch.Tensor:
    """The next thresholds: every class accepts the same share of its predictions as the majority class does.

    The share ``rho`` is that of the majority class's predictions with a confidence of ``tau`` or more (1 where it has
    none). Class ``k``, with its confidences in descending order, takes the one at position
    ``max(0, round(rho n_k - 1))``, but no more than ``tau``; halves are rounded to even.

    Correction: where no prediction of the majority class reaches ``tau``, the official code leaves ``rho`` at 1, and
    every prediction of the rare classes is accepted. Here ``rho`` is then 0, as its definition says, and a class
    accepts its most confident prediction alone (and those equal to it).

    Args:
        probabilities: of the unlabelled images, weakly augmented, by the present network in ``eval`` state,
            ``(N, C)``, 0 to 1.
        thresholds: the present ones, ``(C,)``; a class without predictions keeps its own.
        majority: the class with most labelled images.
        tau: upper limit, above 0 to 1.

    Returns:
        Thresholds ``(C,)``, above 0 to ``tau``.

    Raises:
        Hw3Error: probabilities of another shape, or a majority class that does not exist.
    """
    classes = len(thresholds)
    if probabilities.ndim != 2 or probabilities.shape[1] != classes or not 0 <= majority < classes:
        raise Hw3Error(
            f"probabilities {tuple(probabilities.shape)}, majority={majority}: expected (images, {classes}) and a "
            f"class from 0 to {classes - 1}"
        )
    confidence, predicted = probabilities.max(1)
    of_majority = confidence[predicted == majority]
    rho = float(double(of_majority >= tau).mean()) if len(of_majority) else 1.0
    result = thresholds.clone()
    result[majority] = tau
    for k in range(classes):
        own = confidence[predicted == k].sort(descending=True).values
        if k != majority and len(own):
            result[k] = own[max(0, round(len(own) * rho - 1))].clamp(max=tau)
    return result


def pseudo_labels(probabilities: torch.Tensor, thresholds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pseudo-labels int64 ``(n,)`` and which of them count, bool ``(n,)``.

    The label is the class whose probability is largest in proportion to its threshold, and counts where it reaches it.
    With equal thresholds this is FixMatch.

    Args:
        probabilities: of weakly augmented images, ``(n, C)``, 0 to 1.
        thresholds: ``(C,)``, above 0.
    """
    ratio, label = (probabilities / thresholds).max(1)
    return label, ratio >= 1


def unlabelled_loss(weak: torch.Tensor, strong: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of strongly augmented images with the pseudo-labels of their weak views; a scalar.

    Images whose pseudo-label does not count are 0, and the mean is over all (FixMatch, equation 4).

    Args:
        weak, strong: logits of the two views, ``(n, C)``; no gradient flows through the weak one.
        thresholds: ``(C,)``, above 0 to 1.
    """
    label, counts = pseudo_labels(weak.detach().softmax(1), thresholds)
    return (cross_entropy(strong, label, reduction="none") * counts).mean()
