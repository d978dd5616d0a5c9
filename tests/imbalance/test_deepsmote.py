"""DeepSMOTE and the autoencoder under it: the paper's loss by hand, latents on segments."""

import numpy as np
import pytest
import torch
from torch import nn

from hw3lib.errors import Hw3Error
from hw3lib.imbalance import DeepSmote
from hw3lib.imbalance.oversamplers.autoencoder import LatentAutoencoder, train_autoencoder
from hw3lib.imbalance.oversamplers.deepsmote import official_penalty, permuted_penalty, smote_between

TINY = {"steps": 4, "width": 2, "latent_dim": 6, "batch_size": 4, "image_size": 32, "random_state": 0}


def images(counts, side=40, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(list(counts), list(counts.values()))
    return rng.integers(0, 256, (len(y), 3, side, side), dtype=np.uint8), y


class Scales(nn.Module):
    """Encoder and decoder that multiply by one number each."""

    def __init__(self):
        super().__init__()
        self.e, self.d = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))

    def encode(self, x):
        return self.e * x

    def decode(self, z):
        return self.d * z


def column(*values):
    return torch.tensor(values).reshape(-1, 1)


def test_penalty_holds_permuted_codes_against_images_in_their_own_order():
    network, x = Scales(), column(1.0, 2.0, 4.0)
    # The order the generator will draw, and then the definition with e d = 6.
    order = torch.randperm(3, generator=torch.Generator().manual_seed(1)).tolist()
    assert order != [0, 1, 2]
    errors = [6 * x[j].item() - x[i].item() for i, j in enumerate(order)]
    loss = permuted_penalty(network, x, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(sum(e * e for e in errors) / 3)
    loss.backward()
    # dL/de = 2/3 sum error_i * d x_j: the encoder learns too.
    by_hand = 2 / 3 * sum(e * 3 * x[j].item() for e, j in zip(errors, order, strict=True))
    assert network.e.grad.item() == pytest.approx(by_hand)
    assert network.d.grad.item() == pytest.approx(by_hand * 2 / 3)


def test_official_variant_is_a_plain_reconstruction_that_trains_the_decoder_alone():
    network, x = Scales(), column(1.0, 2.0, 4.0)
    loss = official_penalty(network, x, torch.Generator())
    assert loss.item() == pytest.approx(25 * (1 + 4 + 16) / 3)  # (6 x - x)^2
    loss.backward()
    assert network.e.grad is None and network.d.grad.item() == pytest.approx(2 / 3 * 5 * 2 * 21)


def test_the_decoder_starts_at_the_mean_image_and_mirrors_the_encoder():
    mean = torch.rand(3, 48, 48) - 0.5
    network = LatentAutoencoder(48, 7, 4, mean, 0.5)
    with torch.no_grad():
        for parameter in network.decoder[-1].parameters():
            parameter.zero_()
    x = torch.rand(2, 3, 48, 48)
    z = network.eval().encode(x)
    assert torch.allclose(z, network.encoder((x - mean) / 0.5))
    assert z.shape == (2, 7)
    assert network.decode(z)[1].detach().numpy() == pytest.approx(mean.numpy(), abs=1e-5)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [m.out_channels for m in convolutions] == [4, 8, 16, 32, 16, 8, 4, 3]
    assert all(m.kernel_size == (4, 4) and m.stride == (2, 2) and m.padding == (1, 1) for m in convolutions)


def test_training_lowers_the_loss_and_leaves_the_global_generator_alone():
    x = torch.linspace(-0.8, 0.8, 6).reshape(6, 1, 1, 1).expand(6, 3, 32, 32).contiguous()
    settings = dict(latent_dim=4, width=4, steps=60, batch_size=6, lr=1e-2, penalty=None, seed=0)
    state = torch.get_rng_state()
    network, history = train_autoencoder(x, np.zeros(6), **settings)
    assert torch.equal(state, torch.get_rng_state())
    assert not network.training and len(history) == 60 and (history["penalty"] == 0).all()
    # Predicting the mean image, which is 0, would cost the variance.
    assert history["reconstruction"].tail(6).mean() < 0.25 * float((x**2).mean())


def test_the_penalty_sees_one_class_at_a_time_and_every_class_in_turn():
    y = np.array([0, 0, 0, 1, 1, 2])
    x = torch.tensor(y / 4.0, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(6, 3, 32, 32).contiguous()
    seen = []

    def penalty(network, batch, generator):
        seen.append((batch.unique().tolist(), len(batch)))
        return torch.ones(())

    history = train_autoencoder(x, y, latent_dim=2, width=2, steps=30, batch_size=2, lr=1e-3, penalty=penalty, seed=0)[
        1
    ]
    assert {(tuple(values), n) for values, n in seen} == {((0.0,), 2), ((0.25,), 2), ((0.5,), 1)}
    assert (history["penalty"] == 1).all()


def test_neighbours_are_of_the_nearest_and_every_pair_is_drawn():
    latents = np.array([[0.0], [1.0], [2.5], [10.0], [11.0]], np.float32)
    parents, gaps = smote_between(latents, 400, 2, np.random.RandomState(0))
    nearest = {0: {1, 2}, 1: {0, 2}, 2: {0, 1}, 3: {2, 4}, 4: {2, 3}}
    found = {i: set(parents[parents[:, 0] == i, 1].tolist()) for i in range(5)}
    assert found == nearest
    assert gaps.min() >= 0 and gaps.max() <= 1 and gaps.std() == pytest.approx(12**-0.5, abs=0.03)


def test_equal_latents_and_a_single_one_have_pairs():
    parents, _ = smote_between(np.zeros((3, 2), np.float32), 50, 1, np.random.RandomState(0))
    assert (parents[:, 0] != parents[:, 1]).all()
    parents, gaps = smote_between(np.ones((1, 2), np.float32), 3, 5, np.random.RandomState(0))
    assert (parents == 0).all() and (gaps == 0).all()


def test_each_generated_latent_is_on_the_segment_of_its_parents_of_its_class():
    X, y = images({"a": 9, "b": 4, "c": 2})
    model = DeepSmote(**TINY)
    X_new, y_new = model.fit_resample(X, y)
    made = y_new[len(y) :]
    assert model.generated_latents_.shape == (12, 6) and model.parents_.shape == (12, 2) and len(made) == 12
    assert (y[model.parents_] == made[:, None]).all()
    first, second = (model.encode(X)[model.parents_[:, i]] for i in (0, 1))
    assert model.generated_latents_ == pytest.approx(first + model.gaps_[:, None] * (second - first), abs=1e-4)
    assert ((model.gaps_ >= 0) & (model.gaps_ <= 1)).all()
    assert np.array_equal(model.decode(model.generated_latents_), X_new[len(X) :])


def test_encode_and_decode_have_the_size_of_the_training_images():
    X, y = images({"a": 5, "b": 2}, side=40)
    model = DeepSmote(**TINY)
    model.fit_resample(X, y)
    assert model.latents_ == pytest.approx(model.encode(X), abs=1e-5)
    again = model.decode(model.latents_)
    assert again.shape == X.shape and again.dtype == np.uint8
    # Encoding takes images of any size.
    assert model.encode(X[:, :, ::2, ::2]).shape == (7, 6)


def test_decoded_values_are_grey_levels():
    X, y = images({"a": 5, "b": 2}, side=32)
    X = X // 2 + 60
    model = DeepSmote(**TINY)
    model.fit_resample(X, y)
    with torch.no_grad():
        for parameter in model.autoencoder_.decoder[-1].parameters():
            parameter.zero_()
    mean = X.mean(0)[None]  # what is left of the decoder
    assert np.abs(model.decode(np.zeros((1, 6))) - mean).max() <= 0.51


def test_the_variants_differ_and_leave_a_history_of_every_step():
    X, y = images({"a": 6, "b": 3})
    paper, official = DeepSmote(**TINY), DeepSmote(variant="official", **TINY)
    one, other = paper.fit_resample(X, y)[0], official.fit_resample(X, y)[0]
    assert not np.array_equal(one, other)
    assert list(paper.history_.columns) == ["reconstruction", "penalty"] and len(paper.history_) == 4
    assert (paper.history_.to_numpy() > 0).all()


def test_a_network_that_learned_enough_gives_its_images_back():
    X = np.zeros((8, 3, 32, 32), np.uint8)
    X[4:] = 255
    X[::2, :, 16:] = 120
    model = DeepSmote(variant="official", steps=50, width=4, latent_dim=8, batch_size=8, lr=1e-2, random_state=0)
    model.fit_resample(np.concatenate([X, X[:1]]), np.array(["a"] * 5 + ["b"] * 4))
    assert np.abs(model.decode(model.encode(X)).astype(int) - X).mean() < 40  # the mean image: 80


def test_nothing_can_be_encoded_before_something_was_made():
    model = DeepSmote(**TINY)
    X, y = images({"a": 3, "b": 3})
    with pytest.raises(Hw3Error, match="no autoencoder"):
        model.encode(X)
    model.fit_resample(X, y)
    assert model.autoencoder_ is None and len(model.history_) == 0 and model.parents_.shape == (0, 2)
    with pytest.raises(Hw3Error, match="no autoencoder"):
        model.decode(np.zeros((1, 6)))


@pytest.mark.parametrize("wrong", [{"variant": "code"}, {"k_neighbors": 0}], ids=str)
def test_a_bad_parameter_of_deepsmote_is_named(wrong):
    with pytest.raises(Hw3Error, match=next(iter(wrong))):
        DeepSmote(**{**TINY, **wrong}).fit_resample(*images({"a": 4, "b": 2}))
