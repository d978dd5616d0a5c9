"""Feature clouds: images of rare classes are spread as widely in angle as those of frequent classes are.

LEAP, Liu et al., CVPR 2020, arXiv 2002.10826. There is no official code; the scale, the margin, the threshold between
head and tail and the warm-up were not at hand and are chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import normalize

from hw3lib.errors import Hw3Error

FORMS = ("cosface", "arcface")
RULES = ("fixed", "flexible")
_EDGE = 1e-7  # keeps arccos and its gradient finite


class FeatureCloud:
    """Angular statistics of the classes and the random angles drawn from them.

    Each batch moves the classes' centres by :meth:`update`; :meth:`refresh`, once an epoch, measures how widely a class
    is spread round its centre; :meth:`draw` gives the angles by which the images of a batch are moved away from their
    class. Before the first refresh they are 0: that is the warm-up.

    Args:
        counts: training images of each class, ``(C,)``.
        rule: ``fixed``: classes with fewer than ``threshold`` images are the tail, and get the difference to the mean
            variance of the others; ``flexible``: the reference is the mean variance weighted by ``counts``, and classes
            below it are the tail.
        threshold: for the fixed rule; None takes the mean of ``counts``.
        momentum: share of the old centre that stays at an update, and of the old variance at a refresh, 0 to below 1.

    Attributes:
        centres: unit vectors, float32 ``(C, D)``; None before the first update.
        variance: unbiased variance of each class's angles to its centre in rad^2, ``(C,)``, 0 for a class with one
            image; None before the first refresh.

    Raises:
        Hw3Error: an unknown rule, counts or momentum out of range, or a threshold that leaves no class as the head.
    """

    def __init__(
        self, counts: Sequence[int], rule: str = "fixed", *, threshold: float | None = None, momentum: float = 0.9
    ):
        self.counts = torch.as_tensor(counts, dtype=torch.float32)
        if rule not in RULES:
            raise Hw3Error(f"rule={rule!r}: expected one of {', '.join(RULES)}")
        if not 0 <= momentum < 1:
            raise Hw3Error(f"momentum={momentum}: expected 0 or more, below 1")
        if self.counts.ndim != 1 or len(self.counts) == 0 or not (self.counts >= 1).all():
            raise Hw3Error(f"counts={self.counts.tolist()}: expected training images of each class, 1 or more")
        threshold = float(self.counts.mean()) if threshold is None else threshold
        if rule == "fixed" and not (self.counts >= threshold).any():
            raise Hw3Error(f"threshold={threshold:g}: no class has as many images; counts are {self.counts.tolist()}")
        self.rule, self.threshold, self.momentum = rule, threshold, momentum
        self.centres: torch.Tensor | None = None
        self.variance: torch.Tensor | None = None

    @torch.no_grad()
    def update(self, features: torch.Tensor, y: torch.Tensor) -> None:
        """Move the centres towards a batch's class means (exponential moving average), then to unit length.

        Args:
            features: float ``(n, D)``, of any length.
            y: labels, int64 ``(n,)``. A class's first batch sets its centre; classes without images stay.
        """
        features = normalize(features.float())
        if self.centres is None:
            self.centres = features.new_zeros(len(self.counts), features.shape[1])
        number = torch.bincount(y, minlength=len(self.counts))[:, None]
        mean = torch.zeros_like(self.centres).index_add_(0, y, features) / number.clamp(min=1)
        moved = self.momentum * self.centres + (1 - self.momentum) * mean
        moved = normalize(torch.where(self.centres.any(1, keepdim=True), moved, mean))
        self.centres = torch.where(number > 0, moved, self.centres)

    @torch.no_grad()
    def refresh(self, features: torch.Tensor, y: torch.Tensor) -> None:
        """Measure the variance of the angles on all training images, ``(N, D)`` and ``(N,)``.

        Raises:
            Hw3Error: a class that has not been in any update.
        """
        if self.centres is None or not self.centres.any(1).all():
            raise Hw3Error("refresh before every class was in an update; its centre is unknown")
        cosine = (normalize(features.float()) * self.centres[y]).sum(1)
        angles = cosine.clamp(-1 + _EDGE, 1 - _EDGE).arccos()
        measured = angles.new_zeros(len(self.counts))
        for c in y.unique().tolist():
            own = angles[y == c]
            if len(own) > 1:
                measured[c] = own.var(unbiased=True)
        old = self.variance
        self.variance = measured if old is None else self.momentum * old + (1 - self.momentum) * measured

    def cloud_variance(self) -> torch.Tensor:
        """Variance of the angle drawn for each class in rad^2, ``(C,)``: what the tail lacks, 0 for the head."""
        if self.variance is None:
            return torch.zeros_like(self.counts)
        counts = self.counts.to(self.variance.device)
        if self.rule == "fixed":
            tail = counts < self.threshold
            reference = self.variance[~tail].mean()
        else:
            reference = (counts * self.variance).sum() / counts.sum()
            tail = self.variance < reference
        return torch.where(tail, (reference - self.variance).clamp(min=0), torch.zeros_like(self.variance))

    def draw(self, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Angles in radians for a batch's labels, float32 ``(n,)``, normal with mean 0; 0 for the head."""
        noise = torch.randn(len(y), generator=generator).to(y.device)
        return noise * self.cloud_variance().to(y.device)[y].sqrt()


def cloud_logits(
    cosine: torch.Tensor,
    y: torch.Tensor,
    angle: torch.Tensor,
    *,
    form: str = "cosface",
    scale: float = 16.0,
    margin: float | None = None,
) -> torch.Tensor:
    """Logits for cross-entropy, with the target's moved by margin and cloud.

    With ``theta`` the angle between an image and the weights of its class, the target's logit is
    ``scale (cos(theta + angle) - margin)`` (CosFace, arXiv 1801.09414, equation 4) or ``scale cos(theta + margin +
    angle)`` (ArcFace, arXiv 1801.07698, equation 3), the others' ``scale cos(theta_j)``. Angles are kept within 0 to
    pi, so that moving an image farther never brings it nearer.

    Args:
        cosine: of the angles between features and class weights, float ``(n, C)``, -1 to 1.
        y: labels, int64 ``(n,)``.
        angle: of the cloud in radians, ``(n,)``; 0 gives plain CosFace or ArcFace.
        form: ``cosface`` or ``arcface``.
        scale: for a handful of classes 16 to 30; the 64 of face recognition is for thousands.
        margin: None takes the papers' 0.35 (CosFace) or 0.5 (ArcFace).

    Raises:
        Hw3Error: an unknown form.
    """
    if form not in FORMS:
        raise Hw3Error(f"form={form!r}: expected one of {', '.join(FORMS)}")
    if margin is None:
        margin = 0.35 if form == "cosface" else 0.5
    theta = cosine.gather(1, y[:, None])[:, 0].clamp(-1 + _EDGE, 1 - _EDGE).arccos()
    if form == "cosface":
        target = (theta + angle).clamp(_EDGE, torch.pi - _EDGE).cos() - margin
    else:
        target = (theta + margin + angle).clamp(_EDGE, torch.pi - _EDGE).cos()
    return scale * cosine.scatter(1, y[:, None], target[:, None])
