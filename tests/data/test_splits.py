"""hw3lib.data.splits: disjoint, in proportion, and the same for the same seed."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hw3lib.data import classification_images, repeated_splits, sample_per_class, splittable, stratified_split
from hw3lib.data.splits import stratified_folds
from hw3lib.errors import Hw3Error


def make(counts: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"defect": [name for name, n in counts.items() for _ in range(n)]})


@settings(max_examples=50)
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


def make_products(sizes: dict[str, list[int]]) -> pd.DataFrame:
    """Classes of products with so many images each."""
    rows = [
        (name, f"{name}{product}")
        for name, counts in sizes.items()
        for product, n in enumerate(counts)
        for _ in range(n)
    ]
    return pd.DataFrame(rows, columns=["defect", "group"])


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(1, 7), min_size=2, max_size=12), min_size=2, max_size=4),
    st.floats(0.15, 0.5),
    st.integers(0, 1000),
)
def test_no_product_is_on_both_sides_and_every_class_is(sizes, share, seed):
    assume(max(map(max, sizes)) > 1)  # else there are images alone
    table = make_products({f"class{i}": counts for i, counts in enumerate(sizes)})
    for train, test in repeated_splits(table, 3, share, seed):
        assert sorted([*train, *test]) == list(range(len(table)))
        assert not set(table["group"].iloc[train]) & set(table["group"].iloc[test])
        for part in (train, test):
            assert set(table["defect"].iloc[part]) == set(table["defect"])
        for name, counts in zip(sorted(set(table["defect"])), sizes, strict=True):
            tested = (table["defect"].iloc[test] == name).sum()
            assert abs(tested - share * sum(counts)) <= max(counts)


def test_splits_of_products_differ_and_come_out_the_same_for_the_same_seed():
    table = make_products({"good": [5] * 8, "dent": [3] * 6})
    first, again = (repeated_splits(table, 6, 0.25, 3) for _ in range(2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert len({tuple(test) for _, test in first}) > 3
    assert {len(test) for _, test in first} == {13}  # two products of eight, and one of six: 6 is as far from 4.5 as 3


def test_products_of_two_classes_stay_together():
    table = make_products({"good": [3] * 6, "dent": [2] * 6})
    table["group"] = table["group"].str.replace("dent", "good")
    for train, test in repeated_splits(table, 5, 1 / 3):
        assert not set(table["group"].iloc[train]) & set(table["group"].iloc[test]) and len(test) == 10


def test_the_splits_of_images_are_those_of_before():
    """With each image another product, said or not, to the bit."""
    table = make({"good": 20, "dent": 15, "hole": 9})
    splits = repeated_splits(table, 5, 0.3, 11)
    text = ";".join(",".join(map(str, part)) for split in splits for part in split)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "ceeeac6033723e4f"
    said = repeated_splits(table.assign(group=range(len(table))), 5, 0.3, 11)
    assert all(
        np.array_equal(a, b) for one, two in zip(splits, said, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_a_class_of_one_product_cannot_be_split_and_is_left_out():
    table = make_products({"good": [5] * 4, "dent": [9], "hole": [2, 2]})
    with pytest.raises(Hw3Error, match="all images of dent show one product"):
        repeated_splits(table)
    part, _, left_out = splittable(table.assign(group=table["group"].replace({"hole1": "hole0"})), 2, least=1)
    assert left_out == {"dent": 9, "hole": 4} and set(part["defect"]) == {"good"}


@pytest.mark.parametrize(("test_size", "n_splits"), [(0, 2), (1.0, 2), (40, 2), (0.2, 0)])
def test_products_are_not_split_by_a_share_that_is_none(test_size, n_splits):
    with pytest.raises(Hw3Error, match=f"test_size={test_size}, n_splits={n_splits}"):
        repeated_splits(make_products({"good": [5] * 8}), n_splits, test_size)


def test_a_sample_shows_as_many_products_as_it_can():
    table = make_products({"good": [6, 6, 1, 1], "dent": [3, 3, 3]})
    sample = sample_per_class(table, 3, 5)
    assert sample.groupby("defect")["group"].nunique().to_dict() == {"good": 3, "dent": 3}
    assert sample_per_class(table, 5).groupby("defect")["group"].nunique().to_dict() == {"good": 4, "dent": 3}


def test_good_images_for_classification_are_drawn_by_products():
    rows = [("train", "good", False, f"g{i // 3}") for i in range(15)]
    rows += [("test", "good", False, "t"), *[("test", "bent", True, f"b{i}") for i in range(8)]]
    table = pd.DataFrame(rows, columns=["split", "defect", "is_defect", "group"])
    images = classification_images(table, 1)
    drawn = images[images["split"] == "train"]
    assert len(drawn) == 9 and drawn["group"].value_counts().tolist() == [3, 3, 3]


def test_folds_keep_products_together_and_classes_in_proportion():
    table = make_products({"good": [5] * 8, "dent": [3] * 6})
    folds = stratified_folds(table["defect"].to_numpy(), table["group"].to_numpy())
    assert len(folds) == 5 and sorted(np.concatenate([test for _, test in folds])) == list(range(len(table)))
    for train, test in folds:
        assert not set(table["group"].iloc[train]) & set(table["group"].iloc[test])
        assert set(table["defect"].iloc[train]) == set(table["defect"].iloc[test]) == {"good", "dent"}


def test_folds_divide_a_product_that_is_the_only_one_of_its_class():
    table = make_products({"good": [2] * 4, "dent": [4]})
    folds = stratified_folds(table["defect"].to_numpy(), table["group"].to_numpy())
    assert len(folds) == 4
    for train, test in folds:
        assert (table["defect"].iloc[test] == "dent").sum() == 1
        assert {g for g in table["group"].iloc[train]} & {g for g in table["group"].iloc[test]} == {"dent0"}
