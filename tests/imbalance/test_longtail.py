"""hw3lib.imbalance.longtail: measures against values computed by hand, and tails of known sizes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw3lib.errors import Hw3Error
from hw3lib.imbalance import (
    class_sizes,
    describe_long_tail,
    effective_classes,
    effective_samples,
    gini,
    head_tail_split,
    lorenz,
    make_longtail,
)

COUNTS = st.lists(st.integers(1, 1000), min_size=2, max_size=12)


def table_of(**counts):
    """Rows of the classes in turns, not sorted by class."""
    rows = [(f"{name}/{i:03d}.png", name, name != "good") for name, n in counts.items() for i in range(n)]
    table = pd.DataFrame(rows, columns=["image", "defect", "is_defect"]).sample(frac=1, random_state=0)
    table.index = range(100, 100 + len(table))
    return table


BOTTLE = {"good": 229, "broken_large": 20, "broken_small": 22, "contamination": 21}


def sizes(table):
    return table["defect"].value_counts().to_dict()


def test_effective_classes_are_hill_numbers():
    assert effective_classes([5, 5, 5]) == pytest.approx(3)
    assert effective_classes({"a": 7, "b": 0}) == pytest.approx(1)
    # entropy of 1/2, 1/4, 1/4 is 1.5 bits; Simpson's index is 1/4 + 1/16 + 1/16 = 3/8
    assert effective_classes([2, 1, 1]) == pytest.approx(2**1.5)
    assert effective_classes([2, 1, 1], order=2) == pytest.approx(8 / 3)
    with pytest.raises(Hw3Error, match="order=3"):
        effective_classes([1, 1], order=3)


@given(COUNTS)
def test_effective_classes_fall_with_the_order_and_stay_below_the_number_of_classes(counts):
    assert 1 <= effective_classes(counts, 2) <= effective_classes(counts) * (1 + 1e-9) <= len(counts) * (1 + 2e-9)


def test_effective_samples_are_a_geometric_series():
    # Cui et al., equation 2 is the sum of beta^0 .. beta^(n-1)
    assert effective_samples([1, 2, 3], 0.5) == pytest.approx([1, 1.5, 1.75])
    assert effective_samples([1, 50], 0) == pytest.approx([1, 1])
    assert effective_samples([20], 1 - 1e-9) == pytest.approx([20], rel=1e-6)
    with pytest.raises(Hw3Error, match="beta=1"):
        effective_samples([1, 2], 1)


def test_lorenz_and_gini_by_hand():
    curve = lorenz({"b": 3, "a": 1})
    assert curve["classes"].tolist() == [0, 0.5, 1] and curve["images"].tolist() == [0, 0.25, 1]
    assert gini([1, 3]) == pytest.approx(0.25)
    assert gini([4, 4, 4]) == pytest.approx(0)
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)


@given(COUNTS)
def test_gini_is_half_the_relative_mean_difference(counts):
    n = np.array(counts, float)
    assert gini(counts) == pytest.approx(np.abs(n[:, None] - n).mean() / (2 * n.mean()), abs=1e-12)


def test_head_and_tail_are_relative_to_the_largest_or_absolute():
    counts = {"a": 100, "b": 50, "c": 49, "d": 21, "e": 20}
    assert head_tail_split(counts).to_dict() == {"a": "head", "b": "head", "c": "medium", "d": "medium", "e": "tail"}
    absolute = head_tail_split(pd.Series(counts), head=101, tail=20)
    assert absolute.to_dict() == {"a": "medium", "b": "medium", "c": "medium", "d": "medium", "e": "tail"}
    with pytest.raises(Hw3Error, match="head above tail"):
        head_tail_split(counts, head=0.2, tail=0.5)


@pytest.mark.parametrize("counts", [[], [0, 0], [3, -1], [1, np.nan]])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(Hw3Error, match="counts"):
        gini(counts)


def test_class_sizes_are_ordered_by_size_and_then_by_name():
    assert list(class_sizes(table_of(good=2, dent=3, chip=2)).items()) == [("dent", 3), ("chip", 2), ("good", 2)]


def test_description_has_the_numbers_of_the_table():
    text = describe_long_tail(table_of(good=60, dent=20, scratch=10))
    for part in ("90 images in 3 classes", "good, has 60", "scratch, has 10", "ratio of 6.0", "good alone holds 67%",
                 "head good", "medium dent", "tail scratch", "0.37", "2.3 equally", "2.0 by"):  # fmt: skip
        assert part in text, (part, text)
    tied = describe_long_tail(table_of(good=60, dent=18, scratch=18, hole=18))
    assert "class, good, has 60" in tied and "smallest classes, dent, hole and scratch, have 18 each" in tied
    assert "largest classes, dent and good, have 20 each" in describe_long_tail(table_of(good=20, dent=20, hole=2))
    assert "no long tail" in describe_long_tail(table_of(good=4, dent=4))
    with pytest.raises(Hw3Error, match="at least two"):
        describe_long_tail(table_of(good=4))


def test_exponential_tail_has_good_as_its_head():
    table = table_of(**BOTTLE)
    tail = make_longtail(table, 10)
    # broken_small limits: 22 * 10^(1/3) = 47.4; 47 * 10^(-1/3) = 21.8, 47 * 10^(-2/3) = 10.1, 47 / 10 = 4.7
    assert sizes(tail) == {"good": 47, "broken_small": 22, "contamination": 10, "broken_large": 5}
    assert tail.index.is_monotonic_increasing and tail.equals(table.loc[tail.index])


def test_tail_among_defects_keeps_every_good_image():
    tail = make_longtail(table_of(**BOTTLE), 10, by="defect")
    # 22, 22 / sqrt(10) = 6.96, 2.2
    assert sizes(tail) == {"good": 229, "broken_small": 22, "contamination": 7, "broken_large": 2}


def test_a_single_defect_type_is_the_tail_of_the_good_images():
    assert sizes(make_longtail(table_of(good=60, dent=20), 10, by="auto")) == {"good": 60, "dent": 6}
    table = table_of(**BOTTLE)
    assert make_longtail(table, 10, by="auto").equals(make_longtail(table, 10, by="defect"))


def test_step_profile_has_two_sizes():
    table = table_of(good=100, a=20, b=20, c=20, d=20, e=20)
    assert sizes(make_longtail(table, 10, profile="step")) == {"good": 100, "a": 10, "b": 10, "c": 10, "d": 10, "e": 10}
    assert sizes(make_longtail(table, 5, by="defect", profile="step")) == {
        "good": 100, "a": 20, "b": 20, "c": 20, "d": 4, "e": 4,
    }  # fmt: skip


def test_the_order_of_the_tail_can_be_given_or_drawn():
    table = table_of(good=9, a=8, b=8, c=8)
    given_order = make_longtail(table, 4, by="defect", order=["c", "a", "b"])
    assert sizes(given_order) == {"good": 9, "c": 8, "a": 4, "b": 2}
    tails = {min("abc", key=sizes(make_longtail(table, 4, by="defect", order="random", random_state=s)).get)
             for s in range(12)}  # fmt: skip
    assert tails == {"a", "b", "c"}
    with pytest.raises(Hw3Error, match="every defect type once"):
        make_longtail(table, 4, by="defect", order=["a", "b"])


def test_a_seed_gives_the_same_images_and_a_longer_tail_takes_some_of_them():
    table = table_of(**BOTTLE)
    one, again = (make_longtail(table, 5, by="defect", random_state=3) for _ in range(2))
    assert one.equals(again)
    assert not one.equals(make_longtail(table, 5, by="defect", random_state=4))
    assert set(make_longtail(table, 10, by="defect", random_state=3)["image"]) < set(one["image"])


def test_no_class_is_left_out_of_a_very_long_tail():
    assert sizes(make_longtail(table_of(good=3, a=5, b=5), 1000, by="defect")) == {"good": 3, "a": 5, "b": 1}


@settings(max_examples=30)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.floats(1, 30))
def test_sizes_fall_from_head_to_tail_and_never_exceed_what_is_there(counts, ratio):
    table = table_of(**{f"t{i}": n for i, n in enumerate(counts)})
    found = make_longtail(table, ratio, by="defect")["defect"].value_counts()
    ordered = [found[name] for name in class_sizes(table).index]
    assert ordered == sorted(ordered, reverse=True) and min(ordered) >= 1
    assert all(found[f"t{i}"] <= n for i, n in enumerate(counts))


@pytest.mark.parametrize(
    "arguments",
    [{"ratio": 0.5}, {"ratio": float("nan")}, {"profile": "linear"}, {"by": "colour"}, {"order": "size"}],
)
def test_a_bad_argument_of_make_longtail_is_named(arguments):
    with pytest.raises(Hw3Error, match=next(iter(arguments))):
        make_longtail(table_of(good=4, dent=4), **{"ratio": 2, **arguments})


def test_a_tail_needs_two_classes():
    with pytest.raises(Hw3Error, match="at least two"):
        make_longtail(table_of(good=5, dent=4), 2, by="defect")
    with pytest.raises(Hw3Error, match="no good images"):
        make_longtail(table_of(dent=5, chip=4), 2)


def test_a_tail_is_cut_by_whole_products():
    table = table_of(good=40, dent=24)
    table["group"] = table["defect"] + (table.groupby("defect").cumcount() // 4).astype(str)
    tail = make_longtail(table, 5, random_state=1)
    assert sizes(tail) == {"good": 40, "dent": 8} and tail[tail["is_defect"]]["group"].nunique() == 2
