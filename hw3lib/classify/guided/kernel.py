"""A classifier for tens of images described in parts: one kernel a part, their mean, calibrated vector machines."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
from sklearn.svm import SVC

from hw3lib.core.seeds import spawned
from hw3lib.data.splits import stratified_folds
from hw3lib.errors import Hw3Error

PENALTIES = (1.0, 3.0, 10.0)  # scikit-learn's default of C and two weaker regularisations


class KernelClassifier:
    """Support vector machines on the mean of one RBF kernel a part; label 0 stands for good.

    Features of a part are standardised over the training images, and its kernel is as wide as the median squared
    distance between two of them, so every part has a say however many features it has. Two calibrated decisions are
    averaged: one between all classes, and one that first says good or defective and then of which type. ``C`` of each
    machine is chosen by repeated cross-validation within the training images; probabilities are Platt's (1999).

    Args:
        num_classes: labels are 0 to ``num_classes - 1``; one that no training image has gets the probability 0.
        random_state: draws the inner splits.
    """

    def __init__(self, num_classes: int, random_state: int = 0):
        self.num_classes, self.random_state = num_classes, random_state

    def fit(self, parts: list[np.ndarray], y: np.ndarray, groups: np.ndarray | None = None) -> KernelClassifier:
        """Learn from parts, float ``(n, features)`` each, and labels, int ``(n,)``.

        ``groups`` numbers the products that the images show, ``(n,)``; None: another one each. Inner splits keep a
        product together, see :func:`.stratified_folds`.

        Raises:
            Hw3Error: fewer than two classes, or a class of one image, which leaves none to choose and calibrate by.
        """
        self._classes, counts = np.unique(y, return_counts=True)
        if len(counts) < 2 or counts.min() < 2:
            found = ", ".join(f"{n} of class {c}" for c, n in zip(self._classes, counts, strict=True)) or "none"
            raise Hw3Error(
                f"y: found {found} among the training images, expected two classes or more of two images or more each; "
                "train on a larger part or add images"
            )
        self._scales = [(p.mean(0), p.std(0) + 1e-6) for p in parts]
        self._train = [(p - m) / s for p, (m, s) in zip(parts, self._scales, strict=True)]
        squares = [_squared_distances(p, p) for p in self._train]
        apart = ~np.eye(len(y), dtype=bool)
        self._widths = [max(float(np.median(d[apart])), 1e-9) for d in squares]
        kernel = np.mean([np.exp(-d / w) for d, w in zip(squares, self._widths, strict=True)], 0)
        # The kernel as explicit features: a linear machine on these is the kernel machine, and calibration can split.
        values, vectors = np.linalg.eigh(kernel)
        kept = values > 1e-6 * values[-1]
        self._project = vectors[:, kept] / np.sqrt(values[kept])
        x = kernel @ self._project
        self._joint = self._machine(x, y, groups)
        self._good = self._types = None
        if self._classes[0] == 0 and len(counts) > 2:
            self._good = self._machine(x, y == 0, groups)
            self._types = self._machine(x[y > 0], y[y > 0], None if groups is None else groups[y > 0])
        return self

    def predict_proba(self, parts: list[np.ndarray]) -> np.ndarray:
        """Class probabilities, float64 ``(n, num_classes)``."""
        squares = [
            _squared_distances((p - m) / s, t) for p, (m, s), t in zip(parts, self._scales, self._train, strict=True)
        ]
        kernel = np.mean([np.exp(-d / w) for d, w in zip(squares, self._widths, strict=True)], 0)
        x = kernel @ self._project
        found = self._joint.predict_proba(x)
        if self._good is not None and self._types is not None:
            good = self._good.predict_proba(x)[:, 1:]
            first = np.concatenate([good, (1 - good) * self._types.predict_proba(x)], 1)
            found = (found + first) / 2
        probabilities = np.zeros((len(x), self.num_classes))
        probabilities[:, self._classes] = found
        return probabilities

    def _machine(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> CalibratedClassifierCV:
        apart = stratified_folds(y, groups, random_state=self.random_state)
        inner: Any = RepeatedStratifiedKFold(n_splits=len(apart), n_repeats=2, random_state=self.random_state)
        if groups is not None:
            inner = [*apart, *stratified_folds(y, groups, random_state=spawned(self.random_state, 1))]
        search = GridSearchCV(SVC(kernel="linear"), {"C": PENALTIES}, cv=inner).fit(x, y)
        with warnings.catch_warnings():
            # Very small folds hold fewer images than scikit-learn likes; their calibration is only smoother for it.
            warnings.simplefilter("ignore", UserWarning)
            return CalibratedClassifierCV(search.best_estimator_, method="sigmoid", ensemble=False, cv=apart).fit(x, y)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return squares.clip(0)
