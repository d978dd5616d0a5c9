"""One step of learning, against the same by hand."""

from __future__ import annotations

import pytest
import torch

from hw3lib.errors import Hw3Error
from hw3lib.networks.steps import Steps


def test_a_step_clips_moves_and_then_lowers_the_rate():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimiser = torch.optim.SGD([weight], 0.5)
    update = Steps(optimiser, torch.optim.lr_scheduler.StepLR(optimiser, 1, 0.1), clip=1.0)
    assert update(weight.square().sum() / 2) == 12.5  # its gradient is the weight, of length 5
    torch.testing.assert_close(weight.detach(), torch.tensor([2.7, 3.6]))
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.05)
    Steps(optimiser)(weight.sum())  # the gradient of before is gone
    torch.testing.assert_close(weight.detach(), torch.tensor([2.65, 3.55]))


def test_a_loss_that_is_not_finite_changes_nothing_and_names_step_and_first_rate():
    weight = torch.nn.Parameter(torch.ones(()))
    optimiser = torch.optim.SGD([weight], 0.5)
    update = Steps(optimiser, torch.optim.lr_scheduler.StepLR(optimiser, 1, 0.1), name="a model")
    update(weight * 1)
    with pytest.raises(Hw3Error, match="a model: the training loss became inf in step 2 at lr=0.5; use a lower"):
        update(weight * torch.inf)
    assert weight == 0.5
