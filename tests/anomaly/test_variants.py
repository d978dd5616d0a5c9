"""Good images under another light or moved, and detectors that are told to tolerate it."""

import numpy as np
import pytest

from hw3lib.anomaly.detectors.patchcore import PatchCore
from hw3lib.anomaly.detectors.pooled import NearestImages
from hw3lib.anomaly.registry import load
from hw3lib.anomaly.robustness import CONDITIONS
from hw3lib.anomaly.variants import TOLERABLE, drawn, light, light_from, moved, with_variants
from hw3lib.data import ImageStack
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.reading import Reading
from hw3lib.errors import Hw3Error


def test_light_changes_each_channel_and_is_clipped():
    images = np.full((1, 3, 4, 4), 200, np.uint8)
    changed = light(0.5, 1.0, 1.5)(images)
    assert changed.dtype == np.uint8
    assert changed[0, :, 0, 0].tolist() == [100, 200, 255]


def test_light_from_a_side_is_brighter_there():
    changed = light_from(180, 0.2)(np.full((1, 3, 2, 5), 100, np.uint8))
    assert changed[0, 0, 0].tolist() == [120, 110, 100, 90, 80]
    above = light_from(90, 0.2)(np.full((1, 3, 5, 2), 100, np.uint8))
    assert above[0, 0, :, 0].tolist() == [120, 110, 100, 90, 80]
    corners = light_from(45, 0.2)(np.full((1, 3, 5, 5), 100, np.uint8))[0, 0]
    assert (corners[0, -1], corners[-1, 0], corners[2, 2]) == (120, 80, 100)


def test_a_turn_by_a_quarter_and_a_shift_move_pixels_exactly():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
    assert np.array_equal(moved(degrees=90)(images), np.rot90(images, 1, (-2, -1)))
    assert np.array_equal(CONDITIONS["turned by 90 degrees"](images), np.rot90(images, 1, (-2, -1)))
    assert np.array_equal(moved(down=0.25)(images)[:, :, 2:], images[:, :, :-2])
    assert np.array_equal(moved(0.25)(images)[..., 2:], images[..., :-2])
    assert np.array_equal(moved()(images), images)


@pytest.mark.parametrize("kind", TOLERABLE)
def test_a_tolerated_kind_alone_is_drawn_and_within_its_range(kind):
    grey = np.full((1, 3, 32, 32), 100, np.uint8)
    dot = grey.copy()
    dot[..., 14:18, 26:30] = 250
    generator, uneven = np.random.default_rng(0), False
    for _ in range(20):
        change = drawn([kind], generator)
        plain, found = change(grey)[0].astype(int), change(dot)[0].astype(int)
        where = np.argwhere((found - plain)[0] > 50).mean(0)
        if kind in ("light", "colour"):
            assert np.allclose(where, (15.5, 27.5)) and 63 <= plain.min() < plain.max() + 1 <= 145
            assert (np.ptp(plain, 0) <= 1).all() == (kind == "light")
            uneven |= (np.ptp(plain.reshape(3, -1), 1) > 0).any()
        else:
            assert (plain == 100).all() and np.abs(where - (15.5, 27.5)).max() < 2.5
            turned = np.hypot(*(where - 15.5)) - 12
            assert abs(turned) < 0.3 or kind == "shift"
    assert uneven == (kind == "light")


def test_variants_follow_the_images_and_padding_stays():
    rng = np.random.default_rng(0)
    geometry = Geometry(40, 20, 32, "pad")
    squares = np.concatenate([geometry.cut(rng.integers(1, 200, (16, 32, 3), dtype=np.uint8), 0) for _ in range(150)])
    images = ImageStack(squares.transpose(0, 3, 1, 2).copy(), "", Reading(fit="pad"), [geometry] * 150)
    found, shown = with_variants(images, ["light", "rotation"], 3)
    assert len(found) == len(shown) == 450 and np.array_equal(shown[150:300], np.arange(150))
    assert np.array_equal(found.images[:150], images.images) and found.reading == images.reading
    assert not np.array_equal(found.images[150:300], images.images)
    assert not np.array_equal(found.images[150:300], found.images[300:])
    bars = found.images[150:, :, :8]
    assert (bars == bars[:1, :, :1, :1]).all()
    again = with_variants(images, ["light", "rotation"], 3)[0].images
    assert np.array_equal(again, found.images)
    assert len(with_variants(images.part(np.arange(4)), ["light"], 0)[0]) == 4 * 9


@pytest.mark.parametrize("kind", [PatchCore, NearestImages])
def test_what_is_tolerated_looks_good_and_is_kept(kind, tmp_path):
    rng = np.random.default_rng(1)
    pattern = np.kron(rng.integers(60, 190, (3, 8, 8)), np.ones((8, 8)))
    good = (pattern + rng.normal(0, 1, (40, 3, 64, 64))).clip(0, 255).astype(np.uint8)
    new, dark = good[30:], light(0.8, 0.8, 0.8)(good[30:])
    times = []
    for tolerate in ((), ("light",)):
        detector = kind(image_size=64, tolerate=tolerate).fit(good[:30])
        times.append(np.median(detector.decision_function(dark)) / np.median(detector.decision_function(new)))
    assert times[0] > 1.8 and times[1] - 1 < (times[0] - 1) / 8  # of what the dark adds, an eighth at most is left
    if kind is PatchCore:  # the other one looks at the image as a whole
        defect = new.copy()
        defect[:, :, 20:36, 20:36] = 255 - defect[:, :, 20:36, 20:36]
        assert (detector.decision_function(defect) > detector.threshold_).all()
    threshold = detector.thresholds_
    assert (threshold.n, threshold.photographs) == ((30, 150) if kind is PatchCore else (8, 40))
    detector.save(tmp_path / "d")
    assert load(tmp_path / "d").tolerate == ("light",)


@pytest.mark.parametrize("wrong", [("lihgt",), ("light", "light")])
def test_what_cannot_be_tolerated_is_refused(wrong):
    with pytest.raises(Hw3Error, match="PatchCore: tolerate=.*expected some of light, colour, shift, rotation"):
        PatchCore(tolerate=wrong)
