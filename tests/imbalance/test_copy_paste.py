"""Copy-paste: the defect lands where it was, the good image stays around it, and what cannot be pasted is copied."""

import warnings

import numpy as np
import pytest

from hw3lib.errors import Hw3Error
from hw3lib.imbalance import CopyPaste
from hw3lib.imbalance.oversamplers.copy_paste import paste

SIDE = 40


def flat(value: int) -> np.ndarray:
    return np.full((3, SIDE, SIDE), value, np.uint8)


@pytest.fixture
def samples():
    """Four good images of levels 10 to 40, two dents at the upper left (100, 110) and one hole at the lower right."""
    X = np.stack([flat(v) for v in (10, 20, 30, 40, 100, 110, 200)])
    y = np.array(["good"] * 4 + ["dent"] * 2 + ["hole"])
    masks = np.zeros((7, SIDE, SIDE), bool)
    masks[4:6, 4:12, 4:12] = True
    masks[6, 28:36, 28:36] = True
    return X, y, masks


def test_without_a_margin_exactly_the_mask_is_replaced():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[5:9, 20:30] = True
    made = paste(flat(200), mask, flat(30), 0)
    assert made.dtype == np.uint8 and (made[:, mask] == 200).all() and (made[:, ~mask] == 30).all()


def test_a_margin_brings_the_surroundings_along_and_blends_them_out():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[15:25, 15:25] = True
    made = paste(flat(200), mask, flat(0), 4)[0].astype(float)
    assert made[20, 20] == 200 and made[mask].min() > 170, "the defect itself is there in full"
    ray = made[20, 24:40]
    assert (np.diff(ray) <= 0).all() and ray[-1] == 0
    # Four pixels of margin, then a Gaussian of sigma 2: at the margin's end half is left, within a pixel.
    assert made[20, 28] > 100 > made[20, 29]


def test_each_rare_class_gets_its_own_defects_on_good_images(samples):
    X, y, masks = samples
    sampler = CopyPaste(masks=masks, margin=0, random_state=0)
    made, labels = sampler.fit_resample(X, y)
    assert dict(zip(*np.unique(labels, return_counts=True), strict=True)) == {"good": 4, "dent": 4, "hole": 4}
    assert len(sampler.parents_) == 5
    for image, label, (defect, good) in zip(made[7:], labels[7:], sampler.parents_, strict=True):
        assert y[defect] == label and y[good] == "good"
        expected = np.where(masks[defect], X[defect], X[good])
        assert np.array_equal(image, expected)


def test_one_defect_makes_different_images_without_a_warning(samples):
    X, y, masks = samples
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, labels = CopyPaste(masks=masks, random_state=0, sampling_strategy={"hole": 9}).fit_resample(X, y)
    holes = made[labels == "hole"]
    assert len(holes) == 9 and len(np.unique(holes[:, 0, 0, 0])) > 2


def test_a_defect_without_a_mask_is_copied_with_its_image(samples):
    X, y, masks = samples
    masks[6] = False
    made, labels = CopyPaste(masks=masks, random_state=0).fit_resample(X, y)
    assert (made[labels == "hole"] == 200).all()


def test_too_few_good_images_are_copied(samples):
    X, y, masks = samples
    X, y, masks = (np.concatenate([part[[0]], part[4:]]) for part in (X, y, masks))
    made, labels = CopyPaste(masks=masks, random_state=0).fit_resample(X, y)
    assert (labels == "good").sum() == 2 and (made[labels == "good"] == 10).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": None}, r"masks: found None, expected \(7, 40, 40\)"),
        ({"masks": np.zeros((7, 20, 20), bool)}, r"masks: found \(7, 20, 20\), expected \(7, 40, 40\)"),
        ({"masks": np.zeros((6, 40, 40), bool)}, r"masks: found \(6, 40, 40\)"),
        ({"background": "ok"}, "background='ok': no image is of this class; the classes are 'dent', 'good', 'hole'"),
        ({"margin": -0.1}, "margin=-0.1: expected a number of at least 0"),
    ],
    ids=str,
)
def test_what_cannot_be_pasted_is_refused(samples, changes, message):
    X, y, masks = samples
    with pytest.raises(Hw3Error, match=message):
        CopyPaste(**{"masks": masks, **changes}).fit_resample(X, y)
