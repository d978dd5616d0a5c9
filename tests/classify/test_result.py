"""Results of several splits, paired and ranked."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hw3lib.classify import Attempt, Result, leaderboard
from hw3lib.core.intervals import crossed_interval
from hw3lib.errors import Hw3Error


def result(name: str, right: list[list[bool]]) -> Result:
    y = [np.zeros(len(r), int) for r in right]
    return Result(
        Attempt(name),
        ["good", "dent"],
        80,
        20,
        y,
        [1 - np.array(r, int) for r in right],
        [np.arange(len(r)) for r in right],
        [],
        [1.0] * len(right),
    )


def test_leaderboard_ranks_and_pairs():
    weak = result("weak", [[True, False, False, False], [True, True, False, False]])
    strong = result("strong", [[True, True, True, False], [True, True, True, True]])
    table = leaderboard([weak, strong])
    assert list(table["attempt"]) == ["strong", "weak"]
    assert table["accuracy"].tolist() == [0.875, 0.375]
    row = table.iloc[0]
    # The difference is the same on both splits, and has an interval.
    assert row["gain"] == 0.5 and 0 < row["gain_low"] < 0.4 and row["verdict"] == "significantly better"
    assert row["ci_high"] < 1 and 0 <= row["ci_low"] < row["accuracy"]
    assert np.isnan(table.iloc[1]["gain"])
    assert table["balanced_accuracy"].tolist() == [0.875, 0.375]


def test_photographs_of_one_product_make_no_interval_narrower():
    right = result("right", [[True] * 8] * 4)
    five = dataclasses.replace(right, per_product=4.0)
    assert right.interval().low > five.interval().low > 0
    assert five.interval() == dataclasses.replace(right, n_train=20, n_test=5).interval()
    table = pd.DataFrame({"defect": ["dent", "good"] * 4, "group": list("aabbccdd")})
    splits = [(np.arange(4), np.arange(4, 8)), (np.arange(4, 8), np.arange(4))]
    made = Result.from_probabilities(right.attempt, table, splits, [np.eye(2)[[0, 1] * 2]] * 2, seconds=[1, 1])
    assert made.per_product == 2


def test_sets_are_tested_on_each_other():
    table = pd.DataFrame({"defect": ["dent", "good"] * 4})
    sets = [np.arange(2 * i, 2 * i + 2) for i in range(4)]
    splits = [(rows, np.setdiff1d(np.arange(8), rows)) for rows in sets]
    rng = np.random.default_rng(0)
    shares = [rng.dirichlet([1, 1], 6).astype(np.float32) for _ in splits]
    made = Result.from_probabilities(Attempt("a"), table, splits, shares, seconds=[1.0] * 4)
    correct = np.full((4, 8), np.nan)
    for i, (_, test) in enumerate(splits):
        correct[i, test] = made.y[i] == made.y_pred[i]
    expected = crossed_interval(correct.reshape(4, 4, 2).mean(2), 8, kind="share")
    assert made.design.crossed and made.interval() == expected
    perfect = Result.from_probabilities(Attempt("b"), table, splits, [np.eye(2)[y] for y in made.y], seconds=[1.0] * 4)
    gain = crossed_interval(1 - correct.reshape(4, 4, 2).mean(2), 8, kind="difference", counted=True)
    assert perfect.gain(made) == gain
    assert not Result.from_probabilities(Attempt("c"), table, splits[:2], shares[:2], seconds=[1, 1]).design.crossed


def test_results_of_different_splits_are_not_compared():
    a, b = result("a", [[True], [True]]), result("b", [[True], [True]])
    b.test[1] = np.array([5])
    with pytest.raises(Hw3Error, match="different splits"):
        a.gain(b)


def test_any_method_that_gives_probabilities_gives_a_result():
    table = pd.DataFrame({"defect": ["dent", "good", "dent", "good"]})
    splits = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2, 3]))]
    method = SimpleNamespace(name="m", arch="none", strategy="rule", image_size=64)
    probabilities = [np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([[0.6, 0.4], [0.7, 0.3]])]
    made = Result.from_probabilities(method, table, splits, probabilities, seconds=[1.0, 2.0])
    assert made.classes == ["good", "dent"] and (made.n_train, made.n_test) == (2, 2)
    assert [y.tolist() for y in made.y] == [[1, 0], [1, 0]]
    assert [y.tolist() for y in made.y_pred] == [[1, 0], [0, 0]]
    assert made.accuracies.tolist() == [1.0, 0.5] and made.balanced_accuracies.tolist() == [1.0, 0.5]
    assert made.per_class().set_index("class").loc["dent", ["precision", "recall"]].tolist() == [1.0, 0.5]
    assert made.calibration(bins=2).table["count"].tolist() == [0, 4]
    assert leaderboard([made])["strategy"].tolist() == ["rule"]
    with pytest.raises(Hw3Error, match=r"probabilities \(1, 2\), expected \(2, 2\)"):
        Result.from_probabilities(method, table, splits, [p[:1] for p in probabilities], seconds=[1.0, 2.0])
    with pytest.raises(Hw3Error, match="probabilities of 1 splits, not 2"):
        Result.from_probabilities(method, table, splits, probabilities[:1], seconds=[1.0])


def test_calibration_needs_probabilities():
    with pytest.raises(Hw3Error, match="'weak' keeps no probabilities"):
        result("weak", [[True]]).calibration()
