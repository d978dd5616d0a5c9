"""The common footing: heads that start and read alike, batches, and views."""

import itertools

import pytest
import torch

from hw3lib.errors import Hw3Error
from hw3lib.imbalance.methods.heads import Embedder, Head, Recipe, strongly, train_head, weakly
from hw3lib.networks import backbones
from hw3lib.networks.steps import shuffled_batches


@pytest.fixture
def images() -> torch.Tensor:
    """Six images, uint8 (6, 3, 32, 32)."""
    return torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_head_standardises_by_its_training_images_and_training_does_not_change_that():
    x = torch.tensor([[0.0, 10.0], [2.0, 30.0], [4.0, 50.0]])
    head = Head(x, 2)
    # unbiased variances 4 and 400
    assert torch.allclose(head.norm(x), torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]), atol=1e-4)
    before = head.norm(x)
    train_head(head, 100 + x[:, None], torch.tensor([0, 1, 1]), Recipe(steps=3, batch_size=2), torch.Generator())
    assert torch.equal(head.norm(x), before)


def test_a_cosine_head_gives_cosines():
    head = Head(torch.randn(5, 3), 2, cosine=True)
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[5.0, 0.0, 0.0], [0.0, 0.1, 0.0]]))
        head.norm.mean.zero_()
        head.norm.scale.fill_(1)
    assert head(torch.tensor([[3.0, 4.0, 0.0]]))[0].tolist() == pytest.approx([0.6, 0.8], abs=1e-4)


def test_training_learns_what_can_be_learnt_and_comes_again():
    y = torch.tensor([0, 1] * 10)
    views = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0))
    views[:, :, 0] += 6 * y[:, None]

    def trained() -> torch.Tensor:
        torch.manual_seed(1)
        head = Head(views[:, 0], 2)
        recipe = Recipe(steps=60, batch_size=8, lr=0.02)
        return train_head(head, views, y, recipe, torch.Generator().manual_seed(2))(views[:, 1])

    scores = trained()
    assert (scores.argmax(1) == y).float().mean() > 0.9
    assert torch.equal(scores, trained())


def test_a_loss_that_is_no_number_is_reported():
    head = Head(torch.randn(4, 2), 2)
    with pytest.raises(Hw3Error, match="learning rate"):
        train_head(
            head,
            torch.randn(4, 1, 2),
            torch.tensor([0, 1, 0, 1]),
            Recipe(steps=2, batch_size=2),
            torch.Generator(),
            loss=lambda head, x, y, step: head(x).sum() * float("nan"),
        )


def test_batches_are_full_and_go_through_all_images_before_one_comes_again():
    batches = list(itertools.islice(shuffled_batches(5, 3, torch.Generator().manual_seed(0)), 5))
    assert all(len(batch) == 3 for batch in batches)
    assert sorted(torch.cat(batches)[:5].tolist()) == sorted(torch.cat(batches)[5:10].tolist()) == list(range(5))


def test_a_batch_may_be_larger_than_the_set():
    batch = next(shuffled_batches(3, 7, torch.Generator()))
    assert torch.bincount(batch).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])


def test_weak_changes_are_flips_and_shifts_with_reflection():
    """Of an image whose pixels are all different, a weak change has no pixel that the image has not."""
    image = torch.arange(1024).view(1, 1, 32, 32).repeat(1, 3, 1, 1).div(4).to(torch.uint8)
    ramp = image.repeat(20, 1, 1, 1)
    changed = weakly(ramp, seed=0)
    assert changed.shape == ramp.shape and changed.dtype == torch.uint8
    middle = changed[:, 0, 8:24, 8:24].float()
    rows_up = (middle[:, 8, 0] - middle[:, 4, 0]) > 0
    assert 0 < rows_up.sum() < 20  # some are upside down, some are not
    step = (middle[:, 1:, 0] - middle[:, :-1, 0]).abs()
    assert (step == 8).all()  # a row is 8 grey values from the next: nothing was scaled or turned


@pytest.mark.parametrize("change", [weakly, strongly])
def test_views_come_again_by_seed_differ_between_images_and_leave_torchs_generator(change, images):
    same = images[:1].repeat(6, 1, 1, 1)
    state = torch.random.get_rng_state()
    first = change(same, 5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(change(same, 5), first)
    assert not torch.equal(change(same, 6), first)
    assert any(not torch.equal(first[0], other) for other in first[1:])


def test_an_embedder_gives_plain_weak_and_strong_views(images, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)  # float32 wherever this runs
    embedder = Embedder(backbones.load("tf_efficientnet_lite0"), weak=2, strong=3, seed=1)
    plain, weak, strong = embedder.plain_views(images), embedder.weak_views(images), embedder.strong_views(images)
    assert plain.shape == (6, 1280) and weak.shape == (6, 2, 1280) and strong.shape == (6, 3, 1280)
    with torch.no_grad():
        assert torch.allclose(plain[2:3], embedder.backbone.embed(images[2:3]), atol=1e-4)
    assert not torch.allclose(weak[:, 0], weak[:, 1], atol=1e-3)
    away = [(views - plain[:, None]).norm(dim=2).mean() for views in (weak, strong)]
    assert away[1] > away[0] > 0


@pytest.mark.parametrize("call", [lambda: Recipe(steps=0), lambda: Recipe(lr=-1), lambda: Embedder(None, weak=0)])
def test_bad_settings_are_refused(call):
    with pytest.raises(Hw3Error, match="expected"):
        call()
