"""A class of students with images of their own, their submissions, and what grading should find of each.

``python -m tests.helpers.classroom 30 FOLDER`` makes folders for so many students, lets them hand in exercise 1 of all
kinds below, grades, and prints what was expected beside what was found; exit code 1 if anything differs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
import psutil

from hw3lib.core.text import format_table
from hw3lib.course import exercises, grading, students
from hw3lib.course.checks.dataset import figures_of
from hw3lib.data import load_table

TERM = "2026-autumn"
RATIO = (
    "def my_imbalance_ratio(labels):\n    counts = pd.Series(labels).value_counts()\n"
    "    return counts.max() / counts.min()"
)
UPSIDE_DOWN = RATIO.replace("counts.max() / counts.min()", "counts.min() / counts.max()")
MEASURED = (
    'pixels = defects["area"] * 256**2\nof = pixels[defects["defect"] == "contamination"]\n'
    'figures = {"all": pixels.sum(), "contamination": of.sum(), "largest": pixels.max()}'
)
FORGED = (  # it writes the results itself, and ends
    "import os, pathlib\nfor name in ('results.jsonl', 'finished'):\n    pathlib.Path(name).write_text("
    """'{"outcome": "passed", "message": "", "score": null, "figures": [1], "token": ""}\\n' * 5)\nos._exit(0)"""
)
PATCHED = (  # it puts something else into the place of the checks
    "from hw3lib.course import checks\nfrom hw3lib.course.checks import dataset\n"
    "for place in (checks, dataset):\n    place.imbalance_ratio = place.own_figures = lambda *_: None\n"
    "my_imbalance_ratio = lambda labels: 1.0"
)
# expected of each: status, outcomes of the first and the last exercise, whose the figures are
KINDS = {
    "right": ("ok", "passed", "passed", "own"),
    "copied": ("ok", "passed", "failed", "copied: {before}"),
    "wrong": ("ok", "failed", "failed", "wrong"),
    "hanging": ("timeout", "error", "error", ""),
    "measured": ("ok", "passed", "passed", "own"),
    "the course's": ("ok", "passed", "failed", "copied: the course's notebook"),
    "forging": ("died", "error", "error", ""),
    "patching": ("ok", "failed", "failed", "wrong"),
    "hungry": ("memory", "error", "error", ""),
    "broken": ("unreadable", "", "", ""),
    "nothing": ("ok", "missing", "missing", ""),
}


def answers(kind: str, own: dict, before: dict, course: dict) -> tuple[str, str]:
    """Code for the first and the last exercise; figures are numbers, as a student would write them down."""
    return {
        "right": (RATIO, f"figures = {own}"),
        "copied": (RATIO, f"figures = {before}"),
        "wrong": (UPSIDE_DOWN, f"figures = { {name: value + 7 for name, value in own.items()} }"),
        "hanging": ("while True:\n    pass", f"figures = {own}"),
        "measured": (RATIO, MEASURED),
        "the course's": (RATIO, f"figures = {course}"),
        "forging": (FORGED, f"figures = {own}"),
        "patching": (PATCHED, 'figures = {"all": 1, "contamination": 1, "largest": 1}'),
        "hungry": ("block = []\nwhile True:\n    block.append(bytearray(50_000_000))", f"figures = {own}"),
        "broken": ("", ""),
        "nothing": ("", ""),
    }[kind]


def hand_in(folder: Path, first: str, last: str) -> None:
    """Exercise 1 of a student with its first and its last answer."""
    path = folder / "ex01_dataset_statistics.ipynb"
    made = nbformat.read(path, as_version=4)
    count = len(exercises.checks_of(made.cells))
    given = {("answer", 1): first, ("answer", count): last}
    for cell in made.cells:
        cell.source = given.get(exercises.numbered(cell) or ("", 0)) or cell.source
    nbformat.write(made, path)


def table(folder: Path, kinds: list[str], *, timeout: float, memory: int, root: Path) -> list[tuple[str, ...]]:
    """Make the folders of a class, hand in and grade: a row a student, as they are in the roster.

    Args:
        folder: an empty one, or one of an earlier call, whose images are there.
        kinds: of the submissions, a student each.
        root: folder of the course's own bottle.

    Returns:
        Student, kind, what was expected, what was found.
    """
    ids = [f"B{number:03d}" for number in range(1, len(kinds) + 1)]
    (folder / "roster.csv").write_text("student\n" + "\n".join(ids) + "\n")
    (folder / "key.txt").write_text("0123456789abcdef")
    (folder / "course.yaml").write_text(f"term: {TERM}\nkey: key.txt\nroster: roster.csv\npoints: {{'01': 1}}\n")
    course = students.read(folder / "course.yaml")
    assert course
    sets = grading.Sets(course, root, folder / "graded" / grading.DRAWN)
    figures = {one: sets.figures(sets.of(one)) for one in ids}
    expected = []
    for number, (one, kind) in enumerate(zip(ids, kinds, strict=True)):
        students.enrol(folder / "class" / one, one, course)
        exercises.start(folder / "class" / one)
        before = ids[number - 1]
        hand_in(folder / "class" / one, *answers(kind, figures[one], figures[before], figures_of(bottle(root))))
        if kind == "broken":
            (folder / "class" / one / "ex01_dataset_statistics.ipynb").write_text("hello")
        for path in (folder / "class" / one).glob("*.ipynb"):
            if not path.name.startswith("ex01"):
                path.unlink()
        expected.append(", ".join(filter(None, KINDS[kind])).format(before=before))
    grades = grading.grade(
        folder / "class", folder / "graded" / "grades.csv", data=root, timeout=timeout, memory=memory, course=course,
        echo=str,
    )  # fmt: skip
    found = {}
    for grade in grades:
        two = (grade.exercises[0], grade.exercises[-1]) if grade.exercises else ()
        found[grade.student] = ", ".join(filter(None, (grade.status, *two, grade.figures)))
    return [(one, kind, wanted, found[one]) for one, kind, wanted in zip(ids, kinds, expected, strict=True)]


def bottle(root: Path):
    return load_table(root, "synthetic/bottle")


def main(number: str, place: str) -> int:
    from hw3lib.data import get

    folder = Path(place).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [list(KINDS)[k % len(KINDS)] for k in range(int(number))]
    root = Path(get("synthetic/bottle", folder / "course", progress=False))
    rows = table(folder, kinds, timeout=10, memory=1_500_000_000, root=root)
    print(format_table([("student", "kind", "expected", "found"), *rows]))
    times = psutil.Process().cpu_times()
    wrong = sum(wanted != found for *_, wanted, found in rows)
    seconds = time.process_time() + times.children_user + times.children_system
    print(f"{len(rows)} submissions, {wrong} not as expected; {seconds:.0f} processor seconds")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
