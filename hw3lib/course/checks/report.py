"""Checks of chapter 6 and of the capstone: comparing with a reported figure, and reporting honestly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hw3lib.core.text import plural

from .base import Case, CheckFailed, call, check, compare, numbers, short, written

_TEST_IMAGES = {"carpet": 22, "wood": 26, "bottle": 8, "capsule": 24}  # of the four reports' best rows


def _truth(value: Any, expected: Any, what: str) -> bool:
    if not isinstance(value, bool | np.bool_) and not (isinstance(value, int | float) and value in (0, 1)):
        raise CheckFailed(f"{what}: expected True or False, found {short(value)}")
    return bool(value)


def _alike(found: Any, expected: Any) -> bool:
    return bool(found) == bool(expected)


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
        same=_alike,
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


HELPS, HURTS, SAME, KEPT = "helps", "hurts", "makes no difference", "will be as good on new products"


@check
def claims(rng: np.random.Generator, letter: Any, function: Any) -> str:
    """Whether a claim follows from a row of a table, and a letter on one that does not, which a teacher judges.

    Args:
        letter: 40 to 250 words.
        function: ``f(claim, row) -> bool``; ``row`` has ``accuracy``, ``low``, ``high``, ``gain``, ``gain_low``,
            ``gain_high`` and ``chosen_on``.
    """
    written(letter, "letter", 40, 250)
    cases: list[Case] = []
    for chosen_on in ("validation images", "test images"):
        for gain, beyond in ((6, -0.3), (6, 0.3), (-6, -0.3), (-6, 0.3), (0.5, 3), (12, -6)):
            middle = gain + float(rng.uniform(-0.4, 0.4))
            half = abs(middle) + beyond  # the interval reaches so far beyond zero
            accuracy = float(rng.uniform(60, 85))
            row: dict[str, Any] = {"accuracy": accuracy, "low": accuracy - 8, "high": accuracy + 7, "gain": middle}
            row |= {"gain_low": middle - half, "gain_high": middle + half}
            row = {name: round(value, 1) for name, value in row.items()} | {"chosen_on": chosen_on}
            said = f"a gain of {row['gain']:+g} ({row['gain_low']:+g} to {row['gain_high']:+g}), chosen on {chosen_on}"
            cases += [(f"{said}, the claim {claim!r}", (claim, row)) for claim in (HELPS, HURTS, SAME, KEPT)]
    rng.shuffle(cases)

    def follows(claim: str, row: dict, **other: Any) -> bool:
        rules = {
            HELPS: row["gain_low"] > 0,
            HURTS: row["gain_high"] < 0,
            SAME: False,
            KEPT: row["chosen_on"] == "validation images",
        }
        return bool({**rules, **other}[claim])

    def zero_inside(row: dict) -> bool:
        return row["gain_low"] <= 0 <= row["gain_high"]

    compare(
        function,
        cases,
        follows,
        "what would have to be true of the row for this claim, and what else could explain the same row?",
        [
            (
                lambda c, r: follows(c, r, **{SAME: zero_inside(r)}),
                "an interval that contains zero contains gains, too: not to show one is not to show that there is none",
            ),
            (
                lambda c, r: follows(c, r, **{SAME: zero_inside(r), KEPT: True}),
                "no gain shown is not shown that there is none; and images that chose a method flatter it",
            ),
            (
                lambda c, r: follows(c, r, **{HELPS: r["gain"] > 0, HURTS: r["gain"] < 0}),
                "the gain itself is above or below zero nearly always; its interval says whether chance explains it",
            ),
            (
                lambda c, r: follows(c, r, **{KEPT: True}),
                "what was chosen by the test images was favoured by chance on them",
            ),
            (
                lambda c, r: follows(c, r, **{KEPT: False}),
                "test images that chose nothing do judge it",
            ),
            (
                lambda c, r: follows(c, r, **{KEPT: r["chosen_on"] == "test images"}),
                "it is the other way round: the images that chose flatter what they chose",
            ),
            (
                lambda c, r: follows(c, r, **{HELPS: r["gain_high"] > 0, HURTS: r["gain_low"] < 0}),
                "these are the outer ends; a claim holds if the whole interval is on one side of zero",
            ),
            (
                lambda c, r: follows(c, r, **{HELPS: r["gain_high"] < 0, HURTS: r["gain_low"] > 0}),
                "helping and hurting are exchanged",
            ),
            (
                lambda c, r: follows(c, r, **{HELPS: not zero_inside(r), HURTS: not zero_inside(r)}),
                "an interval that leaves out zero lies above or below it: on which side?",
            ),
            (
                lambda c, r: follows(c, r, **{SAME: abs(r["gain"]) < 1}),
                "a small gain with a wide interval may be a large one",
            ),
            (lambda c, r: not follows(c, r), "it is upside down: True where a claim follows"),
            (lambda c, r: True, "that believes everything"),
            (lambda c, r: False, "that believes nothing; some claims do follow"),
        ],
        what="whether it follows",
        read=_truth,
        same=_alike,
    )
    return "you read tables by what they leave open; your letter is for your teacher"


HINTS = {  # of the parts of the capstone, which has no solutions for them to stand in
    "capstone_question": (
        "Who would read the answer, and what would they do differently tomorrow if it were another one?",
        "Write down what a missed defect and a false alarm cost, roughly; the number that decides follows from that.",
        "The question can be: does a threshold from good photographs alone stop 90 % of the defects at 5 % false "
        "alarms? Then name the costs, how often each defect occurs, and how the photographs were taken.",
    ),
    "capstone_inspection": (
        "Which photographs show one product, and which part of them may choose a threshold, a method or an epoch?",
        "Fit on good photographs of the training part, set the threshold on some that were held out, and read the test "
        "part once: anomaly.evaluate of chapter 04 does all three, classify.run_attempt of chapter 02 for types.",
        "figures = {'maps': plots.anomaly.heat_maps(...), ...}; results = {'AUROC': (value, low, high), ...} with "
        "the limits of hw3lib.core.auroc_interval or wilson_interval; draw the photographs that were missed, too.",
    ),
    "capstone_report": (
        "What would the person who asked read if they stopped after two sentences?",
        "One paragraph each: the answer with its interval, what was measured and how, what it costs, where it fails, "
        "and what would have to be known.",
        "Begin so: Of 40 defective caps the inspection stops 36 (90 %, 77 to 96 %). Claim a difference only where an "
        "interval leaves out zero, and end with the next step and its price.",
    ),
}


@check
def capstone_question(rng: np.random.Generator, question: Any) -> str:
    """What is inspected, in 40 to 200 words."""
    written(question, "question", 40, 200)
    return "there is a question; by the end the report is to answer it"


@check
def capstone_inspection(rng: np.random.Generator, function: Any, table: Any) -> str:
    """``f(table) -> figures, results``: it runs, draws, and measures with intervals.

    Args:
        function: gives a dict of at least three matplotlib figures by name, and one of at least two measured values by
            name, each ``(value, low, high)``.
        table: of the photographs, see :func:`hw3lib.data.load_table`.
    """
    given = f"a table of {len(table)} photographs"
    value = call(function, table, given=given, library=True)
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(v, Mapping) for v in value):
        raise CheckFailed(f"{given}: expected two dicts, figures and results, found {short(value)}")
    figures, results = value
    if len(figures) < 3:
        raise CheckFailed(f"{given}: {len(figures)} figures, expected three or more")
    for name, figure in figures.items():
        axes = getattr(figure, "axes", None)
        if not axes or not any(one.has_data() for one in axes):
            raise CheckFailed(f"{given}: the figure {name!r} has nothing drawn on it; expected a matplotlib figure")
    if len(results) < 2:
        raise CheckFailed(f"{given}: {len(results)} {plural(len(results), 'result')}, expected two or more")
    for name, measured in results.items():
        low_first = numbers(measured, np.zeros(3), f"{given}, the result {name!r} (value, low, high)")
        if not low_first[1] <= low_first[0] <= low_first[2]:
            raise CheckFailed(f"{given}: the result {name!r} lies outside its interval: {short(low_first)}")
        if low_first[1] == low_first[2]:
            raise CheckFailed(f"{given}: the interval of {name!r} has no width, which nobody believes")
    return f"it runs: {len(figures)} figures, {len(results)} results with intervals"


@check
def capstone_report(rng: np.random.Generator, report: Any) -> str:
    """A report of 300 to 900 words with at least two results, each with its limits; a teacher judges what it says."""
    written(report, "report", 300, 900)
    if (found := len(re.findall(r"\d+(?:\.\d+)?", report))) < 6:
        raise CheckFailed(f"report: {found} numbers, expected six or more: two results, each with both of its limits")
    return "it has a length, and numbers; what it is worth your teacher says, by the rubric"
