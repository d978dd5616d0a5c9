"""Two runs side by side: what they came from, and which of their figures differ significantly."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hw3lib.core.files import expanded, read_json
from hw3lib.core.intervals import NOT_SIGNIFICANT, Interval, difference_interval, holm
from hw3lib.core.places import project_root
from hw3lib.core.text import format_table, printable
from hw3lib.errors import Hw3Error

from .step import METRICS, RECORD

SAME, SIGNIFICANT, DIFFERS = "same", "significant", "differs"
MISSING, TEXT = "only in one", "text"
UNEQUAL = (SIGNIFICANT, DIFFERS, MISSING)
TOLERANCE = 1e-4  # relative; what rounding and the order of additions may do to a number without an interval
_ORIGIN = ("notebook", "category", "profile", "data_digest", "device", "seeds", "versions", "code")
# What identifies the rows of a list; a figure of a row is found in the other run by these, wherever the row stands.
_LABELS = ("attempt", "method", "ratio", "detector", "format", "prompt", "model", "condition", "defect", "name")


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of both runs.

    Attributes:
        notebook: number of the notebook; empty for a folder of its own.
        figure: where it stands in metrics.json, ``leaderboard[baseline].accuracy``.
        a, b: its values; None where there is none.
        verdict: ``same``, ``not significant``, ``significant`` (of figures with intervals), ``differs`` (of numbers
            without), ``only in one``, ``text`` (follows from the numbers, and is not judged), or a ratio of times.
        difference: ``b - a`` of figures with intervals, its p-value that of all such figures together.
    """

    notebook: str
    figure: str
    a: Any
    b: Any
    verdict: str = ""
    difference: Interval | None = None


