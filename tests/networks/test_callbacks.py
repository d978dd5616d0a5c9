"""Callbacks: what each does, apart from any model."""

import io

import pytest
import torch
from PIL import Image
from torch import nn

from hw3lib.errors import Hw3Error
from hw3lib.networks import callbacks
from hw3lib.networks.callbacks import Callback, Checkpoint, EarlyStopping, History, LiveCurves, ProgressBar, Training


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


def test_history_is_a_table():
    now = training()
    epoch(now, loss=1.0)
    epoch(now, loss=0.5)
    assert now.history.to_frame().to_dict("list") == {"epoch": [1, 2], "loss": [1.0, 0.5]}


def test_a_bar_shows_the_latest_figures(capsys):
    now, bar = training(), ProgressBar()
    epoch(now, loss=1.0)
    bar.on_start(now)
    epoch(now, loss=0.25)
    bar.on_epoch(now)
    assert bar._bar.n == 2 and "loss=0.250" in str(bar._bar) and "attempt 'x'" in str(bar._bar)
    bar.on_end(now)


class Handle:
    """Stands for a notebook's display."""

    def __init__(self):
        self.shown, self.updates = [], []

    def __call__(self, picture, display_id):
        self.shown.append(picture.data)
        return self

    def update(self, picture):
        self.updates.append(picture.data)


@pytest.fixture
def notebook(monkeypatch) -> Handle:
    handle = Handle()
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    monkeypatch.setattr(callbacks, "_in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", handle)
    return handle


def curves(now: Training, live: Callback) -> None:
    live.on_start(now)
    for loss in (1.0, 0.5, 0.4):
        epoch(now, loss=loss, accuracy=1 - loss, val_loss=loss + 0.1, val_accuracy=0.9 - loss)
        live.on_epoch(now)
    live.on_end(now)


def test_live_curves_exchange_one_picture_in_place(notebook):
    curves(training(), LiveCurves(seconds=0))
    assert len(notebook.shown) == 1 and len(notebook.updates) == 4
    sizes = {Image.open(io.BytesIO(png)).size for png in [*notebook.shown, *notebook.updates]}
    assert len(sizes) == 1, "a picture that changes its size makes the page jump"
    assert len(set(notebook.updates)) == 3, "each epoch looks different"


def test_live_curves_are_not_drawn_more_often_than_asked(notebook):
    curves(training(), LiveCurves(seconds=60))
    assert len(notebook.updates) == 2, "the first epoch and the end"


@pytest.mark.parametrize("reason", ["headless", "terminal", "another process"])
def test_live_curves_draw_nothing_where_nobody_looks(notebook, monkeypatch, reason):
    if reason == "headless":
        monkeypatch.setenv("HW3_HEADLESS", "1")
    if reason == "terminal":
        monkeypatch.setattr(callbacks, "_in_notebook", lambda: False)
    curves(training(is_main=reason != "another process"), LiveCurves(seconds=0))
    assert not notebook.shown and not notebook.updates
