"""Checks of chapter 4: AUPRO, thresholds with a promise, p-values, a leaderboard, a detector that fails by a shift."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from hw3lib.core.intervals import auroc_difference, auroc_interval

from . import hidden
from .base import CheckFailed, call, check, compare, numbers, short, whole

Curve = tuple[np.ndarray, np.ndarray]
_GRID = "that is nearly it: thresholds at equal distances leave out steps between them; take each score of the maps"


def _curve(scores: np.ndarray, regions: np.ndarray, pixels: bool = False, start: bool = True) -> Curve:
    """False-positive rate and per-region overlap at each threshold, from the highest score down."""
    numbers = range(1, int(regions.max()) + 1)
    x, y = [0.0] * start, [0.0] * start
    for threshold in np.unique(scores)[::-1]:
        hit = scores >= threshold
        x.append(float(hit[regions == 0].mean()))
        y.append(float(hit[regions > 0].mean() if pixels else np.mean([hit[regions == k].mean() for k in numbers])))
    return np.array(x), np.array(y)


def _area(x: np.ndarray, y: np.ndarray, limit: float, cut: bool = True, steps: bool = False) -> float:
    """Below straight lines through the points, up to ``limit``; there the line is ``cut``, or ends before it."""
    inside = x < limit
    end = [np.interp(limit, x, y)] if cut else []
    x, y = np.append(x[inside], [limit] * cut), np.append(y[inside], end)
    return float((np.diff(x) * (y[:-1] if steps else (y[1:] + y[:-1]) / 2)).sum())


@check
def aupro(rng: np.random.Generator, function: Any) -> str:
    """Area under the per-region overlap of two maps (Bergmann et al. 2021, IJCV 129, section 4.2).

    Args:
        function: ``f(maps, regions, limit) -> area``, 0 to 1.
    """
    cases: list[tuple[str, tuple]] = []
    for _ in range(5):
        regions = np.zeros((2, *rng.integers((9, 14), (13, 18))), int)
        regions[0, 1:6, 1:7] = 1  # large, and found first
        for number, place in enumerate(rng.permutation([8, 11])[: rng.integers(1, 3)], 2):
            regions[rng.integers(0, 2), 2:4, place : place + 2] = number
        regions[regions > 0] = np.unique(regions[regions > 0], return_inverse=True)[1] + 1
        lift = np.append(0, rng.uniform(0.1, 0.5, regions.max()))
        lift[1] += 0.3
        maps = (rng.beta(2, 3, regions.shape) + lift[regions]).round(2)  # many are equal
        maps.ravel()[rng.choice(np.flatnonzero(regions == 0), 3)] = maps.max()  # good pixels are among the first
        ranks = np.unique(maps, return_inverse=True)[1].reshape(maps.shape)
        # Some steps are a ten-thousandth of others: thresholds at equal distances leave them out.
        maps = np.cumsum(10 ** rng.uniform(-4, 0, ranks.max() + 1))[ranks]
        limit = float(rng.choice([0.2, 0.3, 0.4])) + 0.003
        given = f"2 maps, regions of {np.bincount(regions.ravel())[1:].tolist()} pixels, limit={limit:g}"
        cases.append((given, (maps, regions, limit)))

    def area(m: np.ndarray, r: np.ndarray, limit: float, **how: bool) -> float:
        x, y = _curve(m, r, pixels=how.pop("pixels", False), start=how.pop("start", True))
        return _area(x, y, limit, **how) / limit

    def averaged(m: np.ndarray, r: np.ndarray, limit: float) -> float:
        own = [np.unique(one, return_inverse=True)[1].reshape(one.shape) for one in r]
        return float(np.mean([area(one, k, limit) for one, k in zip(m, own, strict=True) if k.any()]))

    def grid(m: np.ndarray, r: np.ndarray, limit: float, count: int) -> float:
        thresholds = np.linspace(m.min(), m.max(), count)
        return area(np.append(thresholds, np.inf)[np.searchsorted(thresholds, m, "right") - 1], r, limit)

    compare(
        function,
        cases,
        area,
        "two rates at each threshold: of each region the share that is found, averaged over the regions; of all pixels "
        "in none of them the share that is found. Then the area below the one over the other, from 0 to the limit",
        [
            (lambda m, r, t: area(m, r, t) * t, "right before it is divided by the limit"),
            (
                lambda m, r, t: area(m, r, 1.0),
                "that goes to a rate of 1, where every pixel is found; stop at the limit",
            ),
            (
                lambda m, r, t: area(m, r, t, pixels=True),
                "that counts pixels, so the large region rules; count each region alike",
            ),
            (lambda m, r, t: area(m, r, 1.0, pixels=True), "that is the pixel AUROC: the large region rules"),
            (
                lambda m, r, t: area(m, r, t, cut=False),
                "the area ends at the last point before the limit: the line goes on; find its height at the limit",
            ),
            (lambda m, r, t: area(m, r, t, steps=True), "these are steps; straight lines lead from point to point"),
            (
                lambda m, r, t: area(m, r, t, start=False),
                "the curve begins at (0, 0), above the highest score; your first point is the highest score",
            ),
            (averaged, "that averages the maps; a threshold is one for both, and so are the rates"),
            (lambda m, r, t: 1 - area(m, r, t), "that is one minus it"),
            (lambda m, r, t: area(-m, r, t), "it is upside down: high scores are found first"),
            (
                lambda m, r, t: float(np.interp(t, *_curve(m, r))),
                "that is the overlap at the limit; AUPRO is the area up to there",
            ),
            (
                lambda m, r, t: float((c := _curve(m, r))[1][c[0] < t].mean()),
                "that averages over thresholds; the area is over the false-positive rate",
            ),
            (
                lambda m, r, t: _area(*_curve(m, r)[::-1], t) / t,
                "the axes are exchanged: the overlap is the height",
            ),
            *((partial(grid, count=count), _GRID) for count in (50, 100, 101, 200, 256, 500, 1000)),
        ],
        what="the area",
    )
    return "a small defect counts as much as a large one, and only as long as good pixels are hardly red"


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
    hidden.is_answered(function, good, good[:1])
    test, is_defect = hidden.drawn("beats_pooled_features", function)
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
        auroc_interval(is_defect, best),
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
    return "patches see what their mean has lost; the best known: an image's patch that is farthest from all good ones"


def _farthest_patch(good: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Of each image the largest distance of a patch to the nearest good one: PatchCore without its coreset."""
    bank = NearestNeighbors(n_neighbors=1).fit(good.reshape(-1, good.shape[-1]))
    return bank.kneighbors(test.reshape(-1, test.shape[-1]))[0].reshape(len(test), -1).max(1)


