"""Everything besides training that happens during training; knows nothing of what is trained."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from hw3lib.core.files import atomic_path
from hw3lib.core.saved import load_tensors
from hw3lib.core.text import first_line
from hw3lib.errors import Hw3Error


class History:
    """The training curves: one row an epoch, see :func:`hw3lib.classify.train`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Columns ``epoch`` (from 1), ``loss``, ``accuracy`` and, with validation, ``val_loss``, ``val_accuracy``."""
        return pd.DataFrame(self.rows)


@dataclass
class Training:
    """A training under way: what callbacks see and checkpoints keep.

    Attributes:
        name: of what is trained, for messages.
        model: the bare model, on whatever device it is.
        optimiser, scheduler, generator, callbacks, epochs: as :func:`hw3lib.classify.train` was given them.
        history: one row a finished epoch.
        stopped: a callback sets it to end the training after this epoch.
        is_main: this process is the one of several that writes and draws.
    """

    name: str
    model: nn.Module
    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None
    generator: torch.Generator
    callbacks: Sequence[Callback]
    epochs: int
    history: History = field(default_factory=History)
    stopped: bool = False
    is_main: bool = True

    @property
    def keeping(self) -> list[Callback]:
        """The callbacks that keep something: what they keep decides about the remaining epochs."""
        return [callback for callback in self.callbacks if callback.state_dict()]

    def state_dict(self) -> dict[str, Any]:
        """All that the remaining epochs depend on, torch's own random state included."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in self.keeping],
            "history": self.history.rows,
            "stopped": self.stopped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state; model, optimiser and :attr:`keeping` must be of the same kinds."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
        for callback, (_, own) in zip(self.keeping, state["callbacks"], strict=True):
            callback.load_state_dict(own)
        self.history.rows = state["history"]
        self.stopped = state["stopped"]


class Callback:
    """Does nothing; a callback overrides what it needs.

    ``on_start`` is called once before the first epoch (of a resumed training, too), ``on_epoch`` after each epoch,
    ``on_end`` after the last. What ``state_dict`` returns goes into checkpoints; one that keeps nothing, such as a
    picture of the curves, may come and go between an interrupted training and its end.
    """

    def on_start(self, training: Training) -> None: ...

    def on_epoch(self, training: Training) -> None: ...

    def on_end(self, training: Training) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class EarlyStopping(Callback):
    """Stop when the validation loss has not fallen for ``patience`` epochs; at the end, go back to its best epoch.

    Attributes:
        best_epoch: from 1; 0 before the first.
    """

    def __init__(self, patience: int):
        self.patience = patience
        self.best, self.best_epoch, self.waited = math.inf, 0, 0
        self.weights: dict[str, torch.Tensor] | None = None

    def on_epoch(self, training: Training) -> None:
        figures = training.history.rows[-1]
        if "val_loss" not in figures:
            raise Hw3Error(f"{training.name}: early stopping needs validation images, give train() some")
        if figures["val_loss"] < self.best:
            self.best, self.best_epoch, self.waited = figures["val_loss"], int(figures["epoch"]), 0
            self.weights = {k: v.detach().clone() for k, v in training.model.state_dict().items()}
        else:
            self.waited += 1
        if self.waited >= self.patience:
            training.stopped = True

    def on_end(self, training: Training) -> None:
        if self.weights is not None:
            training.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch, self.waited, self.weights = (
            state[key] for key in ("best", "best_epoch", "waited", "weights")
        )


class Checkpoint:
    """Keeps a training in a file, and takes it up from there.

    No callback among others: it reads before they start and writes after they have seen the epoch, so that a training
    that was interrupted ends as one that was not, on a CPU to the last bit.

    Args:
        path: the file; where it is there, the training goes on from it.
        every: write after every so many epochs,
        seconds: but only if this long has passed since the start or the last write.
    """

    def __init__(self, path: str | Path, every: int = 1, seconds: float = 0.0):
        self.path, self.every, self.seconds = Path(path), every, seconds
        self._written = time.monotonic()

    def on_start(self, training: Training) -> None:
        """Take up what the file holds.

        Raises:
            Hw3Error: the file is damaged, or of another model or optimiser, or of other callbacks that keep something.
        """
        self._written = time.monotonic()
        if not self.path.is_file():
            return
        try:
            state = load_tensors(self.path)
            kept, given = [name for name, _ in state["callbacks"]], [type(one).__name__ for one in training.keeping]
            if kept == given:
                training.load_state_dict(state)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise Hw3Error(
                f"{self.path}: {training.name} cannot go on from this checkpoint "
                f"({type(error).__name__}: {first_line(error)}); "
                "it is damaged or of another training: delete it to start again"
            ) from error
        if kept != given:
            raise Hw3Error(
                f"{self.path}: {training.name} was interrupted with the callbacks {', '.join(kept) or 'none'} that "
                f"keep something, found {', '.join(given) or 'none'} now; give it the same ones, or delete the file to "
                "start again"
            )

    def on_epoch(self, training: Training) -> None:
        """Write the file if it is time."""
        due = len(training.history) % self.every == 0 and time.monotonic() - self._written >= self.seconds
        if due and training.is_main:
            # Through memory: what torch raises where it cannot write a file itself does not say why.
            content = io.BytesIO()
            torch.save(training.state_dict(), content)
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(content.getbuffer())
            self._written = time.monotonic()
