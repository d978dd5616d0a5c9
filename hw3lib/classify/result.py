"""What an attempt reached over repeated splits, and the ranking of several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from hw3lib.core.intervals import EQUIVALENT, Design, Interval, holm
from hw3lib.core.scores import balanced_accuracy
from hw3lib.data.groups import images_per_product, products
from hw3lib.data.labels import Split, as_labels, by_set, class_names, crossed_sets, split_sizes
from hw3lib.errors import Hw3Error

from . import evaluate
from .evaluate import Calibration


class Method(Protocol):
    """What a result needs to know of what it is the result of; an ``Attempt`` is one."""

    @property
    def name(self) -> str: ...

    @property
    def arch(self) -> str: ...

    @property
    def strategy(self) -> str: ...

    @property
    def image_size(self) -> int: ...


@dataclass
class Result:
    """What an attempt reached: one entry a split in every list.

    Attributes:
        attempt: the attempt, or another method with ``name``, ``arch``, ``strategy`` and ``image_size``.
        classes: class names; labels are positions in it.
        n_train, n_test: images in each part of a split, before ``images_per_class``.
        y, y_pred: true and predicted labels of the test images, int64 arrays.
        test: positions of the test images in the table.
        histories: training curves, one row an epoch; ``stage`` says ``head`` or ``all``.
        seconds: wall time of each split; the first also holds the shared decoding and frozen features.
        probabilities: of each class for each test image, float32 ``(n_test, classes)``; their largest is ``y_pred``.
        per_product: images of a product; intervals count products.
        sets: which split learns from each image, where each is tested on what all others learn from, int64 ``(N,)``.
    """

    attempt: Method
    classes: list[str]
    n_train: int
    n_test: int
    y: list[np.ndarray] = field(default_factory=list)
    y_pred: list[np.ndarray] = field(default_factory=list)
    test: list[np.ndarray] = field(default_factory=list)
    histories: list[pd.DataFrame] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    probabilities: list[np.ndarray] = field(default_factory=list)
    per_product: float = 1.0
    sets: np.ndarray | None = None

    @classmethod
    def from_probabilities(
        cls,
        attempt: Method,
        table: pd.DataFrame,
        splits: list[Split],
        probabilities: list[np.ndarray],
        *,
        seconds: list[float],
        histories: list[pd.DataFrame] | None = None,
    ) -> Result:
        """Result of any method that gave the test images of each split their class probabilities.

        Args:
            attempt: see the class.
            table: images with their classes (column ``defect``).
            splits: positions ``(train, test)`` in the table.
            probabilities: one array a split, ``(n_test, classes)``, columns as :func:`class_names` orders them.
            seconds: wall time of each split.
            histories: training curves of each split, where there are any.

        Raises:
            Hw3Error: not one array a split, or an array of another shape.
        """
        classes = class_names(table)
        if len(probabilities) != len(splits):
            raise Hw3Error(f"{attempt.name!r}: found probabilities of {len(probabilities)} splits, not {len(splits)}")
        labels = as_labels(table["defect"], classes)
        result = cls(attempt, classes, *split_sizes(splits), per_product=images_per_product(table))
        result.sets = crossed_sets(splits, products(table))
        for (_, test), p in zip(splits, probabilities, strict=True):
            p = np.asarray(p, np.float32)
            if p.shape != (len(test), len(classes)):
                raise Hw3Error(f"{attempt.name!r}: probabilities {p.shape}, expected {(len(test), len(classes))}")
            result.test.append(test)
            result.y.append(labels[test])
            result.y_pred.append(p.argmax(1))
            result.probabilities.append(p)
        result.seconds = list(seconds)
        result.histories = list(histories or [])
        return result

    @property
    def accuracies(self) -> np.ndarray:
        """Share of correct test images of each split, ``(n_splits,)``."""
        return np.array([(a == b).mean() for a, b in zip(self.y, self.y_pred, strict=True)])

    @property
    def balanced_accuracies(self) -> np.ndarray:
        """Mean recall of the classes of each split, ``(n_splits,)``."""
        return np.array([balanced_accuracy(a, b) for a, b in zip(self.y, self.y_pred, strict=True)])

    def interval(self) -> Interval:
        """Mean accuracy and its 95 % interval; see :func:`hw3lib.core.corrected_interval`."""
        return self.design.interval(self._shares(), kind="share")

    def gain(self, baseline: Result) -> Interval:
        """Mean difference of accuracy from another result on the same splits, with its 95 % interval."""
        same = len(self.test) == len(baseline.test) and all(
            np.array_equal(a, b) for a, b in zip(self.test, baseline.test, strict=True)
        )
        if not same:
            raise Hw3Error(
                f"{self.attempt.name!r} and {baseline.attempt.name!r} ran on different splits; "
                "a paired comparison needs the same"
            )
        return self.design.interval(self._shares() - baseline._shares(), kind="difference", counted=True)

    @property
    def design(self) -> Design:
        """What the intervals rest on."""
        return Design(self.n_train, self.n_test, len(self.test), self.sets is not None, self.per_product)

    def _shares(self) -> np.ndarray:
        """Share of correct test images of each split, or of each split and set."""
        if self.sets is None:
            return self.accuracies
        correct = [(a == b).astype(float) for a, b in zip(self.y, self.y_pred, strict=True)]
        return by_set(correct, self.test, self.sets)

    def confusion(self) -> np.ndarray:
        """Confusion matrix summed over the splits, int ``(classes, classes)``, rows true."""
        each = [evaluate.confusion(a, b, len(self.classes)) for a, b in zip(self.y, self.y_pred, strict=True)]
        return np.sum(each, 0)

    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 and support of each class over all splits; see :func:`per_class`."""
        return evaluate.per_class(np.concatenate(self.y), np.concatenate(self.y_pred), self.classes)

    def calibration(self, bins: int = 10) -> Calibration:
        """Reliability, calibration error and Brier score over all splits; see :func:`calibration`."""
        if not self.probabilities:
            raise Hw3Error(f"{self.attempt.name!r} keeps no probabilities; make it with Result.from_probabilities")
        return evaluate.calibration(np.concatenate(self.y), np.concatenate(self.probabilities), bins)


