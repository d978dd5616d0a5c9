"""Answers to chapter 3."""

import numpy as np
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


RIGHT = {
    "smote_point": [
        lambda x, z, u: x + u * (z - x),
        lambda x, z, u: (1 - u) * x + u * z,
        lambda x, z, u: [a + u * (b - a) for a, b in zip(x, z, strict=True)],
        lambda x, z, u: z - (1 - u) * (z - x),
        lambda x, z, u: np.average([x, z], axis=0, weights=[1 - u, u]),
        lambda x, z, u: np.array([1 - u, u]) @ np.stack([x, z]),
    ],
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
    "smote_point": [
        (lambda x, z, u: u * x + (1 - u) * z, "exchanged"),
        (lambda x, z, u: x + u * z, "part of the way"),
        (lambda x, z, u: x - u * (z - x), "away from the neighbour"),
        (lambda x, z, u: x + u * (x - z), "away from the neighbour"),
        (lambda x, z, u: u * (z - x), "from where does it begin"),
        (lambda x, z, u: z + u * (z - x), "beyond it"),
        (lambda x, z, u: (x + z) / 2, "always half-way"),
        (lambda x, z, u: x + u * np.abs(z - x), "has a sign"),
        (lambda x, z, u: x + u**2 * (z - x), "not its square"),
        (lambda x, z, u: x if u < 0.5 else z, "one of the two"),
        (lambda x, z, u: x, "that is x itself"),
        (lambda x, z, u: z, "that is the neighbour itself"),
        (lambda x, z, u: x + np.random.random() * (z - x), "start at x"),
        (lambda x, z, u: x.mean() + u, "expected numbers of the shape"),
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
