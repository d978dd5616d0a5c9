"""Answers to chapter 6."""

import statistics

import numpy as np


def wilson_like(a):
    return a.sum() / (len(a) + 1)


RIGHT = {
    "intervals_agree": [
        lambda a, b, c, d: a <= d and c <= b,
        lambda a, b, c, d: max(a, c) <= min(b, d),
        lambda a, b, c, d: not (b < c or d < a),
        lambda a, b, c, d: np.bool_(a <= d) & np.bool_(c <= b),
        lambda a, b, c, d: c <= b if a <= c else a <= d,
        lambda a, b, c, d: int(a <= c <= b or a <= d <= b or c <= a <= d),
    ],
    "honest_summary": [
        np.mean,
        lambda a: a.mean(),
        lambda a: sum(a) / len(a),
        lambda a: statistics.fmean(a),
        lambda a: np.average(a),
        lambda a: a @ np.full(len(a), 1 / len(a)),
    ],
    "points_an_image": [
        lambda n: 100 / n,
        lambda n: round(100 / n, 1),
        lambda n: round(100 / n, 2),
        lambda n: 100 * ((n - 1) / n - (n - 2) / n),
        lambda n: np.array([100.0]) / n,
        lambda n: int(1000 / n + 0.5) / 10,
    ],
}
WRONG = {
    "intervals_agree": [
        (lambda a, b, c, d: a < d and c < b, "touch"),
        (lambda a, b, c, d: b < c or d < a, "other way round"),
        (lambda a, b, c, d: a <= c <= b, "begins in the first"),
        (lambda a, b, c, d: c <= a <= d, "begins in the second"),
        (lambda a, b, c, d: a <= c <= b or a <= d <= b, "first may be the inner one"),
        (lambda a, b, c, d: c <= a <= d or c <= b <= d, "second may be the inner one"),
        (lambda a, b, c, d: a <= c and d <= b, "wholly inside the first"),
        (lambda a, b, c, d: c <= a and b <= d, "wholly inside the second"),
        (lambda a, b, c, d: c <= b, "on one side only"),
        (lambda a, b, c, d: a <= d or c <= b, "always True"),
        (lambda a, b, c, d: True, "always True"),
        (lambda a, b, c, d: False, "always False"),
        (lambda a, b, c, d: (a, b) == (c, d), "always False"),  # no two that are drawn are equal
        (lambda a, b, c, d: c <= (a + b) / 2 <= d, "middle"),
        (lambda a, b, c, d: min(b, d) - max(a, c), "True or False"),
        (lambda a, b, c, d: {0.53: True}.get(a, False), "e"),
    ],
    "honest_summary": [
        (np.max, "best split"),
        (np.min, "worst split"),
        (np.median, "median"),
        (lambda a: a[0], "first split alone"),
        (lambda a: a[-1], "last split alone"),
        (np.sum, "the sum"),
        (lambda a: a.mean() + a.std(), "was added"),
        (lambda a: a.mean() - a.std(), "taken off"),
        (lambda a: (a.max() + a.min()) / 2, "middle of best and worst"),
        (lambda a: np.sort(a)[len(a) // 2 :].mean(), "better half"),
        (lambda a: np.sort(a)[-3:].mean(), "best three"),
        (lambda a: np.sort(a)[1:].mean(), "worst split was left out"),
        (lambda a: np.sort(a)[1:-1].mean(), "best and worst were left out"),
        (lambda a: np.mean(list(set(a))), "counted once"),
        (lambda a: 100 * a.mean(), "per cent"),
        (np.std, "their spread"),
        (wilson_like, "every split counts alike"),
        (lambda a: (a.mean(), a.std()), "expected one number"),
    ],
    "points_an_image": [
        (lambda n: 1 / n, "a share"),
        (lambda n: round(1 / n, 2), "and rounded"),
        (lambda n: round(100 / n), "at least one decimal"),
        (lambda n: 100 // n, "drops the decimals"),
        (lambda n: n / 100, "upside down"),
        (lambda n: n, "number of images"),
        (lambda n: 100 / (n + 1), "not of n + 1"),
        (lambda n: 100 / (n - 1), "not of n - 1"),
        (lambda n: 200 / n, "two images"),
        (lambda n: 50 / n**0.5, "standard error"),
        (lambda n: {22: 100 / 22, 26: 100 / 26, 8: 12.5}.get(n, 4.2), "one image of how many"),
        ({"carpet": 4.5}, "expected your function"),
    ],
}
