"""A training loop that knows nothing of what it trains; everything besides training is a callback."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import autocast, default_accelerator, resolve

from .augment import Augmentation, RandomView
from .callbacks import Callback, Checkpoint, History, Training

if TYPE_CHECKING:
    from accelerate import Accelerator


def train(  # noqa: PLR0913, settings by keyword
    model: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    optimiser: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
    validation: tuple[torch.Tensor, torch.Tensor] | None = None,
    augment: Augmentation | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoint: Checkpoint | None = None,
    prepare: Callable[[nn.Module], object] = nn.Module.train,
    precision: str = "auto",
    accelerator: Accelerator | None = None,
    name: str = "the model",
) -> History:
    """Train a classifier by cross-entropy on mini-batches that are shuffled each epoch.

    Runs under ``accelerate``: started in several processes, by ``accelerate launch`` on one machine with several GPUs
    or on many machines, or by ``torchrun`` on CPUs too, each process takes its share of every batch and the gradient is
    that of the whole batch. Only batch normalisation in training state sees its own share alone.

    Args:
        model: gives logits ``(n, classes)``; already on the inputs' device.
        inputs: images or features, ``(N, ...)``.
        labels: int64 ``(N,)``.
        optimiser, scheduler: torch's; the scheduler steps once an epoch.
        epochs, batch_size: a last batch of one image (for each process) is left out, batch normalisation cannot learn
            from it.
        generator: the source of batches and augmentation, on the CPU; dropout draws from torch's own.
        validation: inputs and labels for ``val_loss`` and ``val_accuracy``.
        augment: changes a batch of inputs before the model sees it.
        callbacks: called in this order.
        checkpoint: where the training is kept and, if it was interrupted, taken up.
        prepare: puts the model into its training state at the start of each epoch.
        precision: ``float32``; ``bf16`` computes the network in bfloat16 where that is safe (autocast); ``auto`` takes
            bf16 where the device gains by it, see :func:`resolve`.
        accelerator: an ``accelerate.Accelerator`` with ``device_placement=False``; None makes one.
        name: of what is trained, for messages.

    Returns:
        The training curves: ``epoch`` (from 1), ``loss``, ``accuracy`` of the training batches, and the validation's.

    Raises:
        Hw3Error: the loss is no longer finite, or there are too few images to learn from.
    """
    from accelerate.utils import broadcast  # slow to import, see default_accelerator()

    accelerator = accelerator or default_accelerator()
    fewest = 2 * accelerator.num_processes
    if min(len(inputs), batch_size) < fewest:
        raise Hw3Error(
            f"{name}: {len(inputs)} training images in batches of {batch_size}, expected at least {fewest} of both, "
            "two a process"
        )
    precision = resolve(precision, inputs.device, model)
    training = Training(
        name, model, optimiser, scheduler, generator, list(callbacks), epochs, is_main=accelerator.is_main_process
    )
    network, stepper = accelerator.prepare(model, optimiser)
    saved: list[Callback | Checkpoint] = [checkpoint] if checkpoint else []
    for part in (*saved, *training.callbacks):
        part.on_start(training)
    while len(training.history) < epochs and not training.stopped:
        prepare(model)
        totals = torch.zeros(3, device=inputs.device)  # summed loss, correct, images; not read before the epoch's end
        for batch, target, factor in _batches(inputs, labels, batch_size, generator, augment, accelerator):
            with autocast(inputs.device, precision):
                logits = network(batch).float()
            loss = cross_entropy(logits, target, reduction="sum")
            optimiser.zero_grad(set_to_none=True)
            accelerator.backward(loss * factor)
            stepper.step()
            correct = (logits.detach().argmax(1) == target).sum()
            totals += torch.stack([loss.detach(), correct, torch.full_like(correct, len(target))])
        figures = _figures(training, *accelerator.reduce(totals, "sum").tolist())
        if scheduler is not None:
            scheduler.step()
        broadcast(list(model.buffers()))  # running statistics are of each process's own share; the first's hold for all
        if validation is not None:
            figures |= _validate(model, *validation, accelerator, precision)
        training.history.rows.append(figures)
        for part in (*training.callbacks, *saved):
            part.on_epoch(training)
    for callback in training.callbacks:
        callback.on_end(training)
    return training.history


def _batches(
    inputs: torch.Tensor,
    labels: torch.Tensor,
    batch_size: int,
    generator: torch.Generator,
    augment: Augmentation | None,
    accelerator: Accelerator,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
    """This process's inputs and labels of an epoch, and the factor of a summed loss: gradients are then averaged."""
    processes, rank = accelerator.num_processes, accelerator.process_index
    # One transfer an epoch: the device is never waited for.
    order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    draws = augment.draw(len(inputs), generator).to(inputs.device) if augment is not None else None
    for start in range(0, len(inputs), batch_size):
        whole = min(batch_size, len(inputs) - start)
        if whole < 2 * processes:
            continue
        share = slice(start + whole * rank // processes, start + whole * (rank + 1) // processes)
        rows = order[share]
        if augment is None or draws is None:
            batch = inputs[rows]
        elif isinstance(augment, RandomView):
            batch = augment.of_rows(inputs, rows, draws[share])
        else:
            batch = augment(inputs[rows], draws[share])
        yield batch, labels[rows], processes / whole


def _figures(training: Training, loss: float, correct: float, seen: float) -> dict[str, float]:
    """Number, mean loss and accuracy of an epoch, whose sums are given; the loss must be finite."""
    epoch, group = len(training.history) + 1, training.optimiser.param_groups[0]
    if not math.isfinite(loss):
        raise Hw3Error(
            f"{training.name}: the training loss became {loss / seen} in epoch {epoch} at learning rate "
            f"{group.get('initial_lr', group['lr']):g}; use a lower learning rate"
        )
    return {"epoch": epoch, "loss": loss / seen, "accuracy": correct / seen}


def _validate(
    model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, accelerator: Accelerator, precision: str
) -> dict[str, float]:
    """Loss and accuracy; each process takes every so many-th image, and all get the same figures."""
    share = slice(accelerator.process_index, None, accelerator.num_processes)
    totals = torch.zeros(2, device=inputs.device)
    if len(labels[share]):
        logits = predict(model, inputs[share], precision=precision)
        correct = (logits.argmax(1) == labels[share]).sum()
        totals = torch.stack([cross_entropy(logits, labels[share], reduction="sum"), correct])
    loss, correct = (accelerator.reduce(totals, "sum") / len(labels)).tolist()
    return {"val_loss": loss, "val_accuracy": correct}


@torch.no_grad()
def predict(
    model: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    batch_size: int = 32,
    *,
    precision: str = "float32",
) -> torch.Tensor:
    """Outputs of a model, or of one of its methods, for all inputs, in batches; modules are set to ``eval``.

    Returns:
        float32 ``(N, ...)`` on the inputs' device.

    Raises:
        Hw3Error: an unknown precision.
    """
    owner = getattr(model, "__self__", model)
    if isinstance(owner, nn.Module):
        owner.eval()
    with autocast(inputs.device, resolve(precision, inputs.device)):
        return torch.cat([model(batch).float() for batch in inputs.split(batch_size)])


def make_optimiser(
    name: str, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """``sgd`` (momentum 0.9), ``adam`` or ``adamw``, of the parameters that require a gradient."""
    parameters = [p for p in parameters if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)  # one pass over all of them, where there is one
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=weight_decay, fused=fused)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[name](parameters, lr=lr, weight_decay=weight_decay, fused=fused)
