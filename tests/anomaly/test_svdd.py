"""hw3lib.anomaly.detectors.svdd: the objective by hand, what must not be in the network, and a painted square."""

import numpy as np
import pytest
import torch
from torch import nn

from hw3lib.anomaly.detector import SAVED
from hw3lib.anomaly.detectors.svdd import DeepSVDD, _Sphere, away_from_zero, normalise_contrast
from hw3lib.errors import Hw3Error

SMALL = {"image_size": 64, "smoothing": 0.0, "num_steps": 40, "train_batch_size": 4, "device": "cpu"}


def plates(n: int, seed: int, square: bool = False, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wave = 128 + 40 * np.sin(np.arange(side) / 4)
    images = wave + rng.uniform(-10, 10, (n, 3, 1, 1)) + rng.normal(0, 4, (n, 3, side, side))
    if square:
        images[:, 0, 24:40, 24:40], images[:, 1:, 24:40, 24:40] = 220, 30
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def patchwise() -> DeepSVDD:
    return DeepSVDD(**SMALL).fit(plates(10, 0), held_out=0)


@pytest.fixture(scope="module")
def whole() -> DeepSVDD:
    return DeepSVDD(**SMALL, arch=None).fit(plates(10, 0), held_out=0)


def test_components_of_the_centre_near_zero_are_moved_to_a_tenth_on_their_side():
    centre = torch.tensor([0.5, -0.5, 0.02, -0.02, 0.0, 0.1, -0.1])
    assert torch.equal(away_from_zero(centre), torch.tensor([0.5, -0.5, 0.1, -0.1, 0.1, 0.1, -0.1]))


def test_the_distance_is_squared_euclidean_from_the_centre():
    sphere = _Sphere(2, 3, 2)
    sphere.layers = nn.Identity()
    sphere.mean.copy_(torch.tensor([1.0, 1.0]))
    sphere.std.copy_(torch.tensor([1.0, 2.0]))
    sphere.centre.copy_(torch.tensor([1.0, -1.0]))
    # (4 - 1) / 1 - 1 = 2 and (5 - 1) / 2 + 1 = 3, so 4 + 9
    assert sphere(torch.tensor([[4.0, 5.0]])).tolist() == [13.0]


def test_no_row_is_learned_from_again_before_all_others_were():
    seen = []

    def step(rows: np.ndarray) -> float:
        seen.extend(rows.tolist())
        return 0.0

    DeepSVDD(**SMALL)._learn(np.arange(10), step, False)  # batches of 4, which do not divide 10
    counts = [np.bincount(seen[:end], minlength=10) for end in range(1, len(seen) + 1)]
    assert len(seen) == 160 and all(np.ptp(found) <= 1 for found in counts)


@pytest.mark.parametrize("channels", [0, 7])
def test_no_layer_has_a_bias_or_a_learned_shift(channels):
    names = [name for name, _ in _Sphere(channels, 8, 4).named_parameters()]
    assert names and all(name.endswith("weight") for name in names)
    normalised = [m for m in _Sphere(channels, 8, 4).modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.weight is None and m.bias is None for m in normalised)
    assert bool(normalised) == (channels == 0)


def test_contrast_is_normalised_to_mean_zero_and_mean_deviation_one():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.4
    found = normalise_contrast(images)
    assert torch.allclose(found.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(found.abs().mean((1, 2, 3)), torch.ones(2), atol=1e-5)
    assert torch.allclose(normalise_contrast(images * 0.5 + 0.1), found, atol=1e-4)  # light does not matter


@pytest.mark.parametrize("arch", [None, "tf_efficientnet_lite0"])
def test_training_draws_good_images_together(arch):
    settings = SMALL | {"lr": 1e-3, "arch": arch}
    short = DeepSVDD(**settings | {"num_steps": 1}).fit(plates(10, 0), held_out=0)
    long = DeepSVDD(**settings).fit(plates(10, 0), held_out=0)
    assert torch.equal(short._network.centre, long._network.centre)  # a first pass sets it, training never moves it
    assert long.decision_function(plates(5, 1)).mean() < 0.7 * short.decision_function(plates(5, 1)).mean()


def test_a_painted_square_is_brighter_in_the_map_than_what_is_around_it(patchwise):
    maps = patchwise.anomaly_map(plates(4, 1, square=True))
    assert maps.shape == (4, 64, 64) and maps.dtype == np.float32
    outside = np.ones((64, 64), bool)
    outside[12:52, 12:52] = False
    assert (maps[:, 28:36, 28:36].mean((1, 2)) > 1.5 * maps[:, outside].mean(1)).all()


def test_images_with_a_square_score_higher_than_good_ones(patchwise, whole):
    for detector in (patchwise, whole):
        bad, good = plates(6, 1, square=True), plates(6, 2)
        assert detector.decision_function(bad).min() > detector.decision_function(good).max()


def test_only_the_network_that_sees_whole_images_has_no_map(patchwise, whole):
    assert patchwise.has_maps and not whole.has_maps
    with pytest.raises(Hw3Error, match="looks at the image as a whole"):
        whole.anomaly_map(plates(2, 1))


def test_a_saved_detector_gives_the_scores_it_gave(patchwise, whole, tmp_path):
    for detector in (patchwise, whole):
        detector.save(tmp_path / "kept")
        settings, state = SAVED.read(tmp_path / "kept")
        loaded = DeepSVDD._load(settings["parameters"], settings, state)
        images = plates(3, 1, square=True)
        assert np.array_equal(loaded.decision_function(images), detector.decision_function(images))


def test_the_same_seed_gives_the_same_scores(patchwise):
    again = DeepSVDD(**SMALL).fit(plates(10, 0), held_out=0)
    other = DeepSVDD(**SMALL, seed=1).fit(plates(10, 0), held_out=0)
    images = plates(3, 1)
    assert np.array_equal(again.decision_function(images), patchwise.decision_function(images))
    assert not np.array_equal(other.decision_function(images), patchwise.decision_function(images))


def test_the_patches_that_it_learns_from_are_limited():
    detector = DeepSVDD(**SMALL, max_patches=30)
    detector.fit(plates(10, 0), held_out=0)
    assert len(detector._read(plates(10, 0), False)) == 30


def test_the_rate_falls_to_a_tenth_after_three_fifths_of_the_steps_and_weights_decay(rates):
    DeepSVDD(**SMALL | {"num_steps": 5, "lr": 1e-3}, weight_decay=0.02).fit(plates(4, 0), held_out=0)
    assert rates == pytest.approx([1e-3] * 3 + [1e-4] * 2)
    assert rates.groups[0]["weight_decay"] == 0.02


def test_a_step_lowers_the_mean_squared_distance_from_the_centre(monkeypatch):
    seen = []

    def learn(self, data, step, progress, batch_size):
        batch, network = data[:7], self._network
        inputs = torch.from_numpy(batch)
        expected = (network.phi(inputs) - network.centre).square().sum(1).mean().item()
        seen.append((step(batch), expected, step(batch)))

    monkeypatch.setattr(DeepSVDD, "_learn", learn)
    DeepSVDD(**SMALL | {"lr": 1e-3}).fit(plates(4, 0), held_out=0)
    ((loss, expected, later),) = seen
    assert loss == pytest.approx(expected, rel=1e-5) and later < loss
