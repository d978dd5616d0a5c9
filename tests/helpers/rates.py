"""The learning rates and weight decays that optimisers really use."""

import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook


@pytest.fixture
def rates():
    """The first group's learning rate at each step of any optimiser; ``rates.groups``: all groups' settings at last."""

    class Rates(list):
        groups: tuple[dict, ...] = ()

    seen = Rates()

    def note(optimiser, *_):
        seen.append(optimiser.param_groups[0]["lr"])
        seen.groups = tuple({k: v for k, v in group.items() if k != "params"} for group in optimiser.param_groups)

    handle = register_optimizer_step_pre_hook(note)
    yield seen
    handle.remove()
