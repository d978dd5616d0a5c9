"""Callbacks: what each does, apart from any model."""

import pytest
import torch
from torch import nn

from hw3lib.errors import Hw3Error
from hw3lib.networks import callbacks
from hw3lib.networks.callbacks import Callback, Checkpoint, EarlyStopping, History, Training


def training(**changes) -> Training:
    model = nn.Linear(1, 1)
    values = {
        "name": "attempt 'x'",
        "model": model,
        "optimiser": torch.optim.SGD(model.parameters(), lr=0.1),
        "scheduler": None,
        "generator": torch.Generator(),
        "callbacks": [],
        "epochs": 5,
    }
    return Training(**{**values, **changes})


def epoch(at: Training, **figures) -> None:
    at.history.rows.append({"epoch": len(at.history) + 1, **figures})


def test_early_stopping_goes_back_to_the_best():
    now, stopping, answers = training(), EarlyStopping(2), []
    for loss in (1.0, 0.5, 0.7, 0.6):
        nn.init.constant_(now.model.weight, loss)
        epoch(now, val_loss=loss)
        stopping.on_epoch(now)
        answers.append(now.stopped)
    assert answers == [False, False, False, True]
    stopping.on_end(now)
    assert now.model.weight.item() == 0.5 and stopping.best_epoch == 2


def test_early_stopping_without_validation_is_refused():
    now = training()
    epoch(now, loss=1.0)
    with pytest.raises(Hw3Error, match="attempt 'x': early stopping needs validation images"):
        EarlyStopping(1).on_epoch(now)


def test_checkpoints_are_written_every_so_many_epochs_and_seconds(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
    written = []
    checkpoint = Checkpoint(tmp_path / "c.pt", every=2, seconds=3)
    now = training()
    checkpoint.on_start(now)
    for _ in range(8):
        clock[0] += 1
        epoch(now, loss=1.0)
        (tmp_path / "c.pt").unlink(missing_ok=True)
        checkpoint.on_epoch(now)
        written.append((tmp_path / "c.pt").is_file())
    assert written == [False, False, False, True, False, False, False, True]


def test_only_the_main_process_writes(tmp_path):
    now = training(is_main=False)
    epoch(now, loss=1.0)
    Checkpoint(tmp_path / "c.pt").on_epoch(now)
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_and_one_of_another_model_are_refused(tmp_path):
    path = tmp_path / "c.pt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(Hw3Error, match="c.pt: attempt 'x' cannot go on from this checkpoint .* delete it"):
        Checkpoint(path).on_start(training())
    Checkpoint(path).on_epoch(training(history=History()))
    other = nn.Linear(2, 2)
    with pytest.raises(Hw3Error, match="of another training"):
        Checkpoint(path).on_start(training(model=other, optimiser=torch.optim.SGD(other.parameters(), lr=0.1)))


class Watch(Callback):
    """Keeps nothing, as a picture of the curves."""


@pytest.mark.parametrize("before", [[], [Watch()], [Watch(), EarlyStopping(2), Watch()]])
def test_what_keeps_nothing_may_come_and_go(tmp_path, before):
    path, stopping = tmp_path / "c.pt", [one for one in before if isinstance(one, EarlyStopping)]
    first = training(callbacks=before)
    epoch(first, val_loss=0.5)
    for one in before:
        one.on_epoch(first)
    Checkpoint(path).on_epoch(first)
    again = [EarlyStopping(2) for _ in stopping]
    now = training(callbacks=[Watch(), Watch(), *again])
    Checkpoint(path).on_start(now)
    assert now.history.rows == first.history.rows and all(one.best == 0.5 for one in again)


def test_another_way_to_stop_is_said_and_not_called_damage(tmp_path):
    path = tmp_path / "c.pt"
    Checkpoint(path).on_epoch(training(callbacks=[EarlyStopping(2)], history=History()))
    with pytest.raises(
        Hw3Error, match="with the callbacks EarlyStopping that keep something, found none now"
    ) as caught:
        Checkpoint(path).on_start(training(callbacks=[Watch()]))
    assert "damaged" not in str(caught.value) and "the same ones, or delete the file" in str(caught.value)


def test_history_is_a_table():
    now = training()
    epoch(now, loss=1.0)
    epoch(now, loss=0.5)
    assert now.history.to_frame().to_dict("list") == {"epoch": [1, 2], "loss": [1.0, 0.5]}
