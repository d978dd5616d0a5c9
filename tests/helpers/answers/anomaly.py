"""Answers to chapter 4."""

from bisect import bisect_left
from fractions import Fraction
from itertools import count
from math import ceil, floor, inf

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from hw3lib.anomaly.thresholds import conformal_threshold, p_values


def patches(rng, is_defect):  # light, say, moves all patches of an image, and a defect one of them
    made = rng.normal(size=(len(is_defect), 16, 3)) + 3 * rng.normal(size=(len(is_defect), 1, 3))
    made[is_defect, 3] += 30
    return made


IS_DEFECT = np.arange(60) >= 20
GOOD, TEST = (patches(np.random.default_rng(seed), few) for seed, few in enumerate((np.zeros(10, bool), IS_DEFECT)))


def hidden(rng):
    is_defect = rng.permutation(IS_DEFECT)
    return patches(rng, is_defect), is_defect


def share(hit, regions, of=np.mean):
    return of([hit[regions == k].mean() for k in range(1, regions.max() + 1)])


def by_loop(scores, regions, threshold):
    found: dict = {}
    total: dict = {}
    for score, region in zip(scores.ravel(), regions.ravel(), strict=True):
        if region:
            total[region] = total.get(region, 0) + 1
            found[region] = found.get(region, 0) + (score >= threshold)
    return sum(found[k] / total[k] for k in total) / len(total)


def by_bincount(scores, regions, threshold):
    total = np.bincount(regions.ravel())
    return (np.bincount(regions.ravel(), weights=(scores >= threshold).ravel()) / total)[1:].mean()


def by_scipy(scores, regions, threshold):
    return np.mean(ndimage.mean(scores >= threshold, regions, np.arange(1, regions.max() + 1)))


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
    "region_overlap": [
        lambda s, r, t: share(s >= t, r),
        by_loop,
        by_bincount,
        by_scipy,
        lambda s, r, t: np.average([np.count_nonzero(s[r == k] >= t) / (r == k).sum() for k in set(r[r > 0])]),
        lambda s, r, t: 1 - share(s < t, r),
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
    "region_overlap": [
        (lambda s, r, t: (s[r > 0] >= t).mean(), "large region rules"),
        (lambda s, r, t: share(s > t, r), "at the threshold is found"),
        (lambda s, r, t: share(s < t, r), "is missed"),
        (lambda s, r, t: np.mean([(s[r == k] >= t).any() for k in (1, 2, 3)]), "whether a pixel is hit"),
        (lambda s, r, t: np.mean([(s[r == k] >= t).mean() for k in np.unique(r)]), "region 0"),
        (lambda s, r, t: (s[r == 0] >= t).mean(), "false-positive rate"),
        (lambda s, r, t: share(s >= t, r, max), "best region alone"),
        (lambda s, r, t: share(s >= t, r, min), "worst region alone"),
        (lambda s, r, t: share(s >= t, r, np.median), "not the median"),
        (lambda s, r, t: share(s >= t, r, sum), "sum of the shares"),
        (lambda s, r, t: share(s, r), "averages scores"),
        (lambda s, r, t: ((s >= t) & (r > 0)).sum() / ((s >= t) | (r > 0)).sum(), "intersection over union"),
        (lambda s, r, t: np.mean([(s[r == k] >= t).sum() for k in (1, 2, 3)]), "pixels, not shares"),
        (lambda s, r, t: (s >= t).mean(), "whole image"),
        (lambda s, r, t: share(s >= 0.6, r), "take the share"),
        (lambda s, r, t: [(s[r == k] >= t).mean() for k in (1, 2, 3)], "expected one number"),
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
