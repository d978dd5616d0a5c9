"""Estimates with their confidence intervals: shares, figures over repeated splits, rankings, differences of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from hw3lib.errors import Hw3Error

Kind = Literal["share", "figure", "AUROC", "difference"]
NOT_SIGNIFICANT, NOT_ESTIMABLE, EQUIVALENT = "not significant", "not estimable", "equivalent"
MARGIN = 0.05  # of accuracy, or another share: a difference that would matter
_NO_EFFECT: dict[Kind, float] = {"AUROC": 0.5, "difference": 0.0}  # what is tested; nothing of a share or a figure
_FLIPS = 10_000  # random signs of a test
_ALL_FLIPS = 14  # terms up to which all signs are tried: 16,384


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        value: the estimate; NaN where nothing was measured.
        low, high: of the interval; NaN where it cannot be estimated.
        confidence: share of such intervals that hold the true value, 0 to 1.
        kind: ``share`` (0 to 1), ``figure``, ``AUROC`` or ``difference`` of two of them.
        p: of the two-sided test that there is no effect (a difference of 0, an AUROC of 0.5); NaN: what the limits say
            decides. :func:`holm` makes it that of one among many.
        p_equivalent: of the test that a difference is :data:`MARGIN` or more, either way: the larger of two one-sided
            tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987). Where it is small the two are
            equivalent, which a difference that is not significant does not say. NaN: not tested.

    Example:
        >>> accuracy = Interval(0.91, 0.87, 0.94, kind="share")
        >>> accuracy.percent()
        '91 % (87 to 94)'
        >>> Interval(0.03, -0.01, 0.07, kind="difference").verdict()
        'not significant'
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    confidence: float = 0.95
    kind: Kind = "figure"
    p: float = math.nan
    p_equivalent: float = math.nan

    @classmethod
    def read(cls, row: Mapping[str, Any], name: str, limits: str | None = None, kind: Kind = "figure") -> Interval:
        """What :meth:`columns` has written; missing where the row has None or nothing."""
        found = (row.get(key) for key in column_names(name, limits))
        value, low, high, p = (math.nan if number is None else float(number) for number in found)
        return cls(value, low, high, kind=kind, p=p)

    def columns(self, name: str, limits: str | None = None) -> dict[str, float]:
        """As columns of a table: ``name``, ``limits_low``, ``limits_high``; ``limits_p`` where something is tested.

        Args:
            name: of the estimate.
            limits: first part of the others' names; None: ``name``; empty: they are ``low``, ``high`` and ``p``.
        """
        columns = zip(column_names(name, limits), (self.value, self.low, self.high, self.p), strict=True)
        return dict(list(columns)[: 4 if self.kind in _NO_EFFECT else 3])

    @property
    def estimable(self) -> bool:
        """Whether there are limits."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    @property
    def sign(self) -> int:
        """1 or -1 where the effect is statistically significant, by its direction; 0 where it is not, or not known."""
        none = _NO_EFFECT.get(self.kind, 0.0)
        if math.isnan(self.p):
            return int(self.low > none) - int(self.high < none)
        return int(np.sign(self.value - none)) if self.p <= 1 - self.confidence + 1e-12 else 0

    def verdict(
        self, better: str = "significantly better", worse: str = "significantly worse", equal: str = NOT_SIGNIFICANT
    ) -> str:
        """``better``, ``worse``, ``not significant`` or ``not estimable``; empty where nothing was compared.

        Args:
            better, worse: of a significant difference.
            equal: of one that is not, but significantly smaller than :data:`MARGIN`.
        """
        if math.isnan(self.value):
            return ""
        if not self.sign and math.isnan(self.p) and not self.estimable:
            return NOT_ESTIMABLE
        small = self.p_equivalent <= 1 - self.confidence + 1e-12
        return {1: better, -1: worse}.get(self.sign, equal if small else NOT_SIGNIFICANT)

    def text(self, spec: str = ".3f", scale: float = 1.0, unit: str = "") -> str:
        """``0.923 (0.850 to 0.970)``; a difference has signs, and what cannot be estimated says so."""
        spec = f"+{spec}" if self.kind == "difference" else spec
        value, *limits = (_rounded(number * scale, spec) for number in (self.value, self.low, self.high))
        if math.isnan(self.value):
            return "-"
        return f"{value}{unit} ({' to '.join(limits) if self.estimable else f'interval {NOT_ESTIMABLE}'})"

    def percent(self, digits: int = 0) -> str:
        """``51 % (41 to 62)``."""
        return self.text(f".{digits}f", 100, " %")

    def points(self, digits: int = 1) -> str:
        """``+7.1 points (+0.2 to +13.9)``."""
        return self.text(f".{digits}f", 100, " points")


