"""The kinds of cells: what one attempt, detector or answer to imbalance gives on one category with one seed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pandas as pd

from hw3lib import anomaly, classify, imbalance, networks  # a worker loads what its cells need and no more
from hw3lib.core.intervals import auroc_interval
from hw3lib.data.labels import split_sizes
from hw3lib.data.parts import parts_of
from hw3lib.data.splits import classification_images, splittable
from hw3lib.data.stack import ImageStack
from hw3lib.data.table import digest, load_table
from hw3lib.errors import Hw3Error
from hw3lib.runs.folder import plain

from .store import Cell, Folders

KINDS = {
    "attempt": "hw3lib.sweep.cells:run_attempt",
    "detector": "hw3lib.sweep.cells:run_detector",
    "imbalance": "hw3lib.sweep.cells:run_imbalance",
}


def run_attempt(cell: Cell, folders: Folders) -> dict[str, Any]:
    """Train and test an attempt on repeated splits; finished splits are kept until the cell is finished.

    Returns:
        ``accuracy, ci_low, ci_high, balanced_accuracy`` (0 to 1), ``n_splits, n_train, n_test, device``.

    Raises:
        Hw3Error: as :func:`hw3lib.classify.run_attempt`, or the images are not those the sweep was planned with.
    """
    s = cell.settings
    images, splits = parts(cell)
    attempt = classify.Attempt(name=cell.name, **s["attempt"])
    result = classify.run_attempt(attempt, images, splits, keep=folders.kept, seed=cell.seed, device=s["device"])
    return {
        **result.interval().columns("accuracy", "ci"),
        "balanced_accuracy": float(result.balanced_accuracies.mean()),
        **_about(splits),
        "device": networks.pick_device(s["device"]).type,
    }


def run_detector(cell: Cell, folders: Folders) -> dict[str, Any]:
    """Fit a detector on the good training images and read the test images once.

    Returns:
        The metrics of :class:`hw3lib.anomaly.comparison.DetectorEvaluation`, ``auroc_low``, ``auroc_high`` and
        ``auroc_p`` (:func:`hw3lib.core.auroc_interval`) and ``device``; None where there is no value.

    Raises:
        Hw3Error: as :func:`hw3lib.anomaly.comparison.evaluate`, or the images are not those the sweep was planned with.
    """
    s, table = cell.settings, planned_table(cell)
    detector = anomaly.make_detector(s["detector"], {**s["parameters"], "seed": cell.seed, "device": s["device"]})
    good = table[(table["split"] == "train") & ~table["is_defect"]]
    test = table[table["split"] == "test"].reset_index(drop=True)
    # Decoded once for all seeds and detectors of a size.
    stacks = [
        ImageStack.load(part, detector.image_size, tiles=True, cache=folders.shared, workers=2) for part in (good, test)
    ]
    with anomaly.silence_few_good_images():
        done = anomaly.evaluate(
            detector, stacks[0], test, stacks[1], held_out=s["held_out"], false_alarm_rate=s["false_alarm_rate"]
        )
    ranked = auroc_interval(done.is_defect, done.scores, done.groups).columns("image_auroc", "auroc")
    return plain({**done.metrics, **ranked, "device": networks.pick_device(s["device"]).type})


def run_imbalance(cell: Cell, folders: Folders) -> dict[str, Any]:
    """Train with an answer to imbalance, and plainly, on the same long tails of repeated splits.

    Returns:
        ``balanced_accuracy, ci_low, ci_high, gain, gain_low, gain_high, gain_p, g_mean, macro_f1, tail_recall`` (0 to
        1; gains are None for plain training), ``ratio, verdict, n_splits, n_train, n_test, device``.

    Raises:
        Hw3Error: as :func:`hw3lib.imbalance.compare_methods`, or the images are not those the sweep was planned with.
    """
    s = cell.settings
    images, splits = parts(cell)
    done = imbalance.compare_methods(
        images,
        splits,
        methods=[s["method"]],
        ratios=[s["ratio"]],
        arch=s["arch"],
        image_size=s["image_size"],
        keep=folders.kept,
        seed=cell.seed,
        device=s["device"],
    ).table()
    row = done[done["method"] == s["method"]].iloc[0].drop(["method", "seconds"]).to_dict()
    return plain({**row, **_about(splits), "device": networks.pick_device(s["device"]).type})


def parts(cell: Cell) -> tuple[pd.DataFrame, list]:
    """Images to classify and the splits of a cell, see :func:`classifiable`.

    Raises:
        Hw3Error: nothing to classify, or the images are not those the sweep was planned with.
    """
    return classifiable(planned_table(cell), cell.settings["n_splits"], cell.settings["test_size"], cell.seed)


def classifiable(
    table: pd.DataFrame, n_splits: int, test_size: float | int, seed: int = 0
) -> tuple[pd.DataFrame, list]:
    """Images to classify without the classes that are too small, and their splits.

    Raises:
        Hw3Error: fewer than two classes are left, or ``test_size`` fits no category.
    """
    if why := parts_of(table, n_splits, test_size, seed).no_classes("classify"):
        raise Hw3Error(why)
    images, splits, _ = splittable(classification_images(table, seed), n_splits, test_size, seed)
    return images, splits


def planned_table(cell: Cell) -> pd.DataFrame:
    """Table of a cell's category, once its bytes have proved to be those the sweep was planned with."""
    table, found = _table(cell.root, cell.category)
    if found != cell.data_digest:
        raise Hw3Error(
            f"{cell.category} in {cell.root}: its files are not those the sweep was planned with "
            f"(digest {found[:12]}, planned {cell.data_digest[:12]}); start the sweep again"
        )
    return table.copy()


@lru_cache(maxsize=4)  # a worker meets the same few categories again and again
def _table(root: str, category: str) -> tuple[pd.DataFrame, str]:
    table = load_table(root, category)
    return table, digest(table)


def _about(splits: list) -> dict[str, int]:
    n_train, n_test = split_sizes(splits)
    return {"n_splits": len(splits), "n_train": n_train, "n_test": n_test}
