"""hw3lib.classify.evaluate against values worked out by hand and a simulation."""

import numpy as np
import pytest

from hw3lib.classify import calibration, confusion, per_class
from hw3lib.core.scores import balanced_accuracy
from hw3lib.errors import Hw3Error


def test_confusion():
    assert confusion([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


@pytest.mark.filterwarnings("error")
def test_figures_of_each_class_by_hand():
    table = per_class([0, 0, 0, 1], [0, 0, 1, 1], ["good", "dent", "never seen"])
    assert table["class"].tolist() == ["good", "dent", "never seen"]
    assert table["precision"].tolist() == [1, 0.5, 0]
    assert table["recall"].tolist() == pytest.approx([2 / 3, 1, 0])
    assert table["f1"].tolist() == pytest.approx([0.8, 2 / 3, 0])
    assert table["support"].tolist() == [3, 1, 0]


def test_balanced_accuracy_counts_classes_not_images():
    y, y_pred = [0] * 9 + [1], [0] * 10
    assert balanced_accuracy(y, y_pred) == 0.5
    assert balanced_accuracy([0, 0], [0, 2]) == 0.5, "a class that is only predicted is none to recall"


def test_calibration_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.5, 0.5]])
    table, ece, brier = calibration([0, 1, 1, 0], probabilities, bins=5)
    # Confidences 0.9 | 0.8 and 0.55, 0.5: a bin holds its upper limit, so 0.8 lies in (0.6, 0.8].
    assert table["count"].tolist() == [0, 0, 2, 1, 1]
    assert (
        table["confidence"].tolist()[2:] == pytest.approx([0.525, 0.8, 0.9]) and table["confidence"].isna().sum() == 2
    )
    assert table["accuracy"].tolist()[2:] == [1, 0, 1]
    assert ece == pytest.approx((2 * 0.475 + 0.8 + 0.1) / 4)
    assert brier == pytest.approx(2 * (0.1**2 + 0.8**2 + 0.45**2 + 0.5**2) / 4)


@pytest.mark.filterwarnings("error")
def test_every_bin_has_its_limits_and_those_without_images_have_no_means():
    probabilities = [[0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]
    table = calibration([0, 2], probabilities).table
    assert table["low"].tolist() == pytest.approx(np.arange(10) / 10)
    assert table["high"].tolist() == pytest.approx(np.arange(1, 11) / 10)
    assert table["count"].tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    for name, found in (("confidence", [0.4, 0.8]), ("accuracy", [1, 1])):
        assert table[name].dtype == float and table[name].dropna().tolist() == pytest.approx(found)
        assert table[name].isna().tolist() == (table["count"] == 0).tolist()
    halves, one = calibration([0, 2], probabilities, bins=2).table, calibration([0, 2], probabilities, bins=1)
    assert halves["count"].tolist() == [1, 1] and one.table["count"].tolist() == [2]
    assert one.ece == pytest.approx(1 - 0.6)


def test_calibrated_probabilities_have_a_small_error_and_bold_ones_a_large_one():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 20000)
    y = (rng.random(20000) > p).astype(int)
    bold = np.clip(p + 0.2, 0, 1)
    assert calibration(y, np.stack([p, 1 - p], 1)).ece < 0.02
    assert calibration(y, np.stack([bold, 1 - bold], 1)).ece > 0.1


def test_calibration_refuses_what_does_not_fit():
    for y, p, bins in (([0], np.ones((2, 2)), 10), ([], np.ones((0, 2)), 10), ([0], np.ones(1), 10)):
        with pytest.raises(Hw3Error, match="probabilities: found"):
            calibration(y, p, bins)
    with pytest.raises(Hw3Error, match="bins=0"):
        calibration([0], np.ones((1, 2)), 0)
