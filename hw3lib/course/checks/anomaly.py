"""Checks of chapter 4: the overlap of regions, thresholds with a promise, p-values, a leaderboard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from hw3lib.core.intervals import auroc_difference, auroc_interval

from . import hidden
from .base import CheckFailed, call, check, compare, numbers


def _regions(regions: np.ndarray) -> list[np.ndarray]:
    return [regions == number for number in range(1, regions.max() + 1)]


@check
def region_overlap(rng: np.random.Generator, function: Any) -> str:
    """Per-region overlap at one threshold (Bergmann et al. 2021, IJCV 129, section 4.2)."""
    cases: list[tuple[str, tuple]] = []
    for _ in range(6):
        regions = np.zeros((12, 16), int)
        sizes = rng.permutation([(6, 7), (3, 2), (2, 2)])  # one of them rules if pixels are counted
        for number, ((rows, columns), left) in enumerate(zip(sizes, (0, 8, 12), strict=True), 1):
            regions[1 : 1 + rows, left : left + min(columns, 16 - left)] = number
        scores = rng.integers(0, 20, regions.shape) / 20  # some equal the threshold
        cases.append((f"3 regions of {np.bincount(regions.ravel())[1:].tolist()} pixels", (scores, regions, 0.5)))

    def hit(scores: np.ndarray, threshold: float) -> np.ndarray:
        return scores >= threshold

    compare(
        function,
        cases,
        lambda s, r, t: np.mean([hit(s, t)[one].mean() for one in _regions(r)]),
        "take the share that is found of each region by itself, then the mean of these shares",
        [
            (
                lambda s, r, t: hit(s, t)[r > 0].mean(),
                "that counts pixels, so the large region rules; count each alike",
            ),
            (
                lambda s, r, t: np.mean([(s > t)[one].mean() for one in _regions(r)]),
                "a score at the threshold is found",
            ),
            (lambda s, r, t: np.mean([(s < t)[one].mean() for one in _regions(r)]), "that is the share that is missed"),
            (
                lambda s, r, t: np.mean([hit(s, t)[one].any() for one in _regions(r)]),
                "that asks whether a pixel is hit",
            ),
            (
                lambda s, r, t: np.mean([hit(s, t)[r == k].mean() for k in np.unique(r)]),
                "region 0 is what is good; it is no defect and does not count",
            ),
            (lambda s, r, t: hit(s, t)[r == 0].mean(), "that is the false-positive rate, the share of what is good"),
            (lambda s, r, t: np.max([hit(s, t)[one].mean() for one in _regions(r)]), "that is the best region alone"),
            (lambda s, r, t: np.min([hit(s, t)[one].mean() for one in _regions(r)]), "that is the worst region alone"),
            (lambda s, r, t: np.median([hit(s, t)[one].mean() for one in _regions(r)]), "the mean, not the median"),
            (lambda s, r, t: np.sum([hit(s, t)[one].mean() for one in _regions(r)]), "that is the sum of the shares"),
            (
                lambda s, r, t: np.mean([s[one].mean() for one in _regions(r)]),
                "that averages scores; compare them first",
            ),
            (
                lambda s, r, t: (hit(s, t) & (r > 0)).sum() / (hit(s, t) | (r > 0)).sum(),
                "that is intersection over union of all regions together",
            ),
            (lambda s, r, t: np.mean([hit(s, t)[one].sum() for one in _regions(r)]), "these are pixels, not shares"),
            (lambda s, r, t: hit(s, t).mean(), "that is the share of the whole image that is above the threshold"),
        ],
        what="the overlap",
    )
    return "AUPRO is this, averaged over thresholds: a small defect counts as much as a large one"


def _rank(n: int, rate: float) -> int:
    return math.ceil((1 - rate) * (n + 1) - 1e-9)


def _at(scores: np.ndarray, rank: int, beyond: float) -> float:
    return float(np.sort(scores)[rank - 1]) if 1 <= rank <= len(scores) else beyond


@check
def conformal_threshold(rng: np.random.Generator, function: Any) -> str:
    """The threshold that the next good image exceeds with at most this probability (arXiv 2104.08279)."""
    sizes = [
        (19, 0.05),
        (99, 0.01),
        (9, 0.3),
        (9, 0.05),
        (24, 0.02),
        (13, 0.3),
    ]  # (1 - rate)(n + 1) whole, and promises too high
    sizes += [(int(n), float(rate)) for n, rate in zip(rng.integers(20, 90, 4), rng.uniform(0.06, 0.3, 4), strict=True)]
    cases: list[tuple[str, tuple]] = []
    for n, rate in rng.permutation(sizes).tolist():
        scores = rng.normal(rng.uniform(-5, 5), rng.uniform(1, 3), int(n))
        cases.append((f"{int(n)} good scores, a false-alarm rate of {rate:.3g}", (scores, rate)))
    compare(
        function,
        cases,
        lambda s, rate: _at(s, _rank(len(s), rate), math.inf),
        "the rank is (1 - rate)(n + 1), rounded up; count scores from the smallest, which is 1",
        [
            (
                lambda s, rate: _at(s, _rank(len(s), rate), float(s.max())),
                "with too few images no score is high enough for the promise: then the answer is infinity",
            ),
            (
                lambda s, rate: np.quantile(s, 1 - rate),
                "a quantile interpolates and forgets the new image: it is exceeded more often than promised",
            ),
            (
                lambda s, rate: np.quantile(s, 1 - rate, method="higher"),
                "that quantile is of n images; the new one makes n + 1",
            ),
            (lambda s, rate: _at(s, math.ceil((1 - rate) * len(s) - 1e-9), math.inf), "the new one makes n + 1, not n"),
            (
                lambda s, rate: _at(s, _rank(len(s), rate) + 1, math.inf),
                "that is one score too high: the first is rank 1",
            ),
            (lambda s, rate: _at(s, _rank(len(s), rate) - 1, math.inf), "that is one score too low: round the rank up"),
            (
                lambda s, rate: _at(s, math.floor((1 - rate) * (len(s) + 1) + 1e-9), math.inf),
                "the rank is rounded down, and the promise is broken where it is no whole number: round up",
            ),
            (lambda s, rate: _at(s, math.ceil(rate * (len(s) + 1) - 1e-9), math.inf), "that is rate, not 1 - rate"),
            (lambda s, rate: s.max(), "that is the highest score; how many alarms were asked for?"),
            (
                lambda s, rate: s.mean() + 3 * s.std(),
                "that believes in a normal distribution; count the scores instead",
            ),
            (
                lambda s, rate: s.mean() + 2 * s.std(),
                "that believes in a normal distribution; count the scores instead",
            ),
            (lambda s, rate: math.inf, "infinity alarms never; that is right only where there are too few images"),
            (lambda s, rate: _rank(len(s), rate), "that is the rank; which score has it?"),
        ],
        what="the threshold",
    )
    return "a promise that holds for any detector, from good images alone"


@check
def p_value(rng: np.random.Generator, function: Any) -> str:
    """The share of good images, the new one among them, that score as high."""
    cases = []
    for n in map(int, rng.integers(6, 40, 4)):
        good = rng.permutation(np.append(rng.integers(0, n, n - 1), n)).astype(float)  # many are equal
        for score in (good.max() + 1, float(rng.choice(good)), good.max(), float(rng.uniform(0, n)), -1.0):
            above = int((good >= score).sum())
            given = f"score {score:.3g} against {n} good scores, {above} of which are as high or higher"
            cases.append((given, (float(score), good)))
    compare(
        function,
        cases,
        lambda score, good: (1 + (good >= score).sum()) / (1 + len(good)),
        "count the new image itself, above and below the line",
        [
            (lambda s, good: (good > s).mean(), "that can be 0, and n images cannot show that something never happens"),
            (lambda s, good: (good >= s).mean(), "that can be 0: the new image is one of those that score as high"),
            (
                lambda s, good: (1 + (good > s).sum()) / (1 + len(good)),
                "a good image with the same score is as high too",
            ),
            (
                lambda s, good: (1 + (good <= s).sum()) / (1 + len(good)),
                "it is the other tail: high scores are anomalous",
            ),
            (
                lambda s, good: (1 + (good < s).sum()) / (1 + len(good)),
                "it is the other tail: high scores are anomalous",
            ),
            (lambda s, good: (good < s).mean(), "it is the other tail: high scores are anomalous"),
            (lambda s, good: (good <= s).mean(), "it is the other tail: high scores are anomalous"),
            (lambda s, good: (1 + (good >= s).sum()) / len(good), "the new one counts above the line; also below it"),
            (lambda s, good: (good >= s).sum() / (1 + len(good)), "the new one counts below the line; also above it"),
            (lambda s, good: 1 + (good >= s).sum(), "that is how many; which share of all is it?"),
            (lambda s, good: max((good >= s).mean(), 1 / (1 + len(good))), "do not clip: count the new image"),
            (lambda s, good: max((good >= s).mean(), 1 / len(good)), "do not clip: count the new image"),
            (lambda s, good: (1 + (good == s).sum()) / (1 + len(good)), "that counts equal scores alone"),
            (lambda s, good: 1 - (1 + (good >= s).sum()) / (1 + len(good)), "that is one minus the p-value"),
        ],
        what="the p-value",
    )
    return "it is never zero: with n good images nothing is rarer than one in n + 1"


@check
def beats_pooled_features(rng: np.random.Generator, function: Any, good: np.ndarray) -> str:
    """Scores of hidden images from patch features, against the distance of their mean vectors to the nearest good one.

    It passes where its AUROC is significantly higher, by an exact paired test on the same images.

    Args:
        function: ``f(good, test) -> scores``.
        good: float ``(N, P, D)``, the features of P patches of N good images.
    """
    test, is_defect = hidden.drawn("beats_pooled_features", rng)
    given = f"{len(good)} good and {len(test)} hidden images"
    expected = np.zeros(len(test))
    scores = numbers(call(function, good, test, given=given), expected, f"{given}, the scores")
    if not np.isfinite(scores).all():
        raise CheckFailed(f"{given}: a score is infinite; expected a finite number for each image")
    again = rng.permutation(len(test))
    other = numbers(call(function, good, test[again], given=given), expected, f"{given}, the scores")
    if not np.allclose(scores[again], other, rtol=1e-3, atol=1e-3 * max(float(np.ptp(scores)), 1e-12)):
        raise CheckFailed(
            f"{given}: in another order the same images get other scores; a score comes from an image's features, not "
            "from its place among the others or from chance"
        )
    pooled = np.linalg.norm(test.mean(1)[:, None] - good.mean(1)[None], axis=-1).min(1)
    best = _farthest_patch(good, test)
    score = hidden.SCORES["beats_pooled_features"] = hidden.Score(
        "AUROC",
        len(test),
        ("mean vectors, the nearest good one", auroc_interval(is_defect, pooled)),
        ("patches, the farthest from all good ones", auroc_interval(is_defect, best)),
        auroc_interval(is_defect, scores),
        auroc_difference(is_defect, scores, pooled),
        auroc_difference(is_defect, scores, best),
    )
    print(score)
    if score.own.sign < 0:
        raise CheckFailed(f"AUROC {score.own.text()}, worse than guessing; higher must mean more anomalous")
    if score.gain.sign <= 0:
        raise CheckFailed(
            f"AUROC {score.own.text()}, against the mean vectors {hidden.told('AUROC', score.gain)}; a small defect "
            "hardly moves a mean. What does its own patch look like beside those of good images?"
        )
    return "patches see what their mean has lost"


def _farthest_patch(good: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Of each image the largest distance of a patch to the nearest good one: PatchCore without its coreset."""
    bank = NearestNeighbors(n_neighbors=1).fit(good.reshape(-1, good.shape[-1]))
    return bank.kneighbors(test.reshape(-1, test.shape[-1]))[0].reshape(len(test), -1).max(1)
