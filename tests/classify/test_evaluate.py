"""hw3lib.classify.evaluate against values worked out by hand and a simulation."""

import numpy as np
import pytest
from scipy import stats

from hw3lib.classify import confusion, corrected_interval, wilson_interval
from hw3lib.errors import Hw3Error


def test_corrected_interval_by_hand():
    values = [0.5, 0.7, 0.6, 0.8]
    mean, low, high = corrected_interval(values, n_train=80, n_test=20)
    # variance 1/60; times (1/4 + 1/4); t(0.975, 3) = 3.1824
    half = 3.182446 * np.sqrt(1 / 60 * 0.5)
    assert (mean, low, high) == pytest.approx((0.65, 0.65 - half, 0.65 + half), abs=1e-6)


def test_corrected_interval_is_wider_than_the_naive_one():
    values = np.random.default_rng(0).normal(0.8, 0.05, 10)
    _, low, high = corrected_interval(values, 80, 20)
    naive = stats.t.interval(0.95, 9, values.mean(), values.std(ddof=1) / np.sqrt(10))
    assert high - low > 1.5 * (naive[1] - naive[0])


def test_interval_needs_two_splits():
    with pytest.raises(Hw3Error, match="at least 2"):
        corrected_interval([0.5], 80, 20)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(20, 22, 0.72, 0.97), (18, 26, 0.50, 0.83), (18, 24, 0.55, 0.88), (7, 8, 0.53, 0.98)],
)
def test_wilson_of_the_four_reports(correct, total, low, high):
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=0.006)


def test_wilson_refuses_what_is_no_share():
    for correct, total in ((3, 2), (0, 0), (-1, 4)):
        with pytest.raises(Hw3Error, match="expected 0 <= correct <= total"):
            wilson_interval(correct, total)


def test_confusion():
    assert confusion([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
