"""Submissions are graded one by one, and none of them can stop the rest or pass by editing a check."""

import csv
import json
import re
import time

import nbformat
import numpy as np
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hw3lib.cli.main import main
from hw3lib.core.intervals import auroc_interval, share_difference, wilson_interval
from hw3lib.course import exercises, feedback, leaderboard
from hw3lib.course import grading as grade
from hw3lib.course.checks import hidden
from hw3lib.errors import Hw3Error

CHAPTER = "07_small"
METADATA = {"hw3lib": {"chapter": CHAPTER}, "language_info": {"name": "python"}}


def tagged(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


def notebook(first='raise NotImplementedError("a")', second='raise NotImplementedError("b")', extra=(), checks=None):
    """A chapter of two exercises: ``one`` is to be 1, ``two`` twice ``start``."""
    checks = checks or ["checks.expect(one, 1)", "checks.expect(two, 2 * start)"]
    cells = [
        new_markdown_cell("# Exercises"),
        tagged("start = 1\ndata = out = None", "parameters"),
        tagged(
            "from hw3lib.course.checks import CheckFailed\nclass checks:\n    def expect(found, wanted):\n"
            "        if found != wanted:\n            raise CheckFailed(f'found {found}, look again')",
            "setup",
        ),
        tagged(first, "answer-1"),
        tagged(checks[0], "check-1"),
        *[new_code_cell(source) for source in extra],
        tagged(second, "answer-2"),
        tagged(checks[1], "check-2"),
    ]
    return new_notebook(cells=cells, metadata=dict(METADATA))


@pytest.fixture
def submissions(tmp_path, monkeypatch):
    """An empty folder for submissions to the small chapter, and a category that need not be made."""
    reference = tmp_path / "reference"
    reference.mkdir()
    nbformat.write(notebook(), reference / f"ex{CHAPTER}.ipynb")
    monkeypatch.setattr(exercises, "folder", lambda: reference)
    monkeypatch.setattr("hw3lib.course.grading.get", lambda *_, **__: tmp_path)
    folder = tmp_path / "submissions"
    folder.mkdir()
    return folder


def submit(folder, student, made):
    (folder / student).mkdir()
    nbformat.write(made, folder / student / f"ex{CHAPTER}.ipynb")


def by_student(grades):
    return {g.submission.split("/")[0]: g for g in grades}


def test_right_wrong_and_missing_answers(submissions):
    submit(submissions, "ada", notebook("one = 1", "two = helper()", extra=["helper = lambda: 2 * start"]))
    submit(submissions, "bob", notebook("one = 3"))
    submit(submissions, "cem", notebook("one = 1 / 0", "two = 2"))
    lines = []
    grades = by_student(grade.grade(submissions, echo=lines.append))
    assert grades["ada"].exercises == ["passed", "passed"] and grades["ada"].messages == ["", ""]
    assert grades["bob"].exercises == ["failed", "missing"]
    assert grades["bob"].messages == ["found 3, look again", "NotImplementedError('b')"]
    assert grades["cem"].exercises == ["error", "passed"] and "ZeroDivisionError" in grades["cem"].messages[0]
    assert lines[0] == f"[1/3] ada/ex{CHAPTER}.ipynb: 2 of 2"
    with (submissions / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [(r["passed"], r["of"], r["exercise 1"]) for r in rows] == [
        ("2", "2", "passed"), ("0", "2", "failed"), ("1", "2", "error")
    ]  # fmt: skip
    assert [(r["message 1"], r["message 2"]) for r in rows][1] == ("found 3, look again", "NotImplementedError('b')")
    pages = {path.stem: path.read_text() for path in (submissions / "feedback").iterdir()}
    assert (
        sorted(pages) == ["ada", "bob", "cem"] and "Exercise 1: did not pass</h3><p>found 3, look again" in pages["bob"]
    )


def test_an_edited_check_an_edited_setup_and_deleted_cells_gain_nothing(submissions):
    cheat = notebook("one = 9", "two = 9", checks=["print('correct')", "pass"])
    cheat.cells[2].source = "class checks:\n    expect = lambda *_: None"
    submit(submissions, "eve", cheat)
    short = notebook("one = 1")
    short.cells = short.cells[:4]
    submit(submissions, "fay", short)
    grades = by_student(grade.grade(submissions, echo=str))
    assert grades["eve"].exercises == ["failed", "failed"]
    assert grades["fay"].exercises == ["passed", "missing"]


def test_a_text_and_its_rubric_are_on_the_page_for_the_teacher(submissions):
    reference = exercises.folder() / f"ex{CHAPTER}.ipynb"
    made = nbformat.read(reference, as_version=4)
    made.cells.insert(3, new_markdown_cell("Write.\n\n**Rubric**, a point each:\n\n- says why;\n- is\n  short.\n"))
    nbformat.write(made, reference)
    submit(submissions, "ada", notebook("one = 1\nletter = 'because <of> it'"))
    submit(submissions, "bob", notebook("one = 1"))
    grade.grade(submissions, echo=str, solutions=False)
    ada, bob = ((submissions / f"feedback/{name}.html").read_text() for name in ("ada", "bob"))
    assert "because &lt;of&gt; it</blockquote>" in ada and ada.count("type=checkbox") == 2 and "is short." in ada
    assert "no text" in bob and "Rubric, for the teacher, points: 2" in bob


def test_a_capstone_runs_on_another_category_and_its_form_is_seen_to(tmp_path, monkeypatch):
    folder = tmp_path / "bea"
    folder.mkdir()
    made = nbformat.read(exercises.folder() / "capstone.ipynb", as_version=4)
    marked = {mark: cell for cell in made.cells if (mark := exercises.numbered(cell))}
    marked["answer", 1].source = f"question = {' '.join(f'word{k}' for k in range(50))!r}"
    marked["answer", 2].source = (
        "import matplotlib.pyplot as plt\nfrom hw3lib.data import class_counts\n\ndef inspect(table):\n"
        "    figures = {name: plt.figure() for name in 'abc'}\n    for figure in figures.values():\n"
        "        figure.add_subplot().plot([len(table), 1])\n"
        "    share = class_counts(table)['total'].iloc[0] / len(table)\n"
        "    return figures, {'first': (share, share - 0.1, share + 0.1), 'second': (1, 0.5, 1.5)}"
    )
    marked["answer", 3].source = "report = 'too short'"
    made.cells[1].source = "photographs = 'mine'"
    nbformat.write(made, folder / "my-capstone.ipynb")
    (one,) = grade.grade(tmp_path, echo=str, solutions=True)
    assert one.exercises == ["passed", "passed", "failed"] and "2 words, expected 300 to 900" in one.messages[2]
    page = (tmp_path / "feedback" / "bea.html").read_text()
    assert "word49</blockquote>" in page and page.count("type=checkbox") == 14


def without_tags(made, ids=True):
    """As an editor saves it that knows no tags, and perhaps no ids."""
    for number, cell in enumerate(made.cells):
        cell.metadata.pop("tags", None)
        if not ids:
            cell["id"] = f"{number:08x}"
    return made


def with_ids(made):
    for cell in made.cells:
        if mark := exercises.numbered(cell):
            cell["id"] = "-".join(map(str, mark))
    return made


def answers(made):
    """Code of the answers, and that of the cells added before the second."""
    found = grade.answers(notebook(), made)
    return [sources[-1] for sources in found], found[1][:-1]


GIVEN = ["one = 1", "two = helper()"]


def test_answers_are_found_by_tag_id_or_place():
    made = notebook(*GIVEN, extra=["helper = lambda: 2"])
    assert answers(made) == (GIVEN, ["helper = lambda: 2"])
    assert answers(without_tags(with_ids(made)))[0] == GIVEN
    assert answers(without_tags(made, ids=False)) == (GIVEN, ["helper = lambda: 2"])


@pytest.mark.parametrize(
    ("position", "cell"),
    [
        (6, new_code_cell("print('thinking')")),
        (5, new_markdown_cell("my notes")),
        (7, new_code_cell("print(two)")),
        (4, new_code_cell("print(one)")),
        (0, new_code_cell("import math")),
    ],
    ids=["before the answer", "a text", "behind the answer", "behind the first answer", "at the start"],
)
def test_cells_of_the_students_own_are_no_answers(position, cell):
    made = notebook(*GIVEN, extra=["helper = lambda: 2"])
    made.cells.insert(position, cell)
    assert answers(without_tags(made, ids=False))[0] == GIVEN


def test_with_its_check_edited_an_answer_is_found_by_what_is_before_it():
    made = notebook(*GIVEN, checks=["checks.expect(one, 1)", "checks.expect(two, 2)  # mine"])
    assert answers(without_tags(made, ids=False))[0] == GIVEN


def test_an_answer_that_is_not_given_is_the_hint():
    assert answers(without_tags(notebook("one = 1"), ids=False))[0] == ["one = 1", 'raise NotImplementedError("b")']


def test_an_answer_that_cannot_be_found_is_named():
    assert grade._lost(notebook(), without_tags(notebook(*GIVEN), ids=False)) == ""
    short = notebook("one = 1")
    short.cells = short.cells[:5]
    for made in (short, without_tags(short, ids=False)):
        said = grade._lost(notebook(), made)
        assert said.startswith("no answer to exercise 2 was found, neither by a tag or id nor before its check")
    other = new_notebook(cells=[new_code_cell("x = 1"), new_code_cell("y = 2")])
    assert grade._lost(notebook(), other).startswith("no answer to exercises 1 and 2 was found")


def test_what_is_lost_is_in_the_file_of_grades(submissions):
    lost = notebook("one = 1", "two = 2")
    lost.cells = lost.cells[:5]
    submit(submissions, "ada", without_tags(lost, ids=False))
    grades = by_student(grade.grade(submissions, echo=str))
    assert grades["ada"].exercises == ["passed", "missing"] and "exercise 2 was found" in grades["ada"].message


def test_a_mark_at_the_start_and_a_suffix_in_capitals(submissions):
    content = nbformat.writes(notebook("one = 1", "two = 2")).encode("utf-8-sig")
    (submissions / f"{CHAPTER}.IPYNB").write_bytes(content)
    (submissions / "notes.txt").write_text("mine")
    (submissions / "ada").mkdir()
    (submissions / "ada" / "old.zip").write_bytes(b"")
    (submissions / "ada" / "link.ipynb").symlink_to(submissions / f"{CHAPTER}.IPYNB")
    lines = []
    (found,) = grade.grade(submissions, echo=lines.append)
    assert found.submission == f"{CHAPTER}.IPYNB" and found.exercises == ["passed", "passed"]
    assert lines[0] == f"{submissions}: not looked at: 3 files: 1 .txt, 1 .zip in ada, 1 link in ada"
    assert (submissions / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbfsubmission,")


def test_one_that_hangs_eats_memory_or_kills_its_kernel_does_not_stop_the_rest(submissions):
    submit(submissions, "1-hangs", notebook("one = 1", "while True:\n    pass"))
    hog = "import time\nblock = []\nwhile True:\n    block.append(bytearray(50_000_000))\n    time.sleep(0.02)"
    submit(submissions, "2-eats", notebook("one = 1", hog))
    submit(submissions, "3-dies", notebook("one = 1", "import os\nos._exit(0)"))
    submit(submissions, "4-fine", notebook("one = 1", "two = 2"))
    started = time.monotonic()
    grades = by_student(grade.grade(submissions, timeout=30, memory=1_500_000_000, echo=str))
    assert time.monotonic() - started < 180
    assert [grades[name].status for name in sorted(grades)] == ["timeout", "memory", "died", "ok"]
    assert [grades[name].exercises for name in sorted(grades)] == [["passed", "error"]] * 3 + [["passed", "passed"]]
    assert "time limit" in grades["1-hangs"].message and "memory limit" in grades["2-eats"].message
    mine = psutil.Process().children(recursive=True)
    assert not [p for p in mine if p.is_running() and "grader" in " ".join(p.cmdline())]


def test_what_is_no_notebook_is_named(submissions):
    for name, content in {
        "text": b"hello", "binary": bytes(range(256)), "deep": b"[" * 100_000, "list": b"[]", "empty": b"",
        "cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}',
    }.items():  # fmt: skip
        (submissions / name).mkdir()
        (submissions / name / f"{CHAPTER}.ipynb").write_bytes(content)
    (submissions / "big").mkdir()
    (submissions / "big" / f"{CHAPTER}.ipynb").write_bytes(b" " * (grade.MOST_BYTES + 1))
    other = notebook()
    other.metadata = {}
    nbformat.write(other, submissions / "homework.ipynb")
    (submissions / "link.ipynb").symlink_to(submissions / "homework.ipynb")
    (submissions / ".hidden").mkdir()
    nbformat.write(other, submissions / ".hidden" / "x.ipynb")
    grades = {g.submission: g for g in grade.grade(submissions, echo=str)}
    assert len(grades) == 8 and {g.status for g in grades.values()} == {"unreadable"}
    assert "not a notebook" in grades[f"deep/{CHAPTER}.ipynb"].message
    assert "clear its outputs" in grades[f"big/{CHAPTER}.ipynb"].message
    assert "expected a name that begins as one of ex07_small" in grades["homework.ipynb"].message


def test_a_name_that_a_spreadsheet_would_execute_is_quoted(tmp_path):
    grade.write(tmp_path / "g.csv", [grade.Grade("=cmd()/x.ipynb", message="-1+1")])
    row = (tmp_path / "g.csv").read_text().splitlines()[1]
    assert row.startswith("'=cmd()/x.ipynb,") and row.endswith(",'-1+1")


def test_the_set_up_is_executed_once_and_what_fails_in_it_is_said(submissions):
    counted = notebook()
    counted.cells[1].source += f"\nopen({str(submissions / 'count.txt')!r}, 'a').write('x')"
    nbformat.write(counted, exercises.folder() / f"ex{CHAPTER}.ipynb")
    for student in ("ada", "bob", "cem"):
        submit(submissions, student, notebook("start = 5\none = 1", "two = 2"))
    grades = grade.grade(submissions, echo=str)
    assert [g.exercises for g in grades] == [["passed", "passed"]] * 3  # the course's names are its own again
    assert (submissions / "count.txt").read_text() == "x" * (1 if grade.FORKS else 3)
    counted.cells[1].source = "nothing.there"
    nbformat.write(counted, exercises.folder() / f"ex{CHAPTER}.ipynb")
    found = grade.grade(submissions, echo=str)[0]
    assert found.status == "setup" and "NameError" in found.message and found.exercises == ["error"] * 2


def test_hints_are_counted_and_chapters_are_no_submissions(submissions):
    named = ["# checks.wilson(x)\nchecks.expect(one, 1)", "checks.expect(two, 2)"]
    nbformat.write(notebook(checks=named), exercises.folder() / f"ex{CHAPTER}.ipynb")
    submit(submissions, "ada", notebook("one = 1"))
    (submissions / "ada" / "hints.json").write_text('{"wilson": 2, "other": 3}')
    kept = [
        {"question": "the <colour>", "answer": "red", "confidence": 0.9},
        {"question": "the <colour>", "truth": "blue"},
    ]
    kept += [{"question": "not yet", "answer": [1, 2], "confidence": 0.5}]
    (submissions / "ada" / "predictions.jsonl").write_text("\n".join(json.dumps(one | {"time": "t"}) for one in kept))
    (submissions / "ada" / exercises.CHAPTERS).mkdir()
    nbformat.write(notebook("one = 1", "two = 2"), submissions / "ada" / exercises.CHAPTERS / f"{CHAPTER}.ipynb")
    (found,) = grade.grade(submissions, echo=str)
    assert found.hints == 2 and found.passed == 1
    page = (submissions / "feedback" / "ada.html").read_text()
    assert "1 of 2 passed, hints asked for: 2" in page
    cells = re.findall("<td>(.*?)</td>", page.partition("<h2>The predictions</h2>")[2])
    assert cells == ["the &lt;colour&gt;", "red", "90%", "blue", "not so", "t"]
    assert "1 prediction, right: 0 %" in page


def test_what_a_student_names_is_text_on_the_page(tmp_path):
    one = grade.Grade("<b>/x.ipynb", exercises=["failed"], messages=["<script>"])
    feedback.write(tmp_path, [one], {})
    page = (tmp_path / "<b>.html").read_text()
    assert "<script>" not in page and "<h1>&lt;b&gt;</h1>" in page


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"memory": -1}])
def test_limits_must_be_positive(submissions, limits):
    with pytest.raises(Hw3Error, match="expected positive limits"):
        grade.grade(submissions, **limits)


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert main(["grade", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["grade", str(tmp_path)]) == 2
    assert "no notebook (.ipynb) in it" in capsys.readouterr().err


SET_UP = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from hw3lib.course import checks
from hw3lib.course.checks import hidden

def _set(rng):
    y = rng.permutation(np.repeat(["a", "b"], 45))
    return np.stack([(y == "b") + 0.2 * rng.normal(size=90), 30 * rng.normal(size=90)], 1), y

hidden.SETS = {"beats_nearest_mean": _set}
X, y = _set(np.random.default_rng(0))
"""
ANSWER = "def f(X, y, T):\n    {}\n"
LEARNED = "return LogisticRegression().fit(X, y).predict(T)"


def board_of(folder):
    with (folder / "leaderboard.csv").open(newline="", encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_a_class_has_a_leaderboard_on_one_hidden_set(submissions):
    def answered(answer):
        made = notebook("one = 1", answer, checks=["checks", "checks.beats_nearest_mean(f, X, y)"])
        made.cells[2].source = SET_UP
        return made

    nbformat.write(answered("raise NotImplementedError"), exercises.folder() / f"ex{CHAPTER}.ipynb")
    submit(submissions, "ada", answered(ANSWER.format(LEARNED)))
    submit(submissions, "bob", answered("def f(X, y, T):  # mine\n\n    'fits'\n    " + LEARNED))
    submit(submissions, "cem", answered(ANSWER.format("return NearestCentroid().fit(X, y).predict(T)")))
    submit(submissions, "dan", answered(ANSWER.format("return 1 / 0")))
    submit(submissions, "eve", answered("raise NotImplementedError"))
    submit(submissions, "=fay", answered(ANSWER.format("return np.full(len(T), 'a')")))
    grade.grade(submissions, echo=str)
    board = board_of(submissions)
    assert sorted(board) == ["'=fay", "ada", "bob", "cem", "dan"]  # who gave no answer has no row
    assert {name: (row["outcome"], row["rank"]) for name, row in board.items() if name in ("ada", "bob", "dan")} == {
        "ada": ("passed", "1"), "bob": ("passed", "1"), "dan": ("failed", "")
    }  # fmt: skip
    assert board["cem"]["outcome"] == "failed" and int(board["cem"]["rank"]) >= 3  # two are first
    assert board["ada"]["score"] == board["bob"]["score"] > "0.9" and board["dan"]["score"] == ""
    assert float(board["ada"]["gain_low"]) > 0 and float(board["ada"]["gain_p"]) < 0.05 < float(board["cem"]["gain_p"])
    assert (board["ada"]["same_code"], board["bob"]["same_code"], board["cem"]["same_code"]) == ("bob", "ada", "")
    (seed,) = {row["hidden_set"] for row in board.values()}
    page = (submissions / "leaderboard.html").read_text()
    assert f"<h2>{CHAPTER}, exercise 2: accuracy on 90 hidden images</h2>" in page and "same code as bob" in page
    assert "significantly better" in page and "<td>=fay</td>" in page
    ada = (submissions / "feedback" / "ada.html").read_text()
    assert (
        "over the baseline +" in ada
        and "passed the check</h3><p>significantly better than the nearest class mean" in ada
        and "<summary>the answer</summary><pre>def f(X, y, T):" in ada
        and 'href="../leaderboard.html"' in ada
        and "leaderboard" not in ((submissions / "feedback" / "dan.html").read_text())
    )

    later = submissions.parent / "later"  # the next week, into the same file: one is new, one better than before
    later.mkdir()
    submit(later, "cem", answered(ANSWER.format(LEARNED)))
    submit(later, "gil", answered(ANSWER.format(LEARNED)))
    grade.grade(later, submissions / "grades2.csv", echo=str)
    merged = board_of(submissions)
    assert sorted(merged) == ["'=fay", "ada", "bob", "cem", "dan", "gil"]
    assert merged["gil"]["score"] == merged["cem"]["score"] == board["ada"]["score"]  # the same hidden images
    assert merged["cem"]["same_code"] == "ada, bob, gil" and {row["hidden_set"] for row in merged.values()} == {seed}
    unchanged = [name for name in leaderboard.COLUMNS if name not in ("rank", "same_code")]
    assert all(merged["'=fay"][name] == board["'=fay"][name] for name in unchanged)


def test_rows_are_ranked_within_their_exercise_and_ties_share_a_rank():
    def row(exercise, student, score, answer=""):
        return dict.fromkeys(leaderboard.COLUMNS, "") | {
            "exercise": exercise, "student": student, "submission": f"{student}/x.ipynb", "score": score,
            "answer": answer, "graded": "t", "hidden_set": 1,
        }  # fmt: skip

    rows = [row("B", "ada", 0.5), row("A", "ada", 0.9, "x"), row("A", "bob", 0.9, "y"), row("A", "cem", "", "x")]
    rows += [row("A", "dan", 0.8), row("A", "eve", 0.0)]
    ranked = leaderboard.merged(rows, [row("A", "dan", 0.95)])
    found = [(one["exercise"], one["student"], one["rank"], one["same_code"]) for one in ranked]
    assert found == [
        ("A", "dan", 1, ""), ("A", "ada", 2, "cem"), ("A", "bob", 2, ""), ("A", "eve", 4, ""), ("A", "cem", "", "ada"),
        ("B", "ada", 1, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\x00", "exercise,rank\nx,1,2\n"])
def test_what_is_no_leaderboard_is_refused_before_anything_is_graded(submissions, content):
    submit(submissions, "ada", notebook("one = 1", "two = 2"))
    path = submissions / "leaderboard.csv"
    path.write_text(content)
    if content:
        with pytest.raises(Hw3Error, match=r"leaderboard.csv: is no leaderboard .* move it away"):
            grade.grade(submissions, echo=str)
        assert path.read_text() == content and not (submissions / "grades.csv").exists()
    else:
        assert leaderboard.read(path) == []


@pytest.mark.parametrize("figure", ["accuracy", "AUROC"])
def test_a_score_of_either_figure_has_the_leaderboard_s_columns(figure, tmp_path):
    """The interval of an AUROC has a p-value of its own, which is no column."""
    right, plain = np.repeat([True, False], [9, 1]), np.repeat([True, False], 5)
    gain = share_difference(right, plain)
    own = wilson_interval(9, 10) if figure == "accuracy" else auroc_interval(plain, np.arange(10)[::-1])
    score = hidden.Score(figure, 10, ("a", own), ("b", own), own, gain, gain)
    row = dict.fromkeys(leaderboard.COLUMNS, "") | score.columns()
    assert list(row) == leaderboard.COLUMNS
    leaderboard.write(tmp_path / "leaderboard.csv", [row])


def test_a_leaderboard_is_read_as_it_was_written(tmp_path):
    rows = [dict.fromkeys(leaderboard.COLUMNS, "") | {"student": "-x", "hidden_set": "3", "gain": -0.25}]
    leaderboard.write(tmp_path / "leaderboard.csv", rows)
    assert leaderboard.read(tmp_path / "leaderboard.csv") == rows
    assert "'-x" in (tmp_path / "leaderboard.csv").read_text()


def test_code_is_the_same_whatever_its_comments():
    assert leaderboard.digest("def f(x):\n  return x") == leaderboard.digest("# a\ndef f(x):\n    'b'\n    return (x)")
    assert leaderboard.digest("def f(x): return x") != leaderboard.digest("def f(x): return -x")
    assert leaderboard.digest("def") == ""
