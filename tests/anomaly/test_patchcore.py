"""PatchCore beside a brute-force one in double precision; what it keeps, within which memory; the real bottle."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist

from hw3lib.anomaly import PatchCore, image_metrics
from hw3lib.anomaly.coreset.greedy import k_center_greedy
from hw3lib.anomaly.detectors import patchcore as module
from hw3lib.data import ImageStack, load_table
from hw3lib.data.synthetic import picture
from hw3lib.errors import Hw3Error

SMALL = {"image_size": 64, "batch_size": 4, "smoothing": 0.0, "device": "cpu"}
LAYERS = ["features.2", "features.3", "features.5"]
CHANNELS, PLACES = 24 + 40 + 112, 64  # of these layers; a grid of 8x8


@pytest.fixture(scope="module")
def images(plates) -> tuple[np.ndarray, np.ndarray]:
    """Good images to learn from, and good and defective ones to score."""
    return plates(6, 0), np.concatenate([plates(2, 1), plates(2, 2, square=True)])


@pytest.fixture(scope="module")
def features(images, patches_by_hand) -> tuple[np.ndarray, np.ndarray]:
    """Patches of both, float64 ``(images, places, channels)``."""
    return tuple(patches_by_hand(x, LAYERS).reshape(len(x), PLACES, CHANNELS) for x in images)


def brute_force(bank: np.ndarray, patches: np.ndarray, b: int, metric: dict) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``(n,)`` and distances ``(n, places)`` by the paper's equations 6 and 7, one image after the other."""
    scores, maps = [], []
    among = cdist(bank, bank, **metric)
    for image in patches:
        distance = cdist(image, bank, **metric)
        maps.append(distance.min(1))
        worst = maps[-1].argmax()
        nearest = distance[worst].argmin()
        around = np.argsort(among[nearest], kind="stable")[:b]
        weight = 1 - np.exp(distance[worst, nearest]) / np.exp(distance[worst, around]).sum() if b else 1
        scores.append(weight * maps[-1][worst])
    return np.array(scores), np.array(maps)


@pytest.mark.parametrize("b", [0, 2, 9])
@pytest.mark.parametrize("whiten", [False, True])
def test_scores_and_maps_are_those_of_brute_force(whiten, b, images, features, upsampled):
    detector = PatchCore(**SMALL, whiten=whiten, neighbours=b, ratio=0.1).fit(images[0], held_out=0)
    learned = features[0].reshape(-1, CHANNELS)
    kept = k_center_greedy(
        detector._patches(torch.from_numpy(images[0])).flatten(0, 2), 38, generator=torch.Generator().manual_seed(0)
    ).indices
    covariance = np.cov(learned.T, bias=True)
    shrunk = 0.93 * covariance + 0.07 * np.trace(covariance) / CHANNELS * np.eye(CHANNELS)
    metric = {"metric": "mahalanobis", "VI": np.linalg.inv(shrunk)} if whiten else {"metric": "euclidean"}
    scores, maps = brute_force(learned[kept], features[1], b, metric)
    found = detector.score(images[1])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-3)
    np.testing.assert_allclose(found.maps, upsampled(maps.reshape(-1, 8, 8), 64), rtol=1e-3, atol=1e-3)


def test_the_bank_holds_the_picks_of_the_greedy_coreset_with_the_seed(images):
    patches = None
    banks = []
    for seed in (0, 5):
        detector = PatchCore(**SMALL, ratio=0.05, seed=seed).fit(images[0], held_out=0)
        patches = detector._patches(torch.from_numpy(images[0])).flatten(0, 2).numpy()
        start = int(torch.randint(len(patches), (), generator=torch.Generator().manual_seed(seed)))
        distance, picks = cdist(patches[[start]], patches)[0], [start]
        while len(picks) < 19:  # 5 % of 384
            picks.append(int(distance.argmax()))
            distance = np.minimum(distance, cdist(patches[[picks[-1]]], patches)[0])
        np.testing.assert_allclose(detector._bank, patches[picks], rtol=1e-4, atol=1e-4)
        assert detector.coreset_radius_ == pytest.approx(distance.max(), rel=1e-4)
        banks.append(detector._bank)
    assert not torch.equal(*banks)


