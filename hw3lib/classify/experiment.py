"""Run attempts over repeated splits, keep every split's outcome, and rank them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from hw3lib.data import ImageStack, digest, repeated_splits, sample_per_class
from hw3lib.errors import Hw3Error
from hw3lib.paths import atomic_path

from .attempts import Attempt
from .evaluate import confusion, corrected_interval
from .models import Classifier, build
from .trainer import EarlyStopping, as_labels, make_optimiser, predict, random_augment, train

Split = tuple[np.ndarray, np.ndarray]


@dataclass
class Result:
    """What an attempt reached: one entry a split in every list.

    Attributes:
        attempt: the attempt.
        classes: class names; labels are positions in it.
        y, y_pred: true and predicted labels of the test images, int64 arrays.
        test: positions of the test images in the table.
        histories: training curves, one row an epoch; ``stage`` says ``head`` or ``all``.
        n_train, n_test: images in each part of a split, before ``images_per_class``.
        seconds: wall time of each split; the first also holds the shared decoding and frozen features.
    """

    attempt: Attempt
    classes: list[str]
    n_train: int
    n_test: int
    y: list[np.ndarray] = field(default_factory=list)
    y_pred: list[np.ndarray] = field(default_factory=list)
    test: list[np.ndarray] = field(default_factory=list)
    histories: list[pd.DataFrame] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def accuracies(self) -> np.ndarray:
        """Share of correct test images of each split, ``(n_splits,)``."""
        return np.array([(a == b).mean() for a, b in zip(self.y, self.y_pred, strict=True)])

    def interval(self) -> tuple[float, float, float]:
        """Mean accuracy and its 95 % interval, kept within 0 to 1; see :func:`corrected_interval`."""
        mean, low, high = corrected_interval(self.accuracies, self.n_train, self.n_test)
        return mean, max(0.0, low), min(1.0, high)

    def gain(self, baseline: Result) -> tuple[float, float, float]:
        """Mean difference of accuracy from another result on the same splits, with its 95 % interval."""
        same = len(self.test) == len(baseline.test) and all(
            np.array_equal(a, b) for a, b in zip(self.test, baseline.test, strict=True)
        )
        if not same:
            raise Hw3Error(
                f"{self.attempt.name!r} and {baseline.attempt.name!r} ran on different splits; "
                "a paired comparison needs the same"
            )
        return corrected_interval(self.accuracies - baseline.accuracies, self.n_train, self.n_test)

    def confusion(self) -> np.ndarray:
        """Confusion matrix summed over the splits, int ``(classes, classes)``, rows true."""
        return sum(confusion(a, b, len(self.classes)) for a, b in zip(self.y, self.y_pred, strict=True))


def run(
    attempt: Attempt,
    table: pd.DataFrame,
    splits: list[Split],
    *,
    keep: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> Result:
    """Train and test an attempt on every split.

    Args:
        attempt: what to do.
        table: images with their classes (column ``defect``).
        splits: positions ``(train, test)``, as :func:`hw3lib.data.repeated_splits` gives them.
        keep: folder in which each finished split is kept, so that an interrupted run goes on where it was.
        seed: weights and batches of split ``i`` are drawn from ``(seed, i)``.
        device: ``auto`` takes an accelerator if there is one; or ``cpu``, ``cuda``, ``mps``.
        progress: show a bar over the splits.

    Raises:
        Hw3Error: missing weights, a loss that is not finite, too few images for a split.
    """
    classes = sorted(table["defect"].unique(), key=lambda name: (name != "good", name))
    labels = as_labels(table["defect"], classes)
    result = Result(attempt, classes, len(splits[0][0]), len(splits[0][1]))
    device = pick_device(device)
    shared = _Shared(attempt, table, len(classes), device)
    data = digest(table) if keep is not None else ""
    files = [_kept_file(keep, attempt, data, split, seed, i) for i, split in enumerate(splits)]
    for i, (split, file) in enumerate(
        tqdm(list(zip(splits, files, strict=True)), desc=attempt.name, unit="split", disable=not progress)
    ):
        outcome = _read_kept(file)
        if outcome is None:
            started = time.perf_counter()
            with torch.random.fork_rng():
                pred, history = _one_split(attempt, shared, table, labels, split, (seed, i), device)
            outcome = {
                "y_pred": pred.tolist(),
                "history": history.to_dict("list"),
                "seconds": time.perf_counter() - started,
            }
            if file is not None:
                with atomic_path(file) as temporary:
                    temporary.write_text(json.dumps(outcome))
        result.test.append(split[1])
        result.y.append(labels[split[1]])
        result.y_pred.append(np.array(outcome["y_pred"]))
        result.histories.append(pd.DataFrame(outcome["history"]))
        result.seconds.append(outcome["seconds"])
    return result


def pick_device(device: str = "auto") -> torch.device:
    """``auto``: CUDA, else Apple's MPS, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class _Shared:
    """What all splits of an attempt have in common, made when first asked for: decoded images and frozen features."""

    def __init__(self, attempt: Attempt, table: pd.DataFrame, num_classes: int, device: torch.device):
        self.attempt, self.table, self.num_classes, self.device = attempt, table, num_classes, device
        self._images = self._features = self._maps = None

    @property
    def images(self) -> torch.Tensor:
        if self._images is None:
            stack = ImageStack.load(self.table, self.attempt.image_size)
            self._images = torch.from_numpy(stack.images).to(self.device)
        return self._images

    def features(self, model: Classifier) -> torch.Tensor:
        """Features of all images by the frozen backbone; every split begins with the same ImageNet weights."""
        if self._features is None:
            self._features = predict(model.features, self.images)
        return self._features

    def maps(self, model: Classifier, last_stages: int) -> torch.Tensor:
        """Output of the last frozen stage for all images, ``(N, channels, h, w)``."""
        if self._maps is None:
            stage = model.frozen_stage(last_stages)
            model.eval()
            with torch.no_grad():
                batches = [model.backbone.feature_maps(b, [stage])[stage] for b in self.images.split(32)]
            self._maps = torch.cat(batches)
        return self._maps


