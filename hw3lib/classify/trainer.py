"""A training loop that knows nothing of what it trains; everything besides training is a callback."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hw3lib.errors import Hw3Error

# Called after each epoch with the model and that epoch's figures; a true answer ends the training.
Callback = Callable[[nn.Module, dict[str, float]], bool | None]


class EarlyStopping:
    """Stop when the validation loss has not fallen for ``patience`` epochs; :meth:`restore` brings the best back."""

    def __init__(self, patience: int):
        self.patience, self.best, self.waited, self.state = patience, math.inf, 0, None

    def __call__(self, model: nn.Module, figures: dict[str, float]) -> bool:
        if figures["val_loss"] < self.best:
            self.best, self.waited = figures["val_loss"], 0
            self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self, model: nn.Module) -> None:
        if self.state is not None:
            model.load_state_dict(self.state)


def train(
    model: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    optimiser: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
    validation: tuple[torch.Tensor, torch.Tensor] | None = None,
    augment: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    callbacks: Iterable[Callback] = (),
    prepare: Callable[[nn.Module], None] = nn.Module.train,
) -> pd.DataFrame:
    """Train a classifier by cross-entropy on mini-batches drawn anew each epoch.

    Args:
        model: gives logits ``(n, classes)``; already on the inputs' device.
        inputs: images or features, ``(N, ...)``.
        labels: int64 ``(N,)``.
        optimiser, scheduler: torch's; the scheduler steps once an epoch.
        epochs, batch_size: a last batch of one image is left out, batch normalisation cannot learn from it.
        generator: the source of all randomness here, on the CPU.
        validation: inputs and labels for ``val_loss`` and ``val_accuracy``.
        augment: changes a batch of inputs before the model sees it.
        callbacks: see :data:`Callback`.
        prepare: puts the model into its training state at the start of each epoch.

    Returns:
        One row an epoch: ``epoch`` (from 1), ``loss``, ``accuracy`` of the training batches, and the validation's.

    Raises:
        Hw3Error: the loss is no longer finite, or there are fewer than two images to learn from.
    """
    if len(inputs) < 2:
        raise Hw3Error(f"{len(inputs)} training image: expected at least 2")
    history = []
    for epoch in range(1, epochs + 1):
        prepare(model)
        loss_sum = correct = seen = 0
        for rows in torch.randperm(len(inputs), generator=generator).split(batch_size):
            if len(rows) < 2:
                continue
            rows = rows.to(inputs.device)
            batch = inputs[rows] if augment is None else augment(inputs[rows], generator)
            logits = model(batch)
            loss = cross_entropy(logits, labels[rows])
            if not torch.isfinite(loss):
                raise Hw3Error(
                    f"the training loss became {loss.item()} in epoch {epoch}; use a lower learning rate "
                    f"than {optimiser.param_groups[0]['lr']:g}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss_sum += loss.item() * len(rows)
            correct += (logits.argmax(1) == labels[rows]).sum().item()
            seen += len(rows)
        if scheduler is not None:
            scheduler.step()
        figures = {"epoch": epoch, "loss": loss_sum / seen, "accuracy": correct / seen}
        if validation is not None:
            logits = predict(model, validation[0])
            figures["val_loss"] = cross_entropy(logits, validation[1]).item()
            figures["val_accuracy"] = (logits.argmax(1) == validation[1]).float().mean().item()
        history.append(figures)
        if any([callback(model, figures) for callback in callbacks]):
            break
    return pd.DataFrame(history)


@torch.no_grad()
def predict(model: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, batch_size: int = 32) -> torch.Tensor:
    """Outputs of a model, or of one of its methods, for all inputs, in batches; modules are set to ``eval``."""
    owner = getattr(model, "__self__", model)
    if isinstance(owner, nn.Module):
        owner.eval()
    return torch.cat([model(batch) for batch in inputs.split(batch_size)])


def random_augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Flip, rotate by up to 10 degrees and change the brightness by up to 15 %, drawn for each image.

    Images in 0 to 255, ``(n, 3, H, W)``; corners that rotation uncovers are filled by reflection.
    """
    n = len(images)
    draw = torch.rand(4, n, generator=generator).to(images.device)
    angle = (draw[0] * 2 - 1) * math.radians(10)
    flip_x, flip_y = (draw[1:3] < 0.5).float() * 2 - 1
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros(n, device=images.device)
    affine = torch.stack(
        [
            torch.stack([flip_x * cos, -flip_x * sin, zero], 1),
            torch.stack([flip_y * sin, flip_y * cos, zero], 1),
        ],
        1,
    )
    grid = nn.functional.affine_grid(affine, list(images.shape), align_corners=False)
    turned = nn.functional.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    return (turned * (0.85 + 0.3 * draw[3]).view(n, 1, 1, 1)).clamp(0, 255)


def make_optimiser(
    name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """``sgd`` (momentum 0.9), ``adam`` or ``adamw``."""
    parameters = [p for p in parameters if p.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=weight_decay)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[name](parameters, lr=lr, weight_decay=weight_decay)


def as_labels(defects: pd.Series, classes: list[str]) -> np.ndarray:
    """Class names as positions in ``classes``, int64 ``(N,)``."""
    return np.array([classes.index(name) for name in defects], np.int64)
