"""What a detector promises: every good image sets the threshold, and a detector under its threshold is the old one."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from hw3lib.anomaly import ChangedDetector, Costs, Detector, FewGoodImages, NearestImages, PatchCore
from hw3lib.anomaly.calibration import probe_images
from hw3lib.anomaly.detector import SAVED
from hw3lib.anomaly.registry import load
from hw3lib.anomaly.thresholds import cost_threshold, error_curve, errors_at
from hw3lib.data import ImageStack
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")
SIDE, GRID = 32, 3


@dataclass(kw_only=True)
class Blocks(PatchCore):
    """PatchCore whose patches are an image's mean colours on a grid of 3x3: no network, and as quick as its coreset."""

    name: ClassVar[str] = "blocks"
    image_size: int = SIDE
    smoothing: float = 0.0
    batch_size: int = 64
    device: str = "cpu"
    whiten: bool = False

    def _start(self):
        self._torch_device = torch.device("cpu")

    def _features(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float(), GRID).movedim(1, -1)


MEMORY = {"ratio": 1.0, "neighbours": 0}  # all patches as they are: what the theorem is about


def products(rng: np.random.Generator, n: int) -> np.ndarray:
    """Images ``(n, 3, 32, 32)`` of blocks whose colours have heavy tails, so that some good products are odd."""
    blocks = 128 + 9 * rng.standard_t(3, (n, 3, GRID, GRID))
    return np.repeat(np.repeat(blocks, 11, 2), 11, 3)[:, :, :SIDE, :SIDE].clip(0, 255).astype(np.uint8)


def patches(images: np.ndarray) -> np.ndarray:
    return Blocks()._features(torch.from_numpy(images)).flatten(1, 2).numpy()


def test_each_good_image_is_scored_without_its_own_patches():
    good = products(np.random.default_rng(0), 6)
    for settings in (MEMORY, {"ratio": 0.3, "neighbours": 0}, {"ratio": 0.3, "neighbours": 4}):
        detector = Blocks(**settings).fit(good, false_alarm_rate=0.3)
        bank, owners = detector._bank.numpy(), detector._squares
        assert all((patches(good)[owner] == vector).all(1).any() for owner, vector in zip(owners, bank, strict=True))
        wanted = []
        for i, own in enumerate(patches(good)):
            others = bank[owners != i]
            distance = cdist(own, others)
            most = distance.min(1).argmax()
            score = distance[most].min()
            if detector.neighbours:
                around = others[np.argsort(cdist(others[[distance[most].argmin()]], others)[0], kind="stable")[:4]]
                score *= 1 - np.exp(score) / np.exp(np.linalg.norm(own[most] - around, axis=1)).sum()
            wanted.append(score)
        np.testing.assert_allclose(detector.good_scores_, np.sort(wanted), rtol=1e-4)
        assert len(detector.good_scores_) == detector.n_good_ == 6 and detector.calibration_ == "leave-one-out"
        assert detector.thresholds_.proven == (settings is MEMORY)
        assert ("on average at most" if settings is MEMORY else "on average about") in str(detector.thresholds_)


def test_whole_products_are_left_out():
    good = products(np.random.default_rng(1), 8)
    groups = np.arange(8) // 2
    detector = Blocks(**MEMORY).fit(good, groups=groups, false_alarm_rate=0.3)
    every = patches(good)
    wanted = [cdist(every[i], every[groups != groups[i]].reshape(-1, 3)).min(1).max() for i in range(8)]
    np.testing.assert_allclose(detector.good_scores_, np.sort(wanted), rtol=1e-4)
    assert detector.thresholds_.n == 4 and detector.thresholds_.photographs == 8
    assert "8 photographs of 4 good products, each scored without" in str(detector.thresholds_)


