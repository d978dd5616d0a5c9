"""Detectors compared over splits: mean average precision before and after training, and over the number of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from hw3lib.annotate.instances import Instance
from hw3lib.core.intervals import Interval, corrected_interval, holm
from hw3lib.errors import Hw3Error

from .base import BoxDetector
from .metrics import mean_average_precision, truth_of

Split = tuple[np.ndarray, np.ndarray]
SIZES = (5, 10, 20, 40)


def detection_runs(
    table: pd.DataFrame,
    instances: Sequence[Instance],
    models: Mapping[str, BoxDetector],
    splits: Sequence[Split],
    *,
    done: Callable[[dict, BoxDetector], None] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Fit every model on every split's training images and measure it on its test images.

    Args:
        table: columns ``image, defect, width, height``.
        instances: boxes of its images.
        models: name to detector; each is fitted as a fresh copy, so they stay as they are.
        splits: pairs of positions ``(train, test)``, see :func:`hw3lib.data.repeated_splits`.
        done: called with the row and the fitted detector of every run.

    Returns:
        one row a run: ``model, split, map50_before`` (before training: a fresh head, or zero-shot),
        ``map50_after, map50_95_after, seconds`` (of fitting), ``text`` (``clip`` or ``learned``: YOLO-World),
        ``epochs, train, test`` (images).
    """
    rows, classes = [], _classes(instances)
    truth = truth_of(table, instances, classes)
    for number, (train, test) in enumerate(splits):
        true = [truth[row] for row in test]
        for name, model in models.items():
            before: dict[str, float] = {}

            def measure(epoch: int, detector: BoxDetector, before=before, test=test, true=true) -> None:
                if epoch == 0:
                    before["map50"] = mean_average_precision(true, detector.predict(table, test), classes).map50

            detector = replace(model)
            detector.fit(table, instances, train, classes=classes, each_epoch=measure, progress=progress)
            after = mean_average_precision(true, detector.predict(table, test), classes)
            row = {"model": name, "split": number, "map50_before": before["map50"], "map50_after": after.map50}
            row |= {"map50_95_after": after.map50_95, "seconds": detector.seconds_, "text": detector.text}
            row |= {"epochs": len(detector.history_), "train": len(train), "test": len(test)}
            rows.append(row)
            if done is not None:
                done(row, detector)
    return pd.DataFrame(rows)


def detection_summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Means of :func:`detection_runs` over the splits, one row a model, best first.

    Returns:
        ``model, map50_before, map50_after, gain, gain_low, gain_high`` (paired difference of after and before with its
        95 % corrected resampled t interval, see :func:`hw3lib.core.intervals.corrected_interval`; the limits are
        missing for a single split), ``gain_p`` (of all models together, :func:`hw3lib.core.holm`), ``n_splits, seconds,
        text``.
    """

    def gain_of(own: pd.DataFrame) -> Interval:
        gains = (own["map50_after"] - own["map50_before"]).to_numpy()
        if len(own) < 2:
            return Interval(gains.mean(), kind="difference")
        return corrected_interval(gains, own["train"].mean(), own["test"].mean(), kind="difference")

    models = list(runs.groupby("model", sort=False))
    rows = []
    for (name, own), gain in zip(models, holm(gain_of(own) for _, own in models), strict=True):
        means = own[["map50_before", "map50_after", "seconds"]].mean()
        row = {"model": name, "map50_before": means["map50_before"], "map50_after": means["map50_after"]}
        row |= gain.columns("gain") | {"n_splits": len(own)}
        rows.append(row | {"seconds": means["seconds"], "text": own["text"].iloc[0]})
    return pd.DataFrame(rows).sort_values("map50_after", ascending=False, ignore_index=True)


def compare(
    table: pd.DataFrame,
    instances: Sequence[Instance],
    models: Mapping[str, BoxDetector],
    splits: Sequence[Split],
    **options,
) -> pd.DataFrame:
    """:func:`detection_summary` of :func:`detection_runs`, whose arguments it takes."""
    return detection_summary(detection_runs(table, instances, models, splits, **options))


def learning_curve(
    table: pd.DataFrame,
    instances: Sequence[Instance],
    models: Mapping[str, BoxDetector],
    splits: Sequence[Split],
    sizes: Sequence[int] = SIZES,
    *,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Mean average precision over the number of training images.

    The images of a smaller number are among those of a larger one, every class in turn. A detector trains the same
    number of steps whatever their number, as far as whole epochs allow, so that the curve tells of images, not of time.

    Args:
        sizes: numbers of training images; those that a split does not have are left out.
        seed: of the order in which images are added.

    Returns:
        one row a run: ``model, split, images, map50, seconds``.

    Raises:
        Hw3Error: no size fits.
    """
    classes = _classes(instances)
    truth = truth_of(table, instances, classes)
    boxed = {instance.row for instance in instances}
    rows = []
    for number, (train, test) in enumerate(splits):
        ordered = in_turn(table, train, boxed, seed)
        fitting = [size for size in sizes if 1 <= size <= len(train)]
        if not fitting:
            raise Hw3Error(f"sizes={list(sizes)}: expected some between 1 and {len(train)}, the training images")
        for size in fitting:
            for name, model in models.items():
                epochs = round(model.epochs * max(fitting) / size)
                detector = replace(model, epochs=epochs)
                detector.fit(table, instances, ordered[:size], classes=classes, progress=progress)
                score = mean_average_precision([truth[row] for row in test], detector.predict(table, test), classes)
                row = {"model": name, "split": number, "images": size, "map50": score.map50}
                rows.append(row | {"seconds": detector.seconds_})
    return pd.DataFrame(rows)


def in_turn(table: pd.DataFrame, rows: Sequence[int] | np.ndarray, boxed: set[int], seed: int) -> np.ndarray:
    """Positions in a random order that takes every class in turn, those with boxes first in each turn."""
    mixed = np.random.default_rng(seed).permutation(np.asarray(rows, int))
    part = pd.DataFrame({"row": mixed, "defect": table["defect"].to_numpy()[mixed]})
    part["turn"] = part.groupby("defect").cumcount()
    part["empty"] = [row not in boxed for row in part["row"]]
    return part.sort_values(["turn", "empty", "defect"], kind="stable")["row"].to_numpy()


def _classes(instances: Sequence[Instance]) -> list[str]:
    return sorted({instance.defect for instance in instances})
