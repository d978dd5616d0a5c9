"""hw3lib.data.splits: disjoint, in proportion, and the same for the same seed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw3lib.data import classification_images, repeated_splits, sample_per_class, splittable, stratified_split
from hw3lib.errors import Hw3Error


def make(counts: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"defect": [name for name, n in counts.items() for _ in range(n)]})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(10, 30), min_size=2, max_size=5), st.floats(0.2, 0.5), st.integers(0, 1000))
def test_splits_keep_every_image_once_and_classes_in_proportion(counts, share, seed):
    table = make({f"class{i}": n for i, n in enumerate(counts)})
    for train, test in repeated_splits(table, 3, share, seed):
        assert sorted([*train, *test]) == list(range(len(table)))
        assert abs(len(test) - share * len(table)) <= 1
        for name, total in table["defect"].value_counts().items():
            expected = len(test) / len(table) * total
            assert abs((table["defect"].iloc[test] == name).sum() - expected) <= 1 + 1e-9


def test_same_seed_same_splits_and_other_seed_others():
    table = make({"good": 20, "dent": 15})
    first, again, other = (repeated_splits(table, 4, 0.2, seed) for seed in (7, 7, 8))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))
    assert len({tuple(test) for _, test in first}) == 4


def test_stratified_split_of_the_report():
    train, test = stratified_split(make({"good": 10, "a": 10, "b": 10, "c": 10}), 8)
    assert len(train) == 32 and test["defect"].value_counts().to_dict() == {"good": 2, "a": 2, "b": 2, "c": 2}


def test_sample_per_class():
    table = make({"good": 20, "dent": 15})
    sample = sample_per_class(table, 10, 3)
    assert sample["defect"].value_counts().to_dict() == {"good": 10, "dent": 10}
    assert sample.index.is_unique and sample.equals(sample_per_class(table, 10, 3))
    assert not sample.equals(sample_per_class(table, 10, 4))


def pool(train_good, test_good, **defects):
    rows = [("train", "good", False)] * train_good + [("test", "good", False)] * test_good
    rows += [("test", name, True) for name, n in defects.items() for _ in range(n)]
    table = classification_images(pd.DataFrame(rows, columns=["split", "defect", "is_defect"]), 0)
    assert list(table.index) == list(range(len(table)))
    return table.groupby(["split", "defect"]).size().to_dict()


def test_classification_takes_the_test_split():
    assert pool(209, 20, large=20, small=22) == {("test", "good"): 20, ("test", "large"): 20, ("test", "small"): 22}
    assert pool(40, 5) == {("test", "good"): 5}


def test_classification_draws_good_images_where_they_are_few():
    expected = {("test", "bent"): 12, ("test", "good"): 4, ("train", "good"): 8}
    assert pool(14, 4, bent=12) == expected
    assert pool(3, 4, bent=12)[("train", "good")] == 3


@pytest.mark.parametrize("n", [0, 16])
def test_sample_that_cannot_be_drawn(n):
    with pytest.raises(Hw3Error, match=f"n={n}: expected 1 to 15"):
        sample_per_class(make({"good": 20, "dent": 15}), n)


@pytest.mark.parametrize(
    ("counts", "test_size"),
    [
        ({"good": 20, "dent": 1}, 0.2),
        ({"good": 20, "dent": 5}, 0.95),
        ({"good": 20, "dent": 4}, 0.05),
        ({"good": 40, "dent": 2}, 4),
        ({}, 0.2),
    ],
)
def test_split_that_cannot_be_made(counts, test_size):
    with pytest.raises(Hw3Error):
        repeated_splits(make(counts), 5, test_size)


def test_classes_too_small_to_be_split_are_left_out_the_smallest_first():
    table = make({"good": 20, "dent": 2, "hole": 9, "scratch": 1})
    part, splits, left_out = splittable(table, 5, 0.2, 3)
    assert left_out == {"dent": 2, "scratch": 1}
    assert part["defect"].value_counts().to_dict() == {"good": 20, "hole": 9} and list(part.index) == list(range(29))
    expected = repeated_splits(part, 5, 0.2, 3)
    assert all((a == b).all() for one, two in zip(splits, expected, strict=True) for a, b in zip(one, two, strict=True))


def test_nothing_is_left_out_where_all_classes_can_be_split():
    part, _, left_out = splittable(make({"good": 20, "dent": 5}))
    assert len(part) == 25 and left_out == {}


def test_fewer_than_two_classes_to_split_are_refused():
    with pytest.raises(Hw3Error, match="scratch"):
        splittable(make({"good": 20, "dent": 1, "scratch": 2}))
    with pytest.raises(Hw3Error, match="test_size=7"):
        splittable(make({"good": 20, "dent": 10}), test_size=7.0)