def _wins(scores: np.ndarray, is_defect: np.ndarray) -> np.ndarray:
    """For each defective and each good image 1 if it scores higher, 0.5 if alike; the mean is the AUROC."""
    return (1 + np.sign(scores[is_defect][:, None] - scores[~is_defect])) / 2


def _gain(rng: np.random.Generator, wins: np.ndarray, plain: np.ndarray) -> tuple[float, float, float]:
    """90 % interval of the paired gain in AUROC over images drawn with replacement, and what 99 % of them exceed."""
    gains, reached = [], []
    for _ in range(500):
        drawn = np.ix_(*(rng.integers(size, size=size) for size in wins.shape))
        reached.append(wins[drawn].mean())
        gains.append(reached[-1] - plain[drawn].mean())
    low, high = np.quantile(gains, [0.05, 0.95])
    return float(low), float(high), float(np.quantile(reached, 0.01))


@check
def shift_padim(
    rng: np.random.Generator,
    shift: Any,
    function: Any,
    padim: Any,
    good: np.ndarray,
    test: np.ndarray,
    is_defect: np.ndarray,
) -> str:
    """A shift at which a detector that compares places fails, and scores that bear any small shift.

    Args:
        shift: cells down and to the right, at most 2 each, by which all test maps are moved; PaDiM's AUROC is then
            less than half as far above 0.5 as before.
        function: ``f(padim, good, test) -> scores`` of test maps, each of which is moved by up to 2 cells in either
            direction: better than PaDiM by what test images drawn with replacement explain in 5 % of 500 draws.
        padim: ``f(good, test) -> scores``.
        good, test: feature maps, float ``(N, H, W, D)``.
        is_defect: bool, of the test maps; the function does not see it.
    """
    try:
        down, right = (int(step) for step in whole(shift, None, "shift"))
    except ValueError:
        raise CheckFailed(
            f"shift: expected cells down and to the right, such as (1, 0), found {short(shift)}"
        ) from None
    if max(abs(down), abs(right)) > 2 or not (down or right):
        raise CheckFailed(f"shift: expected up to 2 cells in either direction, and not none, found {short(shift)}")
    order = rng.permutation(len(test))
    good = good[rng.permutation(len(good))] + 0.02 * good.std() * rng.normal(size=good.shape)
    test, is_defect = (test + 0.02 * good.std() * rng.normal(size=test.shape))[order], np.asarray(is_defect)[order]
    before = _wins(padim(good, test), is_defect).mean()
    after = _wins(padim(good, np.roll(test, (down, right), (1, 2))), is_defect).mean()
    broken = f"shift: PaDiM's AUROC falls from {before:.3f} to {after:.3f}"
    if after - 0.5 >= (before - 0.5) / 2:
        half = 0.5 + (before - 0.5) / 2
        raise CheckFailed(
            f"{broken}, expected less than {half:.3f}; find one by which it loses more than half of what it is better "
            "than guessing"
        )
    steps = rng.integers(-2, 3, (len(test), 2))
    moved = np.stack([np.roll(one, tuple(step), (0, 1)) for one, step in zip(test, steps, strict=True)])
    given = f"{len(good)} good maps and {len(test)} test maps, each moved by up to 2 cells"
    none = np.zeros(len(test))
    scores = numbers(call(function, padim, good, moved, given=given), none, f"{given}, the scores")
    again = rng.permutation(len(test))
    other = numbers(call(function, padim, good, moved[again], given=given), none, f"{given}, the scores")
    if not np.allclose(scores[again], other, rtol=1e-3, atol=1e-3 * max(float(np.ptp(scores)), 1e-12)):
        raise CheckFailed(
            f"{given}: in another order the same maps get other scores; each was moved by itself, and a score comes "
            "from its map alone"
        )
    if not np.isfinite(scores).all():
        raise CheckFailed(f"{given}: a score is infinite; expected a finite number for each map")
    wins, plain = _wins(scores, is_defect), _wins(padim(good, moved), is_defect)
    low, high, chance = _gain(rng, wins, plain)
    said = f"AUROC {wins.mean():.3f}, PaDiM's is {plain.mean():.3f} here, a gain of {low:+.3f} to {high:+.3f}"
    if wins.mean() < 0.5 and high < 0:
        raise CheckFailed(f"{given}: {said}; that is worse than guessing: higher must mean more anomalous")
    if low <= 0 or chance <= 0.5:
        raise CheckFailed(
            f"{given}: {said}, which chance explains. By which of its 25 shifts was a map moved, and how would PaDiM "
            "tell?"
        )
    return f"{broken}; on maps moved anyhow {said}"