def column_names(name: str, limits: str | None = None) -> tuple[str, str, str, str]:
    """Of an estimate, its limits and its p-value in tables and ``metrics.json``, see :meth:`Interval.columns`."""
    first = name if limits is None else limits
    low, high, p = (f"{first}_{last}" if first else last for last in ("low", "high", "p"))
    return name, low, high, p


def _rounded(number: float, spec: str) -> str:
    text = format(number, spec)
    return format(0.0, spec) if float(text) == 0 else text  # nothing is -0.0


def holm(intervals: Iterable[Interval]) -> list[Interval]:
    """The same intervals with p-values for many comparisons: Holm, Scandinavian Journal of Statistics 6, 1979.

    Of the m that were tested the smallest p is multiplied by m, the next by m - 1 and so on, and none falls below one
    before it: the chance that any of them is called significant without being so is at most ``1 - confidence``, however
    they depend on each other. The limits stay those of each by itself. The tests of equivalence are a family of their
    own, of which the same holds.

    Example:
        >>> [one.p for one in holm([Interval(p=0.01), Interval(p=0.03)])]
        [0.02, 0.03]
    """
    found = list(intervals)
    for field in ("p", "p_equivalent"):
        given = [getattr(one, field) for one in found]
        tested = sorted((i for i, p in enumerate(given) if not math.isnan(p)), key=given.__getitem__)
        least = 0.0
        for place, i in enumerate(tested):
            least = max(least, min(1.0, (len(tested) - place) * given[i]))
            found[i] = replace(found[i], **{field: least})
    return found