@pytest.mark.parametrize(("settings", "draws"), [(MEMORY, 150), ({"ratio": 0.1}, 100)])
def test_the_false_alarm_rate_is_kept_over_random_draws(settings, draws):
    """Of 19 good images each time: a memory of all patches by the theorem, coresets as it is found."""
    rng, rates = np.random.default_rng(2), []
    for seed in range(draws):
        detector = Blocks(**settings, seed=seed).fit(products(rng, 19), false_alarm_rate=0.1)
        scores = detector.decision_function(products(rng, 20))
        rates.append((scores > detector.threshold_).mean())
        if seed == 0:
            assert detector.thresholds_.guarantee == pytest.approx(0.1)
    margin = 4 * np.std(rates) / np.sqrt(draws)
    assert np.mean(rates) <= 0.1 + margin
    assert np.mean(rates) >= 0.05 - margin  # and the threshold is not so high that it stops nothing


def test_scored_with_their_own_patches_good_images_would_set_a_threshold_that_stops_all():
    rng = np.random.default_rng(3)
    detector = Blocks(**MEMORY).fit(good := products(rng, 19), held_out=0)
    assert detector.decision_function(good).max() < 1e-3 < detector.decision_function(products(rng, 20)).min()


def test_tiles_of_an_image_are_left_out_together():
    rng = np.random.default_rng(4)
    squares = products(rng, 12)
    geometries = [Geometry(32, 80, SIDE, "tile")] * 4
    assert len(geometries[0]) == 3
    detector = Blocks(**MEMORY).fit(ImageStack(squares, geometries=geometries), false_alarm_rate=0.3)
    every, own = patches(squares), np.arange(12) // 3
    wanted = [
        max(cdist(every[j], every[own != i].reshape(-1, 3)).min(1).max() for j in np.flatnonzero(own == i))
        for i in range(4)
    ]
    np.testing.assert_allclose(detector.good_scores_, np.sort(wanted), rtol=1e-4)


def test_the_coreset_of_a_stream_knows_whose_its_vectors_are():
    good = products(np.random.default_rng(5), 40)
    plan = Blocks(ratio=0.1).plan(40)
    limit = 2 * plan["memory_bank_bytes"] + plan["patches_bytes"] // 2
    detector = Blocks(ratio=0.1, memory_limit=limit, batch_size=2).fit(good, false_alarm_rate=0.1)
    for owner, vector in zip(detector._squares, detector._bank.numpy(), strict=True):
        assert (patches(good[[owner]])[0] == vector).all(1).any()


def test_a_bank_of_one_image_alone_is_refused():
    with pytest.raises(Hw3Error, match="memory bank of 1 vector is of one good product alone.*higher ratio than 1e-09"):
        Blocks(ratio=1e-9).fit(good := products(np.random.default_rng(6), 5))
    with pytest.raises(Hw3Error, match="one good product alone.*held_out=0, which sets no threshold"):
        Blocks().fit(good, groups=[0] * 5)


@pytest.mark.parametrize("groups", [None, np.arange(12) // 2])
def test_folds_score_each_image_by_a_detector_that_has_not_seen_it(groups, monkeypatch):
    good, learned = products(np.random.default_rng(7), 12), []
    fit = Blocks._fit

    def watched(self, images, progress):
        learned.append(np.array(images[:]))
        fit(self, images, progress)

    monkeypatch.setattr(Blocks, "_fit", watched)
    detector = Blocks(**MEMORY).fit(good, groups=groups, folds=3, false_alarm_rate=0.3)
    assert [len(images) for images in learned] == [12, 8, 8, 8] and detector.n_good_ == 12
    wanted, own = [], np.arange(12) if groups is None else groups
    for images in learned[1:]:
        inside = np.array([any(np.array_equal(image, other) for other in images) for image in good])
        assert not set(own[inside]) & set(own[~inside])
        wanted += [cdist(p, patches(images).reshape(-1, 3)).min(1).max() for p in patches(good[~inside])]
    np.testing.assert_allclose(detector.good_scores_, np.sort(wanted), rtol=1e-4)
    said = str(detector.thresholds_)
    assert "scored by a detector that had not learned from it" in said and "on average about" in said
    assert detector.thresholds_.likely_rate is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"folds": 1}, "folds=1, expected 2 to 8"),
        ({"folds": 9}, "folds=9, expected 2 to 8"),
        ({"folds": 2.0}, "folds=2.0, expected 2 to 8"),
        ({"folds": 2, "held_out": 0.2}, "held_out=0.2 and folds=2; expected one of them"),
    ],
)
def test_folds_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(Hw3Error, match=said):
        Blocks().fit(products(np.random.default_rng(8), 8), **wrong)


