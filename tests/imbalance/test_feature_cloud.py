"""LEAP: angles in the plane, where they can be worked out by hand."""

import math

import pytest
import torch

from hw3lib.errors import Hw3Error
from hw3lib.imbalance.methods.feature_cloud import FeatureCloud, cloud_logits


def at(*degrees: float, length: float = 1.0) -> torch.Tensor:
    """Vectors in the plane at these angles."""
    angles = torch.tensor(degrees).deg2rad()
    return length * torch.stack([angles.cos(), angles.sin()], 1)


def settled(counts, degrees, labels, **arguments) -> FeatureCloud:
    """A cloud that has seen these features once."""
    cloud = FeatureCloud(counts, **arguments)
    x, y = at(*degrees), torch.tensor(labels)
    cloud.update(x, y)
    cloud.refresh(x, y)
    return cloud


def test_a_centre_is_the_direction_of_the_mean_and_lengths_do_not_count():
    cloud = FeatureCloud([2])
    cloud.update(torch.cat([at(0, length=9.0), at(60)]), torch.tensor([0, 0]))
    assert cloud.centres[0].tolist() == pytest.approx([math.cos(math.pi / 6), 0.5])


def test_centres_move_by_the_exponential_average_and_stay_where_a_batch_has_none():
    cloud = FeatureCloud([5, 5], momentum=0.75)
    cloud.update(at(0, 90), torch.tensor([0, 1]))
    cloud.update(at(90), torch.tensor([0]))
    # 0.75 (1, 0) + 0.25 (0, 1), to unit length
    assert cloud.centres[0].tolist() == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10)])
    assert cloud.centres[1].tolist() == pytest.approx([0, 1], abs=1e-6)


def test_variance_is_the_unbiased_one_of_the_angles_to_the_centre():
    # centre at 0; angles 10, 10, 30, 30 degrees, mean 20, variance 4 * 10^2 / 3
    cloud = settled([4], [-10, 10, -30, 30], [0] * 4)
    assert cloud.variance[0].item() == pytest.approx(math.radians(10) ** 2 * 4 / 3, rel=1e-4)


def test_variance_is_averaged_over_refreshes():
    cloud = settled([4], [-10, 10, -30, 30], [0] * 4, momentum=0.5)
    cloud.refresh(at(-20, 20, -20, 20), torch.zeros(4, dtype=torch.int64))
    assert cloud.variance[0].item() == pytest.approx(0.5 * math.radians(10) ** 2 * 4 / 3, rel=1e-4)


FOUR = {"degrees": [-10, 10, -30, 30, 85, 95, 83, 97, 180], "labels": [0] * 4 + [1] * 4 + [2]}


def test_the_fixed_rule_gives_the_tail_what_it_lacks_to_the_mean_of_the_head():
    cloud = settled([4, 4, 1], **FOUR, threshold=4)
    head = (cloud.variance[0] + cloud.variance[1]) / 2
    assert cloud.variance[2] == 0  # one image
    assert cloud.cloud_variance().tolist() == pytest.approx([0, 0, head.item()], rel=1e-5)


def test_the_flexible_rule_gives_what_lacks_to_the_mean_weighted_by_images():
    cloud = settled([4, 4, 1], **FOUR, rule="flexible")
    wide, narrow = math.radians(10) ** 2 * 4 / 3, math.radians(1) ** 2 * 4 / 3  # 5, 5, 7, 7: mean 6
    mean = (4 * wide + 4 * narrow + 0) / 9
    assert cloud.cloud_variance().tolist() == pytest.approx([0, mean - narrow, mean], rel=1e-3)


def test_a_tail_wider_than_the_head_gets_no_cloud():
    cloud = settled([9, 4], [85, 95, 83, 97, -10, 10, -30, 30], [0] * 4 + [1] * 4)
    assert cloud.cloud_variance().tolist() == [0, 0]


