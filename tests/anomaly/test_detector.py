"""The base of all detectors, by one whose score is the mean brightness: what is held out, checked, kept and refused."""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from hw3lib.anomaly import Detector, FewGoodImages, as_images, conformal_threshold
from hw3lib.anomaly.detector import SAVED
from hw3lib.anomaly.registry import load
from hw3lib.data import ImageStack
from hw3lib.errors import Hw3Error

# 2 held-out images keep a rate of 40 %: their highest score is the threshold, and nothing warns.
RATE = 0.4


@dataclass(kw_only=True)
class Brightness(Detector):
    """Score: brightness above the mean of the good images, or the map's maximum; map: the same on a grid of 4x4."""

    name: ClassVar[str] = "brightness"
    source: ClassVar[str] = "none"

    image_size: int = 32
    smoothing: float = 0.0
    device: str = "cpu"
    own_score: bool = True

    def _fit(self, images, progress):
        self._mean = torch.tensor(images[:].mean())

    def _score(self, images):
        grid = torch.nn.functional.avg_pool2d(images.double().mean(1)[:, None], 8)[:, 0] - self._mean
        return grid.mean((1, 2)) if self.own_score else None, grid

    def _state(self):
        return {"mean": self._mean}

    def _restore(self, state):
        self._mean = state["mean"]


def flat(*levels: int) -> np.ndarray:
    """Images of one grey level each."""
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 3, 32, 32)).copy()


GOOD = flat(100, 101, 102, 103, 104, 105, 106, 107, 108, 109)


@pytest.fixture
def fitted() -> Brightness:
    return Brightness().fit(GOOD, false_alarm_rate=RATE)


def held_out(detector: Brightness) -> list[int]:
    """Grey levels of the images that were held out, by their scores."""
    return [round(float(score + detector._mean)) for score in detector.good_scores_]


@pytest.mark.parametrize(("share", "count"), [(0.2, 2), (0.25, 2), (0.5, 5), (0.01, 1), (0, 0)])
def test_the_share_that_is_held_out_is_rounded_and_at_least_one_unless_it_is_0(share, count):
    detector = Brightness().fit(GOOD, held_out=share, false_alarm_rate=0.9)
    apart = held_out(detector)
    assert len(apart) == count and detector.n_good_ == 10 - count
    learned = set(range(100, 110)) - set(apart)
    assert len(learned) == 10 - count and float(detector._mean) == np.mean(list(learned))


