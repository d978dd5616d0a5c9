"""hw3lib.anomaly.detectors.autoencoder: SSIM against scikit-image, the loss by hand, and a painted square."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from hw3lib.anomaly.detectors.autoencoder import Autoencoder, ssim_map
from hw3lib.errors import Hw3Error

SMALL = {"image_size": 32, "smoothing": 1 / 32, "num_steps": 150, "train_batch_size": 6, "latent_size": 16, "lr": 3e-3}
SMALL |= {"device": "cpu"}


def stripes(n: int, seed: int, side: int = 32) -> np.ndarray:
    """Upright stripes, always in the same place, in slightly changing light."""
    rng = np.random.default_rng(seed)
    wave = 128 + 60 * np.sin(np.arange(side) / 3)
    images = wave + rng.uniform(-10, 10, (n, 3, 1, 1)) + rng.normal(0, 2, (n, 3, side, side))
    return images.clip(0, 255).astype(np.uint8)


def damaged(n: int, seed: int) -> np.ndarray:
    images = stripes(n, seed)
    images[:, :, 10:22, 10:22] = 128
    return images


@pytest.fixture(scope="module", params=["l2", "ssim"])
def fitted(request) -> Autoencoder:
    return Autoencoder(loss=request.param, **SMALL).fit(stripes(12, 0), held_out=0)


def test_the_similarity_map_equals_scikit_images_away_from_the_border():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 32, 40))
    b = 0.7 * a + 0.3 * b
    _, expected = structural_similarity(
        a, b, win_size=11, channel_axis=0, data_range=1.0, full=True, use_sample_covariance=False
    )
    found = ssim_map(torch.from_numpy(a)[None], torch.from_numpy(b)[None])[0].numpy()
    np.testing.assert_allclose(found[5:-5, 5:-5], expected.mean(0)[5:-5, 5:-5], atol=1e-10)


def test_at_the_corner_the_window_is_the_part_inside_the_image():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 20, 20))
    p, q = a[:6, :6], b[:6, :6]  # five pixels either way of the corner's pixel
    covariance = ((p - p.mean()) * (q - q.mean())).mean()
    expected = (2 * p.mean() * q.mean() + 1e-4) * (2 * covariance + 9e-4)
    expected /= (p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (p.var() + q.var() + 9e-4)
    found = ssim_map(torch.from_numpy(a)[None, None], torch.from_numpy(b)[None, None])
    assert found[0, 0, 0].item() == pytest.approx(expected, abs=1e-12)


def test_images_alike_have_similarity_one_and_two_even_greys_what_their_means_say():
    grey = torch.full((1, 3, 16, 16), 0.5, dtype=torch.float64)
    assert torch.allclose(ssim_map(grey, grey), torch.ones(1, 16, 16).double())
    # No variance: (2 * .5 * .25 + 1e-4) / (.25 + .0625 + 1e-4) = .2501 / .3126
    assert torch.allclose(ssim_map(grey, grey / 2), torch.full((1, 16, 16), 0.2501 / 0.3126).double())


def test_the_similarity_has_a_gradient_that_leads_to_the_image():
    target = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    guess = torch.full_like(target, 0.5).requires_grad_()
    optimiser = torch.optim.Adam([guess], 0.05)
    for _ in range(150):
        optimiser.zero_grad()
        (1 - ssim_map(target, guess)).mean().backward()
        optimiser.step()
    assert ssim_map(target, guess).mean() > 0.95


def test_the_l2_residual_is_the_mean_of_the_squared_differences_of_the_channels():
    detector = Autoencoder(loss="l2", **SMALL | {"num_steps": 1}).fit(stripes(4, 0), held_out=0)
    detector._network = lambda inputs: torch.zeros_like(inputs)
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[0, 0, 3, 4] = 255  # red: squares 1, 0, 0
    residual = detector._residual(image)
    assert residual[0, 3, 4].item() == pytest.approx(1 / 3)
    assert residual.sum().item() == pytest.approx(1 / 3)


def test_a_square_without_stripes_is_brighter_in_the_map_than_what_is_around_it(fitted):
    maps = fitted.anomaly_map(damaged(4, 1))
    assert maps.shape == (4, 32, 32) and maps.dtype == np.float32
    outside = np.ones((32, 32), bool)
    outside[6:26, 6:26] = False
    assert (maps[:, 12:20, 12:20].mean((1, 2)) > 1.5 * maps[:, outside].mean(1)).all()


def test_damaged_images_score_higher_than_good_ones(fitted):
    assert fitted.decision_function(damaged(6, 1)).min() > fitted.decision_function(stripes(6, 2)).max()


def test_the_same_seed_gives_the_same_detector_and_leaves_torchs_generator_alone():
    few = SMALL | {"num_steps": 3}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = Autoencoder(**few, seed=1).fit(stripes(5, 0), held_out=0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    second = Autoencoder(**few, seed=1).fit(stripes(5, 0), held_out=0)
    other = Autoencoder(**few, seed=2).fit(stripes(5, 0), held_out=0)
    scores = [d.decision_function(damaged(3, 1)) for d in (first, second, other)]
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_a_saved_autoencoder_gives_the_scores_it_gave(fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    loaded = restored(fitted, tmp_path / "kept")
    assert np.array_equal(loaded.decision_function(damaged(3, 1)), fitted.decision_function(damaged(3, 1)))


def restored(detector, folder):
    from hw3lib.anomaly.detector import SAVED

    settings, state = SAVED.read(folder)
    return type(detector)._load(settings["parameters"], settings, state)


@pytest.mark.parametrize("side", [32, 47, 64, 224])
def test_every_image_size_is_reconstructed_at_a_multiple_of_16_of_at_most_the_working_size(side):
    detector = Autoencoder(image_size=side, working_size=64)
    with torch.no_grad():
        assert detector._build()(torch.zeros(1, 3, detector._side, detector._side)).shape[-1] == detector._side
    assert detector._side == {32: 32, 47: 32, 64: 64, 224: 64}[side]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"loss": "l1"}, "loss='l1', expected one of l2, ssim"),
        ({"working_size": 100}, "working_size=100, expected a multiple of 16"),
        ({"latent_size": 0}, "latent_size=0, expected 1 or more"),
        ({"num_steps": 0}, "num_steps=0, expected 1 or more"),
        ({"train_batch_size": 1}, "train_batch_size=1, expected 2 or more"),
        ({"lr": 0.0}, "lr=0.0, expected a number above 0"),
        ({"lr": float("nan")}, "lr=nan, expected a number above 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(wrong, said):
    with pytest.raises(Hw3Error, match=said):
        Autoencoder(**wrong)


def test_a_learning_rate_that_explodes_is_named():
    with pytest.raises(Hw3Error, match="loss became .* at lr=1e\\+20"):
        Autoencoder(**SMALL | {"lr": 1e20, "loss": "l2"}).fit(stripes(5, 0), held_out=0)


def test_weights_decay_at_a_rate_that_stays(rates):
    Autoencoder(**SMALL | {"num_steps": 3, "lr": 5e-4, "weight_decay": 0.25}).fit(stripes(5, 0), held_out=0)
    assert rates == [5e-4] * 3 and rates.groups[0]["weight_decay"] == 0.25