def test_with_all_patches_in_the_bank_a_learned_image_is_at_distance_zero(images):
    detector = PatchCore(**SMALL, ratio=1).fit(images[0], held_out=0)
    assert detector.memory_bank == 6 * PLACES and detector.coreset_radius_ == 0
    scores, maps = detector.score(images[0])
    unknown = detector.score(images[1])
    assert maps.max() < 1e-3 * unknown.maps.min() and scores.max() < 1e-3 * unknown.scores.min()


def test_a_bank_of_one_patch_still_distinguishes_images(images):
    detector = PatchCore(**SMALL, ratio=1e-9).fit(images[0], held_out=0)
    scores = detector.decision_function(images[1])
    assert detector.memory_bank == 1 and scores[2:].min() > scores[:2].max() > 0


def test_the_plan_is_what_is_kept(images):
    plan = PatchCore(**SMALL, ratio=0.1).plan(6)
    detector = PatchCore(**SMALL, ratio=0.1).fit(images[0], held_out=0)
    bank = detector._state()["bank"]
    assert plan["memory_bank"] == detector.memory_bank == len(bank) == 38
    assert plan["memory_bank_bytes"] == bank.numel() * bank.element_size() == 38 * CHANNELS * 4
    assert plan["patches"] == 6 * PLACES and plan["channels"] == CHANNELS
    assert plan["patches_bytes"] == 6 * PLACES * CHANNELS * 4


def test_planning_leaves_a_fitted_detector_as_it_was(images):
    detector = PatchCore(**SMALL).fit(images[0], held_out=0)
    before = detector.decision_function(images[1])
    detector.plan(1000)
    assert np.array_equal(detector.decision_function(images[1]), before)


def test_the_plan_is_printed_before_the_work_when_progress_is_shown(images, capsys):
    PatchCore(**SMALL).fit(images[0], held_out=0, progress=True)
    assert "384 patches (270.3 kB), of which the memory bank keeps 38 (26.8 kB)" in capsys.readouterr().out


def test_patches_beyond_the_limit_are_streamed_within_the_bound(images, monkeypatch):
    chunks = []
    stream = module.coreset.streaming_coreset

    def watched(parts, size, **settings):
        def noted():
            for part in parts:
                chunks.append(len(part))
                yield part

        return stream(noted(), size, **settings)

    monkeypatch.setattr(module.coreset, "streaming_coreset", watched)
    plan = PatchCore(**SMALL).plan(6)
    room = 2 * PLACES * CHANNELS * 4  # two images
    detector = PatchCore(**SMALL | {"batch_size": 1}, memory_limit=2 * plan["memory_bank_bytes"] + room)
    detector.fit(images[0], held_out=0)
    assert chunks == [2 * PLACES] * 3
    assert detector.memory_bank == plan["memory_bank"]
    patches = detector._patches(torch.from_numpy(images[0])).flatten(0, 2).numpy()
    distance = cdist(patches, detector._bank.numpy()).min(1)
    assert (distance < 1e-3).sum() >= 38  # the bank consists of patches
    assert distance.max() <= detector.coreset_radius_


def test_within_the_limit_nothing_is_streamed(images, monkeypatch):
    monkeypatch.setattr(module.coreset, "streaming_coreset", lambda *_, **__: pytest.fail("streamed"))
    plan = PatchCore(**SMALL).plan(6)
    limit = plan["patches_bytes"] + 2 * plan["memory_bank_bytes"]
    limited = PatchCore(**SMALL, memory_limit=limit).fit(images[0], held_out=0)
    free = PatchCore(**SMALL).fit(images[0], held_out=0)
    assert torch.equal(limited._bank, free._bank)