def test_what_is_held_out_depends_on_the_seed_alone():
    drawn = [tuple(held_out(Brightness(seed=s).fit(GOOD, false_alarm_rate=RATE))) for s in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 2


@pytest.mark.parametrize(("n", "share", "enough"), [(3, 0.2, False), (4, 0.2, True), (3, 0, True), (10, 0.8, False)])
def test_fewer_than_three_images_to_learn_from_are_too_few(n, share, enough):
    if enough:
        assert Brightness().fit(GOOD[:n], held_out=share, false_alarm_rate=0.9).n_good_ == 3
    else:
        with pytest.raises(Hw3Error, match=f"found {n} good images, of which .* held out; expected at least 4 in all"):
            Brightness().fit(GOOD[:n], held_out=share, false_alarm_rate=0.9)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"held_out": 1.0}, "held_out=1.0, expected a share"),
        ({"held_out": -0.1}, "held_out=-0.1, expected a share"),
        ({"false_alarm_rate": 0}, "false_alarm_rate=0: expected a share"),
        ({"false_alarm_rate": 5, "held_out": 0}, "false_alarm_rate=5: expected a share"),
    ],
)
def test_a_share_or_rate_out_of_range_is_refused_before_anything_is_learned(wrong, said, monkeypatch):
    monkeypatch.setattr(Brightness, "_fit", lambda *_: pytest.fail("it began to learn"))
    with pytest.raises(Hw3Error, match=said):
        Brightness().fit(GOOD, **wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_size": 16}, "image_size=16, expected 32 or more"),
        ({"batch_size": 0}, "batch_size=0, expected 1 or more"),
        ({"smoothing": -1.0}, "smoothing=-1.0, expected a share of image_size, 0 to 0.25"),
        ({"smoothing": math.nan}, "smoothing=nan, expected a share"),
        ({"smoothing": 4.0}, "smoothing=4.0, expected a share"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(wrong, said):
    with pytest.raises(Hw3Error, match=f"brightness: {said}"):
        Brightness(**wrong)


def test_too_few_held_out_images_for_the_rate_warn_with_the_number_that_is_needed():
    with pytest.warns(FewGoodImages, match="2 good images cannot keep .*; 19 are needed"):
        Brightness().fit(GOOD)


def test_the_threshold_is_the_rank_of_held_out_scores_that_the_rate_asks_for():
    detector = Brightness().fit(GOOD, held_out=0.5, false_alarm_rate=0.5)
    apart = held_out(detector)
    assert apart == sorted(apart) and len(apart) == 5
    # ceil((5 + 1) (1 - 0.5)) = 3: the third lowest
    assert detector.threshold_ == detector.good_scores_[2]
    detector.set_false_alarm_rate(0.17)  # ceil(6 * 0.83) = 5: the highest
    assert detector.threshold_ == detector.good_scores_[4]
    level = apart[4]
    assert detector.predict(flat(level - 1, level, level + 1)).tolist() == [False, False, True]


def test_p_values_count_held_out_images_that_score_as_high():
    detector = Brightness().fit(GOOD, held_out=0.5, false_alarm_rate=RATE)
    apart = held_out(detector)
    scores = detector.decision_function(flat(apart[-1] + 1, apart[-1], apart[0], apart[0] - 1))
    np.testing.assert_allclose(detector.p_values(scores), [1 / 6, 2 / 6, 1, 1])


def test_the_maps_threshold_and_colours_come_from_the_held_out_maps():
    images = GOOD.copy()
    images[:, :, :8, :8] += np.arange(0, 100, 10, dtype=np.uint8)[:, None, None, None]  # one place of 16 is brighter
    detector = Brightness().fit(images, false_alarm_rate=RATE)
    apart = [i for i in range(10) if np.isclose(images[i].mean() - float(detector._mean), detector.good_scores_).any()]
    peaks = sorted(float(images[i, 0, 0, 0]) - float(detector._mean) for i in apart)
    np.testing.assert_allclose(detector.good_peaks_, peaks, rtol=1e-6)
    assert detector.map_threshold_ == detector.good_peaks_[-1] > detector.threshold_
    # Of the 32 places of both maps 15 are of the darker level and 15 of the other: the middle one is of the other.
    level = max(float(GOOD[i, 0, 0, 0]) for i in apart) - float(detector._mean)
    assert detector.scale_ == pytest.approx((level, level + 2 * (peaks[-1] - level)), rel=1e-5)


def test_maps_are_enlarged_bilinearly_and_then_smoothed(upsampled):
    images = np.random.default_rng(0).integers(0, 255, (3, 3, 32, 32), dtype=np.uint8)
    detector = Brightness(smoothing=2 / 32).fit(GOOD, false_alarm_rate=RATE)
    grid = images.astype(float).mean(1).reshape(3, 4, 8, 4, 8).mean((2, 4)) - float(detector._mean)
    large = upsampled(grid, 32)
    expected = np.stack([gaussian_filter(m, 2.0) for m in large])
    np.testing.assert_allclose(detector.anomaly_map(images), expected, atol=1e-3)
    detector.smoothing = 0.0
    np.testing.assert_allclose(detector.anomaly_map(images), large, atol=1e-3)


def test_without_a_score_of_its_own_an_image_scores_the_maximum_of_its_finished_map():
    images = np.random.default_rng(0).integers(0, 255, (5, 3, 32, 32), dtype=np.uint8)
    detector = Brightness(own_score=False, smoothing=3 / 32, batch_size=2).fit(GOOD, false_alarm_rate=RATE)
    scores, maps = detector.score(images)
    assert np.array_equal(scores, maps.max((1, 2))) and len(set(scores)) == 5
    assert detector.threshold_ == detector.map_threshold_


def test_learning_that_fails_leaves_a_detector_that_is_not_fitted(fitted, monkeypatch):
    def fails(*_):
        raise Hw3Error("the loss is no longer finite")

    with monkeypatch.context() as patch:
        patch.setattr(Brightness, "_fit", fails)
        with pytest.raises(Hw3Error, match="no longer finite"):
            fitted.fit(GOOD)
    for use in (fitted.decision_function, fitted.predict):
        with pytest.raises(Hw3Error, match="has not learned anything yet"):
            use(GOOD)


def test_images_that_are_refused_leave_the_fitted_detector_as_it_was(fitted):
    before = fitted.threshold_, fitted.decision_function(GOOD)
    with pytest.raises(Hw3Error, match="all 4 good images are the same"):
        fitted.fit(flat(5, 5, 5, 5))
    assert fitted.threshold_ == before[0] and np.array_equal(fitted.decision_function(GOOD), before[1])


def test_a_stack_a_list_an_array_and_floats_mean_the_same_images(fitted):
    expected = fitted.decision_function(GOOD)
    for images in (ImageStack(GOOD), list(GOOD), GOOD.astype(np.float32), GOOD.astype(np.int64), torch.tensor(GOOD)):
        assert np.array_equal(fitted.decision_function(images), expected)
    assert as_images(flat(7).astype(float) + 0.6).max() == 8


def test_images_seen_through_a_mirror_of_the_memory_are_taken(fitted):
    images = np.random.default_rng(0).integers(0, 255, (3, 3, 32, 32), dtype=np.uint8)
    mirrored = images[:, ::-1, :, ::-1]
    assert min(mirrored.strides) < 0
    assert np.array_equal(fitted.anomaly_map(mirrored), fitted.anomaly_map(mirrored.copy()))


def spoiled(value: float) -> np.ndarray:
    images = GOOD.astype(np.float32)
    images[3, 1, 5, 5] = value
    return images


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (GOOD[:, 0], r"found shape \(10, 32, 32\), expected \(N, 3, H, W\)"),
        (np.moveaxis(GOOD, 1, 3), r"found shape \(10, 32, 32, 3\), expected \(N, 3, H, W\)"),
        ([], "found none"),
        (GOOD[:0], "found none"),
        (ImageStack(GOOD[:0]), "found none"),
        ([GOOD[0], GOOD[1][:, :20]], r"mixed sizes: found \(3, 20, 32\), \(3, 32, 32\)"),
        (GOOD > 100, "found bool, expected uint8"),
        (spoiled(np.nan), "NaN or infinite pixels in image 3"),
        (spoiled(np.inf), "NaN or infinite pixels in image 3"),
        (spoiled(-1), "values of -1 to 109, expected 0 to 255"),
        (spoiled(256), "values of 100 to 256, expected 0 to 255"),
        (GOOD / 255, "expected 0 to 255 .multiply by 255"),
    ],
)
def test_what_are_no_images_of_0_to_255_is_refused(images, said):
    with pytest.raises(Hw3Error, match=said):
        as_images(images)


