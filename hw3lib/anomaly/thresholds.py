"""Thresholds that can be explained: from held-out good images, with the false-alarm rate they guarantee.

Split conformal anomaly detection: if the good images that set the threshold and the good images to come are
exchangeable (drawn alike, none of them used to fit the detector), ranks alone give the guarantee, whatever the
detector and the distribution of its scores (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
2005; for anomalies Laxhammar and Falkman, Annals of Mathematics and Artificial Intelligence 74, 2015; Bates et al.,
"Testing for outliers with conformal p-values", Annals of Statistics 51, 2023, arXiv 2104.08279). Changed light or a
moved camera breaks exchangeability, and with it the guarantee.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hw3lib.anomaly import metrics
from hw3lib.errors import Hw3Error

CONFIDENCE = 0.9


class FewGoodImages(UserWarning):
    """There are too few held-out good images for the false-alarm rate that was asked for."""


@dataclass(frozen=True)
class Threshold:
    """An image is called anomalous if ``score > value``. ``str()`` says in a sentence where it comes from.

    Attributes:
        value: in the unit of the scores.
        n: images it comes from.
        false_alarm_rate: the share of good images called anomalous that was asked for; for a threshold chosen for F1,
            the share among the images it was chosen on.
        guarantee: upper bound of the probability that the next good image is called anomalous, over the draw of the
            held-out images and of that image; None where nothing is guaranteed.
        likely_rate: with 90 % confidence over the draw of the held-out images, the false-alarm rate in use of this
            very threshold is at most this; None where nothing is known.
        f1: of the defective class on the images it was chosen on, or None.
        uses_test_labels: chosen with the labels of the images it is judged on: figures at this threshold flatter.
    """

    value: float
    n: int
    false_alarm_rate: float
    guarantee: float | None = None
    likely_rate: float | None = None
    f1: float | None = None
    uses_test_labels: bool = False

    def __str__(self) -> str:
        if self.uses_test_labels:
            return (
                f"Scores above {self.value:.4g} are called anomalous: the threshold with the best F1 "
                f"({self.f1:.3f}) on {self.n} images, chosen with their test labels. It gives no guarantee, and "
                "figures at this threshold on the same images flatter."
            )
        assert self.guarantee is not None and self.likely_rate is not None
        few = self.guarantee > self.false_alarm_rate
        asked = f" ({_percent(self.false_alarm_rate)} was asked for, which needs more)" if few else ""
        return (
            f"Scores above {self.value:.4g} are called anomalous: set on {self.n} held-out good images{asked}, so that "
            f"on average at most {_percent(self.guarantee)} of good products raise a false alarm as long as production "
            f"looks like those images; with {_percent(CONFIDENCE)} confidence this threshold raises at most "
            f"{_percent(self.likely_rate)}."
        )


def conformal_threshold(good_scores: np.ndarray, false_alarm_rate: float = 0.01) -> Threshold:
    """The threshold that keeps a false-alarm rate, from the scores of held-out good images.

    It is the ``ceil((n + 1) (1 - a))``-th smallest score, which gives ``P(score > threshold) <= a`` for the next good
    image. In use, one such threshold's rate follows the distribution Beta(n + 1 - k, k) for the k-th smallest score
    if scores do not tie, and is lower if they do (Vovk, "Conditional validity of inductive conformal predictors",
    2012, arXiv 1209.2673; Marques, arXiv 2303.02770): ``likely_rate`` is its 90 % quantile.

    Args:
        good_scores: float ``(n,)`` of good images that the detector was not fitted on, higher is more anomalous.
        false_alarm_rate: a, above 0 and below 1.

    Warns:
        FewGoodImages: fewer than :func:`required_good_images`; the highest score is taken, which guarantees
            ``1 / (n + 1)``.

    Raises:
        Hw3Error: no score, NaN or infinity, or a rate outside 0 to 1.
    """
    from scipy.stats import beta  # half as slow as torch, for one quantile

    scores, rate = _good(good_scores), _rate(false_alarm_rate)
    n = len(scores)
    rank = math.ceil((n + 1) * (1 - rate))
    if rank > n:
        rank = n
        warnings.warn(
            f"{n} held-out good images cannot keep false_alarm_rate={false_alarm_rate:g}: their highest score is "
            f"taken, which guarantees {_percent(1 / (n + 1))}; {required_good_images(false_alarm_rate)} are needed",
            FewGoodImages,
            stacklevel=2,
        )
    return Threshold(
        value=float(np.partition(scores, rank - 1)[rank - 1]),
        n=n,
        false_alarm_rate=float(false_alarm_rate),
        guarantee=(n + 1 - rank) / (n + 1),
        likely_rate=float(beta.ppf(CONFIDENCE, n + 1 - rank, rank)),
    )


def required_good_images(false_alarm_rate: float) -> int:
    """Held-out good images that :func:`conformal_threshold` needs for this rate: at least ``1 / rate - 1``.

    Raises:
        Hw3Error: a rate outside 0 to 1.
    """
    return math.ceil(1 / _rate(false_alarm_rate)) - 1


def p_values(good_scores: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Conformal p-values: how rarely a good image scores as high, ``(1 + #{good >= score}) / (n + 1)``.

    For a good image the probability of a p-value of at most a is at most a, over the draw of the held-out images too
    (the marginal conformal p-value of Bates et al., arXiv 2104.08279). The smallest that n held-out images can give is
    ``1 / (n + 1)``.

    Args:
        good_scores: float ``(n,)`` of held-out good images.
        scores: float ``(m,)`` of the images to judge.

    Returns:
        float64 ``(m,)``, above 0 and up to 1.

    Raises:
        Hw3Error: no held-out score, NaN or infinity.
    """
    good, scores = np.sort(_good(good_scores)), np.asarray(scores)
    if bad := int((~np.isfinite(scores)).sum()):
        raise Hw3Error(f"scores: {bad} of {scores.size} are NaN or infinite; expected numbers")
    return (1 + len(good) - np.searchsorted(good, scores, side="left")) / (len(good) + 1)