def _one_split(
    attempt: Attempt,
    shared: _Shared,
    table: pd.DataFrame,
    labels: np.ndarray,
    split: Split,
    seed: tuple[int, int],
    device: torch.device,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Train on one split; predicted labels of its test images, and the training curves."""
    state = np.random.SeedSequence(seed).generate_state(3)
    train_rows, test_rows = split
    if attempt.images_per_class is not None:
        part = table.iloc[train_rows].assign(position=train_rows)
        train_rows = sample_per_class(part, attempt.images_per_class, int(state[0]))["position"].to_numpy()
    valid_rows = None
    if attempt.patience is not None:
        inner, valid = repeated_splits(table.iloc[train_rows], 1, 0.2, int(state[1]))[0]
        train_rows, valid_rows = train_rows[inner], train_rows[valid]
    generator = torch.Generator().manual_seed(int(state[2]))
    # Fresh weights, dropout and stochastic depth draw from torch's own generator, which the caller has forked.
    torch.manual_seed(int(state[2]))
    model = build(attempt, shared.num_classes).to(device, memory_format=torch.channels_last)
    target = torch.from_numpy(labels).to(device)
    curves = []

    def learn(module: nn.Module, inputs: torch.Tensor, stage: str, epochs: int, lr: float, **options) -> None:
        optimiser = make_optimiser(attempt.optimiser, module.parameters(), lr, attempt.weight_decay)
        stopping = EarlyStopping(attempt.patience) if attempt.patience is not None else None
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs) if attempt.cosine else None
        learning = torch.from_numpy(train_rows.copy())
        validation = (inputs[valid_rows], target[valid_rows]) if stopping else None
        history = train(
            module,
            inputs[learning],
            target[learning],
            optimiser,
            epochs=epochs,
            batch_size=attempt.batch_size,
            generator=generator,
            validation=validation,
            scheduler=scheduler,
            callbacks=[stopping] if stopping else [],
            **options,
        )
        if stopping:
            stopping.restore(module)
        curves.append(history.assign(stage=stage))

    options: dict[str, Callable] = {"prepare": _train_but_keep_statistics} if attempt.strategy != "scratch" else {}
    if attempt.augment:
        options["augment"] = random_augment
    if attempt.strategy in ("transfer", "two-stage"):
        module, inputs = model.head, shared.features(model)
        learn(module, inputs, "head", attempt.epochs, attempt.lr)
    if attempt.strategy == "two-stage":
        if attempt.fine_tune_stages is None:
            module, inputs = model, shared.images
        else:
            inputs = shared.maps(model, attempt.fine_tune_stages)
            module = model.tail(attempt.fine_tune_stages)
        learn(module, inputs, "all", attempt.fine_tune_epochs, attempt.fine_tune_lr, **options)
    elif attempt.strategy != "transfer":
        module, inputs = model, shared.images
        learn(module, inputs, "all", attempt.epochs, attempt.lr, **options)
    logits = predict(module, inputs[torch.from_numpy(test_rows.copy())])
    return logits.argmax(1).cpu().numpy(), pd.concat(curves, ignore_index=True)


def _train_but_keep_statistics(module: nn.Module) -> None:
    """Training state, but a backbone's batch normalisation keeps ImageNet's statistics: small batches spoil them."""
    module.train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def _kept_file(
    keep: str | Path | None, attempt: Attempt, data: str, split: Split, seed: int, number: int
) -> Path | None:
    if keep is None:
        return None
    what = json.dumps([_code_digest(), data, seed, number, split[0].tolist(), split[1].tolist()])
    return Path(keep) / f"{attempt.key}-{hashlib.sha256(what.encode()).hexdigest()[:12]}.json"


@cache
def _code_digest() -> str:
    """Hash of the code that an outcome depends on, and torch's version: what older code kept is not taken for new."""
    package = Path(__file__).parents[1]
    files = [
        *sorted((package / "classify").glob("*.py")),
        package / "backbones.py",
        package / "data" / "images.py",
        package / "data" / "splits.py",
    ]
    code = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(code + torch.__version__.encode()).hexdigest()


def _read_kept(file: Path | None) -> dict | None:
    if file is None or not file.is_file():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError:
        return None


def leaderboard(results: list[Result], baseline: str | None = None) -> pd.DataFrame:
    """Rank results by mean accuracy.

    Returns:
        One row an attempt, best first: ``attempt``, ``arch``, ``strategy``, ``image_size``, ``accuracy``, ``ci_low``,
        ``ci_high`` (95 %), ``gain``, ``gain_low``, ``gain_high`` (paired with the baseline, by default the first
        result; missing for itself), ``n_splits``, ``seconds`` (all splits).
    """
    base = next((r for r in results if r.attempt.name == baseline), results[0])
    rows = []
    for r in results:
        mean, low, high = r.interval()
        gain = r.gain(base) if r is not base else (np.nan,) * 3
        rows.append(
            {
                "attempt": r.attempt.name,
                "arch": r.attempt.arch,
                "strategy": r.attempt.strategy,
                "image_size": r.attempt.image_size,
                "accuracy": mean,
                "ci_low": low,
                "ci_high": high,
                "gain": gain[0],
                "gain_low": gain[1],
                "gain_high": gain[2],
                "n_splits": len(r.accuracies),
                "seconds": sum(r.seconds),
            }
        )
    return pd.DataFrame(rows).sort_values("accuracy", ascending=False, ignore_index=True)
