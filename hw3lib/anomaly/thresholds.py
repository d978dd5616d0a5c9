"""Thresholds that can be explained: from scores of good images, with the false-alarm rate they guarantee.

Split conformal anomaly detection: if the good images that set the threshold and the good images to come are
exchangeable (drawn alike, none of them used to fit the detector), ranks alone give the guarantee, whatever the
detector and the distribution of its scores (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
2005; for anomalies Laxhammar and Falkman, Annals of Mathematics and Artificial Intelligence 74, 2015; Bates et al.,
"Testing for outliers with conformal p-values", Annals of Statistics 51, 2023, arXiv 2104.08279). Changed light or a
moved camera breaks exchangeability, and with it the guarantee.

Images that are held out teach nothing. The alternatives let all images teach and all set the threshold, each by a score
as if it had not been learned from (for anomalies Hennhöfer and Preisach, 2024, arXiv 2402.16388):

- *Leave-one-out*, for a memory of good patches: each good image is scored by the memory without its own patches. To a
  memory of all patches whose score is the largest distance the theorem of full conformal prediction applies (Vovk et
  al. 2005), for any number of images: had the new image been remembered as well, the scores of all n + 1 would be
  exchangeable, so that its rank among them promises the rate a; and as a memory that holds one image more brings no
  distance up, each good image's score without the new one is as high or higher, so that the threshold is too. That is
  better than the 2 a of the jackknife+ (Barber et al. 2021, arXiv 1905.02928, theorem 1), which asks nothing of the
  detector. A coreset is no such memory: which patches it keeps depends on all images, and where an image's own are left
  out, what only they stood for is missing. That raises scores of good images rather than those of new ones, but no
  theorem says so: the rate is then what is expected ("about"), not what is proven ("at most").
- *Cross-validation*, for other detectors: each good image is scored by a detector that learned from the other folds
  (cross-conformal: Vovk 2015, arXiv 1208.0806). The bound of 2 a and a little (CV+, Barber et al., theorem 4) is for
  new images that are scored by the detectors of the folds too. Here one that learned from all scores them: "about".

For both, how one threshold's rate scatters around the promised one is not known in general (Bian and Barber 2022,
arXiv 2205.03647); for held-out images it is, see :func:`conformal_threshold`.

Photographs of one product are not exchangeable with one of a new product; products are. So products count, and each
photograph counts one over the photographs of its product: hierarchical conformal prediction (Lee, Barber and Willett,
"Distribution-free inference with hierarchical data", arXiv 2306.06342), which is the subsampling of one
photograph a product (Dunn, Wasserman and Ramdas, "Distribution-free prediction sets for two-layer hierarchical models",
2022, arXiv 1809.07441) without the drawing. It keeps the rate for a photograph of a product not seen before.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np

from hw3lib.anomaly import metrics
from hw3lib.core.text import counted, percent
from hw3lib.errors import Hw3Error

CONFIDENCE = 0.9

Calibration = Literal["held-out", "leave-one-out", "cross-validation"]


class FewGoodImages(UserWarning):
    """There are too few good images for the false-alarm rate that was asked for."""


class Errors(NamedTuple):
    """What a threshold makes of good images and of known defects: shares with 95 % Wilson intervals, 0 to 1.

    Good products count once each; every defective image counts, so that intervals of misses are too narrow where
    several of them show one product.
    """

    threshold: float
    alarms: float
    alarms_low: float
    alarms_high: float
    misses: float
    misses_low: float
    misses_high: float


@dataclass(frozen=True)
class Costs:
    """What errors cost, in one unit, for one product.

    Attributes:
        miss: a defective product that passes; above 0.
        alarm: a good product that is stopped; above 0.
        defects: share of all products that are defective, above 0 and below 1.
    """

    miss: float
    alarm: float
    defects: float = 0.01

    def __post_init__(self) -> None:
        for name, value in (("miss", self.miss), ("alarm", self.alarm)):
            if not 0 < value < math.inf:
                raise Hw3Error(f"cost of {'a miss' if name == 'miss' else 'an alarm'}: {value!r}, expected above 0")
        if not 0 < self.defects < 1:
            raise Hw3Error(f"share of defective products: {self.defects!r}, expected above 0 and below 1, 0.01 for 1 %")


@dataclass(frozen=True)
class Threshold:
    """An image is called anomalous if ``score > value``. ``str()`` says in a sentence where it comes from.

    Attributes:
        value: in the unit of the scores.
        n: images it comes from; where several show one product, products.
        false_alarm_rate: the share of good images called anomalous that was asked for; where none was, the share among
            the images it was chosen on.
        guarantee: upper bound of the probability that the next good image, of another product, is called anomalous,
            over the draw of the good images and of that image; only expected unless ``proven``; None where there is
            none.
        likely_rate: with 90 % confidence over the draw of the held-out images, the false-alarm rate in use of this
            very threshold is at most this; None where nothing is known.
        f1: of the defective class on the images it was chosen on, or None.
        uses_test_labels: chosen with the labels of the images it is judged on: figures at this threshold flatter.
        photographs: of the ``n`` products, where several show one; None where each shows another.
        calibration: how good images came to scores as of images that were not learned from.
        proven: whether a theorem gives the guarantee, see :mod:`hw3lib.anomaly.thresholds`.
        costs, errors: what it was chosen by, and how it does on the images that it was chosen on, for a threshold of
            :func:`cost_threshold`.
        defects: known defects that such a threshold was chosen on.
        note: a sentence to add.
    """

    value: float
    n: int
    false_alarm_rate: float
    guarantee: float | None = None
    likely_rate: float | None = None
    f1: float | None = None
    uses_test_labels: bool = False
    photographs: int | None = None
    calibration: Calibration = "held-out"
    proven: bool = True
    costs: Costs | None = None
    errors: Errors | None = None
    defects: int = 0
    note: str = ""

    def __str__(self) -> str:
        return f"Scores above {self.value:.4g} are called anomalous: {self._reason()}.{self.note and ' ' + self.note}"

    def _reason(self) -> str:
        if self.uses_test_labels:
            return (
                f"the threshold with the best F1 ({self.f1:.3f}) on {self.n} images, chosen with their test labels. It "
                "gives no guarantee, and figures at this threshold on the same images flatter"
            )
        if self.costs is not None and self.errors is not None:
            e, costs = self.errors, self.costs
            return (
                f"the threshold that costs least on {counted(self.defects, 'known defect')} and {self._images()}, if a "
                f"miss costs {costs.miss:g}, a false alarm {costs.alarm:g}, and {percent(costs.defects)} of products "
                f"are defective: {percent(e.misses)} of the defects pass ({percent(e.misses_low)} to "
                f"{percent(e.misses_high)}), {percent(e.alarms)} of the good images are stopped "
                f"({percent(e.alarms_low)} to {percent(e.alarms_high)}). It was chosen on these very images, so these "
                "figures flatter, and it keeps no false-alarm rate"
            )
        if self.guarantee is None:
            above = f"; it is exceeded by {percent(self.false_alarm_rate)} of {self._images()}" if self.n else ""
            return f"the threshold was given{above}"
        few = self.guarantee > self.false_alarm_rate
        asked = f" ({percent(self.false_alarm_rate)} was asked for, which needs more)" if few else ""
        bound = "at most" if self.proven else "about"
        words = (
            f"set on {self._images()}{asked}, so that on average {bound} {percent(self.guarantee)} of good products "
            "raise a false alarm as long as production looks like those images"
        )
        if self.likely_rate is not None:
            likely = percent(self.likely_rate)
            words = f"{words}; with {percent(CONFIDENCE)} confidence this threshold raises at most {likely}"
        return words

    def _images(self) -> str:
        """The good images, and what makes their scores those of images that were not learned from."""
        how = {
            "held-out": "",
            "leave-one-out": ", scored without what was learned of it",
            "cross-validation": ", scored by a detector that had not learned from it",
        }[self.calibration]
        held = "held-out " if self.calibration == "held-out" else ""
        if self.photographs is not None:
            each = f", each{how.removeprefix(',')}" if how else ""
            return f"{self.photographs} {held}photographs of {counted(self.n, 'good product')}{each}"
        return f"{self.n} {held}good images, each photograph of another product{how}"


def conformal_threshold(
    good_scores: np.ndarray,
    false_alarm_rate: float = 0.01,
    *,
    groups: np.ndarray | None = None,
    calibration: Calibration = "held-out",
    proven: bool = True,
) -> Threshold:
    """The threshold that keeps a false-alarm rate, from scores of good images.

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
        calibration, proven: how the scores came about, see :class:`Threshold`. ``likely_rate`` is known for held-out
            images alone.

    Warns:
        FewGoodImages: fewer than :func:`required_good_images`; the highest score is taken, which guarantees
            ``1 / (n + 1)``.

    Raises:
        Hw3Error: no score, NaN or infinity, not one group each, or a rate outside 0 to 1.
    """
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
            f"{n} good {what} cannot keep false_alarm_rate={false_alarm_rate:g}: their highest score is taken, which "
            f"allows {percent(1 / (n + 1))}; {required_good_images(false_alarm_rate)} are needed",
            FewGoodImages,
            stacklevel=2,
        )
    shared = n < len(scores)  # a product
    above = (
        max(0.0, float(n - reached[place])) if shared else float(n - reached[place])
    )  # what those count that are above
    return Threshold(
        value=float(scores[order[place]]),
        n=n,
        false_alarm_rate=float(false_alarm_rate),
        guarantee=(above + 1) / (n + 1),
        likely_rate=_likely_rate(above, n, shared) if calibration == "held-out" else None,
        photographs=len(scores) if n < len(scores) else None,
        calibration=calibration,
        proven=proven,
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
    """Good images, of as many products, that :func:`conformal_threshold` needs: at least ``1 / rate - 1``.

    Raises:
        Hw3Error: a rate outside 0 to 1.
    """
    return math.ceil(1 / _rate(false_alarm_rate)) - 1


def p_values(good_scores: np.ndarray, scores: np.ndarray, *, groups: np.ndarray | None = None) -> np.ndarray:
    """Conformal p-values: how rarely a good image scores as high, ``(1 + #{good >= score}) / (n + 1)``.

    For a good image the probability of a p-value of at most a is at most a, over the draw of the good images too
    (the marginal conformal p-value of Bates et al., arXiv 2104.08279), as far as their scores are those of images that
    were not learned from. The smallest that n images can give is
    ``1 / (n + 1)``. Where several photographs show one product, n is the number of products, and each product counts
    the share of its photographs that score as high, see :func:`conformal_threshold`.

    Args:
        good_scores: float ``(n,)`` of good images, as of ones that were not learned from.
        scores: float ``(m,)`` of the images to judge.
        groups: the product that each of them shows, ``(n,)``; None: another one each.

    Returns:
        float64 ``(m,)``, above 0 and up to 1.

    Raises:
        Hw3Error: no held-out score, NaN or infinity, not one group each.

    Example:
        >>> import numpy as np
        >>> p_values(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.5, 9.0])).tolist()
        [0.6, 0.2]
    """
    good, scores = _good(good_scores), np.asarray(scores)
    weights, n = _weights(groups, len(good))
    order = np.argsort(good, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    if bad := int((~np.isfinite(scores)).sum()):
        raise Hw3Error(f"scores: {bad} of {scores.size} are NaN or infinite; expected numbers")
    return (1 + n - below[np.searchsorted(good[order], scores, side="left")]).clip(1) / (n + 1)


def errors_at(
    threshold: float, good_scores: np.ndarray, bad_scores: np.ndarray, *, groups: np.ndarray | None = None
) -> Errors:
    """False alarms and misses of a threshold.

    Args:
        threshold: in the unit of the scores.
        good_scores: float ``(n,)`` of good images, as of ones that were not learned from.
        bad_scores: float ``(m,)`` of known defects.
        groups: the product that each good image shows; None: another one each.

    Raises:
        Hw3Error: no score, NaN or infinity, not one group each.
    """
    from hw3lib.core.intervals import wilson_interval  # brings scipy.stats, which scoring does without

    good, bad = _good(good_scores), _good(bad_scores, "bad_scores")
    weights, n = _weights(groups, len(good))
    [alarms], [misses] = _counted([threshold], good, bad, weights)
    # A product of which some photographs are stopped counts their share, so that the number may be broken.
    stopped = wilson_interval(min(n, math.ceil(alarms - 1e-9)), n)
    passed = wilson_interval(misses, len(bad))
    return Errors(threshold, alarms / n, stopped.low, stopped.high, misses / len(bad), passed.low, passed.high)


def _counted(
    cuts: Sequence[float], good: np.ndarray, bad: np.ndarray, weights: np.ndarray
) -> tuple[list[float], list[int]]:
    """Good images above each threshold, as their products count, and defects that are not above it."""
    return [float(weights[good > cut].sum()) for cut in cuts], [int((bad <= cut).sum()) for cut in cuts]


def error_curve(good_scores: np.ndarray, bad_scores: np.ndarray, *, groups: np.ndarray | None = None) -> list[Errors]:
    """:func:`errors_at` of every threshold that tells two of the images apart, and of both ends; ascending.

    Args and raises: as :func:`errors_at`.
    """
    levels = _levels(_good(good_scores), _good(bad_scores, "bad_scores"))
    return [errors_at(cut, good_scores, bad_scores, groups=groups) for cut in _cuts(levels)]


def _levels(good: np.ndarray, bad: np.ndarray) -> np.ndarray:
    return np.unique(np.concatenate([good, bad]).astype(float))


def _cuts(levels: np.ndarray) -> list[float]:
    """Thresholds below, between and at the end of the scores that there are."""
    # Below the least by a step of float32, in which scores are compared.
    least = np.nextafter(np.float32(levels[0]), np.float32(-np.inf))
    return [float(least), *((levels[:-1] + levels[1:]) / 2).tolist(), float(levels[-1])]


def cost_threshold(
    good_scores: np.ndarray,
    bad_scores: np.ndarray,
    costs: Costs,
    *,
    groups: np.ndarray | None = None,
    calibration: Calibration = "held-out",
) -> Threshold:
    """The threshold at which good images and known defects cost least; it uses which is which, and says so.

    The expected cost of a product is ``defects * miss * misses + (1 - defects) * alarm * alarms``. Of thresholds that
    cost the same the one in the middle of the widest gap between scores is taken.

    Args:
        good_scores, bad_scores, groups: see :func:`errors_at`.
        costs: see :class:`Costs`.
        calibration: how the good images' scores came about.

    Raises:
        Hw3Error: as :func:`errors_at`.
    """
    good, bad = _good(good_scores), _good(bad_scores, "bad_scores")
    weights, n = _weights(groups, len(good))
    levels = _levels(good, bad)
    cuts = _cuts(levels)
    # Counted alone: a detector with costs is loaded by this, and intervals of every threshold take long.
    alarms, misses = (np.array(counts) for counts in _counted(cuts, good, bad, weights))
    cost = costs.defects * costs.miss * (misses / len(bad)) + (1 - costs.defects) * costs.alarm * (alarms / n)
    gaps = np.concatenate([[0.0], np.diff(levels), [0.0]])
    best = errors_at(cuts[int(np.lexsort((-gaps, np.round(cost, 12)))[0])], good, bad, groups=groups)
    return Threshold(
        value=best.threshold,
        n=n,
        false_alarm_rate=best.alarms,
        photographs=len(good_scores) if n < len(good_scores) else None,
        calibration=calibration,
        costs=costs,
        errors=best,
        defects=len(bad_scores),
    )


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


def _likely_rate(above: float, n: int, shared: bool) -> float:
    """The rate that a threshold keeps with probability :data:`CONFIDENCE`, see :func:`conformal_threshold`."""
    from scipy.special import betaincinv  # takes a third of the time in which an exported inspector answers

    if not shared:
        return float(betaincinv(above + 1, n - above, CONFIDENCE))
    whole = math.ceil(above - 1e-9)
    return float(betaincinv(whole + 1, n - whole, 1 - (1 - CONFIDENCE) / math.e)) if whole < n else 1.0


def _good(good_scores: np.ndarray, name: str = "good_scores") -> np.ndarray:
    scores = np.asarray(good_scores)
    if scores.ndim != 1 or not len(scores):
        raise Hw3Error(f"{name}: found shape {scores.shape}, expected (n,), a score an image")
    if bad := int((~np.isfinite(scores)).sum()):
        raise Hw3Error(f"{name}: {bad} of {len(scores)} are NaN or infinite; expected numbers")
    return scores


def _rate(false_alarm_rate: float) -> Fraction:
    """The rate as it is written: 0.05 is one twentieth, so that no rounding error moves a rank."""
    if not 0 < false_alarm_rate < 1:
        raise Hw3Error(f"false_alarm_rate={false_alarm_rate}: expected a share above 0 and below 1, 0.01 for 1 %")
    return Fraction(str(float(false_alarm_rate)))


@contextmanager
def silence_few_good_images() -> Iterator[None]:
    """The threshold's sentence says it; the warning would say it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewGoodImages)
        yield
