"""hw3lib.anomaly.metrics.intervals: by hand, of values alike, for groups, and how often they hold the truth."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from hw3lib.anomaly.metrics import intervals


def mean_interval(*arguments, **more):
    return astuple(intervals.mean_interval(*arguments, **more))[:3]


def f1_interval(*arguments):
    return astuple(intervals.f1_interval(*arguments))[:3]


def test_the_interval_of_a_mean_is_students_with_a_zero_and_a_one_added():
    values = [0.2, 0.9, 0.7]
    interval = stats.ttest_1samp([*values, 0, 1], 0).confidence_interval()
    assert mean_interval(values) == pytest.approx((0.6, max(0, interval.low), min(1, interval.high)))
    wide, narrow = mean_interval(np.tile(values, 9), confidence=0.95), mean_interval(np.tile(values, 9), confidence=0.5)
    assert wide[1] < narrow[1] < 0.6 < narrow[2] < wide[2]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_values_that_are_all_alike_have_an_interval_too(value):
    mean, low, high = mean_interval(np.full(20, value))
    assert mean == value and (low, high)[int(value)] == value and 0.05 < high - low < 0.2
    assert all(np.isnan(mean_interval([])))


def test_values_of_one_group_are_drawn_together():
    values, groups = np.array([0.2, 0.9, 0.7, 0.4]), np.array([3, 5, 7, 9])
    assert mean_interval(values, groups) == mean_interval(values)
    # Each group twice over: no more is known.
    assert mean_interval(np.tile(values, 2), np.tile(groups, 2)) == pytest.approx(mean_interval(values))
    # Groups of two sizes are weighed as they are: three values of 1 and one of 0.
    assert mean_interval([1, 1, 1, 0], [0, 0, 0, 1])[0] == 0.75


def test_f1_and_its_interval_by_hand():
    is_defect = np.arange(30) < 10
    above = np.isin(np.arange(30), [*range(8), 10, 11, 12])  # 8 of 10 found, 3 of 20 alarms
    value, low, high = f1_interval(is_defect, above)
    assert value == pytest.approx(f1_score(is_defect, above))
    (_, found_low, found_high), (_, alarms_low, alarms_high) = mean_interval(above[:10]), mean_interval(above[10:])
    moved = [2 * d * 10 / (10 + 10 * d + 20 * a) for d, a in ((found_low, 0.15), (0.8, alarms_high))]
    assert value - low == pytest.approx(np.hypot(*(value - np.array(moved))))
    moved = [2 * d * 10 / (10 + 10 * d + 20 * a) for d, a in ((found_high, 0.15), (0.8, alarms_low))]
    assert high == pytest.approx(min(1, value + np.hypot(*(np.array(moved) - value))))
    perfect = f1_interval(is_defect, is_defect)
    assert perfect[0] == perfect[2] == 1 and 0.6 < perfect[1] < 0.95
    twice = f1_interval(np.tile(is_defect, 2), np.tile(above, 2), np.tile(np.arange(30), 2))
    assert twice == pytest.approx((value, low, high))
    for kind in (True, False):
        assert all(np.isnan(f1_interval(np.full(3, kind), np.array([True, False, True]))))


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize("shape", [(2, 2), (5, 1), (0.5, 0.5)])
def test_intervals_hold_the_true_mean_as_often_as_they_say(n, shape):
    rng = np.random.default_rng(0)
    held = [low <= shape[0] / sum(shape) <= high for _, low, high in map(mean_interval, rng.beta(*shape, (400, n)))]
    assert 0.93 < np.mean(held) < 0.998