@dataclass
class Compared:
    """What two runs came from and came to.

    Attributes:
        origin: ``(notebook, what, a, b)`` of everything that differs in what the results came from.
        rows: every figure of either run.
    """

    origin: list[tuple[str, str, Any, Any]] = field(default_factory=list)
    rows: list[ComparedFigure] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether no figure differs significantly."""
        return not any(row.verdict in UNEQUAL for row in self.rows)

    @property
    def unexplained(self) -> bool:
        """Whether numbers differ though nothing that is recorded does: something was not repeatable."""
        return not self.origin and any(row.verdict in (NOT_SIGNIFICANT, *UNEQUAL) for row in self.rows)


def compare_runs(
    run_a: str | Path, run_b: str | Path, numbers: Sequence[str] = (), *, tolerance: float = TOLERANCE
) -> Compared:
    """Compare what two runs wrote.

    A figure with an interval in both runs is judged by that of the difference ``b - a`` which follows from the two,
    for independent estimates (:func:`hw3lib.core.difference_interval`), and for all such figures together
    (:func:`hw3lib.core.holm`). Estimates of runs on the same images are correlated, so that this finds too little
    rather than too much. A number without an interval is the same or it differs; times, and numbers of images that
    would be needed, are never judged.

    Args:
        run_a, run_b: folders of runs, or their names in ``runs/`` of the project.
        numbers: of notebooks, ``1`` or ``01``; none: all that either run has.
        tolerance: relative difference up to which numbers without an interval are the same.

    Raises:
        Hw3Error: no such run, a notebook that a run lacks, a damaged metrics.json, or a negative tolerance.
    """
    if not 0 <= tolerance < math.inf:
        raise Hw3Error(f"--tolerance {tolerance}: expected a relative difference of 0 or more")
    a, b = _notebooks(run_a), _notebooks(run_b)
    wanted = [number.zfill(2) for number in numbers] or sorted({*a, *b})
    for run, found in ((run_a, a), (run_b, b)):
        if absent := [number for number in wanted if number not in found and numbers]:
            raise Hw3Error(f"{run}: has no notebook {absent[0]}; it has {', '.join(sorted(found)) or 'none'}")
    result = Compared()
    for number in wanted:
        if number not in a or number not in b:
            in_a, in_b = ("there" if number in found else None for found in (a, b))
            result.rows.append(ComparedFigure(number, "(the notebook)", in_a, in_b, MISSING))
            continue
        ours, theirs = _read(a[number]), _read(b[number])
        result.origin += [(number, *difference) for difference in _origin(a[number], b[number], ours, theirs)]
        figures = [{k: v for k, v in metrics.items() if k not in _ORIGIN} for metrics in (ours, theirs)]
        result.rows += [_judge(number, *found, tolerance) for found in _figures("", *figures)]
    judged = [(i, row.difference) for i, row in enumerate(result.rows) if row.difference is not None]
    for (i, _), difference in zip(judged, holm(found for _, found in judged), strict=True):
        said = result.rows[i].verdict or difference.verdict(SIGNIFICANT, SIGNIFICANT)
        result.rows[i] = replace(result.rows[i], verdict=said, difference=difference)
    return result


def _notebooks(run: str | Path) -> dict[str, Path]:
    """Folders with metrics of a run, by number; a folder that holds them itself has the number ``""``."""
    places = [expanded(run), project_root() / "runs" / Path(run)]
    for place in places:
        found = {file.parent.name: file.parent for file in place.glob(f"[0-9][0-9]/{METRICS}")}
        if (place / METRICS).is_file():
            found[""] = place
        if found:
            return found
    raise Hw3Error(
        f"{run}: no run there or in {places[1]}; expected a folder that holds NN/{METRICS}, as `hw3 run` makes"
    )


def _read(folder: Path) -> dict[str, Any]:
    found = read_json(folder / METRICS)
    if not found:
        raise Hw3Error(f"{folder / METRICS}: no JSON object in it; run the notebook again")
    return found


def _origin(a: Path, b: Path, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    found = [read_json(folder / RECORD).get("fingerprint") for folder in (a, b)]
    prints: list[dict] = [printed if isinstance(printed, dict) else {} for printed in found]
    sides = []
    for metrics, printed in zip((ours, theirs), prints, strict=True):
        known = {key: metrics.get(key) for key in _ORIGIN}
        known["code"] = known["code"] or printed.get("hw3lib")
        sides.append(known | {"parameters": printed.get("parameters"), "notebook's source": printed.get("notebook")})
    for key in sides[0]:
        left, right = sides[0][key], sides[1][key]
        if isinstance(left, dict) and isinstance(right, dict):
            for name in {**left, **right}:
                if left.get(name) != right.get(name):
                    yield f"{key}: {name}", left.get(name), right.get(name)
        elif left != right:
            yield key, left, right


Found = tuple[str, Any, Any, Interval | None]


def _figures(place: str, a: Any, b: Any) -> Iterator[Found]:
    """Leaves of two JSON values with where they stand, and the interval of their difference where both have one."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        intervals = [_intervals(side) for side in (a, b)]
        limits = {f"{first}_{last}" for side in intervals for first in side.values() for last in ("low", "high", "p")}
        labels = {key for key in _LABELS if key in a and a.get(key) == b.get(key)}
        for key in {**a, **b}:
            if key in limits or key in labels:
                continue
            at = f"{place}.{key}" if place else str(key)
            left, right = a.get(key), b.get(key)
            if isinstance(left, list | Mapping) and type(left) is type(right):
                yield from _figures(at, left, right)
            else:
                both = all(key in own for own in intervals)
                ends = [_uncut(side, key, own[key]) for side, own in zip((a, b), intervals, strict=True) if both]
                yield at, left, right, difference_interval(ends[0], ends[1]) if both else None
    elif isinstance(a, list) and isinstance(b, list):
        left, right = _labelled(a), _labelled(b)
        for label in {**left, **right}:
            at = f"{place}[{label}]"
            if label in left and label in right:
                yield from _figures(at, left[label], right[label])
            else:
                in_a, in_b = ("there" if label in side else None for side in (left, right))
                yield at, in_a, in_b, None
    else:
        yield place, a, b, None


def _intervals(row: Mapping[str, Any]) -> dict[str, str]:
    """First part of the names of the limits of each figure that has some: ``{"accuracy": "ci"}``.

    ``x_low`` and ``x_high`` are those of ``x``, or else of a figure whose name ends in ``_x``, or else, as with ``ci``,
    of the number before them.
    """
    found: dict[str, str] = {}
    before = None
    for key, value in row.items():
        stem = key.removesuffix("_low")
        high = f"{stem}_high"
        if stem != key and _number(value) and _number(row.get(high)):
            ends = next((name for name in row if name.endswith(f"_{stem}") and _number(row[name])), before)
            owner = stem if _number(row.get(stem)) else ends
            if owner is not None:
                found[owner] = stem
        elif _number(value) and not key.endswith("_high"):
            before = key
    return found


