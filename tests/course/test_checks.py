"""Each check takes right answers of any style, and tells each usual mistake and each cheat what it lacks."""

import ast
import re

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure
from traitlets.config import Config

from hw3lib.core.places import project_root
from hw3lib.course import checks
from hw3lib.course.build import convert
from hw3lib.course.checks import CheckFailed, NotAnswered, base, hidden, progress
from hw3lib.course.exercises import numbered
from hw3lib.data import ImageStack, get, load_table
from hw3lib.errors import Hw3Error
from tests.helpers.answers import annotate, anomaly, classify, dataset, imbalance, inspection, report

CHAPTERS = (dataset, classify, imbalance, anomaly, annotate, report, inspection)
RIGHT = [(n, answer) for chapter in CHAPTERS for n, answers in chapter.RIGHT.items() for answer in answers]
WRONG = [(n, *one) for chapter in CHAPTERS for n, answers in chapter.WRONG.items() for one in answers]
NAMES = list(dict.fromkeys(name for name, _ in RIGHT))
DATA = {
    "own_figures": (dataset.MASKS,),
    "beats_nearest_mean": (classify.FEATURES, classify.LABELS),
    "beats_pooled_features": (anomaly.GOOD,),
    "shift_padim": (anomaly.padim, anomaly.GOOD_MAPS, anomaly.TEST_MAPS, anomaly.MAPS_DEFECTIVE),
}
HIDDEN = {"beats_nearest_mean": classify.hidden, "beats_pooled_features": anomaly.hidden}
FIRST = {  # what stands before the function
    "shift_padim": (1, 0),
    "wrong_reason": classify.EXPLANATION,
    "claims": report.LETTER,
}


def ask(name, answer):
    answer = answer if isinstance(answer, tuple) else (answer,)
    getattr(checks, name)(*answer, *DATA.get(name, ()))


