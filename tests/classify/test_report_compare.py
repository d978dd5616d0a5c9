"""The reader's attempts beside the four reports'."""

import json

import pytest

from hw3lib.classify.student_reports.comparison import OURS, compared, verdicts
from hw3lib.errors import Hw3Error
from hw3lib.views.plots.student_reports import intervals


@pytest.fixture
def metrics(small_run):
    return json.loads((small_run / "02/metrics.json").read_text())


def test_reports_come_with_the_wilson_intervals_of_their_test_images(metrics):
    table = compared(metrics).set_index(["source", "row"])
    assert len(table) == 10
    # Wilson's intervals for 20 of 22, 18 of 26, 18 of 24 and 7 of 8, as computed by hand to whole per cents.
    expected = {"carpet": (0.72, 0.97), "wood": (0.50, 0.83), "capsule": (0.55, 0.88), "bottle": (0.53, 0.98)}
    for name, (low, high) in expected.items():
        row = table.loc[(name, "best")]
        assert (row["low"], row["high"]) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))
    assert table.loc[("bottle", "best"), "images"] == 8


def test_ours_are_the_best_and_the_baseline_of_the_leaderboard(metrics):
    rows = compared(metrics).set_index(["source", "row"])
    assert rows.loc[(OURS, "best"), ["attempt", "accuracy", "low", "high"]].tolist() == [
        "2 transfer",
        0.701,
        0.603,
        0.799,
    ]
    assert rows.loc[(OURS, "baseline"), "accuracy"] == pytest.approx(0.701 - 2 * 0.052)
    assert rows.loc[(OURS, "best"), "splits"] == 10


def test_intervals_that_overlap_are_called_so(metrics):
    lines = dict(line.split(": ") for line in verdicts(compared(metrics)).splitlines())
    assert "apart" in lines["carpet"] and "overlap" in lines["bottle"] and "overlap" in lines[OURS]
    metrics["leaderboard"][0] |= {"accuracy": 0.95, "ci_low": 0.9, "ci_high": 1.0}
    lines = dict(line.split(": ") for line in verdicts(compared(metrics)).splitlines())
    assert "apart" in lines[OURS]
    metrics["leaderboard"][0] |= {"accuracy": 0.3, "ci_low": 0.2, "ci_high": 0.4}  # worse than the baseline
    assert f"{OURS}: 59.7% to 30.0%, intervals apart" in verdicts(compared(metrics))


def test_the_figure_shows_each_interval(metrics):
    table = compared(metrics)
    axes = intervals(table).axes[0]
    drawn = {tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2}
    assert drawn == {(row.low, row.high) for row in table.itertuples()}
    assert [t.get_text() for t in axes.get_yticklabels()] == [OURS, "capsule", "bottle", "wood", "carpet"]


def test_a_leaderboard_without_its_best_is_refused(metrics):
    with pytest.raises(Hw3Error, match="no attempt 'gone', the best"):
        compared(metrics | {"best": "gone"})
