"""hw3lib.imbalance.methods.losses against values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from hw3lib.errors import Hw3Error
from hw3lib.imbalance.methods.losses import (
    LogitAdjustment,
    class_balanced_weights,
    focal_loss,
    inverse_frequency_weights,
)


def test_inverse_frequency_weights_are_those_of_scikit_learn():
    y = np.repeat([0, 1, 2], [12, 5, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    assert inverse_frequency_weights([12, 5, 1]).numpy() == pytest.approx(expected)


def test_class_balanced_weights_by_hand():
    # effective numbers at beta 0.5: 1, 1.5 and 1.75; inverses 1, 2/3, 4/7, in all 47/21; scaled to 3
    expected = [63 / 47, 42 / 47, 36 / 47]
    assert class_balanced_weights([1, 2, 3], beta=0.5).tolist() == pytest.approx(expected)


def test_class_balanced_weights_reach_from_none_to_the_inverse_frequency():
    assert class_balanced_weights([20, 2], beta=0).tolist() == pytest.approx([1, 1])
    near_one = class_balanced_weights([20, 2], beta=0.99999)
    assert (near_one[1] / near_one[0]).item() == pytest.approx(10, rel=1e-3)


def test_focal_loss_by_hand():
    # sigmoids 0.75 of the true class and 0.5 of the other: p_t is 0.75 and 0.5
    logits = torch.tensor([[math.log(3), 0.0]])
    true, other = 0.25 * 0.25**2 * -math.log(0.75), 0.75 * 0.5**2 * -math.log(0.5)
    assert focal_loss(logits, torch.tensor([0])).item() == pytest.approx(true + other)
    twice = focal_loss(logits.repeat(2, 1), torch.tensor([0, 0]))
    assert twice.item() == pytest.approx(true + other)  # a mean over images
    assert focal_loss(logits, torch.tensor([0]), alpha=1, gamma=0.5).item() == pytest.approx(
        0.25**0.5 * -math.log(0.75)
    )
    assert focal_loss(logits, torch.tensor([0]), alpha=1, gamma=0).item() == pytest.approx(-math.log(0.75))


def test_logit_adjustment_loss_by_hand():
    # shares 0.9 and 0.1, equal logits: the softmax gives the rare class 0.1
    adjusted = LogitAdjustment([9, 1])
    logits = torch.zeros(1, 2)
    assert adjusted(logits, torch.tensor([1])).item() == pytest.approx(-math.log(0.1))
    assert LogitAdjustment([9, 1], tau=0)(logits, torch.tensor([1])).item() == pytest.approx(math.log(2))


def test_post_hoc_adjustment_turns_bayes_probabilities_into_those_of_balanced_classes():
    likelihood = torch.tensor([[0.2, 0.6, 0.2]])
    prior = torch.tensor([0.8, 0.1, 0.1])
    posterior = likelihood * prior  # plain training would say class 0
    assert posterior.argmax() == 0
    assert LogitAdjustment([8, 1, 1]).post_hoc(posterior.log()).softmax(1).tolist()[0] == pytest.approx([0.2, 0.6, 0.2])


def test_the_adjusted_loss_is_least_where_the_unadjusted_logits_are_balanced():
    """Loss and post-hoc correction are two ways to one classifier: the gradient vanishes at log-likelihoods."""
    likelihood = torch.tensor([[0.7, 0.4], [0.3, 0.6]])  # [x, class]: p(x | class)
    prior = torch.tensor([0.75, 0.25])
    logits = likelihood.log().requires_grad_()
    adjusted = LogitAdjustment([3, 1])
    joint = likelihood * prior
    loss = sum(joint[x, c] * adjusted(logits[x : x + 1], torch.tensor([c])) for x in range(2) for c in range(2))
    loss.backward()
    assert logits.grad.abs().max() < 1e-6
    plain = sum(joint[x, c] * cross_entropy(logits[x : x + 1], torch.tensor([c])) for x in range(2) for c in range(2))
    assert torch.autograd.grad(plain, logits)[0].abs().max() > 0.01


@pytest.mark.parametrize(
    "call",
    [
        lambda: inverse_frequency_weights([3, 0]),
        lambda: class_balanced_weights([3, 2], beta=1),
        lambda: focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=-1),
        lambda: focal_loss(torch.zeros(1, 2), torch.tensor([0]), alpha=1.5),
        lambda: LogitAdjustment([]),
    ],
    ids=["no image", "beta", "gamma", "alpha", "no class"],
)
def test_what_cannot_be_weighted_is_refused(call):
    with pytest.raises(Hw3Error, match="expected"):
        call()