def test_a_bank_that_is_larger_than_the_limit_is_refused_before_anything_is_read(images, monkeypatch):
    detector = PatchCore(**SMALL, ratio=0.5, memory_limit=200_000)
    monkeypatch.setattr(detector, "_read", lambda *_: pytest.fail("it read images"))
    with pytest.raises(Hw3Error, match="memory bank would take 135.2 kB, twice .* memory_limit is 200.0 kB; .* ratio"):
        detector.fit(images[0], held_out=0)


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize(
    ("layers", "read", "channels", "side"),
    [  # of 64 pixels
        ((), ["layer1", "layer2", "layer3"], 64 + 128 + 256, 8),
        (("layer2", "layer3"), ["layer2", "layer3"], 128 + 256, 8),
        (("layer3", "layer4"), ["layer3", "layer4"], 256 + 512, 4),
        (("layer2",), ["layer2"], 128, 8),
    ],
)
def test_another_network_and_other_layers_are_read_by_name(layers, read, channels, side, images, patches_by_hand):
    detector = PatchCore(**SMALL, arch="resnet18", layers=layers).fit(images[0], held_out=0)
    found = detector._patches(torch.from_numpy(images[1]))
    assert found.shape == (4, side, side, channels)
    expected = patches_by_hand(images[1], read, read.index("layer2") if "layer2" in read else 0, "resnet18")
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.isfinite(detector.decision_function(images[1])).all()


def test_a_layer_that_the_network_does_not_have_is_refused_with_those_it_has(images):
    with pytest.raises(Hw3Error, match="tf_efficientnet_lite1 has no layer 'layer9'; its stages are features.0, "):
        PatchCore(**SMALL, layers=("features.3", "layer9")).fit(images[0], held_out=0)


def test_a_layer_without_maps_is_refused_with_those_that_have_them(images):
    with pytest.raises(Hw3Error, match=r"layer 'classifier' of .* gives no feature maps but \(1, 1000\); take some of"):
        PatchCore(**SMALL, layers=("classifier",)).fit(images[0], held_out=0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ratio": 0.0}, "ratio=0.0, expected a share of the patches, above 0 to 1"),
        ({"ratio": 1.1}, "ratio=1.1, expected a share"),
        ({"neighbours": -1}, "neighbours=-1, expected 0, or 2 or more"),
        ({"neighbours": 1}, "neighbours=1, expected 0, or 2 or more"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(wrong, said):
    with pytest.raises(Hw3Error, match=f"PatchCore: {said}"):
        PatchCore(**wrong)


def test_on_the_real_bottle_a_small_bank_tells_defective_from_good(real_data):
    table = load_table(real_data, "bottle")
    good, test = table[table["split"] == "train"].iloc[::4], table[table["split"] == "test"]
    detector = PatchCore(ratio=0.02, device="cpu").fit(ImageStack.load(good, 224), held_out=0)
    scores = detector.decision_function(ImageStack.load(test, 224))
    assert image_metrics(test["is_defect"].to_numpy(), scores).auroc >= 0.99


def test_a_larger_image_has_as_many_patches_and_a_map_that_is_smoothed_alike():
    small, large = PatchCore(image_size=224), PatchCore(image_size=384)
    assert small.plan(5) == large.plan(5) and small.plan(5)["patches"] == 5 * 28 * 28
    assert (small.sigma, large.sigma) == (4, 4 * 384 / 224)


def test_a_larger_size_ranks_generated_bottles_no_worse():
    kinds = ["good"] * 20 + ["contamination", "broken_small"] * 5
    painted = [Image.fromarray(picture("bottle", kind, 256, (9, i))[0]) for i, kind in enumerate(kinds)]
    auroc = {}
    for side in (224, 384):
        images = np.stack([np.asarray(image.resize((side, side))).transpose(2, 0, 1) for image in painted])
        scores = PatchCore(image_size=side, device="cpu").fit(images[:10], held_out=0).decision_function(images[10:])
        auroc[side] = image_metrics(np.arange(20) >= 10, scores).auroc
    assert auroc[384] > auroc[224] - 0.01 and auroc[224] > 0.7
