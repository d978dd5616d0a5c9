"""Adsh's rule on a handful of predictions, worked out by hand."""

import math

import pytest
import torch

from hw3lib.errors import Hw3Error
from hw3lib.imbalance.methods.adsh import adaptive_thresholds, pseudo_labels, unlabelled_loss


def predictions(*rows: tuple[int, float], classes: int = 3) -> torch.Tensor:
    """Probabilities in which this class has this confidence, the rest shared equally."""
    result = torch.stack([torch.full((classes,), (1 - p) / (classes - 1)) for _, p in rows])
    for i, (k, p) in enumerate(rows):
        result[i, k] = p
    return result


START = torch.full((3,), 0.95)


def test_rare_classes_accept_the_share_that_the_majority_accepts():
    seen = predictions(
        *((0, 0.99), (0, 0.95), (0, 0.7), (0, 0.6)),  # half of them reach 0.95
        *((1, 0.5), (1, 0.9), (1, 0.8), (1, 0.6)),  # round(4 * 0.5 - 1) = 1: the second highest
    )
    assert adaptive_thresholds(seen, START).tolist() == pytest.approx([0.95, 0.8, 0.95])


def test_halves_are_rounded_to_even_and_no_threshold_exceeds_the_limit():
    majority = [(0, 0.99), (0, 0.7)]
    # 3 predictions: 3 * 0.5 - 1 = 0.5, to even: the highest; 5 predictions: 1.5, to even: the third
    seen = predictions(*majority, (1, 0.99), (1, 0.8), (1, 0.7), *((2, p) for p in (0.9, 0.8, 0.7, 0.6, 0.5)))
    assert adaptive_thresholds(seen, START).tolist() == pytest.approx([0.95, 0.95, 0.7])


def test_where_the_majority_is_never_sure_a_class_accepts_only_its_best():
    seen = predictions((0, 0.9), (0, 0.8), (1, 0.5), (1, 0.7), (1, 0.6))
    assert adaptive_thresholds(seen, START)[1].item() == pytest.approx(0.7)  # the official code: 0.5, all of them


@pytest.mark.parametrize("majority", [[], [(0, 0.97), (0, 0.99)]], ids=["no prediction", "all sure"])
def test_where_nothing_of_the_majority_is_left_out_neither_is_of_the_others(majority):
    seen = predictions(*majority, (1, 0.5), (1, 0.7), (2, 0.6))
    assert adaptive_thresholds(seen, START)[1:].tolist() == pytest.approx([0.5, 0.6])


def test_a_class_without_predictions_keeps_its_threshold():
    now = torch.tensor([0.95, 0.6, 0.7])
    assert adaptive_thresholds(predictions((0, 0.99)), now).tolist() == pytest.approx([0.95, 0.6, 0.7])


def test_the_majority_may_be_any_class():
    seen = predictions((2, 0.99), (2, 0.7), (0, 0.9), (0, 0.8), (0, 0.7), (0, 0.6))
    assert adaptive_thresholds(seen, START, majority=2).tolist() == pytest.approx([0.8, 0.95, 0.95])


def test_a_pseudo_label_is_the_class_largest_in_proportion_to_its_threshold():
    thresholds = torch.tensor([0.95, 0.4])
    label, counts = pseudo_labels(torch.tensor([[0.58, 0.42], [0.7, 0.3], [0.96, 0.04]]), thresholds)
    # ratios 0.61 and 1.05; 0.74 and 0.75; 1.01 and 0.1
    assert label.tolist() == [1, 1, 0]
    assert counts.tolist() == [True, False, True]


def test_the_unlabelled_loss_is_a_mean_over_all_with_zeros_for_those_that_do_not_count():
    weak = torch.tensor([[0.99, 0.01], [0.6, 0.4]]).log().requires_grad_()
    strong = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log().requires_grad_()
    loss = unlabelled_loss(weak, strong, torch.tensor([0.95, 0.95]))
    assert loss.item() == pytest.approx(-math.log(0.25) / 2)
    loss.backward()
    assert weak.grad is None
    assert strong.grad[1].abs().sum() == 0 and strong.grad[0].abs().sum() > 0


def test_with_equal_thresholds_it_is_fixmatch():
    p = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)).mul(8).softmax(1)
    label, counts = pseudo_labels(p, torch.full((4,), 0.8))
    assert torch.equal(label, p.argmax(1))
    assert torch.equal(counts, p.max(1).values >= 0.8)
    assert 0 < counts.sum() < 200


@pytest.mark.parametrize("arguments", [(torch.zeros(5, 2), START, 0), (torch.zeros(5, 3), START, 3)])
def test_what_does_not_fit_is_refused(arguments):
    with pytest.raises(Hw3Error, match="expected"):
        adaptive_thresholds(*arguments)
