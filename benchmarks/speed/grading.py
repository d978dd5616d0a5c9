"""What grading a class takes: copies of a chapter's exercises with answers that differ, right, wrong, or none."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import nbformat

from hw3lib.core.places import project_root
from hw3lib.course import exercises
from hw3lib.course.build import convert
from hw3lib.course.grading import grade

from ..machine import say_load


def main(category: str, data: str | None, count: int = 30, rows: tuple[str, ...] = ("01", "02")) -> None:
    """Grade ``count`` notebooks of each chapter in ``rows``; ``category`` is always the generated bottle."""
    say_load()
    for number in rows:
        (source,) = (project_root() / "notebooks" / "sources").glob(f"{number}_*.py")
        with tempfile.TemporaryDirectory() as folder:
            for student in range(count):
                (Path(folder) / f"student-{student:02d}").mkdir()
                nbformat.write(_submission(source, student), Path(folder) / f"student-{student:02d}" / "ex.ipynb")
            started = time.perf_counter()
            found = grade(folder, data=data, echo=lambda _: None)
            seconds = time.perf_counter() - started
        every = [outcome for one in found for outcome in one.exercises]
        outcomes = ", ".join(f"{every.count(name)} {name}" for name in sorted(set(every)))
        print(
            f"chapter {number}: {count} notebooks ({outcomes}) in {seconds:.1f} s, {seconds / count:.2f} s a notebook"
        )


def _submission(source: Path, student: int) -> nbformat.NotebookNode:
    """Solutions, of which each student has left out one and got another wrong; no two have the same code."""
    chapter = convert(source)
    made = exercises.solved(exercises.exercise_notebook(chapter, source.stem), chapter)
    answers = [cell for cell in made.cells if (exercises.numbered(cell) or ("",))[0] == "answer"]
    for place, cell in enumerate(answers):
        if student % 3 == 0 and place == student % len(answers):
            cell.source = exercises.without_solution(cell.source)
        elif student % 3 == 1 and place == student % len(answers):
            cell.source += f"\n\n{_defined(cell.source)} = lambda *_: 0"
        cell.source += f"\nmine = {student}"
    return made


def _defined(source: str) -> str:
    """Name of the last function of an answer."""
    return source.rpartition("\ndef ")[2].removeprefix("def ").partition("(")[0]
