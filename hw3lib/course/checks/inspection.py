"""Checks of chapter 7: what a monitor promises, conformal sets of types, who may judge, an alarm of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import Case, CheckFailed, call, check, compare, numbers, short

_LINES, _STEADY, _DRIFT, _SLOPE = 400, 400, 200, 0.03  # of the alarm's check: lines, photographs, standard deviations
_FALSE, _ASKED = 0.1, 0.75  # lines that may raise a false alarm; share of the plainest rule's delay


@check
def false_drift_alarms(rng: np.random.Generator, function: Any) -> str:
    """How many false alarms of drift there are in so many days: ``f(photographs_a_day, days, mean_time)``."""
    cases: list[Case] = []
    for a_day, days, time in zip(rng.integers(3, 90, 8), rng.integers(7, 300, 8), rng.integers(3, 60, 8), strict=True):
        given = (100 * int(a_day) + 7, int(days), 1000 * int(time))
        cases.append(("{} photographs a day, {} days, {} between false alarms".format(*given), given))
    compare(
        function,
        cases,
        lambda a_day, days, time: a_day * days / time,
        "how many photographs are there, and in how many of them is there one alarm?",
        [
            (lambda a, d, t: a * d // t, "// drops the decimals; an expected number need not be whole"),
            (lambda a, d, t: np.round(a * d / t), "do not round: an expected number need not be whole"),
            (lambda a, d, t: np.ceil(a * d / t), "do not round: an expected number need not be whole"),
            (lambda a, d, t: t / (a * d), "it is upside down: more photographs, more false alarms"),
            (lambda a, d, t: a / t, "that is one day's; there are more days"),
            (lambda a, d, t: d / t, "that counts days; mean_time is in photographs"),
            (lambda a, d, t: t / a, "that is the number of days between two alarms"),
            (lambda a, d, t: a * d, "that is the number of photographs; how many of them raise an alarm?"),
            (lambda a, d, t: a * d * t, "divide by mean_time: the longer it is, the fewer alarms"),
            (lambda a, d, t: d * t / a, "more photographs a day bring more alarms, a longer mean_time fewer"),
            (lambda a, d, t: a * d / t - 1, "there is no first one to leave out"),
            (lambda a, d, t: a * d / (t + 1), "one in mean_time, not in mean_time + 1"),
            (lambda a, d, t: 100 * a * d / t, "that is a hundred times as many; it is no percentage"),
            (lambda a, d, t: -np.expm1(-a * d / t), "that is about the probability of one or more; asked was how many"),
            (lambda a, d, t: min(a * d / t, 1), "there can be more than one; it is no probability"),
        ],
        what="the false alarms",
    )
    return "a monitor that is asked every minute must be allowed an alarm less often than one that is asked every day"


def _names(value: Any, expected: Any, what: str) -> list[str]:
    found = list(value) if isinstance(value, list | tuple | np.ndarray) else None
    if found is None or not all(isinstance(name, str) for name in found):
        raise CheckFailed(f"{what}: expected a list of names such as {expected!r}, found {short(value)}")
    return [str(name) for name in found]


def _set(labelled: dict, new: dict, error: float, p: Callable[[np.ndarray, float], float]) -> list[str]:
    return [name for name in sorted(labelled) if p(np.asarray(labelled[name]), new[name]) > error]


def _p(own: np.ndarray, value: float) -> float:
    return (int((own <= value).sum()) + 1) / (len(own) + 1)


@check
def type_set(rng: np.random.Generator, function: Any) -> str:
    """The types whose conformal p-value is above an error: ``f(labelled, new, error) -> names``, in alphabetical order.

    Args:
        function: ``labelled`` has typicalities by type, ``new`` the new defect's typicality of each.
    """
    cases: list[Case] = []
    for number in range(30):
        names = rng.permutation(["bent", "crack", "hole", "scratch"])[: int(rng.integers(2, 5))].tolist()
        labelled = {name: (rng.integers(1, 40, int(rng.choice([4, 9, 19, 12]))) / 40).tolist() for name in names}
        place = {name: float(rng.choice([0, 0, 1, 2, 3, 7])) for name in names}  # how many are at most as typical
        new = {name: (sorted(own) * 1)[min(int(place[name]), len(own) - 1)] for name, own in labelled.items()}
        new = {name: value if number % 3 else value - 1 / 80 for name, value in new.items()}
        error = float(rng.choice([0.1, 0.2, 0.05, 0.3]))
        cases.append((f"{len(names)} types and the error {error:g}", (labelled, new, error)))
    bare = {"bent": [0.5] * 19, "crack": [0.4] * 19}  # of neither
    cases += [("a new kind of defect", (bare, {"bent": 0.1, "crack": 0.2}, 0.1))]
    cases += [
        ("one labelled defect of a type", ({"bent": [0.5], "crack": [0.4] * 19}, {"bent": 0.1, "crack": 0.1}, 0.2))
    ]
    compare(
        function,
        cases,
        lambda labelled, new, error: _set(labelled, new, error, _p),
        "each type by itself: which share of its defects, the new one counted, is at most as typical as it?",
        [
            (
                lambda k, new, e: _set(k, new, e, lambda own, v: ((own < v).sum() + 1) / (len(own) + 1)),
                "one that is just as typical counts, too: at most as typical",
            ),
            (
                lambda k, new, e: _set(k, new, e, lambda own, v: (own <= v).mean()),
                "the new one counts too, above the line and below it",
            ),
            (
                lambda k, new, e: _set(k, new, e, lambda own, v: (own <= v).sum() / (len(own) + 1)),
                "the new one is at most as typical as itself: it counts above the line, too",
            ),
            (
                lambda k, new, e: _set(k, new, e, lambda own, v: ((own <= v).sum() + 1) / len(own)),
                "the new one counts below the line, too: there are n + 1",
            ),
            (
                lambda k, new, e: _set(k, new, e, lambda own, v: ((own >= v).sum() + 1) / (len(own) + 1)),
                "it is the other way round: higher is more typical, and what is strange is lower",
            ),
            (
                lambda k, new, e: _set(k, new, 1 - e, _p),
                "a type is left out where its p-value is at most error, not at most 1 - error",
            ),
            (
                lambda k, new, e: [n for n in sorted(k) if n not in _set(k, new, e, _p)],
                "these are the types that are left out",
            ),
            (
                lambda k, new, e: [n for n in k if n in _set(k, new, e, _p)],
                "the right names, in another order; sorted() puts them into that of the alphabet",
            ),
            (
                lambda k, new, e: _set(k, new, e, _p) or [max(k, key=lambda n: _p(np.asarray(k[n]), new[n]))],
                "the set may be empty: that is how a new kind of defect is told",
            ),
            (
                lambda k, new, e: [max(k, key=lambda n: _p(np.asarray(k[n]), new[n]))],
                "the most probable type alone is no set: how many types have a p-value above error?",
            ),
            (
                lambda k, new, e: _set(k, new, e, lambda own, v: _p(np.concatenate([*map(np.asarray, k.values())]), v)),
                "each type has defects of its own: compare with those alone",
            ),
            (lambda k, new, e: [n for n in sorted(k) if new[n] > e], "typicality is no p-value: compare it first"),
            (lambda k, new, e: sorted(k), "these are all the types, whatever the new defect is like"),
            (lambda k, new, e: [], "an empty set calls every defect a new kind"),
            (
                lambda k, new, e: [n for n in sorted(k) if new[n] >= min(k[n])],
                "one labelled defect that is stranger is enough there, whatever the error",
            ),
            (
                lambda k, new, e: [n for n in sorted(k) if new[n] > np.quantile(k[n], e)],
                "a quantile of the labelled ones leaves the new one out of the count",
            ),
        ],
        what="the set",
        read=_names,
        same=lambda found, expected: list(found) == list(expected),
    )
    return "with fewer than 1 / error - 1 labelled defects no type can be excluded, however strange the new one is"


@check
def judges(rng: np.random.Generator, function: Any) -> str:
    """Which photographs judge: ``f(digests, share)``, a part of them that depends on each digest alone."""

    def chosen(digests: list[str], share: float, given: str) -> list[str]:
        found = _names(call(function, digests, share, given=given), digests[:1], "the judges")
        if not set(found) <= set(digests):
            raise CheckFailed(f"{given}: found a name that is none of the digests; give back some of those given")
        return found

    digests = ["".join(f"{byte:02x}" for byte in rng.integers(0, 256, 32)) for _ in range(2000)]
    for share in (0.3, round(float(rng.uniform(0.1, 0.2)), 2), round(float(rng.uniform(0.5, 0.9)), 2)):
        given = f"{len(digests)} digests and the share {share:g}"
        found = chosen(digests, share, given)
        if len(set(found)) < len(found):
            raise CheckFailed(f"{given}: a digest is there twice; each photograph judges once")
        apart = chosen(digests[1000:], share, "the second half of them")
        before = set(found)
        why = "its side depends on more than the photograph itself"
        if set(chosen(digests[::-1], share, "the same digests the other way round")) != before:
            raise CheckFailed(f"{given}: in another order others judge; {why}: on its place in the list")
        if set(apart) != before & set(digests[1000:]):
            raise CheckFailed(f"{given}: with fewer answers others judge; {why}: on the other photographs")
        if set(chosen(digests, share, given)) != before:
            raise CheckFailed(f"{given}: asked again, others judge; {why}: on chance")
        if abs(len(found) / len(digests) - share) > 0.05:
            said = f"{len(found) / len(digests):.0%} of them judge"
            raise CheckFailed(f"{given}: {said}, expected about {share:.0%}; which digits are drawn evenly, from what?")
        if found != [digest for digest in digests if digest in before]:
            raise CheckFailed(f"{given}: the right ones, but not in their order")
    return "whatever is asked later, no photograph that has taught will judge, and none that has judged will teach"


@check
def drift_alarm(rng: np.random.Generator, function: Any) -> str:
    """A step of levels, ``f(levels, z) -> levels``, whose alarm comes sooner than that of the last photograph alone."""
    steady = rng.standard_normal((_STEADY, _LINES))
    aging = rng.standard_normal((_DRIFT + 100, _LINES))
    aging[100:] += _SLOPE * np.arange(1, _DRIFT + 1)[:, None]
    some = rng.permutation(_LINES)[: _LINES // 2]
    if not np.allclose(_levels(function, steady[:20])[:, some], _levels(function, steady[:20, some])):
        raise CheckFailed("the level of a line depends on other lines, or on chance; each line has its own lamp")
    own, plain = (_delay(step, steady, aging) for step in (function, lambda levels, z: z))
    if own > _ASKED * plain:
        hint = "how high one photograph is says little; what can be kept of those before, and what must be forgotten?"
        if own > 0.95 * _DRIFT:
            hint = "it never comes; do the levels rise when z does, and do they differ from line to line?"
        raise CheckFailed(
            f"with a false alarm in one of ten lines it comes {own:.0f} photographs after the lamp began to age, the "
            f"plainest rule's {plain:.0f}; expected {_ASKED * plain:.0f} or fewer; {hint}"
        )
    return "many small changes are seen before a large one, by what remembers them and forgets the rest"


def _delay(function: Any, steady: np.ndarray, aging: np.ndarray) -> float:
    """Mean number of photographs from the change to an alarm, at a limit that few lines exceed without one."""
    limit = float(np.quantile(_levels(function, steady).max(0), 1 - _FALSE))
    late = _levels(function, aging)[-_DRIFT:] > limit
    return float(np.where(late.any(0), late.argmax(0) + 1, _DRIFT).mean())


def _levels(function: Any, z: np.ndarray) -> np.ndarray:
    levels, found = np.zeros(z.shape[1]), []
    for row in z:
        with np.errstate(all="ignore"):
            value = call(function, levels, row, given="the levels and the next numbers of many lines")
        levels = np.clip(numbers(value, row, "the levels"), -1e300, 1e300)
        found.append(levels)
    return np.array(found)
