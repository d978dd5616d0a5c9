"""hw3lib.classify.guided.types and .conformal: sets hold the right type as often as promised, and a new one is new."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.classify.guided.classifier import DefectGuided
from hw3lib.classify.guided.conformal import ERROR, level, p_values
from hw3lib.classify.guided.kernel import KernelClassifier, PartsKernel
from hw3lib.classify.guided.recognition import NEW
from hw3lib.classify.guided.types import DefectTypes
from hw3lib.data import read_image
from hw3lib.errors import Hw3Error

SIDE = 64
METHOD = DefectGuided(arch="tf_efficientnet_lite0", image_size=SIDE, region_size=64, memory=400, good_images=9)
COLOURS = {"rust": (80, -40, -40), "ink": (-40, -40, 80), "lime": (-60, 80, -60)}


def drawn(rng, sizes, apart=2.0, width=8):
    """Features of so many defects a class, in which classes lie ``apart``, and their labels."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return apart * np.eye(len(sizes), width)[labels] + rng.normal(0, 1, (len(labels), width)), labels


def sets(features, labels, groups, new):
    """p-values of one more, described beside the others."""
    alike = PartsKernel([np.concatenate([features, new[None]])]).own
    return p_values(alike[:-1, :-1], labels, groups, alike[-1, :-1])


@pytest.mark.parametrize("sizes", [(2, 2), (3, 12), (25, 5, 2)])
def test_the_right_type_is_missing_no_more_often_than_its_labels_allow(sizes):
    """Binomial bounds at four standard deviations, by the class."""
    rng, rounds = np.random.default_rng(0), 400
    missing = np.zeros(len(sizes))
    for _ in range(rounds):
        features, labels = drawn(rng, sizes)
        for label in range(len(sizes)):
            new = 2.0 * np.eye(len(sizes), 8)[label] + rng.normal(0, 1, 8)
            missing[label] += sets(features, labels, np.arange(len(labels)), new)[label] <= level(sizes[label])
    allowed = np.array([level(size) for size in sizes])
    assert (missing / rounds <= allowed + 4 * np.sqrt(allowed * (1 - allowed) / rounds)).all()
    assert (missing > 0).all()  # or nothing was tested


def test_photographs_of_one_product_count_once():
    """Twenty photographs each of two products a class promise no more than two photographs of two."""
    rng, rounds, missing = np.random.default_rng(1), 300, 0
    for _ in range(rounds):
        centres, labels = drawn(rng, (2, 2), apart=1.0)
        groups = np.repeat(np.arange(4), 20)
        features = centres[groups] + rng.normal(0, 0.1, (80, 8))
        new = np.eye(2, 8)[0] + rng.normal(0, 1, 8) + rng.normal(0, 0.1, 8)
        found = sets(features, labels[groups], groups, new)
        assert found.min() >= 1 / 3
        missing += found[0] <= 1 / 3
    assert missing / rounds <= 1 / 3 + 4 * np.sqrt(2 / 9 / rounds)


def test_a_level_is_the_error_or_what_so_few_can_show():
    assert [level(n) for n in (1, 2, 8, 9, 19)] == [1 / 2, 1 / 3, 1 / 9, 1 / 10, 2 / 20]
    assert all(level(n) <= ERROR for n in range(9, 200))


def test_what_is_unlike_all_classes_has_small_p_values():
    rng = np.random.default_rng(2)
    features, labels = drawn(rng, (20, 20), apart=6.0)
    alien = sets(features, labels, np.arange(40), 6.0 * np.eye(3, 8)[2] + rng.normal(0, 1, 8))
    assert (alien <= ERROR).all()


def test_a_classifier_predicts_the_same_from_its_arrays():
    features, labels = drawn(np.random.default_rng(3), (8, 8, 8))
    for y in (labels, labels % 2):  # of two classes there is one machine
        model = KernelClassifier(3).fit([features], y)
        again = KernelClassifier.restored(model.state())
        assert np.array_equal(again.predict_proba([features[::3]]), model.predict_proba([features[::3]]))


