"""Run attempts over repeated splits and keep every split's outcome."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from hw3lib.core.files import sweep_leftovers
from hw3lib.core.kept import Kept
from hw3lib.core.text import first_line
from hw3lib.data.labels import Split
from hw3lib.data.splits import repeated_splits, sample_per_class
from hw3lib.data.table import digest
from hw3lib.errors import Hw3Error
from hw3lib.networks.augment import RandomView
from hw3lib.networks.callbacks import Callback, Checkpoint, EarlyStopping
from hw3lib.networks.devices import pick_device, resolve
from hw3lib.networks.trainer import make_optimiser, predict, train

from .attempts import Attempt
from .inputs import Inputs
from .models import Classifier, SimpleCNN, build, learns_whole
from .result import Result

STAGES = ("head", "all")
CHECKPOINT_SECONDS = 60.0  # a training that takes longer is kept this often, where outcomes are kept


@dataclass
class Fitted:
    """An attempt trained on one split.

    Attributes:
        model: the whole network, images in 0 to 255 ``(n, 3, H, W)`` to logits; in ``eval`` state.
        classes, labels: class names, and the label of every image of the table, int64 ``(N,)``.
        images: all images of the table at the attempt's size, uint8 ``(N, 3, H, W)``, on the model's device.
        probabilities: of each class for each test image, float32 ``(n_test, classes)``.
        history: training curves, one row an epoch; ``stage`` says ``head`` or ``all``.
    """

    model: nn.Module
    classes: list[str]
    labels: np.ndarray
    images: torch.Tensor
    probabilities: np.ndarray
    history: pd.DataFrame


def run_attempt(
    attempt: Attempt,
    table: pd.DataFrame,
    splits: list[Split],
    *,
    keep: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Result:
    """Train and test an attempt on every split.

    In several processes (see :func:`hw3lib.classify.train`) the first one alone reads and writes outcomes.

    Args:
        attempt: what to do.
        table: images with their classes (column ``defect``).
        splits: positions ``(train, test)``, as :func:`hw3lib.data.repeated_splits` gives them.
        keep: folder in which each finished split is kept, so that an interrupted run goes on where it was, within a
            split too if that takes minutes; several machines need a shared one.
        seed: weights and batches of split ``i`` are drawn from ``(seed, i)``.
        device: ``auto`` takes an accelerator if there is one; or ``cpu``, ``cuda``, ``mps``.
        precision: ``auto``, ``float32`` or ``bf16``, see :func:`hw3lib.classify.train`; heads on frozen features always
            learn in float32.
        progress: show a bar over the splits.
        callbacks: for every training, besides early stopping.

    Raises:
        Hw3Error: missing weights, a loss that is not finite, too few images for a split or for a batch, an unknown
            device or precision.
    """
    from accelerate.utils import broadcast_object_list  # slow to import, as all of accelerate

    shared = Inputs(attempt, table, seed, pick_device(device), precision)
    _check_parts(attempt, table, splits, seed)
    data = digest(table) if keep is not None else ""
    device, parts = shared.device.type, [[part.tolist() for part in split] for split in splits]
    results = [
        Kept(keep, f"{attempt.key}.json", "classify", device, shared.reading, data=data, seed=[seed, i], split=split)
        for i, split in enumerate(parts)
    ]
    outcomes = []
    bar = tqdm(results, desc=attempt.name, unit="split", disable=not (progress and shared.is_main))
    for i, kept in enumerate(bar):
        # Processes must agree on whether to train: a file may appear between the looks of two of them.
        outcome = broadcast_object_list([kept.read() if shared.is_main else None])[0]
        if outcome is None:
            started = time.perf_counter()
            _, probabilities, history = _fit(attempt, shared, splits[i], (seed, i), callbacks, kept.file)
            outcome = {
                "probabilities": probabilities.tolist(),
                "history": history.to_dict("list"),
                "seconds": time.perf_counter() - started,
            }
            if shared.is_main:
                kept.write(outcome)
        if kept.file is not None and shared.is_main:  # found or written now: a kill may have come between the two
            for stage in STAGES:
                checkpoint = _checkpoint(kept.file, stage)
                sweep_leftovers(checkpoint)
                checkpoint.unlink(missing_ok=True)
        outcomes.append(outcome)
    return Result.from_probabilities(
        attempt,
        table,
        splits,
        [np.array(outcome["probabilities"], np.float32) for outcome in outcomes],
        seconds=[outcome["seconds"] for outcome in outcomes],
        histories=[pd.DataFrame(outcome["history"]) for outcome in outcomes],
    )


def check_attempt(attempt: Attempt, table: pd.DataFrame, splits: Sequence[Split], seed: int = 0) -> None:
    """Find out, before hours of training, what would end them: takes as long as building the network.

    Args:
        attempt, table, splits, seed: as for :func:`run_attempt`.

    Raises:
        Hw3Error: too few images for a split or for a batch, missing or damaged weights, fewer stages than are to learn,
            or images of a size that the network cannot take.
    """
    _check_parts(attempt, table, splits, seed)
    with torch.random.fork_rng(), torch.no_grad():
        model = build(attempt, table["defect"].nunique()).eval()
        if attempt.fine_tune_stages is not None:
            assert isinstance(model, Classifier), "a network without a backbone has no stages"
            model.frozen_stage(attempt.fine_tune_stages)
        try:
            model(torch.zeros(1, 3, attempt.image_size, attempt.image_size))
        except (RuntimeError, AssertionError) as error:
            raise Hw3Error(
                f"attempt {attempt.name!r}: {attempt.arch} does not take images of image_size={attempt.image_size}: "
                f"{first_line(error)} Use another size or another architecture"
            ) from None


def fit_splits(
    attempt: Attempt,
    table: pd.DataFrame,
    splits: Sequence[Split],
    *,
    only: Collection[int] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    callbacks: Sequence[Callback] = (),
) -> Iterator[Fitted]:
    """Train an attempt on every split, as :func:`run_attempt` does, and hand out the networks one after the other.

    Images are decoded, and frozen features computed, once for all splits.

    Args:
        attempt, table, splits, seed, device, precision, callbacks: as for :func:`run_attempt`; the same give the same
            networks.
        only: numbers of the splits to train, from 0; None trains all.

    Raises:
        Hw3Error: as :func:`run_attempt`, when the first network is asked for.
    """
    shared = Inputs(attempt, table, seed, pick_device(device), precision)
    _check_parts(attempt, table, splits, seed)
    for i, split in enumerate(splits):
        if only is None or i in only:
            model, probabilities, history = _fit(attempt, shared, split, (seed, i), callbacks, None)
            yield Fitted(model.eval(), shared.classes, shared.labels, shared.images, probabilities, history)


def _check_parts(attempt: Attempt, table: pd.DataFrame, splits: Sequence[Split], seed: int) -> None:
    for i, split in enumerate(splits):
        _parts(attempt, table, split, (seed, i))


def _parts(
    attempt: Attempt, table: pd.DataFrame, split: Split, seed: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Positions to learn from and to validate on (or None), out of a split's training part, and the training's seed."""
    state = np.random.SeedSequence(seed).generate_state(3)
    rows, valid_rows = split[0], None
    if attempt.images_per_class is not None:
        part = table.iloc[rows].assign(position=rows)
        with _naming_field(attempt, "images_per_class"):
            rows = sample_per_class(part, attempt.images_per_class, int(state[0]))["position"].to_numpy()
    if attempt.patience is not None:
        with _naming_field(attempt, "patience"):
            inner, valid = repeated_splits(table.iloc[rows], 1, 0.2, int(state[1]))[0]
        rows, valid_rows = rows[inner], rows[valid]
    if len(rows) < attempt.batch_size:
        raise Hw3Error(
            f"attempt {attempt.name!r}: batch_size={attempt.batch_size} is more than the {len(rows)} images to train on"
            + (" that validation leaves" if valid_rows is not None else "")
            + "; use a smaller batch or more images"
        )
    return rows, valid_rows, int(state[2])


