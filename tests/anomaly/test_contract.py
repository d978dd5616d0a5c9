"""One contract for all detectors: what each of them gives, keeps and refuses, whatever it learns."""

import json
import pickle
import random
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from hw3lib.annotate.boxes import base
from hw3lib.anomaly import Detector, FewGoodImages, registry
from hw3lib.anomaly.registry import DETECTORS, load
from hw3lib.errors import Hw3Error

COMMON = {"image_size": 64, "smoothing": 1 / 64, "batch_size": 4, "device": "cpu"}
# 2 of 12 images are held out; they keep a rate of 40 %, so that nothing warns.
GOOD, RATE = 12, 0.4

CASES = {
    "ocsvm": {},
    "iforest": {"trees": 30},
    "knn": {},
    "mahalanobis": {},
    "autoencoder": {"num_steps": 3, "train_batch_size": 4, "working_size": 32, "latent_size": 8},
    "svdd": {"num_steps": 5, "train_batch_size": 4, "hidden_size": 16, "latent_size": 8},
    "svdd, whole images": {"num_steps": 5, "train_batch_size": 4, "latent_size": 8, "arch": None},
    "ganomaly": {"num_steps": 3, "train_batch_size": 4, "working_size": 32, "latent_size": 8, "channels": 4},
    "cutpaste": {"num_steps": 2, "train_batch_size": 2},
    "synthetic": {"num_steps": 2, "train_batch_size": 2, "hidden_size": 8},
    "padim": {"dimensions": 10},
    "patchcore": {},
    "subspace": {},
    "dino": {"arch": "tf_efficientnet_lite0"},
}
WITHOUT_MAPS = {"ocsvm", "iforest", "knn", "mahalanobis", "svdd, whole images", "ganomaly"}
# So few steps teach nobody to reproduce a plate or to see what was painted on it: the tests of Autoencoder and
# SyntheticDefects train them for longer. GANomaly promises nothing: what it finds differs from seed to seed.
NOT_TAUGHT = {"autoencoder", "synthetic", "ganomaly"}
FILES = ("detector.json", "state.safetensors")

each = pytest.mark.parametrize("case", CASES)


def new(case: str, **changes) -> Detector:
    return DETECTORS[case.partition(",")[0]](**COMMON | CASES[case] | changes)


@dataclass
class Fitted:
    """A detector after ``fit`` with the images that it was given, those that reached ``_fit``, and what came back."""

    detector: Detector
    returned: object
    good: np.ndarray
    learned: np.ndarray


@pytest.fixture(scope="module")
def fitted(plates):
    """A function of a case that fits each detector once; tests leave it as they found it."""
    done: dict[str, Fitted] = {}

    def fit(case: str) -> Fitted:
        if case not in done:
            detector, good, learned = new(case), plates(GOOD, 0), []
            learn = detector._fit
            detector._fit = lambda images, progress: (learned.append(np.array(images)), learn(images, progress))
            returned = detector.fit(good, held_out=0.2, false_alarm_rate=RATE)
            del detector._fit
            done[case] = Fitted(detector, returned, good, np.concatenate(learned))
        return done[case]

    return fit


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    """A function of a case that gives the folder of the saved detector; tests copy it before they change anything."""
    done: dict[str, Path] = {}

    def save(case: str) -> Path:
        if case not in done:
            done[case] = tmp_path_factory.mktemp("saved") / "detector"
            fitted(case).detector.save(done[case])
        return done[case]

    return save


def dummy(case: str) -> Detector:
    """A detector that learns nothing and scores the mean brightness: what the base class does is then quickly seen."""
    detector = new(case)
    detector._fit = lambda images, progress: None
    detector._score = lambda x: (x.float().mean((1, 2, 3)), x.float().mean(1) if has_maps(case) else None)
    return detector


def has_maps(case: str) -> bool:
    return case not in WITHOUT_MAPS


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_registered_detector_is_tested_and_has_a_name_of_its_own():
    assert {case.partition(",")[0] for case in CASES} == set(DETECTORS)
    assert len({kind.name for kind in DETECTORS.values()}) == len(DETECTORS)
    assert all(kind.source for kind in DETECTORS.values())