def test_drawn_angles_have_the_variance_that_lacks_and_the_head_stays():
    cloud = settled([4, 4, 1], **FOUR, threshold=4)
    y = torch.tensor([0, 2]).repeat(20000)
    angles = cloud.draw(y, torch.Generator().manual_seed(0))
    assert (angles[y == 0] == 0).all()
    drawn = angles[y == 2]
    assert drawn.mean().item() == pytest.approx(0, abs=0.003)
    assert drawn.var().item() == pytest.approx(cloud.cloud_variance()[2].item(), rel=0.05)
    assert torch.equal(cloud.draw(y, torch.Generator().manual_seed(0)), angles)


def test_during_warm_up_there_is_no_cloud():
    cloud = FeatureCloud([4, 1])
    cloud.update(at(0, 90), torch.tensor([0, 1]))
    assert cloud.draw(torch.tensor([0, 1]), torch.Generator()).tolist() == [0, 0]


def test_cosface_and_arcface_logits_by_hand():
    cosine = torch.tensor([[math.cos(0.5), 0.2]])
    y, angle = torch.tensor([0]), torch.tensor([0.3])
    cosface = cloud_logits(cosine, y, angle, form="cosface", scale=10, margin=0.35)
    assert cosface[0].tolist() == pytest.approx([10 * (math.cos(0.8) - 0.35), 2.0], rel=1e-4)
    arcface = cloud_logits(cosine, y, angle, form="arcface", scale=10, margin=0.5)
    assert arcface[0].tolist() == pytest.approx([10 * math.cos(1.3), 2.0], rel=1e-4)


def test_without_a_momentum_the_centre_is_the_last_batchs():
    cloud = FeatureCloud([2], momentum=0)
    cloud.update(at(0), torch.tensor([0]))
    cloud.update(at(90), torch.tensor([0]))
    assert cloud.centres[0].tolist() == pytest.approx([0, 1], abs=1e-6)


@pytest.mark.parametrize(("form", "best"), [("cosface", 1 - 0.35), ("arcface", 1.0)])
def test_moving_an_image_past_its_class_does_not_move_it_away(form, best):
    logits = cloud_logits(torch.tensor([[math.cos(0.1)]]), torch.tensor([0]), torch.tensor([-2.0]), form=form, scale=1)
    assert logits.item() == pytest.approx(best, abs=1e-6)


def test_cosface_is_the_form_and_16_the_scale_where_nothing_is_said():
    cosine, y, angle = torch.tensor([[0.5, 0.2]]), torch.tensor([0]), torch.zeros(1)
    assert cloud_logits(cosine, y, angle)[0].tolist() == pytest.approx([16 * (0.5 - 0.35), 16 * 0.2], rel=1e-4)


@pytest.mark.parametrize("form", ["cosface", "arcface"])
def test_moving_past_the_opposite_direction_does_not_bring_an_image_back(form):
    cosine, y = torch.tensor([[math.cos(3.0)]]), torch.tensor([0])
    near, far = (cloud_logits(cosine, y, torch.tensor([a]), form=form, scale=1)[0, 0] for a in (0.1, 1.0))
    assert far <= near + 1e-6


def test_gradients_are_finite_at_angles_of_nothing_and_of_half_a_turn():
    cosine = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    for form in ("cosface", "arcface"):
        logits = cloud_logits(cosine, torch.tensor([0, 0]), torch.zeros(2), form=form)
        assert torch.isfinite(torch.autograd.grad(logits.sum(), cosine)[0]).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: FeatureCloud([3, 1], "often"),
        lambda: FeatureCloud([3, 1], threshold=4),
        lambda: FeatureCloud([3, 0]),
        lambda: FeatureCloud([[3, 1]]),
        lambda: FeatureCloud([3, 1], momentum=1),
        lambda: FeatureCloud([3, 1]).refresh(at(0), torch.tensor([0])),
        lambda: cloud_logits(torch.zeros(1, 1), torch.tensor([0]), torch.zeros(1), form="sphere"),
    ],
    ids=["rule", "no head", "no image", "counts in a table", "momentum", "no centre", "form"],
)
def test_what_has_no_meaning_is_refused(call):
    with pytest.raises(Hw3Error):
        call()
