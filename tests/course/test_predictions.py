"""Predictions are asked for before a result is there, kept, and judged by the first answer and the first truth."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from hw3lib.core.places import project_root
from hw3lib.course import exercises, outcome, predict
from hw3lib.course.build import convert
from hw3lib.course.predictions import FILE, PredictFirst, calibration, describe, judged

COLOURS = ["red", "green"]


@pytest.fixture(autouse=True)
def student(tmp_path, monkeypatch):
    """A student's folder, in whose chapters somebody works."""
    (tmp_path / exercises.CHAPTERS).mkdir()
    monkeypatch.chdir(tmp_path / exercises.CHAPTERS)
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    return tmp_path


def test_an_open_prediction_ends_the_cell_in_a_question(capsys):
    for dots in ((), (..., 0.8), ("red", ...)):
        with pytest.raises(PredictFirst, match="predict first: the colour. Write one of red, green, and how sure"):
            predict("the colour", *dots, among=COLOURS)
    with pytest.raises(PredictFirst, match=r"Write \(low, high\), two numbers"):
        predict("the number", (3, ...), 0.8)
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_cell("from hw3lib.course import predict\npredict('the colour', ..., ..., among=['red', 'green'])")
    shown = capsys.readouterr().out
    assert shown.startswith("predict first: the colour") and len(shown.splitlines()) == 1