def test_saved_detectors_are_found_by_the_names_that_their_classes_save():
    for registered in (registry._SAVED, base._SAVED):
        assert {name: kind.name for name, kind in registered.items()} == {name: name for name in registered}
    assert [*registry._SAVED.values()] == [*DETECTORS.values()]


@each
def test_fit_returns_the_detector_and_learns_from_all_images_but_those_that_set_the_threshold(case, fitted):
    f = fitted(case)
    assert f.returned is f.detector
    learned = [i for i, image in enumerate(f.good) if any(np.array_equal(image, other) for other in f.learned)]
    assert len(learned) == len(f.learned) == GOOD - 2 == f.detector.n_good_
    apart = np.setdiff1d(np.arange(GOOD), learned)
    np.testing.assert_allclose(f.detector.good_scores_, np.sort(f.detector.decision_function(f.good[apart])), rtol=1e-4)
    assert f.detector.threshold_ == f.detector.good_scores_[1]  # rank ceil((2 + 1) (1 - 0.4)) = 2


@each
def test_scores_and_maps_are_finite_float32_of_the_images_shape(case, fitted, plates):
    detector = fitted(case).detector
    plain = np.stack([np.full((3, 64, 64), level, np.uint8) for level in (0, 128, 255)])  # black, grey and white
    for images in (plates(3, 1), plain):
        scores, maps = detector.score(images)
        assert scores.shape == (3,) and scores.dtype == np.float32 and np.isfinite(scores).all()
        if has_maps(case):
            assert maps.shape == (3, 64, 64) and maps.dtype == np.float32 and np.isfinite(maps).all()
            np.testing.assert_array_equal(maps, detector.anomaly_map(images))
        else:
            assert maps is None
        np.testing.assert_array_equal(scores, detector.decision_function(images))


@each
def test_a_detector_without_maps_says_so(case, fitted, plates):
    detector = fitted(case).detector
    assert detector.has_maps == has_maps(case)
    if not has_maps(case):
        with pytest.raises(Hw3Error, match=f"{detector.name} looks at the image as a whole and has no anomaly map"):
            detector.anomaly_map(plates(1, 1))


@each
def test_predict_says_which_scores_are_above_the_threshold_and_moves_nothing(case, fitted, plates):
    f = fitted(case)
    threshold, kept = f.detector.threshold_, f.detector.good_scores_.copy()
    images = np.concatenate([f.good, plates(4, 2, square=True)])
    scores = f.detector.decision_function(images)
    predicted = f.detector.predict(images)
    assert predicted.dtype == bool and np.array_equal(predicted, scores > threshold)
    p = f.detector.p_values(scores)
    assert np.array_equal(p == 1 / 3, scores > kept[-1]) and p.max() <= 1  # 1 / (n + 1) is the lowest
    assert f.detector.threshold_ == threshold and np.array_equal(f.detector.good_scores_, kept)


@each
def test_neither_the_batch_nor_the_order_changes_an_images_score(case, fitted, plates):
    detector = fitted(case).detector
    images = np.concatenate([plates(3, 1), plates(2, 2, square=True)])
    scores, maps = detector.score(images)
    order = np.array([3, 0, 4, 2, 1])
    detector.batch_size = 3
    try:
        shuffled = detector.score(images[order])
    finally:
        detector.batch_size = COMMON["batch_size"]
    np.testing.assert_allclose(shuffled.scores, scores[order], rtol=1e-3, atol=1e-5)
    if has_maps(case):
        np.testing.assert_allclose(shuffled.maps, maps[order], rtol=1e-3, atol=1e-3 * np.abs(maps).max())