@contextmanager
def _naming_field(attempt: Attempt, field: str) -> Iterator[None]:
    """Errors inside say which field of which attempt asked for it."""
    try:
        yield
    except Hw3Error as error:
        raise Hw3Error(f"attempt {attempt.name!r}: {field}={getattr(attempt, field)}: {error}") from None


def _fit(
    attempt: Attempt,
    shared: Inputs,
    split: Split,
    seed: tuple[int, int],
    callbacks: Sequence[Callback],
    file: Path | None,
) -> tuple[nn.Module, np.ndarray, pd.DataFrame]:
    """Train on one split; the whole network, class probabilities of the test images, and the training curves."""
    learn_rows, valid_rows, training_seed = _parts(attempt, shared.table, split, seed)
    learn, valid, test = (
        torch.from_numpy(rows.copy()).to(shared.device) if rows is not None else None
        for rows in (learn_rows, valid_rows, split[1])
    )
    target = torch.from_numpy(shared.labels).to(shared.device)
    generator = torch.Generator().manual_seed(training_seed)
    whole = learns_whole(attempt)
    curves = []
    # Fresh weights, dropout and stochastic depth draw from torch's own generator.
    with torch.random.fork_rng():
        torch.manual_seed(training_seed)
        model = build(attempt, len(shared.classes)).to(shared.device)
        model = model.to(memory_format=torch.channels_last)
        for stage, module, inputs, views, epochs, lr in _stages(attempt, shared, model):
            clean, augment = (inputs[:, 0], RandomView()) if views else (inputs, shared.augment)
            own = [EarlyStopping(attempt.patience)] if valid is not None and attempt.patience is not None else []
            optimiser = make_optimiser(attempt.optimiser, module.parameters(), lr, attempt.weight_decay)
            precision = "float32" if stage == "head" else resolve(shared.precision, shared.device, module)
            history = train(
                module,
                inputs[learn],
                target[learn],
                optimiser,
                epochs=epochs,
                batch_size=attempt.batch_size,
                generator=generator,
                validation=(clean[valid], target[valid]) if valid is not None else None,
                augment=augment,
                scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs) if attempt.cosine else None,
                callbacks=[*own, *callbacks],
                checkpoint=Checkpoint(_checkpoint(file, stage), seconds=CHECKPOINT_SECONDS) if file else None,
                prepare=nn.Module.train if whole or stage == "head" else _train_but_keep_statistics,
                precision=precision,
                name=f"attempt {attempt.name!r}",
            )
            curves.append(history.to_frame().assign(stage=stage))
    logits = predict(module, clean[test], precision=precision)
    return model, logits.softmax(1).cpu().numpy(), pd.concat(curves, ignore_index=True)