def leaderboard(results: list[Result], baseline: str | None = None) -> pd.DataFrame:
    """Rank results by mean accuracy.

    Returns:
        One row an attempt, best first: ``attempt``, ``arch``, ``strategy``, ``image_size``, ``accuracy``, ``ci_low``,
        ``ci_high`` (95 %), ``balanced_accuracy``, ``gain``, ``gain_low``, ``gain_high`` (of accuracy, paired with the
        baseline, by default the first result; missing for itself), ``gain_p`` (for as many comparisons as there are
        rows, :func:`holm`), ``verdict`` by it or by the test of equivalence, ``needed`` (images with which
        a gain of 5 points would be significant in four of five such comparisons), ``n_splits``, ``seconds`` (of all
        splits).
    """
    base = next((r for r in results if r.attempt.name == baseline), results[0])
    gains = holm(r.gain(base) if r is not base else Interval(kind="difference") for r in results)
    rows = []
    for r, gain in zip(results, gains, strict=True):
        rows.append(
            {
                "attempt": r.attempt.name,
                "arch": r.attempt.arch,
                "strategy": r.attempt.strategy,
                "image_size": r.attempt.image_size,
                **r.interval().columns("accuracy", "ci"),
                "balanced_accuracy": r.balanced_accuracies.mean(),
                **gain.columns("gain"),
                "verdict": gain.verdict(equal=EQUIVALENT),
                "needed": r.design.images_needed(gain, len(results) - 1),
                "n_splits": len(r.accuracies),
                "seconds": sum(r.seconds),
            }
        )
    return pd.DataFrame(rows).sort_values("accuracy", ascending=False, ignore_index=True)
