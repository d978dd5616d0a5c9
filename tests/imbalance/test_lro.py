"""hw3lib.imbalance.oversamplers.lro: rare patterns are found, get their share, and are not mixed with others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw3lib.errors import Hw3Error
from hw3lib.imbalance import LroStyle
from hw3lib.imbalance.oversamplers.lro import allot, rare_patterns

TINY = {"steps": 4, "width": 2, "latent_dim": 6, "batch_size": 4, "random_state": 0}


def blobs(*sizes, seed=0):
    """Points round far centres, and which centre each belongs to."""
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(len(sizes)), sizes)
    return (1000 * which[:, None] + rng.normal(size=(len(which), 4))).astype(np.float32), which


def images(counts, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(list(counts), list(counts.values()))
    return rng.integers(0, 256, (len(y), 3, 32, 32), dtype=np.uint8), y


def test_separate_patterns_are_separate_clusters():
    latents, which = blobs(8, 5)
    clusters = rare_patterns(latents)
    assert not set(clusters[which == 0]) & set(clusters[which == 1])
    sizes = np.bincount(clusters)
    assert sizes.max() >= 4 and sizes.min() >= 1


def test_an_image_far_from_all_others_is_a_cluster_of_its_own():
    clusters = rare_patterns(blobs(9, 1, 1)[0])
    assert [(clusters == c).sum() for c in clusters[-2:]] == [1, 1]
    assert sorted(set(clusters)) == list(range(clusters.max() + 1))


def test_axes_count_the_same_whatever_their_scale():
    latents, _ = blobs(6, 6)
    assert np.array_equal(rare_patterns(latents), rare_patterns(latents * [1, 1000, 0.001, 1]))


def test_equal_images_are_one_cluster_and_one_image_is_one():
    assert rare_patterns(np.ones((5, 3), np.float32)).tolist() == [0] * 5
    assert rare_patterns(np.ones((1, 3), np.float32)).tolist() == [0]


def test_shares_are_by_inverse_size():
    # 1/1 : 1/3 : 1/6 is 6 : 2 : 1
    clusters = np.repeat([0, 1, 2], [6, 3, 1])
    assert allot(clusters, 9).tolist() == [1, 2, 6]
    # quotas 1/3 x 1, 1/3, 1/3: the remainder goes to one
    assert allot(np.array([0, 1, 2]), 4).sum() == 4
    # quotas 0.8 and 3.2 of four
    assert allot(np.repeat([0, 1], [4, 1]), 4).tolist() == [1, 3]


@settings(max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 60))
def test_rare_clusters_get_at_least_their_share_and_nothing_is_lost(sizes, number):
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    shares = allot(clusters, number)
    assert shares.sum() == number
    for i, a in enumerate(sizes):
        for j, b in enumerate(sizes):
            assert a >= b or shares[i] >= shares[j]
    rarest = int(np.argmin(sizes))
    assert shares[rarest] >= np.floor(number * sizes[rarest] / sum(sizes))


def test_generated_latents_lie_between_images_of_one_cluster():
    X, y = images({"a": 16, "b": 9, "c": 5})
    model = LroStyle(noise=0, **TINY)
    X_new, y_new = model.fit_resample(X, y)
    made = y_new[len(y) :]
    assert len(made) == 18 and (y[model.parents_] == made[:, None]).all()
    assert (model.clusters_[model.parents_] == model.generated_clusters_[:, None]).all()
    first, second = (model.latents_[model.parents_[:, i]] for i in (0, 1))
    assert model.generated_latents_ == pytest.approx(first + model.gaps_[:, None] * (second - first), abs=1e-4)
    assert np.array_equal(model.decode(model.generated_latents_), X_new[len(X) :])


def test_what_is_made_follows_the_shares_of_the_clusters():
    X, y = images({"a": 16, "b": 9})
    X[16:] //= 8
    X[24] = 255 - X[24]
    model = LroStyle(**TINY)
    model.fit_resample(X, y)
    assert (model.clusters_[y == "a"] == -1).all() and (model.clusters_ == model.clusters_[24]).sum() == 1
    assert (model.parents_[:, 0] == 24).sum() >= 3
    assert np.bincount(model.generated_clusters_).tolist() == allot(model.clusters_[y == "b"], 7).tolist()
    assert set(model.class_losses_) == {"a", "b"} and min(model.class_losses_.values()) > 0


class Prepared(LroStyle):
    """An LRO-style oversampler whose network is the identity on four numbers and whose losses are given."""

    def _decode(self, latents):
        return latents

    def _losses(self, latents):
        return self.loss(latents)


def prepared(latents, clusters, loss, noise=0.1):
    model = Prepared(latent_dim=latents.shape[1], noise=noise)
    model.latents_, model.clusters_, model.loss, model.rejected_ = latents, clusters, loss, 0
    return model


def test_seeds_are_drawn_by_their_loss_and_partners_are_others_of_the_cluster():
    latents, clusters = np.eye(4, dtype=np.float32), np.zeros(4, int)
    model = prepared(latents, clusters, None)
    losses = np.array([0.0, 1.0, 3.0, 0.0])
    _, parents, _ = model._draw(np.arange(4), np.zeros(800, int), losses, np.random.RandomState(0))
    assert set(parents[:, 0]) == {1, 2} and (parents[:, 0] == 2).mean() == pytest.approx(0.75, abs=0.05)
    assert (parents[:, 0] != parents[:, 1]).all() and set(parents[:, 1]) == {0, 1, 2, 3}


def test_a_cluster_of_one_is_moved_by_noise_on_the_scale_of_its_class():
    latents = np.array([[0, 0], [2, 20], [4, 40]], np.float32)
    model = prepared(latents, np.array([0, 0, 1]), None, noise=0.5)
    z, parents, gaps = model._draw(np.arange(3), np.ones(2000, int), np.ones(3), np.random.RandomState(0))
    assert (parents == 2).all() and (gaps == 0).all()
    assert z.mean(0) == pytest.approx([4, 40], rel=0.05)
    assert z.std(0) == pytest.approx(0.5 * latents.std(0), rel=0.08)


def test_images_above_the_limit_of_their_class_are_drawn_again():
    latents = np.array([[0.0], [1.0]], np.float32)
    model = prepared(latents, np.zeros(2, int), lambda z: z[:, 0])
    arguments = (np.arange(2), np.zeros(60, int), np.ones(2), 0.5, np.random.RandomState(0))
    z, parents, gaps = model._draw_class(*arguments)
    assert (z <= 0.5).mean() > 0.95 and model.rejected_ == (z > 0.5).sum()
    first, second = latents[parents[:, 0]], latents[parents[:, 1]]
    assert z == pytest.approx(first + gaps[:, None] * (second - first))


def test_what_never_comes_below_the_limit_is_the_best_draw_and_counted():
    latents = np.array([[0.0], [1.0]], np.float32)
    model = prepared(latents, np.zeros(2, int), lambda z: z[:, 0])
    z, _, _ = model._draw_class(np.arange(2), np.zeros(200, int), np.ones(2), -1.0, np.random.RandomState(0))
    assert model.rejected_ == 200
    # The least of eleven uniform draws is 1/12 in the mean; one draw would be 1/2.
    assert z.mean() == pytest.approx(1 / 12, abs=0.03)


def test_negative_noise_is_refused():
    with pytest.raises(Hw3Error, match="noise"):
        LroStyle(noise=-1, **TINY).fit_resample(*images({"a": 4, "b": 2}))
