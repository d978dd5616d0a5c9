"""The loop: repeatable, resumable, the same in several processes, and model-agnostic."""

import os
import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from hw3lib.errors import Hw3Error
from hw3lib.networks.augment import RandomAugment
from hw3lib.networks.callbacks import Callback, Checkpoint, EarlyStopping
from hw3lib.networks.trainer import make_optimiser, predict, train
from tests.helpers import launched_training


def learn(epochs=6, callbacks=(), checkpoint=None, lr=0.02, n=20, **options):
    """A small network with dropout and batch normalisation on 20 images of noise; cosine, augmented, early stopping."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(75, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    )
    x, y = torch.rand(26, 3, 5, 5), torch.randint(0, 3, (26,))
    optimiser = make_optimiser("adam", model.parameters(), lr, 0.01)
    settings = {
        "epochs": epochs,
        "batch_size": 8,
        "generator": torch.Generator().manual_seed(1),
        "validation": (x[20:], y[20:]),
        "augment": RandomAugment(flip=True, rotation=10),
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs),
    } | options
    history = train(model, x[:n], y[:n], optimiser, callbacks=callbacks, checkpoint=checkpoint, **settings)
    return model, history


def weights(model: nn.Module) -> list[list]:
    return [v.tolist() for v in model.state_dict().values()]


class Interrupt(Callback):
    def __init__(self, after: int):
        self.after = after

    def on_epoch(self, training):
        if len(training.history) == self.after:
            raise KeyboardInterrupt


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    (first, a), (second, b) = learn(), learn()
    assert weights(first) == weights(second) and a.rows == b.rows
    plain, other = (learn(augment=None, generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 2))
    assert weights(plain) != weights(other), "batches are drawn from the generator"


@pytest.mark.parametrize("after", [2, 5])
@pytest.mark.parametrize("patience", [1, 9])
def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path, after, patience):
    """To the last bit: weights, curves and early stopping's choice, whether or not that ends it early."""
    stopping = EarlyStopping(patience)
    undisturbed, history = learn(callbacks=[stopping])
    after = min(after, len(history) - 1)
    file = tmp_path / "training.pt"
    with pytest.raises(KeyboardInterrupt):
        # The interruption comes before this epoch is kept.
        learn(callbacks=[EarlyStopping(patience), Interrupt(after + 1)], checkpoint=Checkpoint(file))
    again = EarlyStopping(patience)
    seen = []

    class Watch(Interrupt):
        def on_epoch(self, training):
            seen.append(training.history.rows[-1]["epoch"])

    resumed, resumed_history = learn(callbacks=[again, Watch(0)], checkpoint=Checkpoint(file))
    assert seen == list(range(after + 1, len(history) + 1)), "only the epochs that were missing"
    assert resumed_history.rows == history.rows
    assert weights(resumed) == weights(undisturbed)
    assert (again.best, again.best_epoch) == (stopping.best, stopping.best_epoch)


def test_a_training_that_was_stopped_is_not_gone_on_with(tmp_path):
    file = tmp_path / "training.pt"
    first, history = learn(epochs=30, callbacks=[EarlyStopping(1)], checkpoint=Checkpoint(file))
    assert len(history) < 30
    again, same = learn(epochs=30, callbacks=[EarlyStopping(1)], checkpoint=Checkpoint(file))
    assert same.rows == history.rows and weights(again) == weights(first)


def test_two_processes_train_as_one(tmp_path):
    """Each takes its share of every batch; the gradient is that of the whole batch, figures are of all images."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # The variables that torchrun sets.
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    common |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, launched_training.__file__, str(tmp_path / "two")]
    both = [
        subprocess.Popen(
            command, env={**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    try:
        for process in both:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in both:
            process.kill()
    launched_training.main(str(tmp_path / "one"))
    one, left, right = (torch.load(p) for p in (tmp_path / "one.0", tmp_path / "two.0", tmp_path / "two.1"))
    assert (one["processes"], left["processes"]) == (1, 2)
    assert left["imported"] == [], "importing the package costs nothing that only training needs"
    for name, value in one["weights"].items():
        if name != "0.mean":
            torch.testing.assert_close(left["weights"][name], value, rtol=1e-4, atol=1e-5)
        assert torch.equal(left["weights"][name], right["weights"][name])
    assert left["rows"] == right["rows"] and len(left["rows"]) == len(one["rows"])
    for a, b in zip(left["rows"], one["rows"], strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_a_loss_that_is_not_finite_is_told_with_epoch_and_rate():
    with pytest.raises(
        Hw3Error, match=r"attempt 'x': the training loss became nan in epoch 1 at learning rate 0.02; use"
    ):
        learn(augment=lambda_augment(float("nan")), name="attempt 'x'")


def lambda_augment(factor: float):
    class Times(RandomAugment):
        def __call__(self, images, draw):
            return images * factor

    return Times()


def test_the_learning_rate_told_is_the_one_that_was_asked_for():
    """Not the one that the cosine has come down to by then."""
    with pytest.raises(Hw3Error, match=r"in epoch 3 at learning rate 0\.02"):
        learn(callbacks=[Poison(2)], augment=None)


class Poison(Callback):
    def __init__(self, after: int):
        self.after = after

    def on_epoch(self, training):
        if len(training.history) == self.after:
            nn.init.constant_(training.model[1].weight, float("inf"))


def test_figures_are_those_of_the_images_that_were_learnt_from():
    """17 images in batches of 8: the last one, alone, is left out; without learning the loss is the model's own."""
    seen = []

    class Count(nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    torch.manual_seed(0)
    model, x, y = Count(4, 3), torch.randn(16, 4), torch.randint(0, 3, (16,))
    optimiser = make_optimiser("sgd", model.parameters(), 1e-12, 0.0)
    options = {"epochs": 1, "generator": torch.Generator().manual_seed(0)}
    (row,) = train(model, x, y, optimiser, batch_size=6, validation=(x, y), **options).rows
    assert seen == [6, 6, 4, 16]
    assert row["loss"] == pytest.approx(row["val_loss"], rel=1e-5) and row["accuracy"] == pytest.approx(
        row["val_accuracy"]
    )
    seen.clear()
    train(model, torch.randn(17, 4), torch.zeros(17, dtype=torch.long), optimiser, batch_size=8, **options)
    assert seen == [8, 8]


def test_too_few_images_are_refused():
    with pytest.raises(Hw3Error, match="the model: 1 training images in batches of 8, expected at least 2 of both"):
        learn(n=1)


def test_predictions_do_not_depend_on_the_batch_size():
    model, x = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)), torch.randn(9, 4)
    torch.testing.assert_close(predict(model, x, 2), predict(model, x, 9))
    assert not model.training


def test_optimisers_are_those_of_their_names():
    """Two steps of rate 0.1 down a slope of 1 from 2, where weights decay at 0.5."""
    ends = {}
    for name in ("sgd", "adam", "adamw"):
        weight = nn.Parameter(torch.tensor([2.0]))
        frozen = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
        optimiser = make_optimiser(name, [weight, frozen], 0.1, 0.5)
        assert len(optimiser.param_groups[0]["params"]) == 1
        for _ in range(2):
            weight.grad = torch.ones(1)
            optimiser.step()
        ends[name] = weight.item()
    # SGD: slopes 1 + 0.5 * 2, then 1 + 0.5 * 1.8 and 0.9 of the last; Adam goes 0.1 a step; AdamW takes 5 % off.
    assert ends == pytest.approx({"sgd": 1.8 - 0.1 * (1.9 + 1.8), "adam": 1.8, "adamw": 1.8 * 0.95 - 0.1}, abs=1e-3)