def plate(rng, defect):
    pixels = 128 + rng.uniform(-10, 10, 3) + rng.normal(0, 4, (SIDE, SIDE, 3))
    if defect in COLOURS:
        top, left = rng.integers(8, SIDE - 20, 2)
        pixels[top : top + 10, left : left + 10] += COLOURS[defect]
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Labelled defects and good images."""
    folder, rng, rows = tmp_path_factory.mktemp("plates"), np.random.default_rng(0), []
    for defect, count in {"good": 9, "rust": 10, "ink": 10, "lime": 3}.items():
        for i in range(count):
            Image.fromarray(plate(rng, defect)).save(folder / f"{defect}{i}.png")
            rows.append({"image": str(folder / f"{defect}{i}.png"), "defect": defect, "width": SIDE, "height": SIDE})
    table = pd.DataFrame(rows)
    return table[table["defect"] != "good"].reset_index(drop=True), table[table["defect"] == "good"]


@pytest.fixture(scope="module")
def types(tables):
    defects, good = tables
    return DefectTypes.learned(defects[defects["defect"] != "lime"], good, method=METHOD)


def test_known_types_are_named_and_a_new_one_is_said_to_be_new(types, tables):
    rng, named = np.random.default_rng(5), {name: [] for name in COLOURS}
    for name, said in named.items():
        said += [types.type_of(plate(rng, name)) for _ in range(8)]
    for name in ("rust", "ink"):
        assert sum(found.names == [name] for found in named[name]) >= 6
        assert all(max(found.probabilities, key=found.probabilities.get) == name for found in named[name])
    assert sum(not found.names for found in named["lime"]) >= 6
    assert {found.say() for found in named["lime"] if not found.names} == {NEW}
    assert types.right == (20, 20) and types.recall()["ink"].value == 1
    assert types.coverage().value >= 0.8


def test_what_is_saved_says_the_same(types, tmp_path):
    types.save(tmp_path / "types")
    again = DefectTypes.load(tmp_path / "types")
    image = plate(np.random.default_rng(6), "ink")
    for field in ("probabilities", "p_values"):
        assert getattr(again.type_of(image), field) == pytest.approx(getattr(types.type_of(image), field), abs=1e-9)
    assert (again.promise(), again.right, again.counts) == (types.promise(), types.right, types.counts)
    state = tmp_path / "types" / "types.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    with pytest.raises(Hw3Error, match="types.safetensors: is damaged"):
        DefectTypes.load(tmp_path / "types")


def test_two_labelled_ones_a_type_are_enough_and_one_is_left_out(tables):
    defects, good = tables
    said = []
    few = pd.concat(
        [defects.groupby("defect").head(2), defects[defects["defect"] == "rust"].tail(1).assign(defect="odd")]
    )
    types = DefectTypes.learned(few, good, method=METHOD, echo=said.append)
    assert types.classes == ["ink", "lime", "rust"] and "odd (1)" in said[0]
    found = types.type_of(read_image(defects["image"][0]))
    assert found.names and sum(found.probabilities.values()) == pytest.approx(1)
    assert "at least 66.7 % of the defects of type ink (2)" in types.promise()
    assert types.type_of(plate(np.random.default_rng(7), "good")).names  # with so few nothing is said to be new


def test_a_single_type_and_none_and_no_good_images(tables):
    defects, good = tables
    one = DefectTypes.learned(defects[defects["defect"] == "ink"], good, method=METHOD)
    assert one.type_of(read_image(defects["image"][12])).probabilities == {"ink": 1.0}
    with pytest.raises(Hw3Error, match="found no defect; expected a type of defect with two photographs or more"):
        DefectTypes.learned(defects.head(0), good, method=METHOD)
    said = []
    whole = DefectTypes.learned(defects, good.head(5), method=METHOD, echo=said.append)
    assert whole.method.parts == ("whole",) and "5 good images: too few to say where to look" in said[0]
    assert sum(whole.type_of(read_image(defects["image"][0])).probabilities.values()) == pytest.approx(1)


def test_photographs_that_are_no_squares_are_padded(tables):
    defects, good = tables
    reading = dataclasses.replace(DefectTypes.learned(defects.head(4), good, method=METHOD).reading, fit="tile")
    types = DefectTypes.learned(defects.head(4), good, method=METHOD, reading=reading)
    assert types.reading.fit == "pad"
    assert types.type_of(plate(np.random.default_rng(8), "rust")[:40]).names