def test_of_very_many_images_so_many_are_scored_as_show_the_rate(monkeypatch):
    monkeypatch.setattr("hw3lib.anomaly.detector._MOST", 10)
    good = products(np.random.default_rng(9), 24)
    assert len(Blocks().fit(good, false_alarm_rate=0.2).good_scores_) == 10
    grouped = Blocks().fit(good, groups=np.arange(24) // 4, false_alarm_rate=0.4)
    assert grouped.thresholds_.n == 2 and len(grouped.good_scores_) == 8 and grouped.n_good_ == 24


def by_hand(good: np.ndarray, bad: np.ndarray, costs: Costs) -> float:
    """The lowest expected cost over all thresholds."""
    cuts = np.concatenate([[-np.inf], good, bad])
    return min(
        costs.defects * costs.miss * (bad <= cut).mean() + (1 - costs.defects) * costs.alarm * (good > cut).mean()
        for cut in cuts
    )


@pytest.mark.parametrize("costs", [Costs(100, 1), Costs(1, 100), Costs(5, 1, 0.2), Costs(1000, 1, 0.5)])
def test_a_threshold_by_costs_costs_least(costs):
    rng = np.random.default_rng(10)
    good, bad = rng.normal(size=40), rng.normal(1.5, size=15)
    found = cost_threshold(good, bad, costs)
    paid = costs.defects * costs.miss * found.errors.misses + (1 - costs.defects) * costs.alarm * found.errors.alarms
    assert paid == pytest.approx(by_hand(good, bad, costs)) and found.errors.misses == (bad <= found.value).mean()
    assert found.false_alarm_rate == found.errors.alarms == (good > found.value).mean()
    said = str(found)
    assert "15 known defects and 40 held-out good images" in said and f"a miss costs {costs.miss:g}" in said
    assert "these figures flatter, and it keeps no false-alarm rate" in said and found.guarantee is None


def test_of_thresholds_that_cost_the_same_the_middle_of_the_widest_gap_is_taken():
    assert cost_threshold(np.array([1.0, 2]), np.array([8.0, 9]), Costs(1, 1)).value == 5


def test_misses_and_false_alarms_have_intervals_and_shares_are_told_as_they_are():
    good, bad = np.arange(8.0), np.array([6.5, 9, 10])
    curve = error_curve(good, bad)
    assert [point.threshold for point in curve[1:]] == [*np.arange(0.5, 6), 6.25, 6.75, 8, 9.5, 10]
    assert (curve[0].alarms, curve[0].misses, curve[-1].alarms, curve[-1].misses) == (1, 0, 0, 1)
    found = errors_at(6.6, good, bad)
    interval = binomtest(1, 8).proportion_ci(method="wilson")
    assert (found.alarms, found.alarms_low, found.alarms_high) == pytest.approx((1 / 8, interval.low, interval.high))
    assert found.misses == pytest.approx(1 / 3)
    assert "12.5 % of the good images are stopped" in str(cost_threshold(good, bad[:1], Costs(1000, 1, 0.5)))
    grouped = errors_at(6.6, good, bad, groups=np.arange(8) // 2)
    assert grouped.alarms == pytest.approx(1 / 8)  # half of one product of four


@pytest.mark.parametrize(
    ("wrong", "said"),
    [((0, 1), "cost of a miss: 0"), ((1, float("inf")), "cost of an alarm: inf"), ((1, 1, 1.0), "share of defective")],
)
def test_costs_that_are_none_are_refused(wrong, said):
    with pytest.raises(Hw3Error, match=said):
        Costs(*wrong)


def test_a_choice_by_costs_is_kept_and_obeyed(tmp_path):
    """Of a detector of the registry, so that it is loaded as users load it."""
    rng = np.random.default_rng(11)
    good, bad = rng.integers(90, 160, (12, 3, 32, 32), np.uint8), rng.integers(60, 190, (4, 3, 32, 32), np.uint8)
    detector = NearestImages(image_size=32, device="cpu").fit(good, false_alarm_rate=0.3, held_out=0.5)
    with pytest.raises(Hw3Error, match="knows no defects"):
        detector.set_costs(Costs(1, 1))
    curve = detector.know_defects(bad)
    assert len(curve) == 11 and len(detector.bad_scores_) == 4
    detector.set_costs(Costs(1000, 1, 0.5))
    assert detector.predict(bad).all()
    detector.save(tmp_path / "kept")
    again = load(tmp_path / "kept")
    assert again.thresholds_ == detector.thresholds_ and again.thresholds_.costs == Costs(1000, 1, 0.5)
    assert np.array_equal(again.predict(bad), detector.predict(bad))
    assert again.threshold_at(0.3).guarantee is not None  # a rate can still be asked for
    scores = detector.decision_function(bad)
    assert np.array_equal(again.p_values(scores), detector.p_values(scores))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A detector that scikit-learn is fitted for again at load."""
    folder = tmp_path_factory.mktemp("kept") / "detector"
    good = np.random.default_rng(12).integers(90, 160, (12, 3, 32, 32), np.uint8)
    NearestImages(image_size=32, device="cpu").fit(good, false_alarm_rate=0.4).save(folder)
    return folder, good


def test_a_detector_that_gives_other_scores_than_it_did_says_so_and_has_no_p_values(kept, monkeypatch):
    folder, good = kept
    monkeypatch.setattr("hw3lib.anomaly.detectors.pooled.StandardScaler.transform", lambda self, x: x)
    with pytest.warns(ChangedDetector, match="no longer the detector that was fitted: images that scored .* now score"):
        changed = load(folder)
    scores = changed.decision_function(good)
    with pytest.raises(Hw3Error, match="has no p-values: This is no longer the detector"):
        changed.p_values(scores)
    assert str(changed.threshold_at()).endswith(changed.changed_) and changed.predict(good).shape == (12,)


def test_other_weights_of_the_backbone_are_noticed_even_where_scores_agree(kept, monkeypatch):
    folder, _ = kept
    whole = backbones.load

    def nudged(*args, **kwargs):
        found = whole(*args, **kwargs)
        with torch.no_grad():
            found.network.classifier[-1].bias[0] += 1  # that no detector reads
        return found

    monkeypatch.setattr(backbones, "load", nudged)
    with pytest.warns(ChangedDetector, match="its backbone has other weights"):
        assert load(folder).changed_


def test_what_processors_differ_by_is_no_change(kept):
    folder, _ = kept
    detector = load(folder)
    assert not detector.changed_
    images = probe_images(32)
    for factor, changed in ((1 + 1e-4, False), (1.1, True)):
        detector.probe_ = detector.decision_function(images) * np.float32(factor)
        detector.changed_ = ""
        detector.compare_probe(images)
        assert bool(detector.changed_) == changed


def test_a_detector_of_before_there_was_a_probe_is_refused(kept, tmp_path):
    folder, _ = kept
    settings = json.loads((folder / "detector.json").read_text())
    (tmp_path / "detector.json").write_text(json.dumps(settings | {"format": 1}))
    (tmp_path / "state.safetensors").write_bytes((folder / "state.safetensors").read_bytes())
    with pytest.raises(Hw3Error, match="found format 1, expected 2"):
        SAVED.read(tmp_path)


def test_few_good_images_say_what_they_can_promise():
    with pytest.warns(FewGoodImages, match="4 good images cannot keep .* which allows 20 %; 19 are needed"):
        detector: Detector = Blocks().fit(products(np.random.default_rng(13), 4))
    assert detector.thresholds_.guarantee == pytest.approx(1 / 5)
