"""hw3lib.imbalance.recognition and leak: counted by hand, and a leak that is there and one that is not."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier

from hw3lib.errors import Hw3Error
from hw3lib.imbalance import RandomOversampler, SmoteOversampler, leak_experiment, recognisable


def test_recognition_is_counted_by_class():
    labels = np.array(["a", "a", "b", "b", "b", "b"])
    said = np.array(["a", "a", "b", "a", "c", "c"])
    found = recognisable(np.zeros((6, 2)), labels, lambda X: said[: len(X)])
    assert found.share == pytest.approx(0.5)
    assert found.table.to_dict("records") == [
        {"class": "a", "images": 2, "recognised": 2, "share": 1.0, "mistaken_for": ""},
        {"class": "b", "images": 4, "recognised": 1, "share": 0.25, "mistaken_for": "c"},
    ]


def test_recognition_needs_images_and_an_answer_each():
    with pytest.raises(Hw3Error, match="generated"):
        recognisable(np.zeros((0, 2)), np.zeros(0), len)
    with pytest.raises(Hw3Error, match="predict"):
        recognisable(np.zeros((3, 2)), np.zeros(3), lambda X: np.zeros(2))


def noise(counts, seed=0):
    """Features without any meaning: whoever scores above chance has seen the test samples."""
    rng = np.random.default_rng(seed)
    y = np.repeat(list(counts), list(counts.values()))
    return rng.normal(size=(len(y), 5)), y


NEAREST = KNeighborsClassifier(1)


def test_copies_made_before_the_split_inflate_the_score_of_pure_noise():
    X, y = noise({"a": 40, "b": 10})
    leak = leak_experiment(X, y, RandomOversampler(), classifier=NEAREST, n_splits=8)
    assert list(leak.table.columns) == ["honest", "leaky", "leaky_real"] and len(leak.table) == 8
    assert leak.table["honest"].mean() < 0.65 < leak.table["leaky"].mean()
    assert leak.inflation[1] > 0 and leak.inflation[0] == pytest.approx(
        (leak.table["leaky"] - leak.table["honest"]).mean()
    )
    # A rare test sample is among its own copies in the training part: even the real ones are found.
    assert leak.inflation_real[1] > 0


def test_smote_before_the_split_inflates_the_score_of_pure_noise():
    X, y = noise({"a": 40, "b": 10})
    leak = leak_experiment(X, y, SmoteOversampler(), classifier=NEAREST, n_splits=8)
    assert leak.inflation[1] > 0


def test_without_anything_made_both_ways_are_the_same():
    X, y = noise({"a": 15, "b": 15})
    leak = leak_experiment(X, y, RandomOversampler(), n_splits=3)
    assert (leak.table["leaky"] == leak.table["honest"]).all() and leak.inflation == (0, 0, 0)


class Spy(BaseEstimator):
    """Remembers what it is given; answers with the commonest label."""

    calls: list = []

    def fit(self, X, y):
        self.commonest_ = np.unique(y)[0]
        Spy.calls.append([X.copy(), None])
        return self

    def predict(self, X):
        Spy.calls[-1][1] = X.copy()
        return np.full(len(X), self.commonest_)


def test_the_honest_way_tests_on_real_samples_that_nothing_was_made_from():
    X, y = np.arange(50.0)[:, None], np.repeat(["a", "b"], [40, 10])
    Spy.calls.clear()
    leak_experiment(X, y, RandomOversampler(), classifier=Spy(), n_splits=3, test_size=0.2)
    for (honest_train, honest_test), (leaky_train, leaky_test) in zip(Spy.calls[::2], Spy.calls[1::2], strict=True):
        assert not set(honest_train.ravel()) & set(honest_test.ravel()) and len(honest_test) == 10
        assert len(honest_train) == 64  # 32 of each class
        # The leaky way: the same real test samples first, then a fifth of the 30 copies.
        assert np.array_equal(leaky_test[:10], honest_test) and len(leaky_test) == 16 and len(leaky_train) == 64
        assert set(leaky_train.ravel()) & set(leaky_test.ravel())


def test_images_are_flattened():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (14, 3, 4, 4), dtype=np.uint8), np.repeat(["a", "b"], [9, 5])
    assert len(leak_experiment(X, y, SmoteOversampler(), n_splits=2).table) == 2


def test_a_seed_gives_the_same_experiment_and_another_seed_another():
    X, y = noise({"a": 40, "b": 15})
    one, again, other = (
        leak_experiment(X, y, SmoteOversampler(), classifier=NEAREST, n_splits=5, random_state=s).table
        for s in (1, 1, 2)
    )
    assert one.equals(again) and not one.equals(other)


def test_a_class_too_small_to_split_is_refused():
    X, y = noise({"a": 6, "b": 1})
    with pytest.raises(Hw3Error, match="cannot split"):
        leak_experiment(X, y, RandomOversampler())
