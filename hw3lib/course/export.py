"""The exercises as the source notebooks of nbgrader, and as notebooks with tests for otter-grader.

In both the check of an exercise stays what it is here, a cell that explains; grading executes it once more, with the
course's own ``checks``, whatever the notebook has made of that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from hw3lib.core.files import atomic_path, clear_write_errors, expanded
from hw3lib.core.places import course_folder
from hw3lib.core.translation import ENGLISH
from hw3lib.errors import Hw3Error

from . import exercises
from .students import Course
from .translation import translated

FORMATS = ("nbgrader", "otter")
_IMPORT = "from hw3lib.course import checks\n"
_LINK = re.compile(r"\[([^]]*)\]\(\.\./[^)]*\)")  # to the chapter, which is not beside an exported notebook
Worth = Callable[[int], float]  # points by number of the exercise


def export(target: str | Path, form: str, language: str = ENGLISH, course: Course | None = None) -> list[Path]:
    """Write the exercises of all chapters in another format.

    nbgrader takes ``source/NAME/NAME.ipynb`` below its course folder, where the answers are solutions that `nbgrader
    generate_assignment` cuts out. otter takes ``NAME/NAME.ipynb``, without solutions, and ``NAME/tests/q1.py``, ....

    Args:
        target: the folder, where nothing may be in the way.
        form: one of :data:`FORMATS`.
        language: of texts and comments.
        course: says what an exercise is worth; None: a point each.

    Returns:
        The notebooks.

    Raises:
        Hw3Error: a notebook is there already, there are no exercises, or the folder cannot be written.
    """
    sources = sorted(exercises.folder().glob("ex[0-9][0-9]_*.ipynb"))
    if not sources:
        raise Hw3Error(f"no exercise notebooks in {exercises.folder()}; `make notebooks` makes them")
    course = course or Course()
    written = []
    for source in sources:
        name = source.stem.removeprefix("ex")
        place = expanded(target) / ("source" if form == "nbgrader" else "") / source.stem
        path = place / source.name
        if path.exists():
            raise Hw3Error(f"{path} is in the way; name a new folder")
        made = nbformat.read(source, as_version=4)
        if form == "nbgrader":
            made = exercises.solved(made, nbformat.read(course_folder() / f"{name}.ipynb", as_version=4))
        made = translated(made, language, name)
        for cell in made.cells:
            cell.source = _LINK.sub(r"\1", cell.source)

        def worth(number: int, chapter: str = name[:2]) -> float:
            return course.worth(chapter, number)

        with clear_write_errors(place):
            if form == "nbgrader":
                for_nbgrader(made, worth)
            else:
                for number, test in for_otter(made, source.name, worth).items():
                    with atomic_path(place / "tests" / f"q{number}.py") as temporary:
                        temporary.write_text(test, encoding="utf-8")
            with atomic_path(path) as temporary:
                nbformat.write(made, temporary)
        written.append(path)
    return written


def for_nbgrader(notebook: NotebookNode, worth: Worth) -> None:
    """Give each cell of a solved notebook nbgrader's metadata (schema version 3): answers, tests, the rest locked."""
    for cell in notebook.cells:
        kind, number = exercises.numbered(cell) or ("", 0)
        if kind == "answer":
            cell.source = exercises.marked(cell.source)
        if kind == "check":
            cell.source = _IMPORT + cell.source
        cell.metadata["nbgrader"] = {
            "schema_version": 3,
            "grade_id": cell.id,
            "cell_type": cell.cell_type,
            "grade": kind == "check",
            "solution": kind == "answer",
            "locked": kind != "answer",
            "task": False,
        } | ({"points": worth(number)} if kind == "check" else {})


def for_otter(notebook: NotebookNode, name: str, worth: Worth) -> dict[int, str]:
    """Let a notebook call otter behind each check, and give the texts of its test files, by number of the exercise."""
    tests = {}
    cells = [new_code_cell(f'import otter\n\ngrader = otter.Notebook("{name}")', id="otter")]
    for cell in notebook.cells:
        cells.append(cell)
        kind, number = exercises.numbered(cell) or ("", 0)
        if kind == "check":
            cells.append(new_code_cell(f'grader.check("q{number}")', id=f"otter-{number}"))
            tests[number] = _TEST.format(number=number, points=worth(number), check=cell.source)
    notebook.cells = cells
    return tests


_TEST = """\
from otter.test_files import test_case

from hw3lib.course import checks

OK_FORMAT = False
name = "q{number}"
points = {points:g}
CHECK = {check!r}


@test_case()
def test_q{number}(env):
    exec(CHECK, {{**env, "checks": checks}})
"""
