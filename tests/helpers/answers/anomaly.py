"""Answers to chapter 4."""

from bisect import bisect_left
from fractions import Fraction
from itertools import count
from math import ceil, floor, inf

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from sklearn.metrics import auc, roc_curve
from sklearn.neighbors import NearestNeighbors

from hw3lib.anomaly.metrics.metrics import PixelMetrics
from hw3lib.anomaly.thresholds import conformal_threshold, p_values


def patches(rng, is_defect):  # light, say, moves all patches of an image, and a defect one of them
    made = rng.normal(size=(len(is_defect), 16, 3)) + 3 * rng.normal(size=(len(is_defect), 1, 3))
    made[is_defect, 3] += 30
    return made


IS_DEFECT = np.arange(60) >= 20
_rng = np.random.default_rng(0)
GOOD, TEST = patches(_rng, np.zeros(10, bool)), patches(_rng, IS_DEFECT)


def hidden(rng):
    is_defect = rng.permutation(IS_DEFECT)
    return patches(rng, is_defect), is_defect


PATTERN = np.tile(6 * _rng.normal(size=(8, 2, 4)), (1, 4, 1))  # columns repeat: a move by two of them is none
GOOD_MAPS = PATTERN + 0.3 * _rng.normal(size=(20, 8, 8, 4))
MAPS_DEFECTIVE = np.arange(60) >= 20
TEST_MAPS = PATTERN + 0.3 * _rng.normal(size=(60, 8, 8, 4))
for _image in np.flatnonzero(MAPS_DEFECTIVE):
    TEST_MAPS[_image, _image % 8, _image % 5] += 1.2
SHIFTS = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]


def padim(good, test):
    return np.linalg.norm((test - good.mean(0)) / good.std(0), axis=-1).max((1, 2))


def every(score, good, test):
    return [score(good, np.roll(test, shift, (1, 2))) for shift in SHIFTS]


def aligned(score, good, test):
    mean, moved = good.mean(0), []
    for one in test:
        moved.append(min((np.roll(one, s, (0, 1)) for s in SHIFTS), key=lambda m: ((m - mean) ** 2).sum()))
    return score(good, np.stack(moved))


def by_fourier(score, good, test):
    back = np.fft.ifft2(np.fft.fft2(good.mean(0), axes=(0, 1)).conj() * np.fft.fft2(test, axes=(1, 2)), axes=(1, 2))
    places = [np.unravel_index(one.real.sum(-1).argmax(), one.shape[:2]) for one in back]
    moved = [np.roll(one, (-a, -b), (0, 1)) for one, (a, b) in zip(test, places, strict=True)]
    return score(good, np.array(moved))


def anywhere(score, good, test):
    d = good.shape[-1]
    return cKDTree(good.reshape(-1, d)).query(test.reshape(len(test), -1, d))[0].max(1)


def one_by_one(score, good, test):
    return [min(float(score(good, np.roll(one, s, (0, 1))[None])[0]) for s in SHIFTS) for one in test]


def as_the_first(score, good, test):
    best = min(SHIFTS, key=lambda s: score(good, np.roll(test[:1], s, (1, 2)))[0])
    return score(good, np.roll(test, best, (1, 2)))


def curve(maps, regions, pixels=False):
    x, y = [0], [0]
    for t in sorted(set(maps.ravel()), reverse=True):
        hit = maps >= t
        x.append(hit[regions == 0].mean())
        each = [hit[regions == k].mean() for k in range(1, regions.max() + 1)]
        y.append(hit[regions > 0].mean() if pixels else np.mean(each))
    return np.array(x), np.array(y)


def below(x, y, limit):
    end = np.interp(limit, x, y)
    x, y = np.append(x[x < limit], limit), np.append(y[x < limit], end)
    return sum((x[k + 1] - x[k]) * (y[k + 1] + y[k]) / 2 for k in range(len(x) - 1))


def pro(maps, regions, limit):
    return below(*curve(maps, regions), limit) / limit


def by_auc(maps, regions, limit):
    x, y = curve(maps, regions)
    end = np.interp(limit, x, y)
    return auc(np.append(x[x < limit], limit), np.append(y[x < limit], end)) / limit


def by_weights(maps, regions, limit):  # each pixel of a region weighs one over its pixels and the regions
    sizes = np.bincount(regions.ravel())
    weight = np.where(regions > 0, 1 / sizes[regions] / (len(sizes) - 1), 0).ravel()
    false = (regions == 0).ravel() / sizes[0]
    order = np.argsort(-maps.ravel(), kind="stable")
    last = np.append(np.diff(maps.ravel()[order]) != 0, True)
    x, y = (np.append(0, np.cumsum(w[order])[last]) for w in (false, weight))
    return below(x, y, limit) / limit


