"""Classifiers of photographs that are no squares: padded, refused as tiles, and explained on the photograph."""

import numpy as np
import pytest

from hw3lib.classify import Attempt
from hw3lib.classify.explain import _on_image, peaks
from hw3lib.classify.guided.classifier import DefectGuided, extract_features, good_images
from hw3lib.classify.inputs import Inputs
from hw3lib.data import classification_images, load_masks, load_table
from hw3lib.data.pixels.geometry import FILL, Geometry
from hw3lib.errors import Hw3Error
from hw3lib.networks import pick_device
from tests.helpers.long_photographs import is_on_disc, make_category

ATTEMPT = Attempt("small", arch="simple_cnn", image_size=64)


def images_of(folder):
    return classification_images(load_table(folder.parent, folder.name))


def inputs(folder) -> np.ndarray:
    return Inputs(ATTEMPT, images_of(folder), 0, pick_device("cpu"), "float32").images.numpy()


def test_a_classifier_sees_what_the_category_s_fit_says(tmp_path):
    padded, _ = make_category(tmp_path, fit="pad")
    plain, _ = make_category(tmp_path, name="plain")
    seen, stretched = inputs(padded), inputs(plain)
    assert seen.shape == stretched.shape
    assert (seen[:, :, :, :19] == np.array(FILL)[:, None, None]).all() and (
        seen[:, 0, :, 19:44] != FILL[0]
    ).mean() > 0.9
    assert (stretched[:, 0, :, :19] != FILL[0]).mean() > 0.9


def test_a_classifier_refuses_tiles_and_says_what_to_take(tmp_path):
    folder, _ = make_category(tmp_path, fit="tile")
    with pytest.raises(Hw3Error, match="fit=tile cuts it into 3 squares.*--fit pad"):
        inputs(folder)
    table = load_table(folder.parent, folder.name)
    with pytest.raises(Hw3Error, match="--fit pad"):
        load_masks(table, 64)
    with pytest.raises(Hw3Error, match="--fit pad"):
        images = images_of(folder)
        extract_features(DefectGuided(image_size=64), images, good_images(table, images))


def test_masks_lie_where_images_do(tmp_path):
    folder, places = make_category(tmp_path, fit="pad")
    table = load_table(folder.parent, folder.name)
    defective = table[table["is_defect"]]
    for mask, (x, y, _) in zip(load_masks(defective, 64), places.values(), strict=True):
        rows, columns = np.nonzero(mask)
        wanted = Geometry(100, 252, 64, "pad").to_square(np.array([x + 0.5, y + 0.5]))
        assert np.abs([columns.mean() + 0.5, rows.mean() + 0.5] - wanted).max() < 1
        assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    assert np.array_equal(load_masks(defective, 64, fit="stretch").shape, (6, 64, 64))


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_an_explanation_points_at_the_photograph(fit, tmp_path):
    folder, places = make_category(tmp_path, fit=fit)
    table = load_table(folder.parent, folder.name)
    defective = table[table["is_defect"]]
    for row, place in zip(defective.itertuples(), places.values(), strict=True):
        values = np.zeros((64, 64), np.float32)
        x, y = np.floor(Geometry(100, 252, 64, fit).to_square(np.array(place[:2]) + 0.5)).astype(int)
        values[y, x] = 1
        values[0, 0] = 2 if fit == "pad" else 0  # in the padding, which no explanation shows
        inside = _on_image(values, row)
        assert inside.shape == (64, 64) and inside.max() == pytest.approx(1)
        line, column = peaks(inside[None])[0]
        assert is_on_disc(((line + 0.5) * 252 / 64, (column + 0.5) * 100 / 64), place)