def with_first(name, answer):
    return (FIRST[name], answer) if name in FIRST else answer


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Cases of one seed; whoever takes the checks otherwise gets others at each call."""
    monkeypatch.setattr(base, "generator", lambda: np.random.default_rng(0))
    monkeypatch.setattr(hidden, "SETS", HIDDEN)
    monkeypatch.setattr("hw3lib.course.checks.dataset.figures_of", lambda table: dict(dataset.FIGURES))


def test_every_exercise_has_at_least_six_right_and_twelve_wrong_answers():
    found = [
        name
        for source in sorted((project_root() / "notebooks/sources").glob("*.py"))
        for cell in convert(source).cells
        if (numbered(cell) or ("",))[0] == "check"
        for name in re.findall(r"checks\.(\w+)\(", cell.source)
    ]
    assert sorted(found) == sorted(NAMES)
    for name in NAMES:
        assert sum(n == name for n, _ in RIGHT) >= 6 and sum(n == name for n, *_ in WRONG) >= 12, name


@pytest.mark.parametrize(("name", "answer"), RIGHT, ids=[f"{name}-{k}" for k, (name, _) in enumerate(RIGHT)])
def test_a_right_answer_passes_with_one_line(name, answer, capsys):
    ask(name, answer)
    *board, last = capsys.readouterr().out.splitlines()
    assert last.startswith("correct: ") and len(board) == (6 if name in HIDDEN else 0)


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        (0.5, 0.6, ("0.5", "0.6")),
        (0.123456, 0.123457, ("0.123456", "0.123457")),
        (1 / 3, 1 / 3 + 1e-7, ("0.333333333", "0.333333433")),
        (np.float64(2.00001), np.array(2.0), ("2.00001", "2")),
        (np.arange(99), np.append(np.arange(98), 7), ("[98] from place 98 on", "[7]")),
        (np.ones((2, 60)), np.ones((2, 60)) + 1e-8 * np.eye(2, 60, 50), ("[1.0, 1.0, ", "[1.00000001, 1.0, ")),
        ("dent", "hole", ("'dent'", "'hole'")),
    ],
)
def test_two_values_that_differ_are_said_with_what_differs(expected, found, said):
    one, two = base.apart(expected, found)
    assert one.startswith(said[0]) and two.startswith(said[1]) and one != two


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG, ids=[f"{n}-{k}" for k, (n, *_) in enumerate(WRONG)])
def test_a_wrong_answer_is_told_what_it_lacks(name, answer, hint, capsys):
    with pytest.raises(CheckFailed) as caught:
        ask(name, answer)
    assert hint in str(caught.value)
    assert "correct" not in capsys.readouterr().out


def unanswered(*_):
    raise NotImplementedError


ODD = [
    (lambda *_: None, "is there a return statement"),
    (lambda *_: 1 / 0, r"line \d+ \(.*1 / 0.*\): division by zero"),
    (lambda *_: exit(), "raised SystemExit"),
    (3.0, "expected your function, found 3"),
    (lambda: 1, "takes 0 positional arguments"),
    (lambda *_: object(), "."),
    (lambda *_: [[1], [2, 3]], "."),
    (lambda *_: pd.DataFrame({"x": [1]}), "."),
    (lambda *_: "many", "."),
    (lambda *_: {"a": 1}, "."),
]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "own_figures"])  # which takes numbers
def test_an_odd_answer_is_no_crash(name):
    with pytest.raises(NotAnswered, match="not answered yet"):
        ask(name, with_first(name, unanswered))
    for place in range(1 + (name in FIRST)):
        with pytest.raises(NotAnswered):
            ask(name, ... if name not in FIRST else [(..., len), (FIRST[name], ...)][place])
    for answer, message in ODD:
        with pytest.raises(CheckFailed, match=message) as caught:
            ask(name, with_first(name, answer))
        assert caught.value.__suppress_context__ and "cannot be judged" not in str(caught.value)


def test_figures_that_are_not_there_yet_are_no_wrong_ones():
    for answer in (..., {name: ... for name in dataset.FIGURES}):
        with pytest.raises(NotAnswered):
            ask("own_figures", answer)


def test_a_call_that_is_not_implemented_in_a_library_is_an_error_of_the_answer(monkeypatch):
    def answer(labels):
        return pd.Series(labels)._not_there_yet()

    names: dict = {}
    exec("def missing(self):\n    raise NotImplementedError('only for numbers')", names)
    monkeypatch.setattr(pd.Series, "_not_there_yet", names["missing"], raising=False)
    with pytest.raises(CheckFailed, match="only for numbers") as caught:
        checks.imbalance_ratio(answer)
    assert not isinstance(caught.value, NotAnswered)


@pytest.mark.parametrize("code", ["raise NotImplementedError", "return x.nothing", "return [1]", "return 0.5"])
def test_a_notebook_shows_a_sentence_and_no_line_of_the_check(code, capsys):
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_cell(f"def ratio(x):\n    {code}")
    shell.run_cell("from hw3lib.course import checks\nchecks.imbalance_ratio(ratio)")
    shown = capsys.readouterr().out
    assert "not answered yet: " in shown or "not yet: " in shown
    assert len(shown.splitlines()) == 1 and "Traceback" not in shown
    if "nothing" in code:
        assert "line 2 (return x.nothing)" in shown


def test_a_check_that_crashes_itself_says_so_without_a_traceback():
    @base.check
    def broken(rng, answer):
        return {}[answer]

    with pytest.raises(CheckFailed, match=r"cannot be judged \(KeyError: 3\)") as caught:
        broken(3)
    assert caught.value._render_traceback_() == [f"not yet: {caught.value}"]


def test_cases_differ_from_call_to_call(monkeypatch):
    monkeypatch.undo()
    seen: list = []

    def answer(k, n):
        seen.append((k, n))
        return 0, 0

    for _ in range(2):
        with pytest.raises(CheckFailed):
            checks.wilson(answer)
    assert seen[: len(seen) // 2] != seen[len(seen) // 2 :]


def test_a_board_shows_baseline_best_known_and_own_with_intervals(capsys):
    with pytest.raises(CheckFailed):
        ask("beats_nearest_mean", lambda x, y, t: np.full(len(t), "a"))
    score = hidden.SCORES["beats_nearest_mean"]
    title, *rows = capsys.readouterr().out.splitlines()
    assert title == "accuracy on 90 hidden images, with 95 % intervals"
    names = [
        "baseline: nearest class mean", "best known", "your answer",
        "your answer - baseline, paired", "your answer - best known, paired",
    ]  # fmt: skip
    assert all(row.startswith(f"  {name} ") for row, name in zip(rows, names, strict=True))
    assert "50.0 % (39.9 to 60.1)" in rows[2]
    assert "not significant" in rows[3] and "significantly worse" in rows[4]
    assert "logistic" not in title + "".join(rows)  # what is best known is said to who has passed
    ask("beats_nearest_mean", classify.RIGHT["beats_nearest_mean"][0])
    assert "the best known: a logistic regression" in capsys.readouterr().out.splitlines()[-1]
    assert (score.own.value, score.own.low, score.own.high) == pytest.approx((0.5, 0.399, 0.601), abs=1e-3)


def test_a_hidden_set_is_new_for_each_answer_and_kept_for_a_class(tmp_path, monkeypatch):
    monkeypatch.setattr(hidden, "_KEPT", {})
    answer = classify.pipe
    first, again, other, bare = (
        hidden.drawn("beats_nearest_mean", one)[0] for one in (answer, answer, classify.by_mean, eval("lambda: 0"))
    )
    assert np.array_equal(first, again)  # to ask twice is no second chance
    assert not np.array_equal(first, other) and not np.array_equal(first, bare)
    hidden.keep(["beats_nearest_mean", "wilson"], 5, tmp_path)
    kept = hidden.drawn("beats_nearest_mean", answer)
    monkeypatch.setattr(hidden, "SETS", dict.fromkeys(HIDDEN))  # nothing is painted again
    hidden.keep(["beats_nearest_mean"], 5, tmp_path)
    again = hidden.drawn("beats_nearest_mean", answer)
    assert all(np.array_equal(a, b) for a, b in zip(kept, again, strict=True))
    monkeypatch.setattr(hidden, "SETS", HIDDEN)
    hidden.keep(["beats_nearest_mean"], 6, tmp_path / "other")
    assert not np.array_equal(hidden.drawn("beats_nearest_mean", answer)[0], kept[0])


def test_hidden_bottles_are_painted_as_those_of_the_chapter(monkeypatch):
    monkeypatch.undo()
    images, types = hidden._painted(np.random.default_rng(0), "bottle", 256, 128, {"good": 1, "contamination": 2})
    other, _ = hidden._painted(np.random.default_rng(1), "bottle", 256, 128, {"good": 1})
    assert images.shape == (3, 3, 128, 128) and images.dtype == np.uint8
    assert sorted(types) == ["contamination", "contamination", "good"]
    (good,) = np.flatnonzero(types == "good")
    assert not np.array_equal(images[good], other[0])
    bottle = load_table(get("synthetic/bottle", progress=False), "synthetic/bottle")
    ours = ImageStack.load(bottle[bottle["defect"] == "good"].head(8), 128).images.astype(float)
    nearest = [abs(ours - one).mean((1, 2, 3)).min() for one in images.astype(float)]
    assert max(nearest) < 3 * abs(ours[0] - ours[1:]).mean((1, 2, 3)).max()  # alike as bottles are


def drawn_figures(count=3):
    figures = [Figure() for _ in range(count)]
    for figure in figures:
        figure.add_subplot().plot([1, 2])
    return dict(enumerate(figures))


RESULT = {"gain": (0.1, 0.05, 0.2), "cost": (3, 2, 4)}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((drawn_figures(), RESULT), ""),
        ((drawn_figures(2), RESULT), "2 figures, expected three"),
        ((drawn_figures(2) | {"blank": Figure()}, RESULT), "'blank' has nothing drawn"),
        (({**drawn_figures(), "text": "figure"}, RESULT), "'text' has nothing drawn"),
        ((drawn_figures(), {"gain": (0.1, 0.05, 0.2)}), "1 result, expected two"),
        ((drawn_figures(), RESULT | {"gain": (0.3, 0.05, 0.2)}), "outside its interval"),
        ((drawn_figures(), RESULT | {"gain": (0.3, 0.3, 0.3)}), "no width"),
        ((drawn_figures(), RESULT | {"gain": 0.3}), "expected numbers of the shape"),
        (drawn_figures(), "expected two dicts"),
    ],
)
def test_the_form_of_a_capstone_is_checked(value, message):
    def inspect(table):
        assert table is not None
        return value

    if not message:
        return checks.capstone_inspection(inspect, pd.DataFrame({"mask": [None]}))
    with pytest.raises(CheckFailed, match=message):
        checks.capstone_inspection(inspect, pd.DataFrame({"mask": [None]}))


def test_a_capstone_report_has_a_length_and_numbers():
    words = " ".join(f"w{chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(320))
    checks.capstone_report(f"{words} 81 % (75 to 87), 12.5 points (3 to 21)")
    for text, message in ((words, "0 numbers"), ("81 75 87 1 2 3", "6 words, expected 300"), (None, "expected a text")):
        with pytest.raises(CheckFailed, match=message):
            checks.capstone_report(text)


class Mutant(ast.NodeTransformer):
    """One operator, comparison, sign, number or name of a solution changed: the one at ``place``."""

    OTHER: dict = {
        ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr,
        ast.BitOr: ast.BitAnd, ast.GtE: ast.Gt, ast.LtE: ast.Lt, ast.Lt: ast.LtE, ast.USub: ast.UAdd, ast.Pow: ast.Mult,
    }  # fmt: skip

    NAMES: dict = {
        "min": "max", "max": "min", "idxmin": "idxmax", "idxmax": "idxmin", "mean": "sum", "any": "all",
        "train": "test", "test": "train", "val_loss": "train_loss", "low": "high", "rows": "columns", "columns": "rows",
    }  # fmt: skip

    def __init__(self, place):
        self.place, self.count = place, 0

    def here(self):
        self.count += 1
        return self.count == self.place + 1

    def generic_visit(self, node):
        super().generic_visit(node)
        for field in ("op", "ops"):
            ops = getattr(node, field, None)
            one = ops[0] if isinstance(ops, list) else ops
            if type(one) in self.OTHER and self.here():
                other = self.OTHER[type(one)]()
                setattr(node, field, [other] if isinstance(ops, list) else other)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and self.here():
            node.value += 1 if isinstance(node.value, int) else node.value / 4
        for field in ("attr", "id"):
            if getattr(node, field, None) in self.NAMES and self.here():
                setattr(node, field, self.NAMES[getattr(node, field)])
        return node


# Mutations that are right, too: a factor or constant that scaling or softmax takes out, settings of scikit-learn.
SAME = (
    "2 - beta) / (1", "1 + beta) / (1", "counts * counts.sum()", "max_iter=3001", "n_neighbors=2", "reshape(-2",
    "_patches), -2)", "(len(images), -2)", "train_images[1].size", "k=21", "maps > t", "fpr <= limit", "max(width, 1)",
    "max(height, 1)", "overlaps[best] > 0.5", "range(-2, 4)", "range(-3, 3)", "['gain_high'] <= 0",
    "16) <= share", "maximum(1, levels", "z - 0.625",
)  # fmt: skip


def solutions():
    for source in sorted((project_root() / "notebooks/sources").glob("*.py")):
        cells = {mark: cell.source for cell in convert(source).cells if (mark := numbered(cell))}
        for (kind, number), answer in cells.items():
            if kind == "answer":
                (name,) = re.findall(r"checks\.(\w+)\(", cells["check", number])
                if name != "own_figures":  # which takes numbers
                    yield name, answer


@pytest.mark.parametrize(("name", "answer"), list(solutions()), ids=[name for name, _ in solutions()])
def test_a_mutation_of_a_solution_is_refused(name, answer):
    from scipy import ndimage
    from torch import nn

    accepted = []
    answer = re.sub(r"# BEGIN SOLUTION: \w+\n.*?# END SOLUTION", "", answer, count=1, flags=re.S)
    every = Mutant(-1)
    every.visit(ast.parse(answer))
    for place in range(every.count):
        tree = Mutant(place).visit(ast.parse(answer))
        names = {"np": np, "pd": pd, "nn": nn, "ndimage": ndimage, "defects": dataset.DEFECTS}
        exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), names)
        function = next(v for k, v in reversed(names.items()) if callable(v) and k not in ("np", "nn"))
        try:
            ask(name, with_first(name, function))
            if not any(part in ast.unparse(tree) for part in SAME):
                accepted.append(ast.unparse(tree))
        except CheckFailed:
            pass
    assert every.count and not accepted


def test_each_part_of_the_capstone_has_three_hints_and_no_solution(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = project_root() / "notebooks/sources/exercises/capstone.py"
    names = re.findall(r"checks\.(capstone\w+)\(", source.read_text(encoding="utf-8"))
    assert sorted(names) == sorted(progress.CAPSTONE) and all(len(set(h)) == 3 for h in progress.CAPSTONE.values())
    for name in names:
        with pytest.raises(NotAnswered):
            getattr(checks, name)(...)
        for number in (1, 2, 3, 3):
            checks.hint()
            assert capsys.readouterr().out.startswith(f"hint {number} of 3: ")
        with pytest.raises(Hw3Error, match="has no solution"):
            checks.solution()
    assert progress.asked_hints(tmp_path) == dict.fromkeys(names, 3)


def test_hints_come_one_by_one_and_are_remembered(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "TRIED", [])
    with pytest.raises(Hw3Error, match="run the check"):
        checks.hint()
    progress.TRIED.append("wilson")
    given = progress.exercises.Guidance(["think", "do", "nearly"], "return 1")
    monkeypatch.setattr(progress.exercises, "guidance", lambda name, language="en": given)
    for expected in ("hint 1 of 3: think", "hint 2 of 3: do", "hint 3 of 3: nearly", "hint 3 of 3: nearly"):
        checks.hint()
        assert capsys.readouterr().out == expected + "\n"
    assert progress.asked_hints(tmp_path) == {"wilson": 3}
    monkeypatch.setattr(progress, "PASSED", {})
    with pytest.raises(Hw3Error, match="once the check has passed"):
        checks.solution()
    progress.PASSED["wilson"] = "yes"
    checks.solution()
    assert capsys.readouterr().out == "return 1\n"