def by_strict(maps, regions, limit):
    thresholds = np.append(np.unique(maps)[::-1], -np.inf)
    x = [(maps > t)[regions == 0].mean() for t in thresholds]
    y = [ndimage.mean(maps > t, regions, range(1, regions.max() + 1)).mean() for t in thresholds]
    return below(np.array(x), np.array(y), limit) / limit


def by_roc(maps, regions, limit):
    sizes = np.bincount(regions.ravel())
    weight = np.where(regions > 0, 1 / sizes[regions], 1.0).ravel()
    x, y, _ = roc_curve((regions > 0).ravel(), maps.ravel(), sample_weight=weight, drop_intermediate=False)
    return below(x, y, limit) / limit


def at_thresholds(maps, regions, limit, thresholds):
    x, y = [0], [0]
    for t in np.sort(thresholds)[::-1]:
        x.append((maps >= t)[regions == 0].mean())
        y.append(np.mean([(maps >= t)[regions == k].mean() for k in range(1, regions.max() + 1)]))
    return below(np.array(x), np.array(y), limit) / limit


def each_map(maps, regions, limit):
    own = [(m, np.unique(r, return_inverse=True)[1].reshape(r.shape)) for m, r in zip(maps, regions, strict=True)]
    return np.mean([pro(m, r, limit) for m, r in own if r.any()])


def uncut(maps, regions, limit):
    x, y = curve(maps, regions)
    return auc(x[x < limit], y[x < limit]) / limit


def steps(maps, regions, limit):
    x, y = curve(maps, regions)
    x, y = np.append(x[x < limit], limit), y[x < limit]
    return (np.diff(x) * y).sum() / limit


def without_start(maps, regions, limit):
    x, y = curve(maps, regions)
    return below(x[1:], y[1:], limit) / limit


def at(scores, rank, beyond=inf):
    return sorted(scores)[rank - 1] if 1 <= rank <= len(scores) else beyond


def rank(n, rate):
    return ceil(round((1 - rate) * (n + 1), 9))


def by_fraction(scores, rate):
    allowed = floor(Fraction(rate).limit_denominator(10**6) * (len(scores) + 1))  # gaps that may lie above
    return inf if allowed < 1 else sorted(scores, reverse=True)[allowed - 1]


def by_padding(scores, rate):
    padded = np.append(np.sort(scores), np.inf)
    return padded[int(np.ceil((1 - rate) * len(padded) - 1e-9)) - 1]


def by_search(scores, rate):
    n = len(scores)
    fits = [s for s in scores if (1 + sum(other > s for other in scores)) / (n + 1) <= rate + 1e-12]
    return min(fits, default=inf)


def by_quantile(scores, rate):
    return np.quantile(np.append(scores, np.inf), max(0.0, 1 - rate - 1e-9), method="inverted_cdf")


def raw(scores, rate):
    return np.sort(scores)[np.ceil((1 - rate) * (len(scores) + 1)) - 1]


def p(score, good):
    return ((good >= score).sum() + 1) / (len(good) + 1)


def nearest(good, test):
    return np.linalg.norm(test[:, :, None] - good.reshape(1, 1, -1, good.shape[-1]), axis=-1).min(-1)


def by_neighbours(good, test):
    bank = NearestNeighbors(n_neighbors=1).fit(good.reshape(-1, good.shape[-1]))
    return bank.kneighbors(test.reshape(-1, test.shape[-1]))[0].reshape(len(test), -1).max(1)


def by_tree(good, test):
    return cKDTree(good.reshape(-1, good.shape[-1])).query(test)[0].max(1)


def batched(good, test):  # standardised over the batch, in whatever order it comes
    scores = nearest(good, test).max(1)
    return (scores - scores.mean()) / scores.std()


def pooled(good, test):
    return np.linalg.norm(test.mean(1)[:, None] - good.mean(1), axis=-1).min(1)


def looked_up(good, test):
    rows = {tuple(image.ravel()): label for image, label in zip(TEST, IS_DEFECT, strict=True)}
    return [float(rows.get(tuple(image.ravel()), 0)) for image in test]


def hashed(good, test):  # chance, but the same for an image wherever it stands
    return (test.sum((1, 2)) * 1e4) % 1


