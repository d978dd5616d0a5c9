"""Exercise notebooks agree with their sources, fail only where nothing is answered, and pass with the solutions."""

import re

import matplotlib
import nbformat
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from hw3lib.cli.main import main
from hw3lib.core.places import project_root
from hw3lib.course import exercises
from hw3lib.course.build import convert
from hw3lib.course.checks import hidden
from hw3lib.data import ImageStack, get, load_table
from hw3lib.errors import Hw3Error

FOLDER = project_root() / "notebooks"
SOURCES = sorted((FOLDER / "sources").glob("*.py"))
CHAPTERS = [pytest.param(s, id=s.stem) for s in SOURCES]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The parameters that let a chapter run anywhere."""
    from hw3lib.data import get

    root = get("synthetic/bottle", None, profile="quick", progress=False)
    return f"data, out = {str(root)!r}, {str(tmp_path_factory.mktemp('run'))!r}"


def read(source):
    return nbformat.read(exercises.folder() / f"ex{source.stem}.ipynb", as_version=4)


@pytest.mark.parametrize("source", CHAPTERS)
def test_the_exercises_are_those_of_the_source(source):
    assert read(source) == exercises.exercise_notebook(convert(source), source.stem), "run make notebooks"


def test_there_is_one_exercise_notebook_a_chapter_the_capstone_and_no_other():
    found = [p.stem for p in sorted(exercises.folder().glob("*"))]
    assert found == [exercises.CAPSTONE, *(f"ex{s.stem}" for s in SOURCES)]
    made = exercises.capstone_notebook(convert(SOURCES[0].parent / "exercises" / "capstone.py"))
    assert nbformat.read(exercises.folder() / "capstone.ipynb", as_version=4) == made, "run make notebooks"
    assert [len(exercises.rubric(made, number)) for number in (1, 2, 3)] == [3, 5, 6]


@pytest.mark.parametrize("source", CHAPTERS)
def test_there_are_four_exercises_or_more_in_three_levels_of_different_kinds_and_no_solution_is_left(source):
    cells = read(source).cells
    answers = [c for c in cells if (exercises.numbered(c) or ("",))[0] == "answer"]
    titles = re.findall(r"^### Exercise (\d+) \(level ([123])\)\. ", "\n".join(c.source for c in cells), re.M)
    assert [int(number) for number, _ in titles] == list(range(1, len(answers) + 1)) and len(answers) >= 4
    assert {level for _, level in titles} == set("123")
    text = "\n".join(c.source for c in cells)
    assert "SOLUTION" not in text and "HINT" not in text
    assert text.count("\n    raise NotImplementedError\n") + text.count("    raise NotImplementedError") >= len(answers)
    kinds = (
        "Fill in",
        "Predict, then measure",
        "Find the planted bug",
        "Beat the leaderboard",
        "Rubric",
        "Find the leak",
    )
    assert sum(kind in text for kind in kinds) >= 2
    assert not [c for c in cells if c.cell_type == "code" and (c.outputs or c.execution_count)]


def bottles_on_disk(rng, product, side, size, counts, painted=hidden._painted):
    """In the place of :func:`hw3lib.course.checks.hidden._painted`, which takes long for bottles."""
    if product != "bottle":
        return painted(rng, product, side, size, counts)
    table = load_table(get("synthetic/bottle", progress=False), "synthetic/bottle")
    rows = pd.concat([table[table["defect"] == name].tail(count) for name, count in counts.items()])
    return ImageStack.load(rows, size).images, rows["defect"].to_numpy(dtype=str)


@pytest.fixture
def shell(data, capsys, monkeypatch):
    """A function that runs a code cell as a notebook does, and gives the lines that are shown."""
    matplotlib.use("agg")
    monkeypatch.setenv("HW3_HEADLESS", "1")
    monkeypatch.setattr(hidden, "_painted", bottles_on_disk)
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))

    def run(cell):
        capsys.readouterr()
        shell.run_cell(cell.source + (f"\n{data}" if "parameters" in cell.metadata.get("tags", []) else ""))
        return "".join(capsys.readouterr()).splitlines()

    return run


def untouched(notebook, shell):
    """Run a notebook as a student is given it: each check ends in one sentence, and no cell in a traceback."""
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        shown = shell(cell)
        if (exercises.numbered(cell) or ("",))[0] == "check":
            assert len(shown) == 1 and shown[0].startswith("not answered yet: "), shown
        assert not [line for line in shown if "Traceback" in line or "course/checks" in line], shown


@pytest.mark.parametrize("source", CHAPTERS)
def test_untouched_it_shows_no_line_of_a_check_and_with_the_solutions_it_passes(source, shell):
    notebook = read(source)
    untouched(notebook, shell)
    for cell in exercises.solved(notebook, convert(source)).cells:
        mark = exercises.numbered(cell)
        shown = shell(cell) if mark else []
        assert (not mark or mark[0] == "answer") or any(line.startswith("correct: ") for line in shown), shown


def test_an_untouched_capstone_shows_no_line_of_a_check(shell):
    untouched(nbformat.read(exercises.folder() / "capstone.ipynb", as_version=4), shell)


def test_a_rubric_and_a_text_are_read_where_they_are_and_nowhere_else():
    chapter = exercises.exercise_notebook(convert(SOURCES[5]), SOURCES[5].stem)
    assert [len(exercises.rubric(chapter, number)) for number in (1, 2, 3, 4)] == [0, 0, 0, 4]
    assert exercises.rubric(chapter, 4)[3].endswith("has never heard of a confidence interval.")
    assert exercises.written("letter = (\n    'Dear '\n    'you'\n)\nn = 3\ndef f():\n    x = 'no'\n") == "Dear you"
    assert exercises.written("letter = f'{1}'\n%magic") == ""


HINTS = "    # HINT: a?\n    # HINT: b.\n    # HINT: c.\n"


def test_a_solution_becomes_its_place_at_the_same_depth():
    source = f"def f(x):\n    y = 1\n    # BEGIN SOLUTION\n{HINTS}    z = 2\n    return z\n    # END SOLUTION\n"
    assert exercises.without_solution(source) == "def f(x):\n    y = 1\n    raise NotImplementedError\n"
    assert exercises.hints(source) == ["a?", "b.", "c."]
    before = "# BEGIN SOLUTION: choice\nchoice = 3\n# END SOLUTION\n"
    assert exercises.without_solution(before + source).startswith("choice = ...\ndef f(x):")


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    return 1\n",
        f"def f(\n    # BEGIN SOLUTION\n{HINTS}    a\n    # END SOLUTION\n",
        "def f():\n    # BEGIN SOLUTION\n    # HINT: a\n    a\n    # END SOLUTION\n",
    ],
)
def test_an_answer_without_a_marked_solution_or_hints_or_that_is_no_python_is_refused(source):
    with pytest.raises(Hw3Error, match="SOLUTION|no Python|expected 3"):
        exercises.without_solution(source)


def test_help_is_found_in_the_chapters(tmp_path, monkeypatch):
    nbformat.write(convert(SOURCES[0]), tmp_path / "01_x.ipynb")
    monkeypatch.setattr(exercises, "course_folder", lambda: tmp_path)
    found = exercises.guidance("fair_split")
    assert len(found.hints) == 3 and "drop(train.index)" in found.hints[2]
    assert found.solution.splitlines()[-1] == "    return train, table.drop(train.index)"
    assert "HINT" not in found.solution and "SOLUTION" not in found.solution
    with pytest.raises(Hw3Error, match="has hints on wilson"):
        exercises.guidance("wilson")


def test_only_what_the_exercises_use_comes_along():
    cells = {c.id: c.source for c in read(SOURCES[5]).cells}
    assert cells["setup"] == "from hw3lib.course import checks, outcome, predict" and "parameters" not in cells
    assert "RunFolder" not in "".join(c.source for s in SOURCES for c in read(s).cells)


def test_an_answer_without_its_check_is_refused():
    chapter = convert(SOURCES[0])
    chapter.cells = [c for c in chapter.cells if "check-2" not in c.metadata.get("tags", [])]
    with pytest.raises(Hw3Error, match="each answer before its check"):
        exercises.exercise_notebook(chapter, "01_x")


def test_start_copies_all_and_never_overwrites(tmp_path, capsys):
    target = tmp_path / "my course"
    assert main(["start", str(target)]) == 0
    names = [f"ex{s.stem}.ipynb" for s in SOURCES]
    assert sorted(p.name for p in target.iterdir()) == ["capstone.ipynb", exercises.CHAPTERS, *names]
    for name in names:  # the link of each leads to its chapter
        (link,) = re.findall(r"the chapter\]\((.+?)\)", (target / name).read_text())
        copy, chapter = (nbformat.read(path, as_version=4) for path in (target / link, FOLDER / name[2:]))
        assert [cell.source for cell in copy.cells] == [cell.source for cell in chapter.cells]
        assert copy.metadata == chapter.metadata
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy.cells)
    (target / names[0]).write_text("my work")
    (target / names[1]).unlink()
    assert main(["start", str(target)]) == 0
    assert (target / names[0]).read_text() == "my work"
    assert nbformat.read(target / names[1], as_version=4).cells[1:] == read(SOURCES[1]).cells[1:]
    assert f"{target / names[0]}: was there, left as it is" in capsys.readouterr().out


def test_start_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["start", str(tmp_path / "file")]) == 2
    assert "is a file where a folder was expected" in capsys.readouterr().err
    assert main(["start", str(exercises.folder())]) == 2
    assert "holds the exercises themselves" in capsys.readouterr().err
