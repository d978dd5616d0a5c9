"""hw3 compare: differences of origin, intervals, times, and rows that stand elsewhere."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest

from hw3lib.cli.main import main
from hw3lib.core.intervals import NOT_SIGNIFICANT, Interval, difference_interval
from hw3lib.errors import Hw3Error
from hw3lib.runs import compare as compared_runs
from hw3lib.runs.compare import DIFFERS, MISSING, SAME, SIGNIFICANT, TEXT, compare_runs

METRICS = {
    "notebook": "02",
    "category": "widget",
    "profile": "quick",
    "seeds": {"splits": 0},
    "versions": {"torch": "2.0", "numpy": "1.26"},
    "device": "cpu",
    "data_digest": "d" * 64,
    "code": "c" * 64,
    "seconds": 10.0,
    "leaderboard": [
        {"attempt": "transfer", "accuracy": 0.8, "ci_low": 0.7, "ci_high": 0.9, "balanced_accuracy": 0.78,
         "gain": 0.3, "gain_low": 0.2, "gain_high": 0.4, "n_splits": 10, "seconds": 4.0, "needed": 700},
        {"attempt": "baseline", "accuracy": 0.5, "ci_low": 0.4, "ci_high": 0.6, "balanced_accuracy": 0.5,
         "gain": None, "gain_low": None, "gain_high": None, "n_splits": 10, "seconds": 1.0},
    ],
    "best": "transfer",
}  # fmt: skip


def write(folder: Path, metrics: dict, record: dict | None = None, number: str = "02") -> Path:
    (folder / number).mkdir(parents=True, exist_ok=True)
    (folder / number / "metrics.json").write_text(json.dumps(metrics))
    if record is not None:
        (folder / number / "run.json").write_text(json.dumps({"fingerprint": record}))
    return folder


@pytest.fixture
def runs(tmp_path):
    """A run, and a function that writes another one, changed."""
    a = write(tmp_path / "a", METRICS, {"parameters": {"seed": 0, "n_splits": 10}, "notebook": "n", "hw3lib": "h"})

    def other(change=lambda metrics: None, record: dict | None = None) -> Path:
        metrics = copy.deepcopy(METRICS)
        change(metrics)
        same = {"parameters": {"seed": 0, "n_splits": 10}, "notebook": "n", "hw3lib": "h"}
        return write(tmp_path / "b", metrics, record or same)

    return a, other


def verdicts(done) -> dict[str, str]:
    return {row.figure: row.verdict for row in done.rows if row.verdict != SAME}


def test_a_run_and_its_copy_are_equal_and_times_do_not_count(runs):
    a, other = runs
    needed = compare_runs(a, other(lambda m: m["leaderboard"][0].update(needed=1400)))
    assert needed.equal and list(verdicts(needed).values()) == ["2.00 times"]
    done = compare_runs(a, other(lambda m: m.update(seconds=20.0)))
    assert done.equal and not done.unexplained and done.origin == []
    assert verdicts(done) == {"seconds": "2.00 times"}
    assert "same data, code, versions" in compared_runs.text(done, "a", "b")


def test_the_interval_of_a_difference_is_that_computed_by_hand():
    # 3-4-5 triangles: b - a = 0.2, limits 0.03 and 0.04 below, 0.06 and 0.08 above.
    found = difference_interval(Interval(0.5, 0.42, 0.54), Interval(0.7, 0.67, 0.76))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2 - 0.05, 0.2 + 0.1))
    # Of two equal symmetric intervals: wider by the square root of two, as for independent normal estimates.
    found = difference_interval(Interval(0.5, 0.4, 0.6), Interval(0.5, 0.4, 0.6))
    assert (found.low, found.high) == pytest.approx((-0.1 * math.sqrt(2), 0.1 * math.sqrt(2)))


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [
        (0.9, NOT_SIGNIFICANT),
        (0.95, NOT_SIGNIFICANT),  # by itself p = 0.04, one of three figures that have an interval in both runs
        (0.98, SIGNIFICANT),
        (0.65, NOT_SIGNIFICANT),
        (0.62, SIGNIFICANT),
    ],
)
def test_figures_with_intervals_differ_significantly_where_all_of_them_together_say_so(runs, accuracy, verdict):
    # Both intervals are +-0.1, so that the difference's is +-0.1414.
    def change(m):
        m["seeds"] = {"splits": 1}
        m["leaderboard"][0].update(accuracy=accuracy, ci_low=accuracy - 0.1, ci_high=accuracy + 0.1)

    a, other = runs
    done = compare_runs(a, other(change))
    assert verdicts(done) == {"leaderboard[transfer].accuracy": verdict}
    assert done.equal == (verdict == NOT_SIGNIFICANT)
    assert done.origin == [("02", "seeds: splits", 0, 1)] and not done.unexplained


def test_limits_that_an_earlier_version_cut_off_are_not_taken_for_narrow_ones(runs):
    def change(accuracy):
        row = {"accuracy": accuracy, "ci_low": accuracy - 0.3, "ci_high": min(1.0, accuracy + 0.3)}
        return lambda m: m["leaderboard"][0].update(row)

    a, other = runs
    found = [row.difference for row in compare_runs(a, other(change(0.95))).rows if row.figure.endswith("].accuracy")]
    uncut = difference_interval(Interval(0.8, 0.7, 0.9), Interval(0.95, 0.65, 1.25))
    assert (found[0].low, found[0].high) == pytest.approx((uncut.low, uncut.high))


def test_numbers_without_an_interval_are_the_same_or_they_differ(runs):
    a, other = runs
    b = other(lambda m: m["leaderboard"][1].update(balanced_accuracy=0.500001))
    assert compare_runs(a, b).equal
    b = other(lambda m: m["leaderboard"][1].update(balanced_accuracy=0.51))
    done = compare_runs(a, b)
    assert verdicts(done) == {"leaderboard[baseline].balanced_accuracy": DIFFERS} and not done.equal
    assert done.unexplained and "not repeatable" in compared_runs.text(done, "a", "b")
    assert compare_runs(a, b, tolerance=0.03).equal


def test_rows_are_found_wherever_they_stand_and_missing_ones_are_named(runs):
    a, other = runs
    assert compare_runs(a, other(lambda m: m["leaderboard"].reverse())).equal
    done = compare_runs(a, other(lambda m: m["leaderboard"].pop(0)))
    assert verdicts(done) == {"leaderboard[transfer]": MISSING} and not done.equal
    done = compare_runs(a, other(lambda m: m["leaderboard"][1].update(gain=0.1, gain_low=0.0, gain_high=0.2)))
    assert verdicts(done)["leaderboard[baseline].gain"] == MISSING


def test_texts_follow_from_numbers_and_are_not_judged(runs):
    a, other = runs
    done = compare_runs(a, other(lambda m: m.update(best="baseline")))
    assert verdicts(done) == {"best": TEXT} and done.equal


def test_everything_that_the_results_came_from_is_compared(runs):
    a, other = runs

    def change(m):
        m.update(
            category="bolt",
            data_digest="e" * 64,
            device="cuda",
            code="f" * 64,
            versions={"torch": "2.1", "numpy": "1.26"},
        )

    record = {"parameters": {"seed": 0, "n_splits": 30}, "notebook": "x", "hw3lib": "y"}
    done = compare_runs(a, other(change, record))
    assert {what for _, what, _, _ in done.origin} == {
        "category", "data_digest", "device", "code", "versions: torch", "parameters: n_splits", "notebook's source"
    }  # fmt: skip
    said = compared_runs.text(done, "a", "b")
    assert "eeeeeeeeeeee…" in said and "versions: torch" in said and "seed" not in said
    # metrics.json of older runs do not say the code; run.json does.
    for folder in (a, a.parent / "b"):
        metrics = json.loads((folder / "02/metrics.json").read_text())
        del metrics["code"]
        (folder / "02/metrics.json").write_text(json.dumps(metrics))
    assert ("02", "code", "h", "y") in compare_runs(a, a.parent / "b").origin


def test_the_interval_of_an_auroc_belongs_to_that_of_the_image():
    row = {"pixel_auroc": 0.9, "image_auroc": 0.8, "auroc_low": 0.7, "auroc_high": 0.9, "behind": 0.0,
           "behind_low": -0.1, "behind_high": 0.1, "f1_max": 0.5}  # fmt: skip
    found = compared_runs._intervals({"detector": "x", "image_auroc": 0.8, **row})
    assert found == {"image_auroc": "auroc", "behind": "behind"}
    assert compared_runs._intervals({"recall": 0.5, "gain_low": 0.1}) == {}


def test_notebooks_are_chosen_and_those_of_one_run_alone_are_a_difference(runs, tmp_path):
    a, other = runs
    b = other()
    write(a, {**METRICS, "notebook": "04"}, number="04")
    done = compare_runs(a, b)
    assert [(row.notebook, row.verdict) for row in done.rows if row.verdict != SAME] == [("04", MISSING)]
    assert not done.equal and compare_runs(a, b, ["2"]).equal
    with pytest.raises(Hw3Error, match="b: has no notebook 04; it has 02"):
        compare_runs(a, b, ["04"])


def test_what_is_no_run_is_refused(runs, tmp_path, monkeypatch):
    a, other = runs
    b = other()
    monkeypatch.setattr(compared_runs, "project_root", lambda: tmp_path / "project")
    with pytest.raises(Hw3Error, match="nowhere: no run there or in"):
        compare_runs(a, "nowhere")
    with pytest.raises(Hw3Error, match="--tolerance -1: expected"):
        compare_runs(a, b, tolerance=-1)
    (b / "02/metrics.json").write_text("[")
    with pytest.raises(Hw3Error, match="metrics.json: no JSON object"):
        compare_runs(a, b)
    write(tmp_path / "project/runs/named", METRICS)
    assert compare_runs(a, "named").origin  # its run.json is missing, so its parameters are not known


def test_the_command_says_it_by_its_exit_code(runs, capsys):
    a, other = runs
    assert main(["compare", str(a), str(other()), "02"]) == 0
    b = other(lambda m: m["leaderboard"][0].update(accuracy=0.1, ci_low=0.0, ci_high=0.2, n_splits=10))
    assert main(["compare", str(a), str(b)]) == 1
    said = capsys.readouterr().out
    assert "leaderboard[transfer].accuracy" in said and "1 significant" in said and "-0.700 (-0.841 to -0.559)" in said