def f1_best_threshold(is_defect: np.ndarray, scores: np.ndarray) -> Threshold:
    """The threshold with the best F1 of the defective class. It uses the labels of these images, and says so.

    Args:
        is_defect: bool ``(N,)``.
        scores: float ``(N,)``, higher is more anomalous.

    Raises:
        Hw3Error: as :func:`hw3lib.anomaly.image_metrics`.
    """
    found = metrics.image_metrics(is_defect, scores)
    good = np.asarray(scores)[~np.asarray(is_defect)]
    return Threshold(
        value=found.threshold_at_f1_max,
        n=len(scores),
        false_alarm_rate=float((good > found.threshold_at_f1_max).mean()),
        f1=found.f1_max,
        uses_test_labels=True,
    )


def _good(good_scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(good_scores)
    if scores.ndim != 1 or not len(scores):
        raise Hw3Error(f"good_scores: found shape {scores.shape}, expected (n,), the scores of held-out good images")
    if bad := int((~np.isfinite(scores)).sum()):
        raise Hw3Error(f"good_scores: {bad} of {len(scores)} are NaN or infinite; expected numbers")
    return scores


def _rate(false_alarm_rate: float) -> Fraction:
    """The rate as it is written: 0.05 is one twentieth, so that no rounding error moves a rank."""
    if not 0 < false_alarm_rate < 1:
        raise Hw3Error(f"false_alarm_rate={false_alarm_rate}: expected a share above 0 and below 1, 0.01 for 1 %")
    return Fraction(str(float(false_alarm_rate)))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


@contextmanager
def silence_few_good_images() -> Iterator[None]:
    """The threshold's sentence says it; the warning would say it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewGoodImages)
        yield
