"""Answers that outlive kills and two reviewers, taking them back, and which photograph is asked about next."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from hw3lib.errors import Hw3Error
from hw3lib.inspection.corrections.answers import Answer, Store, take_answers
from hw3lib.inspection.corrections.review import defect_probability, ranked

_KILLS = int(os.environ.get("HW3_KILLS", "2"))  # 100 were survived
_REVIEWER = """
import sys
from hw3lib.inspection.corrections.answers import Store
store, name = Store(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
while (file := store.take(sys.argv[3:], name)) is not None:
    store.answer(file, "good", reviewer=name, key=f"{file} by {name}")
    print(file, flush=True)
print("done", flush=True)
"""


@pytest.fixture
def photographs(tmp_path) -> list[str]:
    files = [tmp_path / f"{i:03d}.png" for i in range(60)]
    for file in files:
        file.write_bytes(file.name.encode())
    return [str(file) for file in files]


def reviewer(base: Path, name: str, files: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", _REVIEWER, str(base), name, *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_answers_stand_until_they_are_taken_back(photographs, tmp_path):
    store = Store(tmp_path / "a.sqlite")
    store.answer(photographs[0], "defect", "scratch", reviewer="a")
    store.answer(photographs[1], "good", "scratch", reviewer="a")
    first = store.answers()[photographs[0]]
    assert (first.answer, first.type, len(first.digest)) == ("defect", "scratch", 64)
    assert store.answers()[photographs[1]].type == ""
    assert store.undo("b") is None and store.undo("a") == photographs[1] and store.undo("a") == photographs[0]
    assert store.undo("a") is None and store.answers() == {}
    with pytest.raises(Hw3Error, match="found the answer 'bad', expected good, defect and unsure"):
        store.answer(photographs[0], "bad")
    with pytest.raises(Hw3Error, match="none.png: cannot be read"):
        store.answer(str(tmp_path / "none.png"), "good")


def test_what_is_shown_to_one_is_not_shown_to_another(photographs, tmp_path):
    store = Store(tmp_path / "a.sqlite")
    assert [store.take(photographs, name) for name in "aaba"] == [photographs[i] for i in (0, 0, 1, 0)]
    store.answer(photographs[0], "good", reviewer="b")
    assert store.take(photographs, "a") == photographs[2]


def test_what_is_sent_twice_counts_once(photographs, tmp_path):
    store = Store(tmp_path / "a.sqlite")
    for _ in range(2):
        store.answer(photographs[0], "good", key="one")
        store.answer(photographs[1], "good", key="two")
    for _ in range(2):
        assert store.undo(key="three") == photographs[1]
    assert list(store.answers()) == [photographs[0]]


def test_people_who_disagree_teach_nothing_and_who_is_unsure_does_not_disagree(photographs, tmp_path):
    store = Store(tmp_path / "a.sqlite")
    for who, answer, type in (("a", "defect", "cut"), ("b", "good", ""), ("b", "defect", "hole"), ("c", "unsure", "")):
        store.answer(photographs[0], answer, type, reviewer=who)
    assert store.answers()[photographs[0]].answer == "defect" and store.answers()[photographs[0]].type == ""
    store.answer(photographs[0], "good", reviewer="c")
    assert store.answers()[photographs[0]].answer == "disputed"
    Path(photographs[0]).write_bytes(b"another photograph of that name")
    store.answer(photographs[1], "good", reviewer="a")
    Path(photographs[1]).write_bytes(b"another")
    store.answer(photographs[1], "good", reviewer="b")
    assert store.answers()[photographs[1]].answer == "disputed"


def test_rows_are_added_and_never_changed(photographs, tmp_path):
    store = Store(tmp_path / "a.sqlite")
    store.answer(photographs[0], "good")
    with sqlite3.connect(tmp_path / "a.sqlite") as base:
        for change in ("DELETE FROM events", "UPDATE events SET action = 'defect'"):
            with pytest.raises(sqlite3.IntegrityError, match="rows stay"):
                base.execute(change)


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "a.sqlite").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(Hw3Error, match="a.sqlite: cannot hold answers"):
        Store(tmp_path / "a.sqlite")
    with pytest.raises(Hw3Error, match="no answers are kept there"):
        Store(tmp_path / "b.sqlite", new=False)
    with sqlite3.connect(tmp_path / "c.sqlite") as base:
        base.execute("PRAGMA user_version = 9")
    with pytest.raises(Hw3Error, match="found format 9, expected 1"):
        Store(tmp_path / "c.sqlite")


def test_two_reviewers_at_once_share_the_photographs(photographs, tmp_path):
    both = [reviewer(tmp_path / "a.sqlite", name, photographs) for name in "ab"]
    assert all(process.stdout.readline() == "ready\n" for process in both)
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda process: process.communicate("go\n", timeout=120)[0].split(), both))
    assert [process.returncode for process in both] == [0, 0]
    files = [file for each in said for file in each if file not in ("ready", "done")]
    assert sorted(files) == photographs and set(Store(tmp_path / "a.sqlite").answers()) == set(photographs)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills")
def test_killed_at_any_moment_no_answer_is_lost_or_there_twice(photographs, tmp_path):
    base, rng, said = tmp_path / "a.sqlite", np.random.default_rng(0), []
    for kill in range(_KILLS):
        if not kill % 30 or len(set(said)) == len(photographs):
            base, said = tmp_path / f"{kill}.sqlite", []
        process = reviewer(base, "a", photographs)
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        said += [line for line in process.communicate()[0].split("\n")[:-1] if line != "done"]
        with sqlite3.connect(base) as opened:
            rows = [file for (file,) in opened.execute("SELECT file FROM events WHERE action = 'good'")]
            assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert len(rows) == len(set(rows)) and set(said) <= set(rows) and len(set(rows) - set(said)) <= kill + 1
    assert Store(base).take(photographs, "b") not in said


def results(scores: list[float], threshold: float = 1.0) -> pd.DataFrame:
    files = [f"{i}.png" for i in range(len(scores))]
    return pd.DataFrame(
        {"file": files, "score": scores, "threshold": threshold, "anomalous": np.array(scores) > threshold}
    )


def test_the_least_certain_photograph_is_asked_about_first():
    rows = results([0.0, 0.5, 0.99, 1.01, 3.0, float("nan")])
    order = ranked(rows, {})
    assert set(order[:2]) == {"2.png", "3.png"} and set(order[-2:]) == {"0.png", "4.png"} and len(order) == 5
    assert "3.png" not in ranked(rows, {"3.png": Answer("3.png", "", "unsure")})


def test_answers_move_what_is_uncertain():
    """Where all that was stopped was good, what scores higher is uncertain now."""
    x = np.linspace(-1, 3, 41)
    before = x[np.abs(defect_probability(x, np.zeros(0), np.zeros(0, bool)) - 0.5).argmin()]
    known = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    after = x[np.abs(defect_probability(x, known, np.zeros(5, bool)) - 0.5).argmin()]
    assert before == pytest.approx(0) and after > 0.4
    assert (np.diff(defect_probability(x, known, np.zeros(5, bool))) >= 0).all()


def test_the_most_probable_function_is_found_whatever_is_answered():
    """Beside scipy's minimiser, also where many answers contradict the scores or say the same."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        n = int(rng.integers(1, 60))
        known, said = rng.normal(0, 2, n), rng.random(n) < rng.random()
        clipped = np.clip(known, -3, 3)

        def loss(weights, x=clipped, y=said):
            odds = weights[0] + weights[1] * x
            return (np.logaddexp(0, odds) - y * odds).sum() + weights[0] ** 2 / 8 + (weights[1] - 3) ** 2 / 2

        best = minimize(loss, [0.0, 3.0], method="BFGS").x
        x = np.linspace(-3, 3, 7)
        assert defect_probability(x, known, said) == pytest.approx(1 / (1 + np.exp(-best[0] - best[1] * x)), abs=1e-3)


def test_answers_of_a_table_count_once(photographs, tmp_path, capsys):
    table = tmp_path / "answers.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["file", "answer", "type"], [photographs[0], "defect", "cut"], [photographs[1], "good", ""]]
        )
    for _ in range(2):
        assert take_answers(tmp_path / "a.sqlite", table) == 2
    assert [a.answer for a in Store(tmp_path / "a.sqlite").answers().values()] == ["defect", "good"]
    with sqlite3.connect(tmp_path / "a.sqlite") as base:
        assert base.execute("SELECT COUNT(*) FROM events").fetchone() == (2,)
    table.write_text("name,said\n1,2\n")
    with pytest.raises(Hw3Error, match="found the columns name and said"):
        take_answers(tmp_path / "a.sqlite", table)
