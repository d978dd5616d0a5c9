"""Checks of chapter 6: comparing with a reported figure, and reporting honestly."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Case, CheckFailed, check, compare, short

_TEST_IMAGES = {"carpet": 22, "wood": 26, "bottle": 8, "capsule": 24}  # of the four reports' best rows


def _truth(value: Any, expected: Any, what: str) -> bool:
    if not isinstance(value, bool | np.bool_) and not (isinstance(value, int | float) and value in (0, 1)):
        raise CheckFailed(f"{what}: expected True or False, found {short(value)}")
    return bool(value)


@check
def intervals_agree(rng: np.random.Generator, function: Any) -> str:
    """Whether two intervals, ``low, high`` of the one and of the other, have a point in common."""
    cases: list[Case] = []
    for _ in range(4):
        a, b, c, d = sorted(rng.choice(np.arange(5, 96), 4, replace=False) / 100)
        for bounds, why in (
            ((a, d, b, c), "one inside the other"),
            ((b, c, a, d), "one inside the other"),
            ((a, c, b, d), "they overlap"),
            ((b, d, a, c), "they overlap"),
            ((a, b, c, d), "a gap lies between them"),
            ((c, d, a, b), "a gap lies between them"),
            ((a, b, b, c), "they touch"),
            ((b, c, a, b), "they touch"),
        ):
            cases.append((f"{bounds[0]:g} to {bounds[1]:g} and {bounds[2]:g} to {bounds[3]:g} ({why})", bounds))
    rng.shuffle(cases)
    compare(
        function,
        cases,
        lambda a, b, c, d: not (b < c or d < a),
        "each must begin before the other ends",
        [
            (lambda a, b, c, d: a < d and c < b, "intervals that touch have a point in common, too"),
            (lambda a, b, c, d: b < c or d < a, "it is the other way round: that is true where they have none"),
            (
                lambda a, b, c, d: a <= c <= b,
                "that asks whether the second begins in the first; it may begin before it",
            ),
            (
                lambda a, b, c, d: c <= a <= d,
                "that asks whether the first begins in the second; it may begin before it",
            ),
            (
                lambda a, b, c, d: a <= c <= b or a <= d <= b,
                "one lies inside the other: the first may be the inner one",
            ),
            (
                lambda a, b, c, d: c <= a <= d or c <= b <= d,
                "one lies inside the other: the second may be the inner one",
            ),
            (lambda a, b, c, d: a <= c and d <= b, "that asks whether the second lies wholly inside the first"),
            (lambda a, b, c, d: c <= a and b <= d, "that asks whether the first lies wholly inside the second"),
            (lambda a, b, c, d: c <= b, "that sees a gap on one side only"),
            (lambda a, b, c, d: a <= d, "that sees a gap on one side only"),
            (lambda a, b, c, d: True, "that is always True: two intervals can have a gap between them, on either side"),
            (lambda a, b, c, d: False, "that is always False; find two intervals that overlap"),
            (lambda a, b, c, d: c <= (a + b) / 2 <= d, "that asks for the middle of the first"),
        ],
        what="a point in common",
        read=_truth,
        same=lambda found, expected: bool(found) == bool(expected),
    )
    return "overlap does not show that two figures are equal, only that these data do not settle which is higher"


@check
def honest_summary(rng: np.random.Generator, function: Any) -> str:
    """One accuracy from those of several splits, which is no better than the splits were on average."""
    cases: list[Case] = []
    for n in map(int, rng.integers(5, 30, 6)):
        accuracies = rng.integers(6, 20, n) / 20
        accuracies[0], accuracies[-1] = rng.choice(np.arange(1, 6), 2, replace=False) / 20
        cases.append((f"{n} splits from {accuracies.min():.1%} to {accuracies.max():.1%}", (accuracies,)))
    compare(
        function,
        cases,
        np.mean,
        "every split counts alike; which number does not grow because there are more splits?",
        [
            (np.max, "the best split is not what the next product will meet, and more splits would only raise it"),
            (np.min, "the worst split is too modest, and more splits would only lower it"),
            (np.median, "the median is honest too, but the intervals of this course belong to the mean"),
            (lambda a: a[0], "the first split alone is a lottery: the others count as much"),
            (lambda a: a[-1], "the last split alone is a lottery: the others count as much"),
            (np.sum, "that is the sum, which grows with every split"),
            (lambda a: a.mean() + a.std(), "one standard deviation was added, which is what chance can give"),
            (
                lambda a: a.mean() - a.std(),
                "one standard deviation was taken off; say the mean, and its interval beside it",
            ),
            (lambda a: (a.max() + a.min()) / 2, "that is the middle of best and worst; all between them count, too"),
            (
                lambda a: np.sort(a)[len(a) // 2 :].mean(),
                "that is the mean of the better half; which were left out, and why?",
            ),
            (lambda a: np.sort(a)[-3:].mean(), "that is the mean of the best three; which were left out, and why?"),
            (lambda a: np.sort(a)[1:].mean(), "the worst split was left out; it happened"),
            (lambda a: np.sort(a)[1:-1].mean(), "best and worst were left out; every split counts"),
            (lambda a: np.unique(a).mean(), "splits of equal accuracy were counted once; every split counts"),
            (lambda a: 100 * a.mean(), "that is in per cent; the accuracies are shares"),
            (np.std, "that is their spread"),
            (len, "that is the number of splits"),
        ],
        what="the accuracy",
    )
    return "the best of many splits is a statement about chance"


@check
def points_an_image(rng: np.random.Generator, function: Any) -> str:
    """By how many percentage points one test image moves an accuracy; one decimal is enough."""
    cases = [(f"{n} test images", (n,)) for n in (8, *map(int, rng.choice(np.arange(9, 90), 8, replace=False)))]
    compare(
        function,
        cases,
        lambda images: 100 / images,
        "one image of how many? In percentage points, to one decimal or more exactly",
        [
            (lambda n: np.round(1 / n, 2), "that is a share, and rounded; it was asked for in percentage points"),
            (lambda n: 1 / n, "that is a share; in percentage points it is a hundred times that"),
            (lambda n: round(100 / n), "give at least one decimal: 4.5 for 22 images, not 4 or 5"),
            (lambda n: 100 // n, "// drops the decimals; give at least one"),
            (lambda n: n / 100, "it is upside down: more images make one of them worth less"),
            (lambda n: n, "that is the number of images"),
            (lambda n: 100 / (n + 1), "one more right image is one of the same n, not of n + 1"),
            (lambda n: 100 / (n - 1), "one image of n, not of n - 1"),
            (lambda n: 100 / np.sqrt(n), "that falls with the root, as a standard error does; one image is one n-th"),
            (lambda n: 50 / np.sqrt(n), "that is a standard error; one image is one n-th"),
            (lambda n: 200 / n, "that is what two images are worth"),
            (lambda n: 100 - n, "divide: one image is one n-th of all"),
            (lambda n: 100 * n, "divide: one image is one n-th of all"),
        ],
        what="the points",
        same=lambda found, expected: abs(found - expected) < 0.0505,
    )
    worth = {name: round(100 / images, 1) for name, images in _TEST_IMAGES.items()}
    return f"{worth}; a difference smaller than that is no difference"
