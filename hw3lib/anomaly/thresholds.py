"""Thresholds that can be explained: from held-out good images, with the false-alarm rate they guarantee.

Split conformal anomaly detection: if the good images that set the threshold and the good images to come are
exchangeable (drawn alike, none of them used to fit the detector), ranks alone give the guarantee, whatever the
detector and the distribution of its scores (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
2005; for anomalies Laxhammar and Falkman, Annals of Mathematics and Artificial Intelligence 74, 2015; Bates et al.,
"Testing for outliers with conformal p-values", Annals of Statistics 51, 2023, arXiv 2104.08279). Changed light or a
moved camera breaks exchangeability, and with it the guarantee.

Photographs of one product are not exchangeable with one of a new product; products are. So products count, and each
photograph counts one over the photographs of its product: hierarchical conformal prediction (Lee, Barber and Willett,
"Distribution-free inference with hierarchical data", arXiv 2306.06342), which is the subsampling of one
photograph a product (Dunn, Wasserman and Ramdas, "Distribution-free prediction sets for two-layer hierarchical models",
2022, arXiv 1809.07441) without the drawing. It keeps the rate for a photograph of a product not seen before.
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
from hw3lib.core.text import counted
from hw3lib.errors import Hw3Error

CONFIDENCE = 0.9


class FewGoodImages(UserWarning):
    """There are too few held-out good images for the false-alarm rate that was asked for."""


@dataclass(frozen=True)
class Threshold:
    """An image is called anomalous if ``score > value``. ``str()`` says in a sentence where it comes from.

    Attributes:
        value: in the unit of the scores.
        n: images it comes from; where several show one product, products.
        false_alarm_rate: the share of good images called anomalous that was asked for; for a threshold chosen for F1,
            the share among the images it was chosen on.
        guarantee: upper bound of the probability that the next good image, of another product, is called anomalous,
            over the draw of the held-out images and of that image; None where nothing is guaranteed.
        likely_rate: with 90 % confidence over the draw of the held-out images, the false-alarm rate in use of this
            very threshold is at most this; None where nothing is known.
        f1: of the defective class on the images it was chosen on, or None.
        uses_test_labels: chosen with the labels of the images it is judged on: figures at this threshold flatter.
        photographs: of the ``n`` products, where several show one; None where each shows another.
    """

    value: float
    n: int
    false_alarm_rate: float
    guarantee: float | None = None
    likely_rate: float | None = None
    f1: float | None = None
    uses_test_labels: bool = False
    photographs: int | None = None

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
        images = f"{self.n} held-out good images, each photograph of another product"
        if self.photographs is not None:
            images = f"{self.photographs} held-out photographs of {counted(self.n, 'good product')}"
        return (
            f"Scores above {self.value:.4g} are called anomalous: set on {images}{asked}, so that on average at most "
            f"{_percent(self.guarantee)} of good products raise a false alarm as long as production looks like those "
            f"images; with {_percent(CONFIDENCE)} confidence this threshold raises at most "
            f"{_percent(self.likely_rate)}."
        )


def conformal_threshold(
    good_scores: np.ndarray, false_alarm_rate: float = 0.01, *, groups: np.ndarray | None = None
) -> Threshold:
    """The threshold that keeps a false-alarm rate, from the scores of held-out good images.

    It is the ``ceil((n + 1) (1 - a))``-th smallest score, which gives ``P(score > threshold) <= a`` for the next good
    image. In use, one such threshold's rate follows the distribution Beta(n + 1 - k, k) for the k-th smallest score
    if scores do not tie, and is lower if they do (Vovk, "Conditional validity of inductive conformal predictors",
    2012, arXiv 1209.2673; Marques, arXiv 2303.02770): ``likely_rate`` is its 90 % quantile.

    Where several photographs show one product, n is the number of products and each of a product's m photographs
    counts 1/m: the threshold is the lowest score up to which they count ``(n + 1) (1 - a)`` together. How often a
    product is above it is then a share and no longer 0 or 1, so that ``likely_rate`` takes Bentkus' inequality for sums
    of shares (Annals of Probability 32, 2004; as in Bates et al., arXiv 2101.02703, section 3.1): wider, and valid.

    Args:
        good_scores: float ``(n,)`` of good images that the detector was not fitted on, higher is more anomalous.
        false_alarm_rate: a, above 0 and below 1.
        groups: the product that each of them shows, ``(n,)``, anything that can be compared; None: another one each.

    Warns:
        FewGoodImages: fewer than :func:`required_good_images`; the highest score is taken, which guarantees
            ``1 / (n + 1)``.

    Raises:
        Hw3Error: no score, NaN or infinity, not one group each, or a rate outside 0 to 1.
    """
    from scipy.stats import beta  # half as slow as torch, for one quantile

    scores, rate = _good(good_scores), _rate(false_alarm_rate)
    weights, n = _weights(groups, len(scores))
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order])
    # Sums of thirds are off by less than this; where each image counts 1 they are exact.
    place = int(np.searchsorted(reached, float((n + 1) * (1 - rate)) - 1e-9))
    if place == len(scores):
        place -= 1
        what = "images" if n == len(scores) else "products"
        warnings.warn(
            f"{n} held-out good {what} cannot keep false_alarm_rate={false_alarm_rate:g}: their highest score is "
            f"taken, which guarantees {_percent(1 / (n + 1))}; {required_good_images(false_alarm_rate)} are needed",
            FewGoodImages,
            stacklevel=2,
        )
    above = float(n - reached[place])  # what those count that are above
    if n < len(scores):
        above = max(0.0, above)
        whole = math.ceil(above - 1e-9)
        likely = float(beta.ppf(1 - (1 - CONFIDENCE) / math.e, whole + 1, n - whole)) if whole < n else 1.0
    else:
        likely = float(beta.ppf(CONFIDENCE, above + 1, n - above))
    return Threshold(
        value=float(scores[order[place]]),
        n=n,
        false_alarm_rate=float(false_alarm_rate),
        guarantee=(above + 1) / (n + 1),
        likely_rate=likely,
        photographs=len(scores) if n < len(scores) else None,
    )


def _weights(groups: np.ndarray | None, n: int) -> tuple[np.ndarray, int]:
    """What each image counts, float64 ``(n,)``, one over those of its product; and the number of products."""
    if groups is None:
        return np.ones(n), n
    if np.shape(groups) != (n,):
        raise Hw3Error(f"groups: found shape {np.shape(groups)}, expected ({n},), the product of each good image")
    _, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / sizes[which], len(sizes)


def required_good_images(false_alarm_rate: float) -> int:
    """Held-out good images, of as many products, that :func:`conformal_threshold` needs: at least ``1 / rate - 1``.

    Raises:
        Hw3Error: a rate outside 0 to 1.
    """
    return math.ceil(1 / _rate(false_alarm_rate)) - 1


def p_values(good_scores: np.ndarray, scores: np.ndarray, *, groups: np.ndarray | None = None) -> np.ndarray:
    """Conformal p-values: how rarely a good image scores as high, ``(1 + #{good >= score}) / (n + 1)``.

    For a good image the probability of a p-value of at most a is at most a, over the draw of the held-out images too
    (the marginal conformal p-value of Bates et al., arXiv 2104.08279). The smallest that n held-out images can give is
    ``1 / (n + 1)``. Where several photographs show one product, n is the number of products, and each product counts
    the share of its photographs that score as high, see :func:`conformal_threshold`.

    Args:
        good_scores: float ``(n,)`` of held-out good images.
        scores: float ``(m,)`` of the images to judge.
        groups: the product that each held-out image shows, ``(n,)``; None: another one each.

    Returns:
        float64 ``(m,)``, above 0 and up to 1.

    Raises:
        Hw3Error: no held-out score, NaN or infinity, not one group each.
    """
    good, scores = _good(good_scores), np.asarray(scores)
    weights, n = _weights(groups, len(good))
    order = np.argsort(good, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    if bad := int((~np.isfinite(scores)).sum()):
        raise Hw3Error(f"scores: {bad} of {scores.size} are NaN or infinite; expected numbers")
    return (1 + n - below[np.searchsorted(good[order], scores, side="left")]).clip(1) / (n + 1)


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
