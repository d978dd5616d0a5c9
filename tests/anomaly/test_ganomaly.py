"""hw3lib.anomaly.detectors.ganomaly: the losses and the score by hand; no claim that it finds defects."""

import numpy as np
import pytest
import torch
from torch import nn

from hw3lib.anomaly.detector import SAVED
from hw3lib.anomaly.detectors import ganomaly as module
from hw3lib.anomaly.detectors.ganomaly import GANomaly, generator_losses
from hw3lib.errors import Hw3Error

SMALL = {"image_size": 32, "num_steps": 60, "train_batch_size": 6, "channels": 8, "latent_size": 12, "lr": 1e-3}
SMALL |= {"device": "cpu"}


def discs(n: int, seed: int, side: int = 32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    disc = (np.hypot(y, x) < side / 3) * rng.uniform(90, 110, (n, 3, 1, 1))
    return (60 + disc + rng.normal(0, 5, (n, 3, side, side))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> GANomaly:
    return GANomaly(**SMALL).fit(discs(12, 0), held_out=0)


def test_the_three_losses_are_those_computed_by_hand():
    real, fake = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, -0.25]])
    code, second = torch.tensor([[2.0, 2.0]]), torch.tensor([[1.0, 4.0]])
    features_real, features_fake = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    adversarial, contextual, encoder = generator_losses(real, fake, code, second, features_real, features_fake)
    assert adversarial.item() == 5.0  # (9 + 1) / 2
    assert contextual.item() == 0.375  # (0.5 + 0.25) / 2
    assert encoder.item() == 2.5  # (1 + 4) / 2


def test_the_generators_loss_weighs_them_by_1_50_and_1(monkeypatch):
    seen, losses = [], [torch.tensor(value, requires_grad=True) for value in (2.0, 3.0, 5.0)]
    monkeypatch.setattr(module, "generator_losses", lambda *_: losses)
    monkeypatch.setattr(GANomaly, "_learn", lambda self, images, step, progress: seen.append(step(images[:])))
    GANomaly(**SMALL).fit(discs(4, 0), held_out=0)
    assert seen == [2 + 150 + 5]


def test_the_score_is_the_l1_distance_of_the_two_codes(fitted):
    fitted_copy = GANomaly(**SMALL)
    fitted_copy._torch_device = torch.device("cpu")
    fitted_copy._codes = lambda inputs: (inputs, torch.tensor([[1.0, -2.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.5]]))
    scores, maps = fitted_copy._score(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert scores.tolist() == [4.5] and maps is None


def test_images_enter_as_minus_one_to_one(fitted):
    inputs = fitted._inputs(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 32, 32))
    assert inputs[0].unique().tolist() == [-1.0] and inputs[1].unique().tolist() == [1.0]


def test_training_teaches_it_to_reproduce_good_images(fitted):
    untrained = GANomaly(**SMALL | {"num_steps": 1}).fit(discs(12, 0), held_out=0)
    images = torch.from_numpy(discs(6, 1))

    def error(detector: GANomaly) -> float:
        inputs = detector._inputs(images)
        with torch.no_grad():
            return (detector._codes(inputs)[0] - inputs).abs().mean().item()

    assert error(fitted) < 0.7 * error(untrained)


def test_the_critic_learns_what_is_real(monkeypatch):
    """Its verdicts on the images that trained it end above those on reconstructions."""
    critics = []
    build = GANomaly._new

    def keep(self, maker):
        made = build(self, maker)
        critics.append(made)
        return made

    monkeypatch.setattr(GANomaly, "_new", keep)
    detector = GANomaly(**SMALL).fit(discs(12, 0), held_out=0)
    critic = next(c for c in critics if isinstance(c, module._Critic)).eval()
    real = detector._inputs(torch.from_numpy(discs(12, 0)))
    with torch.no_grad():
        verdicts = critic(real)[0], critic(detector._codes(real)[0])[0]
    assert verdicts[0].mean() > verdicts[1].mean()


@pytest.mark.parametrize("side", [32, 64, 128])
def test_the_decoder_gives_images_of_the_encoders_size(side):
    detector = GANomaly(image_size=side, working_size=side, channels=4, latent_size=5)
    detector._torch_device = torch.device("cpu")
    detector._network = detector._build().eval()
    fake, code, second = detector._codes(torch.zeros(2, 3, side, side))
    assert fake.shape == (2, 3, side, side) and code.shape == second.shape == (2, 5)


def test_what_lies_between_two_powers_of_two_is_reduced_to_the_lower():
    assert [GANomaly(image_size=s, working_size=64)._side for s in (32, 48, 64, 100, 224)] == [32, 32, 64, 64, 64]


def test_only_what_scores_is_saved_and_gives_the_scores_it_gave(fitted, tmp_path):
    fitted.save(tmp_path / "kept")
    settings, state = SAVED.read(tmp_path / "kept")
    loaded = GANomaly._load(settings["parameters"], settings, state)
    assert np.array_equal(loaded.decision_function(discs(3, 1)), fitted.decision_function(discs(3, 1)))
    assert not [name for name in state if "critic" in name]


def test_the_same_seed_gives_the_same_scores(fitted):
    again = GANomaly(**SMALL).fit(discs(12, 0), held_out=0)
    assert np.array_equal(again.decision_function(discs(3, 1)), fitted.decision_function(discs(3, 1)))
    assert isinstance(fitted._network, nn.ModuleDict)


def test_a_score_of_two_codes_has_no_map(fitted):
    with pytest.raises(Hw3Error, match="looks at the image as a whole"):
        fitted.anomaly_map(discs(2, 1))


def test_a_working_size_that_is_no_power_of_two_is_refused_by_name():
    with pytest.raises(Hw3Error, match="working_size=96, expected a power of two"):
        GANomaly(working_size=96)


def test_both_networks_learn_with_the_momentum_of_dcgan_at_one_rate(rates):
    GANomaly(**SMALL | {"num_steps": 2, "lr": 2e-4}).fit(discs(6, 0), held_out=0)
    assert rates == [2e-4] * 4  # generator and critic in turns
    assert rates.groups[0]["betas"] == (0.5, 0.999)