def _checkpoint(file: Path, stage: str) -> Path:
    """Where a training is kept whose outcome will be in ``file``."""
    return file.with_suffix(f".{stage}.pt")


def _stages(
    attempt: Attempt, shared: Inputs, model: SimpleCNN | Classifier
) -> Iterator[tuple[str, nn.Module, torch.Tensor, bool, int, float]]:
    """What learns one after the other: ``(stage, module, its inputs, whether these hold views, epochs, lr)``."""
    augments = attempt.augments
    if attempt.strategy in ("transfer", "two-stage"):
        assert isinstance(model, Classifier), "a network without a backbone learns from scratch"
        features = shared.features(model)
        yield "head", model.head, features if augments else features[:, 0], augments, attempt.epochs, attempt.lr
    if attempt.strategy == "two-stage" and attempt.fine_tune_stages is not None:
        assert isinstance(model, Classifier)
        maps, tail = shared.maps(model), model.tail(attempt.fine_tune_stages)
        inputs = maps if augments else maps[:, 0]
        yield "all", tail, inputs, augments, attempt.fine_tune_epochs, attempt.fine_tune_lr
    elif attempt.strategy == "two-stage":
        yield "all", model, shared.images, False, attempt.fine_tune_epochs, attempt.fine_tune_lr
    elif attempt.strategy != "transfer":
        yield "all", model, shared.images, False, attempt.epochs, attempt.lr


def _train_but_keep_statistics(module: nn.Module) -> None:
    """Training state, but a backbone's batch normalisation keeps ImageNet's statistics.

    For a network of which only a part learns: those of its frozen part are right for its frozen weights, and the
    statistics of a few dozen images are noise beside those of a million. Where every weight learns they would be of
    weights that are no longer there, and of larger images: such a network may not even fit what it learns from.
    """
    module.train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