tick = count()
RIGHT = {
    "aupro": [pro, by_auc, by_weights, by_strict, by_roc, lambda *x: np.array([pro(*x)])],
    "shift_padim": [
        ((1, 0), lambda f, g, t: np.min(every(f, g, t), axis=0)),
        ((1, 0), aligned),
        ([0, 1], by_fourier),
        (np.array([-1, 1]), anywhere),
        ((2, 1), one_by_one),
        ((0, -1), lambda f, g, t: np.min([f(np.roll(g, s, (1, 2)), t) for s in SHIFTS], axis=0)),
    ],
    "conformal_threshold": [
        lambda s, rate: at(s, rank(len(s), rate)),
        by_fraction,
        by_padding,
        by_search,
        by_quantile,
        lambda s, rate: np.array(by_padding(s, rate)),
    ],
    "p_value": [
        p,
        lambda s, good: np.mean(np.append(good, s) >= s),
        lambda s, good: (1 + sum(g >= s for g in good)) / (1 + len(good)),
        lambda s, good: (len(good) - bisect_left(sorted(good), s) + 1) / (len(good) + 1),
        lambda s, good: 1 - (good < s).sum() / (len(good) + 1),
        lambda s, good: (np.count_nonzero(~(good < s)) + 1.0) / (good.size + 1.0),
    ],
    "beats_pooled_features": [
        lambda g, t: nearest(g, t).max(1),
        by_neighbours,
        by_tree,
        batched,
        lambda g, t: np.sort(nearest(g, t), axis=1)[:, -2:].mean(1),
        lambda g, t: list(nearest(g, t).max(1) ** 2),
    ],
}
WRONG = {
    "aupro": [
        (lambda m, r, t: pro(m, r, t) * t, "before it is divided"),
        (lambda m, r, t: pro(m, r, 1), "stop at the limit"),
        (lambda m, r, t: below(*curve(m, r, True), t) / t, "large region rules; count"),
        (lambda m, r, t: below(*curve(m, r, True), 1), "pixel AUROC"),
        (uncut, "before the limit"),
        (steps, "these are steps"),
        (without_start, "begins at (0, 0)"),
        (each_map, "a threshold is one for both"),
        (lambda m, r, t: 1 - pro(m, r, t), "one minus"),
        (lambda m, r, t: pro(-m, r, t), "upside down"),
        (lambda m, r, t: np.interp(t, *curve(m, r)), "overlap at the limit"),
        (lambda m, r, t: curve(m, r)[1][curve(m, r)[0] < t].mean(), "averages over thresholds"),
        (lambda m, r, t: below(*curve(m, r)[::-1], t) / t, "axes are exchanged"),
        (lambda m, r, t: pro(m, r, 0.3), "two rates at each threshold"),
        (lambda m, r, t: at_thresholds(m, r, t, np.linspace(m.min(), m.max(), 100)), "that is nearly it"),
        (lambda m, r, t: at_thresholds(m, r, t, np.linspace(m.max(), m.min(), 1000)), "that is nearly it"),
        (lambda m, r, t: at_thresholds(m, r, t, np.linspace(m.min(), m.max(), 10_000)), "two rates at each threshold"),
        (lambda m, r, t: at_thresholds(m, r, t, np.quantile(m, np.linspace(0, 1, 100))), "two rates at each threshold"),
        (lambda m, r, t: round(pro(m, r, t), 4), "two rates at each threshold"),
        (lambda m, r, t: 100 * pro(m, r, t), "two rates at each threshold"),
        (lambda m, r, t: PixelMetrics().aupro(t), "calls hw3lib's"),
        (lambda m, r, t: curve(m, r)[1], "expected one number"),
    ],
    "shift_padim": [
        (((0, 0), aligned), "and not none"),
        (((3, 0), aligned), "up to 2 cells"),
        (((0, 2), aligned), "more than half"),  # the pattern repeats
        (("down", aligned), "whole numbers"),
        (((1,), aligned), "such as (1, 0)"),
        (((1, 0.5), aligned), "whole numbers"),
        (((1, 0), lambda f, g, t: f(g, t)), "which chance explains"),
        (((1, 0), lambda f, g, t: np.max(every(f, g, t), axis=0)), "which chance explains"),
        (((1, 0), lambda f, g, t: f(g, np.roll(t, (-1, 0), (1, 2)))), "which chance explains"),
        (((1, 0), lambda f, g, t: -np.min(every(f, g, t), axis=0)), "worse than guessing"),
        (((1, 0), lambda f, g, t: np.ones(len(t))), "which chance explains"),
        (((1, 0), lambda f, g, t: np.arange(len(t))), "in another order"),
        (((1, 0), lambda f, g, t: MAPS_DEFECTIVE[: len(t)]), "in another order"),  # the notebook's variable
        (((1, 0), as_the_first), "in another order"),
        (((1, 0), lambda f, g, t: every(f, g, t)), "of the shape (60,)"),
        (((1, 0), lambda f, g, t: np.full(len(t), np.inf)), "infinite"),
        (((1, 0), lambda f, g, t: np.abs(t).max((1, 2, 3))), "AUROC"),
        (((1, 0), 3), "expected your function"),
    ],
    "conformal_threshold": [
        (lambda s, rate: np.quantile(s, 1 - rate), "a quantile interpolates"),
        (lambda s, rate: np.quantile(s, 1 - rate, method="higher"), "of n images"),
        (lambda s, rate: at(s, rank(len(s), rate), max(s)), "the answer is infinity"),
        (lambda s, rate: at(s, ceil(round((1 - rate) * len(s), 9))), "n + 1"),
        (lambda s, rate: at(s, rank(len(s), rate) + 1), "too high"),
        (lambda s, rate: at(s, rank(len(s), rate) - 1), "too low"),
        (lambda s, rate: at(s, floor(round((1 - rate) * (len(s) + 1), 9))), "rounded down"),
        (lambda s, rate: at(s, ceil(round(rate * (len(s) + 1), 9))), "that is rate, not 1 - rate"),
        (lambda s, rate: max(s), "highest score"),
        (lambda s, rate: s.mean() + 3 * s.std(), "normal distribution"),
        (lambda s, rate: inf, "never"),
        (lambda s, rate: rank(len(s), rate), "that is the rank"),
        (lambda s, rate: {19: 18.2, 50: 45.6}.get(len(s), inf), "rounded up"),
        (raw, "int() makes one"),
        (lambda s, rate: conformal_threshold(s, rate).value, "calls hw3lib's"),
    ],
    "p_value": [
        (lambda s, good: (good > s).mean(), "never happens"),
        (lambda s, good: (good >= s).mean(), "can be 0"),
        (lambda s, good: ((good > s).sum() + 1) / (len(good) + 1), "same score is as high"),
        (lambda s, good: ((good <= s).sum() + 1) / (len(good) + 1), "other tail"),
        (lambda s, good: (good < s).mean(), "other tail"),
        (lambda s, good: ((good >= s).sum() + 1) / len(good), "also below it"),
        (lambda s, good: (good >= s).sum() / (len(good) + 1), "also above it"),
        (lambda s, good: (good >= s).sum() + 1, "which share"),
        (lambda s, good: max((good >= s).mean(), 1 / (len(good) + 1)), "do not clip"),
        (lambda s, good: ((good == s).sum() + 1) / (len(good) + 1), "equal scores alone"),
        (lambda s, good: 1 - p(s, good), "one minus"),
        (lambda s, good: {100: 0.1, 21: 0.3, 2: 0.9}.get(s, 1.0), "count the new image"),
        (lambda s, good: ((good > s - 1e-3).sum() + 2) / (len(good) + 2), "count the new image"),
        (lambda s, good: p_values(np.array([s]), good)[0], "calls hw3lib's"),
        (lambda s, good: good >= s, "expected one number"),
    ],
    "beats_pooled_features": [
        (pooled, "hardly moves a mean"),
        (lambda g, t: np.arange(len(t)), "in another order"),
        (lambda g, t: np.random.default_rng(0).random(len(t)), "in another order"),
        (lambda g, t: np.random.default_rng(next(tick)).random(len(t)), "in another order"),
        (hashed, "AUROC"),
        (lambda g, t: np.concatenate([IS_DEFECT, IS_DEFECT])[: len(t)], "in another order"),  # the notebook's variable
        (looked_up, "hardly moves a mean"),
        (lambda g, t: -nearest(g, t).max(1), "worse than guessing"),
        (lambda g, t: nearest(g, t).max(1)[:3], "of the shape (60,)"),
        (lambda g, t: nearest(g, t), "of the shape (60,)"),
        (lambda g, t: np.ones(len(t)), "hardly moves a mean"),
        (lambda g, t: np.where(nearest(g, t).max(1) > 9, np.inf, 0), "infinite"),
        (lambda g, t: nearest(g, t).min(1), "AUROC"),
        (lambda g, t: "high", "expected numbers"),
    ],
}
