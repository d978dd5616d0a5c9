"""The page of a student: outcomes, points, what was said of each answer, rubrics and predictions, in their language."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from nbformat import NotebookNode

from hw3lib.core.files import atomic_path
from hw3lib.core.translation import ENGLISH, message

from . import exercises, leaderboard, predictions

if TYPE_CHECKING:
    from .grading import Grade
    from .students import Mark, Record

Tell = Callable[[str], str]  # a sentence in the language of the page, ready for it


def write(
    folder: Path,
    grades: Sequence[Grade],
    references: Mapping[str, NotebookNode],
    solutions: bool = False,
    records: Mapping[str, Record] | None = None,
) -> None:
    """Write a page for each student.

    Args:
        folder: for the pages.
        references: the course's exercise notebooks by chapter.
        solutions: also the solution of what did not pass.
        records: points by student, where there is a gradebook.
    """
    theirs: dict[str, list[Grade]] = {}
    for one in grades:
        theirs.setdefault(one.student, []).append(one)
    for student, found in theirs.items():
        language = next((one.language for one in found if one.language != ENGLISH), ENGLISH)

        def tell(text: str, language: str = language) -> str:
            return html.escape(message(text, language))

        name = html.escape(student)
        parts = [f"<!doctype html><html lang={language}><meta charset=utf-8><title>{name}</title>", leaderboard.STYLE]
        parts.append(f"<h1>{name}</h1>")
        if records and student in records:
            parts += _points(records[student], tell)
        for one in found:
            parts += _chapter(one, references.get(one.chapter), solutions, tell)
        parts += _predictions(found, tell)
        with atomic_path(folder / f"{student}.html") as temporary:
            temporary.write_text("\n".join(parts), encoding="utf-8")


def _points(record: Record, tell: Tell) -> list[str]:
    """Total, and what each chapter added to it."""
    parts = [f"<p><b>{tell(f'Total: {record.total:.1f} %')}</b></p>"]
    for mark in record.marks.values():
        each = ", ".join(f"{points:g}" for points in mark.exercises)
        said = [f"{mark.submission}: {mark.points:g} of {mark.of:g} points, by exercise: {each}"]
        said += [_late(mark)] if mark.late else []
        parts.append(f"<p>{'; '.join(map(tell, said))}</p>")
    return parts


def _late(mark: Mark) -> str:
    return f"handed in on {mark.submitted:%Y-%m-%d %H:%M}, days late: {mark.late}, which costs {mark.lost:g} points"


def _chapter(one: Grade, reference: NotebookNode | None, solutions: bool, tell: Tell) -> list[str]:
    asked = f", {tell(f'hints asked for: {one.hints}')}" if one.hints else ""
    parts = [f"<h2>{tell(f'{one.submission}: {one.passed} of {len(one.exercises)} passed')}{asked}</h2>"]
    parts += [f"<p>{tell(one.message)}</p>"] if one.message else []
    parts += [f"<p>{tell(_WHOSE[one.figures.partition(':')[0]])}</p>"] if one.figures else []
    names = exercises.checks_of(reference.cells) if reference else {}
    told = zip_longest(one.exercises, one.messages, one.scores, one.answers)
    for number, (outcome, said, score, answer) in enumerate(told, 1):
        parts.append(f"<h3>{tell(f'Exercise {number}: {_OUTCOMES.get(outcome, outcome)}')}</h3><p>{tell(said)}</p>")
        if answer and outcome != "missing":
            parts.append(f"<details><summary>{tell('the answer')}</summary><pre>{html.escape(answer)}</pre></details>")
        if score:
            own, gain, behind = leaderboard.texts(score)
            reached = f"{score['figure']} {own}; over the baseline {gain}; over the best known {behind}"
            parts.append(f'<p>{tell(reached)}: <a href="../leaderboard.html">{tell("the leaderboard")}</a></p>')
        points = exercises.rubric(reference, number) if reference else []
        if points:
            parts += _for_the_teacher(one.texts[number - 1], points, tell)
        if solutions and outcome != "passed" and one.chapter != exercises.CAPSTONE:
            parts.append(f"<pre>{html.escape(exercises.guidance(names[number]).solution)}</pre>")
    return parts


STOPPED = {  # by status of a submission
    "timeout": "stopped at the time limit",
    "memory": "stopped at the memory limit",
    "died": "the process ended before the last exercise",
}
_OUTCOMES = {"passed": "passed the check", "failed": "did not pass", "missing": "no answer", "error": "an error"}
_WHOSE = {
    "own": "The figures are those of your own images.",
    "wrong": "The figures are not those of your images.",
    "copied": "The figures are those of other images than yours: of another student's, or of the course's.",
}


def _predictions(theirs: Sequence[Grade], tell: Tell) -> list[str]:
    """What a student predicted, beside what came out, and what that says of how sure they are."""
    found = [one.predictions for one in theirs if one.predictions is not None]
    if not found:
        return []
    table = pd.concat(found).drop_duplicates("question", ignore_index=True)
    right = table["right"].map({True: tell("it is right"), False: tell("not so")})
    shown = table.assign(confidence=table["confidence"].map("{:.0%}".format), right=right)
    heading = f"<h2>{tell('The predictions')}</h2>"
    return [heading, f"<p>{tell(predictions.describe(table))}</p>", shown.to_html(index=False)]


def _for_the_teacher(text: str, points: Sequence[str], tell: Tell) -> list[str]:
    """What the student wrote, and a line for each point of the rubric, which no program can give."""
    said = f"<blockquote style='white-space: pre-line'>{html.escape(text)}</blockquote>" if text else ""
    said = said or f"<p>{tell('no text')}</p>"
    lines = [f"<li><input type=checkbox> {html.escape(point)}</li>" for point in points]
    return [said, f"<p>{tell(f'Rubric, for the teacher, points: {len(points)}')}</p><ul>", *lines, "</ul>"]