def corrected_interval(
    values: np.ndarray,
    n_train: float,
    n_test: float,
    confidence: float = 0.95,
    kind: Kind = "figure",
    *,
    counted: bool = False,
) -> Interval:
    """Mean of a figure over repeated random splits with its corrected resampled t interval.

    The splits share images, so the plain standard error is too small; Nadeau and Bengio (Machine Learning 52, 2003,
    section 3) widen its variance from ``s2 / n`` to ``s2 (1/n + n_test/n_train)``. Where whole products are split, they
    are what is drawn: that figures differ more from split to split for it is in ``s2``, and the two sizes count as
    their ratio alone, which is that of the products.

    A share has Wilson's interval for as many independent images as have that variance, times ``(z/t)^2`` for the
    few splits that it is estimated from (Korn and Graubard, Survey Methodology 24, 1998), and never for more than were
    counted: so it stays within 0 to 1, and equal splits leave what that many images leave. A difference of accuracies
    has the t interval, with at least the variance that it has if the images which only one of the two gets right are as
    few as can be, and one more (Agresti and Min, Statistics in Medicine 24, 2005): the best of three images in a row is
    no proof, however alike the splits. Of other figures equal splits say nothing: not estimable.

    Args:
        values: one figure a split, ``(n_splits,)``, or one difference a split for a paired comparison.
        n_train, n_test: images in each part of a split; ``n_train=inf`` where no two splits share an image.
        confidence: share of intervals that hold the true mean, 0 to 1.
        kind: of the figure.
        counted: each value is a difference of two shares of the same images.

    Raises:
        Hw3Error: fewer than two splits, which leave the spread unknown.

    Example:
        >>> corrected_interval([0.90, 0.92, 0.94], n_train=80, n_test=20, kind="share").percent()
        '92 % (80 to 97)'
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        raise Hw3Error(f"{len(values)} split: expected at least 2, an interval needs the spread between splits")
    variance = values.var(ddof=1) * (1 / len(values) + n_test / n_train)
    shared = n_test / (n_train + n_test)  # the correlation of two splits, by the same argument
    images = n_test / ((1 - shared) / len(values) + shared)  # independent ones with the variance of the mean
    variance = 0.0 if np.ptp(values) < 1e-12 else variance
    return _of_variance(float(values.mean()), variance, len(values) - 1, images, confidence, kind, counted)


def crossed_interval(
    values: np.ndarray, images: float, confidence: float = 0.95, kind: Kind = "figure", *, counted: bool = False
) -> Interval:
    """Mean of a figure over independent sets, of which each is learned from once and tests what the others taught.

    A set that is left out takes its training and its testing with it, and the sets are independent: so the jackknife
    over sets has the variance of training and of test images in it (Arvesen, Annals of Mathematical Statistics 40,
    1969, for such means over pairs), rather too large than too small (Efron and Stein, Annals of Statistics 9, 1981).
    The interval is Student's t, one degree less than there are sets; of shares and counted differences as in
    :func:`corrected_interval`.

    Args:
        values: figure of what was learned from set i on the images of set j, ``(sets, sets)``; the diagonal counts not.
        images: in all sets.
        confidence, kind, counted: see :func:`corrected_interval`.

    Raises:
        Hw3Error: fewer than three sets.
    """
    n = len(values)
    if n < 3:
        raise Hw3Error(f"{n} sets: expected at least 3, an interval needs the spread between sets")
    values = np.where(np.eye(n, dtype=bool), 0.0, values)
    without = (values.sum() - values.sum(0) - values.sum(1)) / ((n - 1) * (n - 2))
    mean, variance = float(values.sum() / (n * (n - 1))), float((n - 1) * np.var(without))
    variance = 0.0 if np.ptp(without) < 1e-12 else variance
    return _of_variance(mean, variance, n - 1, images, confidence, kind, counted)


def _of_variance(
    mean: float, variance: float, degrees: int, images: float, confidence: float, kind: Kind, counted: bool
) -> Interval:
    """Interval of a mean with this variance, of which 0 says that nothing varied; see :func:`corrected_interval`."""
    t = float(stats.t.ppf(0.5 + confidence / 2, degrees))
    if kind == "share":
        mean = min(1.0, max(0.0, mean))
        spread = mean * (1 - mean) / variance * (_z(confidence) / t) ** 2 if variance > 0 else math.inf
        return Interval(mean, *_wilson(mean, min(images, spread), confidence), confidence, kind)
    if not variance and not counted:
        return Interval(mean, confidence=confidence, kind=kind)
    error = math.sqrt(variance)

    def least(share: float) -> float:
        """Error of a difference of so much had the better one erred in no image alone."""
        return math.sqrt((share * (1 - share) + 1 / (images + 2)) / (images + 2)) if counted else 0.0

    def beyond(distance: float, share: float) -> float:
        """One-sided p-value of a mean at such a distance from what is tested."""
        known = float(stats.t.sf(distance / error, degrees)) if error > 0 else 0.0
        return max(known, float(stats.norm.sf(distance / least(share))) if counted else 0.0)

    half = max(t * error, _z(confidence) * least(abs(mean)))
    found = Interval(mean, mean - half, mean + half, confidence, kind)
    if kind != "difference":
        return found
    apart = MARGIN - abs(mean)
    equivalent = beyond(apart, MARGIN) if apart > 0 else 1.0
    return replace(found, p=2 * beyond(abs(mean), abs(mean)), p_equivalent=equivalent)


@dataclass(frozen=True)
class Design:
    """What a comparison rests on: repeated splits of one set of images, or independent sets that are crossed.

    Attributes:
        n_train, n_test: images in each part of a split.
        n_splits: splits, or sets.
        crossed: each split learns from a set of its own and is tested on all others, see :func:`crossed_interval`.
        per_product: images of a product; intervals count products.
    """

    n_train: int
    n_test: int
    n_splits: int
    crossed: bool = False
    per_product: float = 1.0

    @property
    def images(self) -> int:
        """Images in all."""
        return self.n_train + self.n_test

    def interval(
        self, values: np.ndarray, confidence: float = 0.95, kind: Kind = "figure", *, counted: bool = False
    ) -> Interval:
        """Of the mean of a figure of each split, ``(n_splits,)``, or of each pair of sets, ``(n_splits, n_splits)``."""
        if self.crossed:
            return crossed_interval(values, self.images / self.per_product, confidence, kind, counted=counted)
        sizes = self.n_train / self.per_product, self.n_test / self.per_product
        return corrected_interval(values, *sizes, confidence, kind, counted=counted)

    def images_needed(self, gain: Interval, tests: int = 1, *, effect: float = MARGIN, power: float = 0.8) -> float:
        """Images with which a gain of ``effect`` would be found significant in a share ``power`` of such comparisons.

        The error of a mean falls with the root of the number of images, and has to come to
        ``effect / (t_alpha + t_power)`` (Lachin, Controlled Clinical Trials 2, 1981; Student's t for few splits). Where
        splits share their images, more splits do not replace any. The answer is as sure as the error: ten splits know
        it to a third or so. That more images also teach more is not in it.

        Args:
            gain: a paired difference of this design.
            tests: that are made together; the smallest p-value of so many is multiplied by them (:func:`holm`).
            effect: the gain to be found, a fraction of one.
            power: the share, 0.5 to 1.

        Returns:
            As many as :attr:`images` counts; NaN where the interval cannot be estimated.
        """
        if not gain.estimable:
            return math.nan
        beyond, t = (1 - gain.confidence) / 2, stats.t(self.n_splits - 1).ppf
        error = (gain.high - gain.low) / 2 / float(t(1 - beyond))
        wanted = effect / float(t(1 - beyond / tests) + t(power))
        return math.ceil(self.images * (error / wanted) ** 2)

    def power(self, needed: Iterable[float]) -> str:
        """A sentence on :meth:`images_needed` by several comparisons, their median; empty where none can be told."""
        known = [number for number in needed if not math.isnan(number)]
        if not known:
            return ""
        about = float(f"{np.median(known):.2g}")
        why = "" if self.crossed else ", and more splits of the same images replace none"
        return (
            f"To find a gain of 5 points in four of five such comparisons takes about {about:.0f} images; "
            f"here are {self.images}{why}."
        )

    def __str__(self) -> str:
        if self.crossed:
            return f"{self.n_splits} independent sets of {self.n_train} images, each tested on the {self.n_test} others"
        return (
            f"{self.n_splits} splits of the same {self.images} images into {self.n_train} to train on and "
            f"{self.n_test} to test on"
        )


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share, for one test set counted once (Wilson, JASA 22, 1927)."""
    if not 0 <= correct <= total or total == 0:
        raise Hw3Error(f"correct={correct}, total={total}: expected 0 <= correct <= total and total > 0")
    return Interval(correct / total, *_wilson(correct / total, total, confidence), confidence, "share")


def difference_interval(a: Interval, b: Interval, correlation: float = 0.0) -> Interval:
    """Interval of ``b - a`` from theirs (MOVER: Zou and Donner, Statistics in Medicine 27, 2008, equation 12).

    Args:
        a, b: estimates of one confidence, whose limits hold where they stand at an end of the scale: limits that were
            cut off there make this one too narrow.
        correlation: of the two estimates; 0 for independent ones.
    """
    if not (a.estimable and b.estimable):
        return Interval(b.value - a.value, confidence=a.confidence, kind="difference")
    d, to_low, to_high = b.value - a.value, (b.value - b.low, a.high - a.value), (b.high - b.value, a.value - a.low)
    below, above = (math.sqrt(max(0.0, x * x + y * y - 2 * correlation * x * y)) for x, y in (to_low, to_high))
    towards = below if d > 0 else above
    p = 2 * float(stats.norm.sf(_z(a.confidence) * abs(d) / towards)) if towards > 0 else math.nan
    return Interval(d, d - below, d + above, a.confidence, "difference", p)


def share_difference(right: np.ndarray, less: np.ndarray, confidence: float = 0.95) -> Interval:
    """By how much the share of ``right`` exceeds that of ``less``, two decisions on each of the same images.

    The interval is that of :func:`difference_interval` of Wilson's with the correlation of the two (Newcombe,
    Statistics in Medicine 17, 1998, method 10, without its correction of that); the p-value that of McNemar's exact
    test: of the images on which they differ either is right in half, if there is no effect.

    Args:
        right, less: whether each decision is right, bool ``(N,)``; at least one image.
        confidence: share of intervals that hold the true difference, 0 to 1.
    """
    right, less = np.asarray(right, bool), np.asarray(less, bool)
    a, b = (wilson_interval(int(np.sum(one)), len(one), confidence) for one in (less, right))
    correlation = float(np.corrcoef(less, right)[0, 1]) if 0 < a.value < 1 and 0 < b.value < 1 else 0.0
    won, lost = int(np.sum(right & ~less)), int(np.sum(less & ~right))
    p = float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return replace(difference_interval(a, b, correlation), p=p)


def auroc_interval(
    is_defect: np.ndarray, scores: np.ndarray, groups: np.ndarray | None = None, confidence: float = 0.95
) -> Interval:
    """Image AUROC with its interval over the choice of the test images.

    Wilson's interval for as many images as have the AUROC's variance (DeLong et al., Biometrics 44, 1988; for products
    with several images Obuchowski, Biometrics 53, 1997). Where hardly an image is misplaced that variance is none, or
    too small: then for no more than the exponential variance of Hanley and McNeil (Radiology 143, 1982) leaves at the
    end of the scale, and a quarter more for each misplaced image. The detector is not fitted again, so the interval
    does not cover the choice of the good images to learn from.

    Args:
        is_defect: bool ``(N,)``.
        scores: ``(N,)``.
        groups: numbers of the products that the images show, from 0, ``(N,)``; None: each shows another.

    Returns:
        Fractions of one; NaN where all images are good, or all defective.
    """
    return _auroc(_Ranking(is_defect, scores, groups), confidence)


def _auroc(ranked: _Ranking, confidence: float) -> Interval:
    if ranked.wins.size == 0:
        return Interval(confidence=confidence, kind="AUROC")
    value, variance, (defects, goods) = ranked.value, ranked.covariance(ranked), ranked.units
    most = defects * goods / (1 + ((defects + goods) / 2 - 1) / 2)
    most *= 1 + min(value, 1 - value) * min(defects, goods) / 4
    images = min(most, value * (1 - value) / variance if variance > 0 else math.inf)
    p = 2 * float(stats.norm.sf(abs(value - 0.5) / math.sqrt(0.25 / images)))
    return Interval(value, *_wilson(value, images, confidence), confidence, "AUROC", p)


def auroc_difference(
    is_defect: np.ndarray,
    scores: np.ndarray,
    less: np.ndarray,
    groups: np.ndarray | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """By how much the AUROC of ``scores`` exceeds that of ``less`` on the same images.

    The interval is that of :func:`difference_interval` with DeLong's correlation. The p-value is that of a paired test
    without assumptions on the scores: if the detectors rank alike, the difference that an image makes could have had
    the other sign (:func:`sign_flip_p`). It is the largest of those for the defective images, the good ones, and both,
    so that four misplaced images are no more than four throws of a coin, however many others they pass.

    Args:
        is_defect, scores, groups, confidence: see :func:`auroc_interval`; the images of a product change sign together.
        less: scores ``(N,)`` whose AUROC is subtracted.
        seed: of the random signs.
    """
    a, b = (_Ranking(is_defect, s, groups) for s in (less, scores))
    if a.wins.size == 0:
        return Interval(confidence=confidence, kind="difference")
    both = a.covariance(a) * b.covariance(b)
    # Scores that agree on every image leave a little for the next one, on which they may not.
    correlation = a.covariance(b) / math.sqrt(both) * (1 - 2 / (min(a.units) + 2)) if both > 0 else 0.0
    found = difference_interval(_auroc(a, confidence), _auroc(b, confidence), min(1.0, max(-1.0, correlation)))
    terms = b.by_product(b.wins - a.wins)
    every = terms.ravel() if groups is None else terms.sum(0)
    return replace(found, p=max(sign_flip_p(some, found.value, seed) for some in (*terms, every)))


class _Ranking:
    """A ranking of good and defective images, its AUROC, and what each product adds to that."""

    def __init__(self, is_defect: np.ndarray, scores: np.ndarray, groups: np.ndarray | None):
        is_defect, scores = np.asarray(is_defect, bool), np.asarray(scores)
        bad, good = scores[is_defect], scores[~is_defect]
        # 1 where a defective image stands above a good one, half where they tie.
        self.wins = (bad[:, None] > good) + 0.5 * (bad[:, None] == good)
        self.value = float(self.wins.mean()) if self.wins.size else math.nan
        rows = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1]
        self.products = rows[is_defect], rows[~is_defect]
        self.units = [len(np.unique(own)) for own in self.products]

    def by_product(self, wins: np.ndarray) -> np.ndarray:
        """What each product adds to the mean of cells ``(defective, good)``, by its defective, then its good images."""
        found = np.zeros((2, 1 + max(own.max() for own in self.products)))
        for added, own, sums in zip(found, self.products, (wins.sum(1), wins.sum(0)), strict=True):
            np.add.at(added, own, sums / wins.size)
        return found

    def covariance(self, other: _Ranking) -> float:
        """Of the two AUROCs, over the choice of products; of a ranking with itself its variance."""
        scale = np.sqrt([[n / max(1, n - 1)] for n in self.units])
        mine, theirs = ((scale * one.by_product(one.wins - one.value)).sum(0) for one in (self, other))
        return float(mine @ theirs)


def sign_flip_p(terms: np.ndarray, total: float, seed: int = 0) -> float:
    """Two-sided p-value of a total whose terms would have either sign with the same chance if there were no effect.

    Args:
        terms: ``(n,)``. All signs are tried where 14 or fewer are not 0 (the sign test), else 10,000 random ones.
        total: as it was found.
        seed: of the random ones.
    """
    terms, reached = terms[terms != 0], abs(total) * (1 - 1e-9)
    if len(terms) <= _ALL_FLIPS:
        signs = 2 * (np.arange(2 ** len(terms))[:, None] >> np.arange(len(terms)) & 1) - 1
        return float(np.mean(np.abs(signs @ terms) >= reached))
    rng = np.random.default_rng(seed)
    parts = (rng.integers(0, 2, (_FLIPS // 10, len(terms)), np.int8) for _ in range(10))
    hits = sum(int(np.sum(np.abs((2.0 * part - 1) @ terms) >= reached)) for part in parts)
    return (1 + hits) / (1 + _FLIPS)


def _wilson(share: float, images: float, confidence: float) -> tuple[float, float]:
    """Wilson's limits of a share of so many independent images, which need not be a whole number."""
    z2 = _z(confidence) ** 2
    centre = (share + z2 / images / 2) / (1 + z2 / images)
    half = math.sqrt(z2 * (share * (1 - share) / images + z2 / images**2 / 4)) / (1 + z2 / images)
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def _z(confidence: float) -> float:
    return float(stats.norm.ppf(0.5 + confidence / 2))