@each
def test_the_seed_decides_all_whether_images_lie_in_memory_or_on_disk(case, fitted, plates, tmp_path):
    f = fitted(case)
    np.save(tmp_path / "good.npy", f.good)
    mapped = np.load(tmp_path / "good.npy", mmap_mode="r")
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    torch.set_warn_always(True)  # of an array that must not be written to; otherwise said once a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = new(case).fit(mapped, held_out=0.2, false_alarm_rate=RATE)
            again.decision_function(mapped[:2])
    finally:
        torch.set_warn_always(False)
    images = plates(3, 1)
    assert np.array_equal(again.decision_function(images), f.detector.decision_function(images))
    assert again.threshold_ == f.detector.threshold_


@pytest.mark.parametrize("case", [case for case in CASES if case not in NOT_TAUGHT])
def test_an_easy_defect_is_told_from_good_images(case, fitted, plates):
    detector = fitted(case).detector
    images = np.concatenate([plates(6, 1), plates(6, 2, square=True)])
    assert roc_auc_score([0] * 6 + [1] * 6, detector.decision_function(images)) == 1


@each
def test_a_loaded_detector_is_the_one_that_was_saved(case, fitted, saved, plates):
    detector, loaded = fitted(case).detector, load(saved(case))
    assert type(loaded) is type(detector) and loaded == detector  # every setting
    images = np.concatenate([plates(2, 1), plates(2, 2, square=True)])
    for ours, theirs in zip(loaded.score(images), detector.score(images), strict=True):
        assert np.array_equal(ours, theirs)
    assert loaded.threshold_ == detector.threshold_ and str(loaded.thresholds_) == str(detector.thresholds_)
    scores = detector.decision_function(images)
    assert np.array_equal(loaded.p_values(scores), detector.p_values(scores))
    assert loaded.memory_bank == detector.memory_bank and loaded.n_good_ == detector.n_good_
    if has_maps(case):
        assert loaded.map_threshold_ == detector.map_threshold_ and loaded.scale_ == detector.scale_


@each
def test_a_saved_folder_holds_two_files_and_no_pickle(case, saved):
    files = content(saved(case))
    assert sorted(files) == sorted(FILES)
    assert json.loads(files["detector.json"])["detector"] == new(case).name
    state = files["state.safetensors"]
    header = int.from_bytes(state[:8], "little")
    tensors = json.loads(state[8 : 8 + header])
    tensors.pop("__metadata__", None)
    # The tensors fill the file to the last byte, so nothing else is in it.
    assert 8 + header + max(t["data_offsets"][1] for t in tensors.values()) == len(state)
    for bytes_ in files.values():
        assert not bytes_.startswith((b"\x80", b"PK"))
        with pytest.raises((pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError, AttributeError)):
            pickle.loads(bytes_)


