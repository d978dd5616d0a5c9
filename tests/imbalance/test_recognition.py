"""hw3lib.imbalance.recognition and leak: parents that no judge has seen, a leak that is there and one that is not."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier

from hw3lib.core.intervals import NOT_ESTIMABLE
from hw3lib.errors import Hw3Error
from hw3lib.imbalance import Made, RandomOversampler, SmoteOversampler, leak_experiment, recognised


def blobs(per_class=12, spread=0.3, seed=0):
    """Three classes around points of their own, 8 features."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(["a", "b", "good"], per_class)
    return rng.normal(3 * np.repeat(np.eye(3, 8), per_class, 0), spread), labels


NEAREST = KNeighborsClassifier(1)


def test_copies_of_what_is_like_nothing_else_are_not_recognised():
    """Two images of class a lie among those of b: a judge that had seen them would know their copies."""
    X, y = blobs()
    given = np.r_[0:2, 12:24, 24:36]
    X[:2] = X[12:14] + 0.01
    made = {"copies by hand": Made(np.repeat(X[:2], 5, 0), np.repeat("a", 10))}
    found = recognised(X, y, given, made, classifier=NEAREST)
    assert list(found.shares) == ["copies", "copies by hand", "real images, not seen"]
    assert found.shares["copies"] == found.shares["copies by hand"] == 0
    assert found.shares["real images, not seen"] == 1
    seen = NEAREST.fit(X, y).predict(made["copies by hand"].features)
    assert (seen == "a").all()  # the leak


def test_every_source_counts_the_same_classes_and_what_they_were_called():
    X, y = blobs()
    given = np.r_[0:2, 12:16, 24:36]
    made = {"mixed up": Made(np.r_[X[2:4], X[12:14]], np.array(["a", "a", "a", "b"]))}
    found = recognised(X, y, given, made)
    table = found.table.set_index(["source", "class"])
    assert table.loc["mixed up", "images"].to_dict() == {"a": 3, "b": 1}
    assert table.loc[("mixed up", "a"), ["a", "b", "good"]].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert found.shares["mixed up"] == pytest.approx((2 / 3 + 1) / 2)
    assert set(found.table["class"]) == {"a", "b"} and (found.table[["a", "b", "good"]].sum(axis=1).round(6) == 1).all()
    assert table.loc["copies", "images"].to_dict() == {"a": 2, "b": 4}
    assert table.loc["real images, not seen", "images"].to_dict() == {"a": 10, "b": 8}


def test_a_parent_of_another_class_and_photographs_of_one_product_are_not_seen_either():
    seen = []

    class Recorder(BaseEstimator):
        def fit(self, X, y):
            self.rows = X[:, 0]
            return self

        def predict(self, X):
            seen.append((set(self.rows), X[:, 0]))
            return np.where([{100: 24, 101: 30}.get(x, x) in self.rows for x in X[:, 0]], "good", "a")  # a leak is good

    X, y = np.arange(36.0)[:, None], np.repeat(["a", "b", "good"], 12)
    products = np.arange(36) // 2
    pasted = Made(np.array([[100.0], [101.0]]), np.array(["a", "a"]), np.array([24, 30]))
    found = recognised(X, y, np.r_[0:3, 12:36], {"pasted": pasted}, groups=products, classifier=Recorder())
    assert found.shares == {"copies": 1, "pasted": 1, "real images, not seen": 1}
    learned = [rows for rows, asked in seen if 100 in asked]
    assert learned and all(not rows & {0, 1, 2, 3} for rows in learned)  # 3 shows the product of 2
    assert {4.0, 11.0} <= set(np.concatenate([asked for _, asked in seen]))


def test_a_class_without_unseen_images_is_not_judged_and_nothing_is_refused():
    X, y = blobs()
    found = recognised(X, y, np.arange(36), {"some": Made(X[:3], y[:3])})
    assert all(np.isnan(share) for share in found.shares.values()) and found.table.empty
    with pytest.raises(Hw3Error, match="some: found 0 images"):
        recognised(X, y, np.arange(3), {"some": Made(X[:0], y[:0])})


def noise(counts, seed=0):
    """Features without any meaning: whoever scores above chance has seen the test samples."""
    rng = np.random.default_rng(seed)
    y = np.repeat(list(counts), list(counts.values()))
    return rng.normal(size=(len(y), 5)), y


def test_copies_made_before_the_split_inflate_the_score_of_pure_noise():
    X, y = noise({"a": 40, "b": 10})
    leak = leak_experiment(X, y, RandomOversampler(), classifier=NEAREST, n_splits=8)
    assert list(leak.table.columns) == ["honest", "leaky", "leaky_real"] and len(leak.table) == 8
    assert leak.table["honest"].mean() < 0.65 < leak.table["leaky"].mean()
    assert leak.inflation.sign == 1
    assert leak.inflation.value == pytest.approx((leak.table["leaky"] - leak.table["honest"]).mean())
    # A rare test sample is among its own copies in the training part: even the real ones are found.
    assert leak.inflation_real.sign == 1


def test_smote_before_the_split_inflates_the_score_of_pure_noise():
    X, y = noise({"a": 40, "b": 10})
    leak = leak_experiment(X, y, SmoteOversampler(), classifier=NEAREST, n_splits=8)
    assert leak.inflation.sign == 1


def test_without_anything_made_both_ways_are_the_same():
    X, y = noise({"a": 15, "b": 15})
    leak = leak_experiment(X, y, RandomOversampler(), n_splits=3)
    assert (leak.table["leaky"] == leak.table["honest"]).all()
    assert leak.inflation.value == 0 and leak.inflation.verdict() == NOT_ESTIMABLE


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
