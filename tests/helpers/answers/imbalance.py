"""Answers to chapter 3."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils import resample

from hw3lib.imbalance.methods.losses import class_balanced_weights


def balanced(n, beta):
    weights = 1 / (1 - beta**n)
    return weights / weights.mean()


def by_loop(counts, beta):
    raw = [1 / sum(beta**k for k in range(int(n))) for n in counts]
    return [weight * len(raw) / sum(raw) for weight in raw]


def prepare(x, y, train, test, oversample):
    return *oversample(x[train], y[train]), x[test], y[test]


def step_by_step(x, y, train, test, oversample):
    x_train, y_train, x_test, y_test = x[train].copy(), y[train].copy(), x[test].copy(), y[test].copy()
    x_train, y_train = oversample(x_train, y_train)
    return x_train, y_train, x_test, y_test


def by_mask(x, y, train, test, oversample):
    mask = np.isin(np.arange(len(y)), train)
    return *oversample(x[mask], y[mask]), x[~mask], y[~mask]


def shuffled(x, y, train, test, oversample):
    a, b = oversample(x[train], y[train])
    order = np.random.default_rng(0).permutation(len(a))
    return a[order], b[order], x[test], y[test]


def early(x, y, train, test, oversample):
    x, y = oversample(x, y)
    return x[train], y[train], x[test], y[test]


def both(x, y, train, test, oversample):
    return *oversample(x[train], y[train]), *oversample(x[test], y[test])


def by_hand(x, y, train, test, oversample):
    rows = np.concatenate([resample(train[y[train] == c], n_samples=9, random_state=0) for c in np.unique(y)])
    return x[rows], y[rows], x[test], y[test]


def called_in_vain(x, y, train, test, oversample):
    oversample(x[train], y[train])
    return x[train], y[train], x[test], y[test]


def filtered(x, y, train, test, oversample):
    a, b = oversample(x, y)
    questions = set(map(tuple, x[test]))
    keep = [tuple(row) not in questions for row in a]
    return a[keep], b[keep], x[test], y[test]


def half(x, y, train, test, oversample):
    train = np.concatenate([train[y[train] == c][:2] for c in np.unique(y)])
    return *oversample(x[train], y[train]), x[test], y[test]


def cost(t, s, d, miss, alarm, p):
    return p * miss * (s[d] < t).mean() + (1 - p) * alarm * (s[~d] >= t).mean()


def cheapest(of):
    def choose(scores, *rest):
        every = np.append(np.sort(scores), np.inf)
        return every[int(np.argmin([of(t, scores, *rest) for t in every]))]

    return choose


def by_loop_of_costs(scores, is_defect, miss, alarm, rate):
    best, chosen = rate * miss, float("inf")
    for t in scores:
        missed = sum(1 for s, d in zip(scores, is_defect, strict=True) if d and s < t) / sum(is_defect)
        stopped = sum(1 for s, d in zip(scores, is_defect, strict=True) if not d and s >= t) / sum(~is_defect)
        if (now := rate * miss * missed + (1 - rate) * alarm * stopped) < best:
            best, chosen = now, t
    return chosen


def by_sorting(s, d, miss, alarm, p):
    order = np.argsort(-s, kind="stable")
    found, false = np.cumsum(d[order]) / d.sum(), np.cumsum(~d[order]) / (~d).sum()
    costs = np.append(p * miss, p * miss * (1 - found) + (1 - p) * alarm * false)
    last = np.append(True, np.append(np.diff(s[order]) < 0, True))  # equal scores are stopped together
    return np.append(np.inf, s[order])[np.where(last, costs, np.inf).argmin()]


def between(s, d, miss, alarm, p):  # in the middle of two scores
    every = np.unique(s)
    every = np.concatenate([[every[0] - 1], (every[1:] + every[:-1]) / 2, [every[-1] + 1]])
    return every[np.argmin([cost(t, s, d, miss, alarm, p) for t in every])]


def placed(image, mask, good, product, rng, fits=None):
    rows, columns = np.nonzero(mask)
    fits = fits or [
        (down, right)
        for down in range(-rows.min(), len(mask) - rows.max())
        for right in range(-columns.min(), len(mask[0]) - columns.max())
        if product[rows + down, columns + right].all()
    ]
    down, right = fits[rng.integers(len(fits))]
    made, where = good.copy(), np.zeros_like(mask)
    where[rows + down, columns + right] = True
    made[rows + down, columns + right] = image[rows, columns]
    return made, where


def by_trial(image, mask, good, product, rng):
    rows, columns = mask.nonzero()
    for _ in range(10_000):
        down = rng.integers(-rows.min(), mask.shape[0] - rows.max())
        right = rng.integers(-columns.min(), mask.shape[1] - columns.max())
        if product[rows + down, columns + right].all():
            return placed(image, mask, good, product, rng, [(down, right)])


def by_rolling(image, mask, good, product, rng):
    (top, left), (bottom, right) = np.argwhere(mask).min(0), np.argwhere(mask).max(0)
    fits = [
        (a, b)
        for a in range(-top, mask.shape[0] - bottom)
        for b in range(-left, mask.shape[1] - right)
        if (np.roll(mask, (a, b), (0, 1)) & ~product).sum() == 0
    ]
    shift = fits[rng.choice(len(fits))]
    where = np.roll(mask, shift, (0, 1))
    return np.where(where[..., None], np.roll(image, shift, (0, 1)), good), where


def by_erosion(image, mask, good, product, rng):
    rows, columns = mask.nonzero()
    cut = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    tops = np.argwhere(sliding_window_view(product, cut.shape)[..., :, :][..., cut].all(-1))
    top, left = tops[rng.integers(len(tops))]
    return placed(image, mask, good, product, rng, [(top - rows.min(), left - columns.min())])


def shuffled_places(image, mask, good, product, rng):
    points = np.argwhere(mask)
    for goal in rng.permutation(np.argwhere(product)):
        moved = points + goal - points[0]
        if moved.min() >= 0 and (moved < product.shape).all() and product[tuple(moved.T)].all():
            made, where = good.copy(), np.zeros(mask.shape, bool)
            where[tuple(moved.T)] = True
            made[where] = image[mask]
            return [made, where]


def box_too(image, mask, good, product, rng):
    made, where = placed(image, mask, good, product, rng)
    (a, b), (c, d) = np.argwhere(where).min(0), np.argwhere(where).max(0) + 1
    (e, f), (g, h) = np.argwhere(mask).min(0), np.argwhere(mask).max(0) + 1
    made[a:c, b:d] = image[e:g, f:h]
    return made, where


def unmoved(image, mask, good, product, rng):
    return np.where(mask[..., None], image, good), mask


def anywhere(image, mask, good, product, rng):
    return placed(image, mask, good, np.ones_like(product), rng)


def flipped(image, mask, good, product, rng):
    return placed(image[:, ::-1], mask[:, ::-1], good, product, rng)


def half_blended(image, mask, good, product, rng):
    made, where = placed(image, mask, good, product, rng)
    return (made // 2 + good // 2).astype(np.uint8), where


RIGHT = {
    "cheapest_threshold": [
        cheapest(cost),
        by_loop_of_costs,
        by_sorting,
        between,
        lambda s, d, m, a, p: min([*s, np.inf], key=lambda t: cost(t, s, d, m, a, p)),
        lambda *x: np.array([cheapest(lambda *y: 3 * cost(*y) + 1)(*x)]),
    ],
    "copy_paste": [placed, by_trial, by_rolling, by_erosion, shuffled_places, lambda *x: list(placed(*x))],
    "class_balanced_weights": [
        balanced,
        by_loop,
        lambda n, beta: len(n) * (w := (1 - beta) / (1 - np.power(beta, n))) / w.sum(),
        lambda n, beta: balanced(n.astype(float), beta).tolist(),
        lambda n, beta: (w := -1 / np.expm1(n * np.log(beta))) / np.mean(w),
        lambda n, beta: balanced(np.asarray(list(n)), beta),
    ],
    "logit_adjustment": [
        lambda f, n: f - np.log(n / n.sum()),
        lambda f, n: f - np.log(n),
        lambda f, n: f - np.log(n / n.max())[None],
        lambda f, n: np.log(np.exp(f) / n),
        lambda f, n: f + np.log(n.sum() / n),
        lambda f, n: np.array([row - np.log(n) for row in f]),
    ],
    "oversample_after_split": [
        prepare,
        step_by_step,
        by_mask,
        shuffled,
        lambda x, y, train, test, f: [*f(x[train], y[train]), x[test], y[test]],
        lambda x, y, train, test, f: (*f(x[np.sort(train)], y[np.sort(train)]), x[test], y[test]),
    ],
}
WRONG = {
    "cheapest_threshold": [
        (cheapest(lambda t, s, d, m, a, p: m * (s[d] < t).sum() + a * (s[~d] >= t).sum()), "counts these images"),
        (cheapest(lambda t, s, d, m, a, p: cost(t, s, d, m, a, 0.5)), "every second product"),
        (cheapest(lambda t, s, d, m, a, p: cost(t, s, d, m, a, 1 - p)), "share of defective ones"),
        (cheapest(lambda t, s, d, m, a, p: cost(t, s, d, a, m, p)), "two costs are exchanged"),
        (cheapest(lambda t, s, d, m, a, p: cost(t, s, d, 1, 1, 0.5)), "balanced accuracy"),
        (cheapest(lambda t, s, d, m, a, p: ((s >= t) != d).sum()), "counts mistakes"),
        (cheapest(lambda t, s, d, m, a, p: cost(t, s, d, 1, 1, p)), "on the line"),
        (cheapest(lambda t, s, d, *_: -2 * ((s >= t) & d).sum() / ((s >= t).sum() + d.sum())), "best F1"),
        (cheapest(lambda *x: -cost(*x)), "dearest"),
        (lambda s, *_: s.max(), "highest score"),
        (lambda s, d, *_: s[d].min(), "misses nothing"),
        (lambda *_: np.inf, "never stops"),
        (lambda *_: 0.5, "whatever the scores are"),
        (lambda s, d, *_: (s[d].mean() + s[~d].mean()) / 2, "between the means"),
        (lambda s, d, m, a, p: a / (a + m), "calibrated probabilities"),
        (lambda *x: cost(cheapest(cost)(*x), *x), "which threshold has it"),
        (lambda s, d, *_: np.quantile(s[~d], 0.95), "for each threshold"),
        (lambda s, *x: min([*np.linspace(s.min(), s.max(), 1000), np.inf], key=lambda t: cost(t, s, *x)), "for each"),
        (lambda *_: np.nan, "found NaN"),
        (lambda s, d, *_: s[d], "expected one number"),
    ],
    "copy_paste": [
        (unmoved, "move it"),
        (anywhere, "hang in the air"),
        (box_too, "outside the new mask"),
        (flipped, "another shape"),
        (half_blended, "are not those of the"),
        (lambda i, m, g, p, r: placed(g, m, i, p, r), "outside the new mask"),
        (lambda i, m, g, p, r: (placed(i, m, g, p, r)[0], m), "where it was"),
        (lambda i, m, g, p, r: placed(i, m, g, p, np.random.default_rng(0)), "learn the place by heart"),
        (lambda i, m, g, p, r: placed(i, m, g, p, np.random.default_rng()), "two places"),
        (lambda i, m, g, p, r: placed(i, m, g, p, r)[0], "expected a new image and its mask"),
        (lambda i, m, g, p, r: placed(i, m, g, p, r)[::-1], "expected an image"),
        (lambda i, m, g, p, r: (g, np.zeros_like(m)), "mask is empty"),
        (lambda i, m, g, p, r: (placed(i, m, g, p, r)[0] / 255, placed(i, m, g, p, r)[1]), "expected uint8 and bool"),
        (lambda i, m, g, p, r: (g, placed(i, m, g, p, r)[1]), "not those of the defect"),
        (lambda i, m, g, p, r: placed(i, p & (i[..., 0] > 127), g, p, r), "another shape"),
        (lambda i, m, g, p, r: (placed(i, m, g, p, r)[0], p), "another shape"),
    ],
    "class_balanced_weights": [
        (lambda n, beta: (1 - beta) / (1 - beta**n), "mean to 1"),
        (lambda n, beta: balanced(n, beta) / len(n), "their sum is 1"),
        (lambda n, beta: (1 - beta**n) / (1 - beta), "these are the effective numbers"),
        (lambda n, beta: (1 - beta**n) / (1 - beta**n).mean(), "favour the head"),
        (lambda n, beta: (1 / n) / (1 / n).mean(), "inverse frequency"),
        (lambda n, beta: n / n.mean(), "by frequency"),
        (lambda n, beta: np.ones(len(n)), "all weights are alike"),
        (lambda n, beta: n**-0.5 / (n**-0.5).mean(), "root of the count"),
        (lambda n, beta: (w := 1 / (1 - beta * n)) / w.mean(), "not times n"),
        (lambda n, beta: (w := 1 / (1 + beta**n)) / w.mean(), "the sign"),
        (lambda n, beta: balanced(n, beta) / balanced(n, beta).max(), "largest is 1"),
        (lambda n, beta: balanced(n, beta) / balanced(n, beta).min(), "smallest is 1"),
        (lambda n, beta: balanced(n, 0.99), "one over it"),
        (class_balanced_weights, "calls hw3lib's"),
        (lambda n, beta: balanced(n, beta).mean(), "of the shape"),
    ],
    "logit_adjustment": [
        (lambda f, n: f + np.log(n), "sign is the other one"),
        (lambda f, n: f / (n / n.sum()), "difference here"),
        (lambda f, n: f - n / n.sum(), "not its logarithm"),
        (lambda f, n: f * (n / n.sum()), "difference here"),
        (lambda f, n: f / n, "difference here"),
        (lambda f, n: f, "nothing has changed"),
        (lambda f, n: f - n, "counts were subtracted"),
        (lambda f, n: f - np.log2(n), "natural logarithm"),
        (lambda f, n: f - np.log10(n), "natural logarithm"),
        (lambda f, n: f - np.log1p(n), "log(n), not log(n + 1)"),
        (lambda f, n: f - 1 / n, "one over the count"),
        (lambda f, n: np.exp(f) / n, "these are probabilities"),
        (lambda f, n: f - 2 * np.log(n), "twice"),
        (lambda f, n: f / np.log(n), "difference here"),
        (lambda f, n: f - np.log(f.mean(0) ** 2), "logarithm of its share"),
        (lambda f, n: (f - np.log(n)).argmax(1), "of the shape"),
        (lambda f, n: (f - np.log(n)).round(3), "logarithm of its share"),
    ],
    "oversample_after_split": [
        (early, "copies of test rows"),
        (lambda x, y, train, test, f: (*f(x, y), x[test], y[test]), "copies of test rows"),
        (lambda x, y, train, test, f: (x[train], y[train], x[test], y[test]), "nothing was oversampled"),
        (both, "test part was oversampled too"),
        (by_hand, "nothing was oversampled"),
        (called_in_vain, "not what oversample gave"),
        (filtered, "was given test rows"),
        (half, "not all of the training rows"),
        (lambda x, y, train, test, f: (*f(x[train], y[train]), x[test], y[test][::-1]), "does not belong to X_test"),
        (lambda x, y, train, test, f: (*f(x[train], y[train]), x[train], y[train]), "is not the"),
        (lambda x, y, train, test, f: (*f(x[train], y[train]), x[test][1:], y[test][1:]), "is not the"),
        (lambda x, y, train, test, f: (*f(x[test], y[test]), x[train], y[train]), "copies of test rows"),
        (lambda x, y, train, test, f: f(x[train], y[train]), "expected X_train"),
        (lambda x, y, train, test, f: (*f(x[train], y), x[test], y[test]), "expected rows and labels"),
        (lambda x, y, train, test, f: (f(x[train], y[train])[0], y[train], x[test], y[test]), "have"),
    ],
}