def json_with(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@each
def test_a_saved_detector_that_is_not_whole_is_refused_with_the_file_that_is_wrong(case, saved, tmp_path):
    def refused(said: str) -> None:
        with pytest.raises(Hw3Error, match=said):
            load(folder)

    for name in FILES:
        folder = Path(shutil.copytree(saved(case), tmp_path / f"damaged {name}"))
        damaged = bytearray((folder / name).read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (folder / name).write_bytes(damaged)
        refused(f"damaged {name}/{name}: is damaged")
        (folder / name).unlink()
        refused(f"damaged {name}: no saved detector, {name} is missing")
    folder = Path(shutil.copytree(saved(case), tmp_path / "later"))
    json_with(folder / "detector.json", format=3)
    refused("later/detector.json: found format 3, expected 2")
    folder = Path(shutil.copytree(saved(case), tmp_path / "earlier"))
    json_with(folder / "detector.json", format=1)
    refused("earlier/detector.json: found format 1, expected 2")
    folder = tmp_path / "nowhere"
    refused("nowhere: no saved detector, detector.json is missing")
    folder = saved(case) / "detector.json"
    refused("detector.json: no saved detector")


@each
def test_saving_replaces_a_detector_whole_and_an_interrupted_save_leaves_it(case, fitted, saved, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(saved("padim" if case != "padim" else "knn"), tmp_path / "kept"))
    (folder / "notes.txt").write_text("of the old one", encoding="utf-8")
    before = content(folder)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hw3lib.core.saved.save_tensors", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(case).detector.save(folder)
    assert content(folder) == before and list(tmp_path.iterdir()) == [folder]
    fitted(case).detector.save(folder)
    assert content(folder) == content(saved(case)) and list(tmp_path.iterdir()) == [folder]


@each
def test_before_fit_everything_says_that_nothing_was_learned(case, plates, tmp_path):
    detector, images = new(case), plates(1, 1)
    if case == "patchcore":
        detector.plan(10)  # reads the network, and learns nothing
    uses = [detector.score, detector.decision_function, detector.predict, detector.p_values]
    calls = [lambda use=use: use(images) for use in uses]
    calls += [lambda: detector.threshold_, lambda: detector.map_threshold_, lambda: detector.save(tmp_path / "kept")]
    calls += [lambda: detector.anomaly_map(images)] if has_maps(case) else []
    for call in calls:
        with pytest.raises(Hw3Error, match=f"{detector.name} has not learned anything yet; call fit"):
            call()
    assert not list(tmp_path.iterdir())


@each
def test_without_held_out_images_there_are_scores_and_no_threshold(case, plates):
    detector, images = dummy(case), plates(4, 0)
    learned = []
    detector._fit = lambda images, progress: learned.extend(images)
    detector.fit(images, held_out=0)
    assert np.array_equal(learned, images)
    np.testing.assert_allclose(detector.decision_function(images), images.mean((1, 2, 3)), rtol=1e-5)
    for call in (detector.predict, detector.p_values, lambda _: detector.threshold_):
        with pytest.raises(Hw3Error, match=f"{detector.name} was fitted with held_out=0"):
            call(images)


@each
def test_too_few_held_out_images_for_the_rate_warn(case, plates):
    with pytest.warns(FewGoodImages, match="2 good images cannot keep false_alarm_rate=0.05"):
        dummy(case).fit(plates(GOOD, 0), held_out=0.2)


def nan(images: np.ndarray) -> np.ndarray:
    images = images.astype(np.float32)
    images[2, 0, 9, 9] = np.nan
    return images


WRONG = {
    "none": (lambda images: images[:0], "found none"),
    "an empty list": (lambda images: [], "found none"),
    "NaN": (nan, "NaN or infinite pixels in image 2"),
    "0 to 1": (lambda images: images / 255.0, "expected 0 to 255 .multiply by 255"),
    "mixed sizes": (lambda images: [*images[:2], images[2][:, :50]], "images of mixed sizes"),
    "another size": (lambda images: images[:, :, :48, :48], "48x48 pixels, expected 64x64"),
    "no channels": (lambda images: images[:, 0], "expected .N, 3, H, W."),
}
WRONG_TO_LEARN_FROM = {
    "one image": (lambda images: images[:1], "found 1 good images, .* expected at least 4 in all"),
    "one image again and again": (lambda images: images[[1] * 6], "all 6 good images are the same"),
    "one colour": (lambda images: np.full_like(images, 90), "all 6 good images are the same"),
}


@each
@pytest.mark.parametrize("what", WRONG | WRONG_TO_LEARN_FROM)
def test_images_that_nothing_can_be_learned_from_are_refused_before_the_work(case, what, plates):
    detector = new(case)
    detector._fit = lambda images, progress: pytest.fail("it began to learn")
    spoil, said = (WRONG | WRONG_TO_LEARN_FROM)[what]
    for share in (0.2, 0):
        with pytest.raises(Hw3Error, match=said):
            detector.fit(spoil(plates(6, 0)), held_out=share, false_alarm_rate=RATE)


@each
@pytest.mark.parametrize("what", WRONG)
def test_images_that_cannot_be_scored_are_refused(case, what, plates):
    detector = dummy(case).fit(plates(GOOD, 0), held_out=0.2, false_alarm_rate=RATE)
    detector._score = lambda images: pytest.fail("it began to score")
    spoil, said = WRONG[what]
    with pytest.raises(Hw3Error, match=said):
        detector.predict(spoil(plates(6, 1)))