def test_a_detector_without_held_out_images_is_saved_without_a_threshold(tmp_path):
    detector = Brightness().fit(GOOD, held_out=0)
    detector.save(tmp_path / "kept")
    settings, state = SAVED.read(tmp_path / "kept")
    loaded = Brightness._load(settings["parameters"], settings, state)
    assert np.array_equal(loaded.decision_function(GOOD), detector.decision_function(GOOD))
    with pytest.raises(Hw3Error, match="fitted with held_out=0"):
        loaded.predict(GOOD)


def test_any_changed_byte_of_either_file_is_noticed_and_the_file_named(fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    for name in ("detector.json", "state.safetensors"):
        file = tmp_path / "kept" / name
        content = file.read_bytes()
        for position in range(len(content)):
            file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
            with pytest.raises(Hw3Error, match=f"kept/{name}: (is damaged|found format)"):
                SAVED.read(tmp_path / "kept")
        file.write_bytes(content)
    SAVED.read(tmp_path / "kept")


@pytest.mark.parametrize("content", ["", "[]", "{}", "3", '"format"', '{"format": 2}', "\xff"])
def test_settings_that_are_none_are_refused(content, fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    (tmp_path / "kept/detector.json").write_text(content, encoding="latin-1")
    with pytest.raises(Hw3Error, match="kept/detector.json: is damaged"):
        SAVED.read(tmp_path / "kept")


def test_a_file_cut_short_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    file = tmp_path / "kept/state.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(Hw3Error, match="kept/state.safetensors: is damaged"):
        SAVED.read(tmp_path / "kept")


def test_the_layout_of_the_settings_does_not_matter(fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    file = tmp_path / "kept/detector.json"
    file.write_text(json.dumps(json.loads(file.read_text()), sort_keys=True))
    assert SAVED.read(tmp_path / "kept")[0]["n_good"] == 8


def test_a_detector_of_a_later_version_is_refused_by_its_name(fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    with pytest.raises(Hw3Error, match="kept: holds a detector 'brightness', expected one of PatchCore"):
        load(tmp_path / "kept")


def test_saving_replaces_no_folder_that_holds_something_else(fitted, tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "1.jpg").write_bytes(b"irreplaceable")
    with pytest.raises(Hw3Error, match="photographs: holds other files and no detector"):
        fitted.save(photographs)
    assert (photographs / "1.jpg").read_bytes() == b"irreplaceable"
    (photographs / "1.jpg").unlink()
    fitted.save(photographs)  # an empty folder is taken
    assert SAVED.read(photographs)[0]["detector"] == "brightness"


def test_whole_products_are_held_out_and_count_once():
    images = flat(*range(60, 180, 3))  # 40 images of eight products
    groups = np.repeat(np.arange(8), 5)
    detector = Brightness().fit(images, groups=groups, held_out=0.5, false_alarm_rate=0.3)
    apart = {(round(float(score + detector._mean)) - 60) // 15 for score in detector.good_scores_}
    assert len(detector.good_scores_) == 20 and len(apart) == 4 and detector.n_good_ == 20
    assert detector.good_groups_.tolist() == sorted(np.repeat(sorted(apart), 5))
    threshold = detector.thresholds_
    assert (
        threshold.n == 4
        and threshold.photographs == 20
        and "20 held-out photographs of 4 good products" in str(threshold)
    )
    assert threshold == conformal_threshold(detector.good_scores_, 0.3, groups=detector.good_groups_)
    peaks = conformal_threshold(detector.good_peaks_, 0.3, groups=detector.peak_groups_)
    assert detector.map_threshold_ == peaks.value
    assert detector.p_values(np.array([9e9])) == pytest.approx(1 / 5)


def test_products_are_kept_with_the_detector(tmp_path):
    detector = Brightness().fit(flat(*range(60, 180, 3)), groups=np.repeat(np.arange(8), 5), false_alarm_rate=0.4)
    detector.save(tmp_path / "detector")
    settings, state = SAVED.read(tmp_path / "detector")
    loaded = Brightness._load(settings["parameters"], settings, state)
    assert str(loaded.thresholds_) == str(detector.thresholds_) and loaded.map_threshold_ == detector.map_threshold_
    scores = detector.decision_function(flat(90, 150))
    assert np.array_equal(loaded.p_values(scores), detector.p_values(scores))


def test_images_of_the_same_pixels_are_held_out_together():
    images = np.concatenate([GOOD, GOOD[:3]])
    for seed in range(6):
        detector = Brightness(seed=seed).fit(images, held_out=0.3, false_alarm_rate=0.5)
        assert detector.thresholds_.n == 3 and len(held_out(detector)) + detector.n_good_ == 13
        assert len(set(held_out(detector))) == 3


def test_a_stack_brings_its_products():
    stack = ImageStack(GOOD, groups=np.arange(10) // 2)
    detector = Brightness().fit(stack, held_out=0.4, false_alarm_rate=0.5)
    assert detector.thresholds_.n == 2 and detector.thresholds_.photographs == 4


def test_each_image_another_product_gives_what_no_groups_give():
    plain, said = (
        Brightness().fit(GOOD, false_alarm_rate=RATE),
        Brightness().fit(GOOD, groups=list("abcdefghij"), false_alarm_rate=RATE),
    )
    assert np.array_equal(plain.good_scores_, said.good_scores_) and plain.thresholds_ == said.thresholds_


def test_groups_that_leave_nothing_to_learn_from_are_refused():
    with pytest.raises(Hw3Error, match="found 10 good images of 1 product, of which 1 would be held out"):
        Brightness().fit(GOOD, groups=[0] * 10, false_alarm_rate=RATE)
    assert Brightness().fit(GOOD, groups=[0] * 10, held_out=0).n_good_ == 10
    with pytest.raises(Hw3Error, match=r"groups of shape \(9,\), expected one for each of 10"):
        Brightness().fit(GOOD, groups=[0] * 9, false_alarm_rate=RATE)
