"""The leaderboard of a class: what each submission reaches in the exercises that are to beat something.

``leaderboard.csv`` has a row for each submission and exercise, by exercise and then by rank. Grading adds rows, and
replaces those of a submission that is graded again; all others stay. Columns: ``exercise`` (its chapter and number),
``rank`` (from 1 by ``score``, equal scores share one; empty without a score), ``student``, ``submission``, ``outcome``
(:attr:`hw3lib.course.grading.Grade.exercises`), ``figure``, ``images``, ``score``, ``low``, ``high``, ``gain`` and
``behind`` (paired, over the baseline and the best known) with ``_low``, ``_high`` and ``_p``, all as fractions of one;
``answer`` (a digest of its code, whatever its comments and layout), ``same_code`` (other students with the same
answer; who had it first no file can say), ``hidden_set`` (its seed, one for the file, so that all are compared on the
same images) and ``graded`` (UTC).
"""

from __future__ import annotations

import ast
import csv
import hashlib
import html
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw3lib.core.files import SPREADSHEET, atomic_path
from hw3lib.core.intervals import Interval
from hw3lib.errors import Hw3Error

from .checks import hidden

FILE = "leaderboard.csv"
COLUMNS = [
    *("exercise", "rank", "student", "submission", "outcome", "figure", "images", "score", "low", "high"),
    *(f"{what}{end}" for what in ("gain", "behind") for end in ("", "_low", "_high", "_p")),
    *("answer", "same_code", "hidden_set", "graded"),
]
Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """The rows of a leaderboard, none if there is no file.

    Raises:
        Hw3Error: it is no leaderboard.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding=SPREADSHEET) as file:
            table = csv.DictReader(file, strict=True)
            if table.fieldnames not in (None, COLUMNS):
                raise ValueError("other columns")
            rows: list[Row] = [{name: unquoted(value) for name, value in row.items()} for row in table]
        for row in rows:
            int(row["hidden_set"])
            row |= {name: float(row[name]) for name in _FIGURES if row[name]}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise Hw3Error(
            f"{path}: is no leaderboard that could be added to ({type(error).__name__}: {error}); move it away"
        ) from None
    return rows


def hidden_set(rows: Sequence[Row]) -> int:
    """The seed of the hidden test sets: that of the rows that are there, or else a new one."""
    return int(rows[0]["hidden_set"]) if rows else secrets.randbelow(1 << 31)


def merged(before: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """All rows, ranked; a new one takes the place of that of the same exercise and submission."""
    rows = {(row["exercise"], row["submission"]): dict(row) for row in (*before, *new)}
    ordered = sorted(rows.values(), key=lambda row: (row["exercise"], -_score(row), row["graded"], row["submission"]))
    for row in ordered:
        others = [one for one in ordered if one["exercise"] == row["exercise"]]
        above = sum(_score(one) > _score(row) for one in others)
        row["rank"] = "" if row["score"] == "" else above + 1
        same = [one for one in others if one["answer"] and one["answer"] == row["answer"]]
        row["same_code"] = ", ".join(sorted({one["student"] for one in same} - {row["student"]}))
    return ordered


def _score(row: Row) -> float:
    return float(row["score"]) if row["score"] != "" else -1.0


def digest(source: str) -> str:
    """Of an answer's code without comments, docstrings and layout; empty for what is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write the file, whole or not at all, and beside it the page ``leaderboard.html``."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding=SPREADSHEET) as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows({name: quoted(value) for name, value in row.items()} for row in rows)
    with atomic_path(path.with_suffix(".html")) as temporary:
        temporary.write_text(page(rows), encoding="utf-8")


def page(rows: Sequence[Row]) -> str:
    """A table for each exercise."""
    parts = ["<!doctype html><meta charset=utf-8><title>Leaderboard</title>", STYLE, "<h1>Leaderboard</h1>"]
    for exercise in dict.fromkeys(row["exercise"] for row in rows):
        theirs = [row for row in rows if row["exercise"] == exercise]
        measured = next((row for row in theirs if row["score"] != ""), None)
        what = f"{measured['figure']} on {measured['images']} hidden images" if measured else "nothing was measured"
        parts.append(f"<h2>{html.escape(exercise)}: {html.escape(what)}</h2><table>")
        heads = ("rank", "student", "score", "over the baseline", "over the best known", "outcome", "")
        parts.append(f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>")
        for row in theirs:
            same = f"same code as {row['same_code']}" if row["same_code"] else ""
            cells = (row["rank"], row["student"], *texts(row), row["outcome"], same)
            parts.append(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in cells)}</tr>")
        parts.append("</table>")
    parts.append("<p>Intervals of 95 %, over the choice of the images; the gains are paired, on the same images.</p>")
    return "\n".join(parts)


def texts(row: Row) -> tuple[str, str, str]:
    """Score, gain over the baseline and over the best known in words; empty where there are none."""
    if row["score"] == "":
        return "", "", ""
    gain, behind = (Interval.read(row, name, kind="difference") for name in ("gain", "behind"))
    score = Interval.read({name: row[name] for name in ("score", "low", "high")}, "score", "")
    return hidden.told(row["figure"], score), hidden.told(row["figure"], gain), hidden.told(row["figure"], behind)


_FIGURES = COLUMNS[COLUMNS.index("score") : COLUMNS.index("answer")]
STYLE = (
    "<style>body {max-width: 60em; margin: 2em auto; font-family: sans-serif} "
    "th, td {text-align: left; padding: 0.2em 0.8em 0.2em 0}</style>"
)


def quoted(cell: Any) -> Any:
    """Text that a spreadsheet would execute, such as a file name that begins with ``=``, is quoted."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def unquoted(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
