"""Painted defects, CutPaste, the segmenter: what is painted, what is learned from it, and where it is seen."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from hw3lib.anomaly.detector import SAVED
from hw3lib.anomaly.detectors import cutpaste as module
from hw3lib.anomaly.detectors.cutpaste import CutPaste
from hw3lib.anomaly.detectors.painted_defects import paint_defect, paste_patch, paste_scar
from hw3lib.anomaly.detectors.synthetic_defects import SyntheticDefects
from hw3lib.errors import Hw3Error
from hw3lib.networks.losses import squared_dice_loss_of_batch

SMALL = {"image_size": 64, "smoothing": 1 / 64, "train_batch_size": 4, "device": "cpu"}
SIDE = 64


def plates(n: int, seed: int, square: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wave = 128 + 40 * np.sin(np.arange(SIDE) / 4)
    images = wave + rng.uniform(-10, 10, (n, 3, 1, 1)) + rng.normal(0, 4, (n, 3, SIDE, SIDE))
    if square:
        images[:, 0, 24:40, 24:40], images[:, 1:, 24:40, 24:40] = 220, 30
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cutpaste() -> CutPaste:
    return CutPaste(**SMALL, num_steps=6).fit(plates(10, 0), held_out=0)


@pytest.fixture(scope="module")
def segmenter() -> SyntheticDefects:
    return SyntheticDefects(**SMALL, num_steps=40).fit(plates(10, 0), held_out=0)


@pytest.mark.parametrize("paste", [paste_patch, paste_scar])
def test_pasting_changes_nothing_outside_its_mask_and_does_not_touch_the_image_it_was_given(paste):
    image = plates(1, 0)[0]
    kept = image.copy()
    for seed in range(20):
        changed, mask = paste(image, np.random.default_rng(seed))
        assert np.array_equal(changed[:, ~mask], image[:, ~mask])
        assert changed.dtype == np.uint8 and mask.shape == (SIDE, SIDE) and mask.any()
        assert (changed != image).any()
    assert np.array_equal(image, kept)


def test_a_pasted_patch_covers_2_to_15_percent_where_it_is_not_cut_off_by_the_border():
    shares, whole = [], []
    for seed in range(200):
        mask = paste_patch(plates(1, 0)[0], np.random.default_rng(seed))[1]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        inside = rows[0] > 0 and rows[-1] < SIDE - 1 and columns[0] > 0 and columns[-1] < SIDE - 1
        shares.append(mask.mean())
        if inside:
            whole.append(mask.mean())
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # a rectangle
    assert max(shares) < 0.17 and min(whole) > 0.012 and max(whole) > 0.1


def test_a_scar_is_thin_and_turned():
    image = np.zeros((3, 256, 256), np.uint8)
    areas = [paste_scar(image, np.random.default_rng(seed))[1].sum() for seed in range(100)]
    assert 300 < max(areas) <= 1.1 * 25 * 16
    slanted = 0
    for seed in range(50):
        mask = paste_scar(image, np.random.default_rng(seed))[1]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        slanted += mask.sum() < 0.8 * len(rows) * len(columns)
    assert slanted > 25


@pytest.mark.parametrize("upright", [True, False])
def test_what_is_pasted_comes_from_the_same_image(upright):
    ramp = np.broadcast_to(np.arange(SIDE, dtype=np.uint8) + 100, (3, SIDE, SIDE))
    changed, mask = paste_patch(ramp.copy() if upright else ramp.transpose(0, 2, 1).copy(), np.random.default_rng(3))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    patch = changed[0][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float)
    patch = patch if upright else patch.T
    assert (patch == patch[0]).all()  # columns of one grey stay so
    assert (np.diff(patch[0]) >= 0).all() and 0.7 < np.diff(patch[0]).mean() < 1.4  # and rise as the ramp does


def test_the_mask_of_a_painted_defect_is_where_the_image_visibly_changed():
    images = plates(2, 0)
    seen = 0
    for seed in range(60):
        changed, mask = paint_defect(images[0], images[1], np.random.default_rng(seed))
        difference = np.abs(changed.astype(int) - images[0]).max(0)
        assert np.array_equal(mask, difference >= 10)
        assert changed.dtype == np.uint8 and mask.mean() < 0.6
        seen += mask.any()
    assert seen > 45


def test_painted_defects_differ_in_size_and_repeat_with_the_seed():
    images = plates(2, 0)
    masks = [paint_defect(*images, np.random.default_rng(seed))[1] for seed in range(60)]
    shares = sorted(m.mean() for m in masks if m.any())
    assert shares[len(shares) // 5] < 0.003 and shares[-5] > 0.04
    again = paint_defect(*images, np.random.default_rng(7))
    first = paint_defect(*images, np.random.default_rng(7))
    assert np.array_equal(again[0], first[0]) and np.array_equal(again[1], first[1])


def test_the_dice_loss_is_that_computed_by_hand():
    # p = 0.5, 0.5 and t = 1, 0: 1 - (2 * 0.5 + 1) / (0.5 + 1 + 1) = 0.2
    assert squared_dice_loss_of_batch(torch.zeros(2), torch.tensor([1.0, 0.0])).item() == pytest.approx(0.2)
    assert squared_dice_loss_of_batch(torch.tensor([50.0, -50.0]), torch.tensor([1.0, 0.0])).item() == pytest.approx(0)


def test_the_distance_of_cutpaste_is_mahalanobis_and_its_map_averages_to_the_square():
    detector = CutPaste(**SMALL)
    detector._mean, detector._precision = torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    features = torch.tensor([[[[1.0, 3.0]], [[4.0, 0.0]]]])  # two channels at two places; their mean is (2, 2)
    detector._features = lambda images: features
    score, maps = detector._score(torch.zeros(1))
    # (2 - 1, 2 - 0) = (1, 2): 2 * 1 + 1 * 4 = 6. P (1, 2) = (2, 2), deviations (0, 4) and (2, 0) give 8 and 4.
    assert score.item() == pytest.approx(6**0.5)
    assert maps.tolist() == [[[8.0, 4.0]]]


def test_only_the_last_stages_learn(cutpaste):
    fresh = cutpaste._build().network.state_dict()
    learned = cutpaste._network.network.state_dict()
    changed = {name.split(".")[1] for name, value in learned.items() if not torch.equal(value, fresh[name])}
    assert changed == {"6", "7"}


def test_cutpaste_learns_to_tell_pasted_from_good_images():
    losses = []

    class Watched(CutPaste):
        def _learn(self, images, step, progress):
            def watched(batch: np.ndarray) -> float:
                losses.append(step(batch))
                return losses[-1]

            super()._learn(images, watched, progress)

    Watched(**SMALL, num_steps=20).fit(plates(10, 0), held_out=0)
    assert np.mean(losses[-8:]) < 0.85  # a guess among three costs ln 3 = 1.10


@pytest.mark.parametrize("which", ["cutpaste", "segmenter"])
def test_images_with_a_square_score_higher_than_good_ones(which, request):
    detector = request.getfixturevalue(which)
    bad, good = plates(6, 1, square=True), plates(6, 2)
    assert detector.decision_function(bad).min() > detector.decision_function(good).max()


def test_the_segmenter_learns_to_find_what_is_painted(segmenter):
    rng, good = np.random.default_rng(9), plates(24, 3)
    painted = [paint_defect(image, good[0], rng) for image in good[1:]]
    masks = np.stack([mask for _, mask in painted])
    maps = segmenter.anomaly_map(np.stack([image for image, _ in painted]))
    assert roc_auc_score(masks.ravel(), maps.ravel()) > 0.8


def test_the_segmenters_map_is_higher_in_the_square_than_anywhere_far_from_it(segmenter):
    maps = segmenter.anomaly_map(plates(6, 1, square=True))
    assert maps.shape == (6, SIDE, SIDE) and maps.dtype == np.float32
    outside = np.ones((SIDE, SIDE), bool)
    outside[12:52, 12:52] = False
    assert (maps[:, 26:38, 26:38].mean((1, 2)) > maps[:, outside].max(1)).all()


def test_cutpastes_map_is_higher_in_the_quarter_of_the_image_that_is_damaged():
    """At 128 pixels the last stage has 4x4 places."""
    rng = np.random.default_rng(0)
    wave = 128 + 40 * np.sin(np.arange(128) / 4) + np.zeros((14, 3, 128, 128))
    images = (wave + rng.normal(0, 4, wave.shape)).astype(np.uint8)
    images[10:, 0, 8:40, 8:40], images[10:, 1:, 8:40, 8:40] = 220, 30
    detector = CutPaste(image_size=128, num_steps=3, train_batch_size=2, device="cpu").fit(images[:10], held_out=0)
    maps = detector.anomaly_map(images[10:])
    assert (maps[:, :64, :64].mean((1, 2)) > 1.2 * maps[:, 64:, 64:].mean((1, 2))).all()


@pytest.mark.parametrize("which", ["cutpaste", "segmenter"])
def test_a_saved_detector_gives_the_scores_it_gave(which, request, tmp_path):
    detector = request.getfixturevalue(which)
    detector.save(tmp_path / "kept")
    settings, state = SAVED.read(tmp_path / "kept")
    loaded = type(detector)._load(settings["parameters"], settings, state)
    images = plates(3, 1, square=True)
    assert np.array_equal(loaded.decision_function(images), detector.decision_function(images))
    assert np.array_equal(loaded.anomaly_map(images), detector.anomaly_map(images))


@pytest.mark.parametrize("kind", [CutPaste, SyntheticDefects])
def test_the_same_seed_gives_the_same_scores_and_another_seed_others(kind):
    def scores(seed: int) -> np.ndarray:
        return kind(**SMALL, num_steps=3, seed=seed).fit(plates(6, 0), held_out=0).decision_function(plates(3, 1))

    first, second, other = scores(1), scores(1), scores(2)
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_the_heads_channels_are_standardised_over_good_images(segmenter):
    maps = segmenter._maps(torch.from_numpy(plates(10, 0)))
    for stage, m in zip(segmenter._network.stages, maps, strict=True):
        torch.testing.assert_close(stage.mean, m.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(stage.std, m.std((0, 2, 3), correction=0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (CutPaste, {"fine_tune_stages": -1}, "fine_tune_stages=-1, expected 0 or more"),
        (SyntheticDefects, {"hidden_size": 0}, "hidden_size=0, expected 1 or more"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(kind, wrong, said):
    with pytest.raises(Hw3Error, match=said):
        kind(**wrong)


def cosine(steps: int) -> list[float]:
    return [(1 + np.cos(np.pi * step / steps)) / 2 for step in range(steps)]


@pytest.mark.parametrize("kind", [CutPaste, SyntheticDefects])
def test_the_rate_falls_along_a_cosine(kind, rates):
    kind(**SMALL, num_steps=4, lr=2e-4).fit(plates(4, 0), held_out=0)
    assert rates == pytest.approx([2e-4 * share for share in cosine(4)])
    if kind is CutPaste:
        assert rates.groups[1]["lr"] == pytest.approx(10 * rates[-1])  # the classifier's


def test_cutpaste_asks_which_of_three_an_image_is(monkeypatch):
    given = {}
    monkeypatch.setattr(module, "paste_patch", lambda image, rng: (np.full_like(image, 100), None))
    monkeypatch.setattr(module, "paste_scar", lambda image, rng: (np.full_like(image, 200), None))
    monkeypatch.setattr(module, "cross_entropy", lambda logits, labels: given.update(labels=labels) or logits.sum())
    features = CutPaste._features

    def keep(self, images):
        given.setdefault("images", images)
        return features(self, images)

    monkeypatch.setattr(CutPaste, "_features", keep)
    images = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(3, 1).repeat(SIDE, 2).repeat(SIDE, 3)
    CutPaste(**SMALL, num_steps=1).fit(images, held_out=0)
    levels = given["images"].amax((1, 2, 3)).tolist()
    assert sorted(levels[:4]) == [0, 1, 2, 3] and levels[4:] == [100] * 4 + [200] * 4
    assert given["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_the_segmenter_learns_the_masks_of_half_of_its_images_by_cross_entropy_and_dice(monkeypatch):
    from hw3lib.anomaly.detectors import synthetic_defects

    targets, seen = [], []

    def constant(value):
        return lambda logits, target: targets.append(target) or 0 * logits.sum() + value

    mask = np.zeros((SIDE, SIDE), bool)
    mask[3:9, 4:8] = True
    monkeypatch.setattr(synthetic_defects, "paint_defect", lambda image, other, rng: (image, mask))
    monkeypatch.setattr(synthetic_defects, "binary_cross_entropy_with_logits", constant(2.0))
    monkeypatch.setattr(synthetic_defects, "squared_dice_loss_of_batch", constant(3.0))
    monkeypatch.setattr(SyntheticDefects, "_learn", lambda self, images, step, progress: seen.append(step(images[:4])))
    SyntheticDefects(**SMALL).fit(plates(4, 0), held_out=0)
    assert seen == [5]
    for target in targets:
        assert torch.equal(target[:2].bool(), torch.from_numpy(mask).expand(2, -1, -1)) and not target[2:].any()
