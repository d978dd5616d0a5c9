"""Answers to chapter 6."""

import statistics

import numpy as np


def wilson_like(a):
    return a.sum() / (len(a) + 1)


LETTER = (
    "Dear colleague, your second claim does not follow: the interval of the gain runs from minus two to plus eight "
    "points, so it contains a gain that we would want as well as no gain at all. Not to have shown a difference is not "
    "to have shown that there is none. More splits, or more test images, would narrow it. With kind regards."
)


def follows(claim, row):
    if claim == "helps":
        return row["gain_low"] > 0
    if claim == "hurts":
        return row["gain_high"] < 0
    return claim.startswith("will") and row["chosen_on"] != "test images"


def zero(row):
    return row["gain_low"] <= 0 <= row["gain_high"]


def but(**other):
    """The rules, some of them changed: helps, hurts, same, kept."""
    names = dict(zip(("helps", "hurts", "same", "kept"), RULES, strict=True))
    changed = {names[key]: rule for key, rule in other.items()}
    return lambda claim, row: bool(changed[claim](row)) if claim in changed else follows(claim, row)


RULES = {
    "helps": lambda row: row["gain_low"] > 0,
    "hurts": lambda row: row["gain_high"] < 0,
    "makes no difference": lambda row: False,
    "will be as good on new products": lambda row: "validation" in row["chosen_on"],
}
RIGHT = {
    "claims": [
        (LETTER, follows),
        (LETTER, lambda claim, row: RULES[claim](row)),
        (LETTER, lambda c, r: int(follows(c, r))),
        (LETTER, lambda c, r: np.bool_(follows(c, r))),
        (LETTER, lambda c, r: (not zero(r) and (r["gain"] > 0) == (c == "helps")) if c[0] == "h" else follows(c, r)),
        ("這封信是寫給您的。" + LETTER, lambda c, r: c != "makes no difference" and follows(c, r)),
    ],
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
    "claims": [
        ((LETTER, but(same=zero)), "contains gains, too"),
        ((LETTER, but(same=zero, kept=lambda r: True)), "images that chose a method flatter it"),
        ((LETTER, but(helps=lambda r: r["gain"] > 0, hurts=lambda r: r["gain"] < 0)), "nearly always"),
        ((LETTER, but(kept=lambda r: True)), "favoured by chance"),
        ((LETTER, but(kept=lambda r: False)), "do judge it"),
        ((LETTER, but(kept=lambda r: r["chosen_on"] == "test images")), "other way round"),
        ((LETTER, but(helps=lambda r: r["gain_high"] > 0, hurts=lambda r: r["gain_low"] < 0)), "outer ends"),
        ((LETTER, but(helps=lambda r: r["gain_high"] < 0, hurts=lambda r: r["gain_low"] > 0)), "are exchanged"),
        ((LETTER, but(helps=lambda r: not zero(r), hurts=lambda r: not zero(r))), "on which side"),
        ((LETTER, but(same=lambda r: abs(r["gain"]) < 1)), "may be a large one"),
        ((LETTER, lambda c, r: not follows(c, r)), "upside down"),
        ((LETTER, lambda c, r: True), "believes everything"),
        ((LETTER, lambda c, r: False), "believes nothing"),
        ((LETTER, lambda c, r: "yes"), "True or False"),
        ((LETTER, but(helps=lambda r: r["low"] > 70)), "what else could explain"),
        (("It does not follow.", follows), "4 words, expected 40 to 250"),
        (("no " * 90, follows), "again and again"),
        ((3, follows), "expected a text"),
        ((LETTER, LETTER), "expected your function"),
    ],
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