def test_it_is_kept_in_the_students_folder_and_shown_beside_the_truth(student, capsys):
    predict("the colour", "red", 0.9, among=COLOURS)
    predict("the number", (2, 5.5), 0.5)
    assert capsys.readouterr().out == "predicted: red, 90 % sure\npredicted: 2 to 5.5, 50 % sure\n"
    outcome("the colour", "red")
    outcome("the number", np.int64(7))
    assert capsys.readouterr().out == (
        "the colour: red (you predicted red, 90 % sure: right)\n"
        "the number: 7 (you predicted 2 to 5.5, 50 % sure: not so)\n"
    )
    kept = [json.loads(line) for line in (student / FILE).read_text().split("\n") if line]
    assert [sorted(one) for one in kept] == 2 * [["answer", "confidence", "question", "time"]] + 2 * [
        ["question", "time", "truth"]
    ]
    table = judged()
    assert table["right"].tolist() == [True, False] and table["answer"].tolist() == ["red", "2 to 5.5"]
    assert table["time"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00").all()


@pytest.mark.parametrize(("truth", "right"), [(2, True), (5, True), (1.99, False), (5.01, False), ("2", False)])
def test_a_number_is_right_between_its_ends(truth, right):
    predict("the number", (2, 5), 0.5)
    outcome("the number", truth)
    assert judged()["right"].tolist() == [right]


def test_of_several_that_are_equally_right_any_will_do(capsys):
    predict("the colour", "green", 0.6, among=COLOURS)
    outcome("the colour", {"red", "green"})
    outcome("the colour", pd.array(["red", "green"], dtype="string"))
    outcome("the colour", pd.Series({"red": 2.0, "green": 2.0, "blue": 1.0, "grey": np.nan}))
    said = "the colour: green, red (you predicted green, 60 % sure: right)\n"
    assert capsys.readouterr().out.endswith(3 * said)


@pytest.mark.parametrize(
    ("answer", "among"),
    [
        ("blue", COLOURS),
        (3, COLOURS),
        (None, COLOURS),
        (["red"], COLOURS),
        ((1, 2), COLOURS),
        ("red", None),
        (3, None),
        ((5, 2), None),
        ((1, 2, 3), None),
        ((1, "2"), None),
        ((1, np.nan), None),
        ((-np.inf, np.inf), None),
        ((False, True), None),
        (np.array([1, 2]), None),
    ],
)
def test_an_answer_of_the_wrong_kind_is_refused_and_not_kept(answer, among, student):
    with pytest.raises(PredictFirst, match="the thing: expected (one of red, green|.low, high., two numbers).*, found"):
        predict("the thing", answer, 0.5, among=among)
    assert not (student / FILE).exists()


@pytest.mark.parametrize("confidence", [0, -0.1, 1.01, 90, "0.9", None, True, np.nan])
def test_how_sure_is_a_share(confidence, student):
    with pytest.raises(PredictFirst, match="expected how sure you are, above 0 and up to 1, found"):
        predict("the colour", "red", confidence, among=COLOURS)
    assert not (student / FILE).exists()


def test_the_first_prediction_counts(student, capsys):
    predict("the colour", "red", 0.9, among=COLOURS)
    predict("the colour", "red", 0.9, among=COLOURS)
    before = (student / FILE).read_bytes()
    capsys.readouterr()
    predict("the colour", "green", 0.9, among=COLOURS)
    predict("the colour", "red", 0.8, among=COLOURS)
    predict("the colour", ..., ..., among=COLOURS)  # a new copy of the chapter does not ask again
    said = capsys.readouterr().out.splitlines()
    counts = ["your first prediction counts", "your first prediction counts", "predicted"]
    assert [one.partition(":")[0] for one in said] == counts and all(": red, 90 % sure, 20" in one for one in said)
    assert (student / FILE).read_bytes() == before
    outcome("the colour", "green")
    outcome("the colour", "red")
    assert judged()[["answer", "truth", "right"]].to_numpy().tolist() == [["red", "green", False]]


def test_a_prediction_after_the_fact_does_not_count(capsys):
    outcome("the colour", "red")  # the cell was passed over
    capsys.readouterr()
    predict("the colour", "red", 1, among=COLOURS)
    predict("the colour", ..., ..., among=COLOURS)
    outcome("the colour", "red")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("this does not count: the result was shown before, 20") and said[1:] == [
        "the colour: red"
    ]
    assert judged().empty


def test_what_was_not_measured_judges_nobody(student, capsys):
    predict("the number", (2, 5), 0.5)
    for nothing in (None, float("nan"), [], np.array([]), pd.Series([], dtype=float), pd.Series([np.nan])):
        outcome("the number", nothing)
    assert capsys.readouterr().out.splitlines()[1:] == ["the number: not measured here"] * 6
    assert judged().empty
    outcome("the number", 3)
    assert len(judged()) == 1


def test_without_the_file_it_begins_anew_and_what_is_broken_in_it_is_passed_over(student, capsys):
    predict("the colour", "red", 0.9, among=COLOURS)
    (student / FILE).unlink()
    capsys.readouterr()
    outcome("the colour", "red")
    assert capsys.readouterr().out == "the colour: red\n"
    with (student / FILE).open("ab") as file:
        file.write(
            b'\nno JSON\n[1]\n{"question": "a"}\n\xff\n{"question": "b", "answer": {}, "confidence": 1, "time": ""}'
        )
        file.write(b'\n{"question": "c", "answer": [1, "x"], "confidence": 0.5, "time": "t"}')
        file.write(b'\n{"question": "c", "truth": {}, "time": "t"}\n{"question": "the numb')  # cut off
    predict("the number", (2, 5), 0.5)
    outcome("the number", 3)
    assert judged()["question"].tolist() == ["the number"]


def test_two_notebooks_at_once(student):
    code = (
        "import sys\nfrom hw3lib.course import outcome, predict\n"
        "for n in range(100):\n    question = f'{sys.argv[1]} {n}' + 'x' * 900\n"
        "    predict(question, (n, n), 0.5)\n    outcome(question, n)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.DEVNULL) for name in "ab"]
    assert [one.wait() for one in both] == [0, 0]
    assert len(judged()) == 200 and judged()["right"].all()
    records = [json.loads(line) for line in (student / FILE).read_text().split("\n") if line]
    assert len(records) == 400


@pytest.mark.parametrize("where", ["headless", "elsewhere"])
def test_nothing_stops_where_nobody_is_asked(where, student, monkeypatch, tmp_path_factory, capsys):
    if where == "headless":
        monkeypatch.setenv("HW3_HEADLESS", "1")
    else:
        monkeypatch.chdir(tmp_path_factory.mktemp("notebooks"))
    predict("the colour", ..., ..., among=COLOURS)
    predict("the number", (..., ...), 0.5)
    outcome("the number", 2.0)
    outcome("the colour", "red")
    assert capsys.readouterr().out == "the number: 2\nthe colour: red\n"
    assert not list(student.rglob(FILE)) and judged().empty
    predict("the colour", "red", 0.9, among=COLOURS)
    outcome("the colour", "red")
    kept = Path.cwd() / FILE
    assert kept.exists() == (where == "elsewhere") and not (student / FILE).exists()
    assert capsys.readouterr().out.endswith("the colour: red\n") == (where == "headless")


def test_of_one_name_there_is_nothing_to_predict(capsys):
    predict("the colour", ..., ..., among=["red"])
    outcome("the colour", "red")
    assert capsys.readouterr().out == "the colour: red\n"


def made(confidences, right):
    return pd.DataFrame({"confidence": confidences, "right": right})


def test_the_calibration_curve_by_hand():
    table = calibration(made([0.5, 0.6, 0.61, 0.8, 1.0, 0.95], [True, False, True, True, True, False]))
    assert table["confidence"].tolist() == pytest.approx([0.55, 0.705, 0.975])
    assert table["accuracy"].tolist() == [0.5, 1.0, 0.5] and table["count"].tolist() == [2, 2, 2]
    assert calibration(judged()).empty


@pytest.mark.parametrize(
    ("confidence", "right", "said"),
    [
        ([0.9] * 10, 3 * [True] + 7 * [False], "more sure than right. Brier score 0.57, no better than"),
        ([0.6] * 20, 20 * [True], "more right than sure. Brier score 0.16, better than"),
        ([0.8] * 10, 7 * [True] + 3 * [False], "chance alone explains the difference. Brier score 0.22, better than"),
        ([0.5] * 2, [True, False], "Brier score 0.25, no better than"),
    ],
)
def test_the_sentence_is_true_of_the_table(confidence, right, said):
    text = describe(made(confidence, right))
    assert said in text and f"{len(right)} predictions, right: {100 * np.mean(right):.0f} %" in text
    assert "1 prediction, right: 100 %" in describe(made([1.0], [True]))
    assert describe(judged()) == "No prediction so far has met its result."


def calls(source, name):
    """First arguments of a function's calls in a chapter, in order."""
    text = "\n".join(cell.source for cell in convert(source).cells if cell.cell_type == "code")
    return re.findall(rf'\b{name}\(\s*"([^"]+)",', text)


def test_what_a_chapter_says_to_predict_it_asks():
    """A bold call to predict has a cell behind it, before the next text, that keeps the prediction."""
    for source in (project_root() / "notebooks/sources").glob("*.py"):
        cells = convert(source).cells
        for place, cell in enumerate(cells):
            if cell.cell_type == "markdown" and "**Predict" in cell.source:
                behind = [*cells[place + 1 :], cell]
                end = next(k for k, one in enumerate(behind) if one.cell_type == "markdown")
                assert any("predict(" in one.source for one in behind[:end]), f"{source.name}: {cell.source}"


def test_each_chapter_asks_twice_or_more_before_the_outcome_and_no_question_twice():
    asked = {source: calls(source, "predict") for source in sorted((project_root() / "notebooks/sources").glob("*.py"))}
    for source, questions in asked.items():
        assert len(questions) >= 2 and sorted(questions) == sorted(calls(source, "outcome"))
        text = source.read_text()
        assert all(text.index(f'predict("{one}"') < text.rindex(f'"{one}",') for one in questions)
    every = [question for questions in asked.values() for question in questions]
    assert len(set(every)) == len(every)