def _uncut(row: Mapping[str, Any], name: str, limits: str) -> Interval:
    """An interval whose limit an earlier version had cut off at 0 or 1, symmetric as it was."""
    found = Interval.read(row, name, limits)
    if found.high == 1 > found.value:
        return replace(found, high=2 * found.value - found.low)
    return replace(found, low=2 * found.value - found.high) if found.low == 0 < found.value else found


def _labelled(rows: list[Any]) -> dict[str, Any]:
    """Elements by what they are called, or by their place if that is ambiguous."""
    names = []
    for row in rows:
        parts = [str(row[key]) for key in _LABELS if row.get(key) is not None] if isinstance(row, Mapping) else []
        names.append(", ".join(parts))
    if len(set(names)) < len(names) or "" in names:
        names = [str(i) for i in range(len(rows))]
    return dict(zip(names, rows, strict=True))


def _judge(number: str, figure: str, a: Any, b: Any, difference: Interval | None, tolerance: float) -> ComparedFigure:
    """What can be said of a figure by itself; an empty verdict waits for those of the others."""
    if a == b and type(a) is type(b):
        return ComparedFigure(number, figure, a, b, SAME, difference)
    if a is None or b is None:
        return ComparedFigure(number, figure, a, b, MISSING)
    if not (_number(a) and _number(b)):
        both_text = isinstance(a, str) and isinstance(b, str)
        return ComparedFigure(number, figure, a, b, TEXT if both_text else DIFFERS)
    if _is_cost(figure):
        return ComparedFigure(number, figure, a, b, f"{b / a:.2f} times" if a > 0 else "")
    if math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-9):
        return ComparedFigure(number, figure, a, b, SAME)
    return ComparedFigure(number, figure, a, b, "" if difference else DIFFERS, difference)


def _is_cost(figure: str) -> bool:
    """Whether it is a time, or how many images would be needed, and so no result that could be worse."""
    name = figure.split(".")[-1]
    return name in ("seconds", "ms_per_image", "cost", "needed") or name.endswith(("_seconds", "_ms"))


def _number(value: Any) -> bool:
    return isinstance(value, float) or isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**300


def text(compared: Compared, name_a: str, name_b: str, *, every: bool = False) -> str:
    """Both tables and a sentence, for the terminal.

    Args:
        compared: of :func:`compare_runs`.
        name_a, name_b: heads of the columns.
        every: list the figures that are the same, too.
    """
    parts = []
    if compared.origin:
        rows = [(number, what, _short(a), _short(b)) for number, what, a, b in compared.origin]
        parts.append("What the results came from differs in:\n" + format_table([("", "what", name_a, name_b), *rows]))
    else:
        parts.append("The results came from the same data, code, versions, device, seeds and parameters.")
    shown = [row for row in compared.rows if every or row.verdict != SAME]
    if shown:
        notes = [r.difference.text() if r.difference and r.verdict != SAME else "" for r in shown]
        lines = [
            (r.notebook, r.figure, _short(r.a), _short(r.b), r.verdict, said)
            for r, said in zip(shown, notes, strict=True)
        ]
        parts.append(format_table([("", "figure", name_a, name_b, "verdict", "difference (95 %)"), *lines]))
    judged = (SAME, NOT_SIGNIFICANT, *UNEQUAL)
    counts = {v: sum(row.verdict == v for row in compared.rows) for v in judged}
    parts.append(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) + ".")
    if compared.unexplained:
        parts.append("Nothing that is recorded explains the differences: a step is not repeatable on this machine.")
    return printable("\n\n".join(parts))


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    said = value if isinstance(value, str) else json.dumps(value)
    return f"{said[:12]}…" if len(said) == 64 and said.isalnum() else said if len(said) <= 40 else f"{said[:39]}…"
