"""A classifier for tens of images described in parts: one kernel a part, their mean, calibrated vector machines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from hw3lib.core.seeds import spawned
from hw3lib.errors import Hw3Error

_LEAST = 1e-4  # eigenvalue: between photographs that are the same the optimiser may step to and fro for ever
PENALTIES = (1.0, 3.0, 10.0)  # scikit-learn's default of C and two weaker regularisations

T = TypeVar("T")


class PartsKernel:
    """Mean of one RBF kernel a part, 0 to 1, between any images and those that it was made of.

    Features of a part are standardised over these images, and its kernel is as wide as the median squared distance
    between two of them, so every part has a say however many features it has.

    Args:
        parts: features, float ``(n, features)`` each.
        rows: positions of ``m`` images, whose distances to all decide and of which alone :attr:`own` is; else all.
    """

    def __init__(self, parts: list[np.ndarray], rows: np.ndarray | slice = slice(None)):
        self.scales = [(p.mean(0), p.std(0) + 1e-6) for p in parts]
        self.train = [(p - m) / s for p, (m, s) in zip(parts, self.scales, strict=True)]
        every = np.arange(len(parts[0]))
        squares = [_squared_distances(p[rows], p) for p in self.train]
        pairs = every[rows, None] != every
        self.widths = [max(float(np.median(d[pairs])), 1e-9) for d in squares]
        self.own = self._mean(squares)  # between two of them, (m, n)

    def __call__(self, parts: list[np.ndarray]) -> np.ndarray:
        """Of ``m`` images described alike, ``(m, n)``."""
        return self._mean(
            [_squared_distances((p - m) / s, t) for p, (m, s), t in zip(parts, self.scales, self.train, strict=True)]
        )

    def explicit(self) -> tuple[np.ndarray, np.ndarray]:
        """Features on which a linear machine is the kernel machine, so that calibration can split them.

        Returns:
            What takes any images' kernel to their features, and those of the images it was made of, ``(n, n)`` each.
        """
        values, vectors = np.linalg.eigh(self.own)
        roots = np.sqrt(values.clip(_LEAST))
        return vectors / roots, vectors * roots

    def parts(self) -> list[np.ndarray]:
        """The features that it was made of."""
        return [p * s + m for p, (m, s) in zip(self.train, self.scales, strict=True)]

    def _mean(self, squares: list[np.ndarray]) -> np.ndarray:
        return np.mean([np.exp(-d / w) for d, w in zip(squares, self.widths, strict=True)], 0)

    def state(self) -> dict[str, np.ndarray]:
        """All of it as arrays; :meth:`restored` reads it."""
        found = {"widths": np.array(self.widths), "own": self.own}
        for part, ((mean, std), train) in enumerate(zip(self.scales, self.train, strict=True)):
            found |= {f"{part}.mean": mean, f"{part}.std": std, f"{part}.train": train}
        return found

    @classmethod
    def restored(cls, state: Mapping[str, np.ndarray]) -> PartsKernel:
        """The inverse of :meth:`state`."""
        made = cls.__new__(cls)
        made.widths, made.own = state["widths"].tolist(), state["own"]
        parts = range(len(made.widths))
        made.scales = [(state[f"{part}.mean"], state[f"{part}.std"]) for part in parts]
        made.train = [state[f"{part}.train"] for part in parts]
        return made


class _Machine(NamedTuple):
    """A vector machine on the kernel to its training images, with Platt's sigmoids, as arrays.

    Attributes:
        weights, intercepts: of a pair of classes each, ``(n, pairs)`` and ``(pairs,)``.
        sigmoids: slope and offset of each class, or of the second of two, ``(classes or 1, 2)``.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    sigmoids: np.ndarray

    def probabilities(self, kernel: np.ndarray) -> np.ndarray:
        """Of each class, ``(m, classes)``."""
        decisions = kernel @ self.weights + self.intercepts
        if len(self.sigmoids) > 1:  # as SVC does: votes of the pairs, and confidences between them
            decisions = _votes(decisions, len(self.sigmoids))
        logits = decisions * self.sigmoids[:, 0] + self.sigmoids[:, 1]
        found = 1 / (1 + np.exp(np.clip(logits, -700, 700)))
        if len(self.sigmoids) == 1:
            return np.concatenate([1 - found, found], 1)
        total = found.sum(1, keepdims=True)
        return np.divide(found, total, out=np.full_like(found, 1 / len(self.sigmoids)), where=total > 0)


class KernelClassifier:
    """Support vector machines on the mean of one RBF kernel a part; label 0 stands for good.

    Two calibrated decisions are averaged: one between all classes, and one that first says good or defective and then
    of which type. ``C`` of each machine is chosen by repeated cross-validation within the training images;
    probabilities are Platt's (1999).

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
        self.kernel = PartsKernel(parts)
        project, x = self.kernel.explicit()

        def machine(rows: np.ndarray, labels: np.ndarray) -> _Machine:
            own = None if groups is None else groups[rows]
            weights, intercepts, sigmoids = self._machine(x[rows], labels, own)
            return _Machine(project @ weights, intercepts, sigmoids)

        every = np.arange(len(y))
        self._machines = [machine(every, y)]
        if self._classes[0] == 0 and len(counts) > 2:
            self._machines += [machine(every, y == 0), machine(np.flatnonzero(y), y[y > 0])]
        return self

    def predict_proba(self, parts: list[np.ndarray]) -> np.ndarray:
        """Class probabilities, float64 ``(n, num_classes)``."""
        kernel = self.kernel(parts)
        found, *others = (machine.probabilities(kernel) for machine in self._machines)
        if others:
            good, types = others[0][:, 1:], others[1]
            found = (found + np.concatenate([good, (1 - good) * types], 1)) / 2
        probabilities = np.zeros((len(kernel), self.num_classes))
        probabilities[:, self._classes] = found
        return probabilities

    def state(self) -> dict[str, np.ndarray]:
        """What was learned, as arrays; :meth:`restored` reads it."""
        found = {"classes": self._classes, "num_classes": np.array(self.num_classes)}
        for i, machine in enumerate(self._machines):
            found |= prefixed(f"machine{i}.", machine._asdict())
        return found | prefixed("kernel.", self.kernel.state())

    @classmethod
    def restored(cls, state: Mapping[str, np.ndarray]) -> KernelClassifier:
        """The inverse of :meth:`state`; it predicts the same."""
        made = cls(int(state["num_classes"]))
        made._classes = state["classes"]
        made.kernel = PartsKernel.restored(below("kernel.", state))
        count = sum(name.endswith(".intercepts") for name in state)
        made._machines = [_Machine(**below(f"machine{i}.", state)) for i in range(count)]
        return made

    def _machine(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> _Machine:
        # Who only predicts does without scikit-learn.
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
        from sklearn.svm import SVC

        # As above.
        from hw3lib.data.splits import stratified_folds

        apart = stratified_folds(y, groups, random_state=self.random_state)
        inner: Any = RepeatedStratifiedKFold(n_splits=len(apart), n_repeats=2, random_state=self.random_state)
        if groups is not None:
            inner = [*apart, *stratified_folds(y, groups, random_state=spawned(self.random_state, 1))]
        search = GridSearchCV(SVC(kernel="linear"), {"C": PENALTIES}, cv=inner).fit(x, y)
        with warnings.catch_warnings():
            # Very small folds hold fewer images than scikit-learn likes; their calibration is only smoother for it.
            warnings.simplefilter("ignore", UserWarning)
            made = CalibratedClassifierCV(search.best_estimator_, method="sigmoid", ensemble=False, cv=apart).fit(x, y)
        (calibrated,) = made.calibrated_classifiers_
        sigmoids = np.array([(sigmoid.a_, sigmoid.b_) for sigmoid in calibrated.calibrators])
        return _Machine(calibrated.estimator.coef_.T, calibrated.estimator.intercept_, sigmoids)


def _votes(decisions: np.ndarray, classes: int) -> np.ndarray:
    """How many pairs each class wins, and less than half a vote for how clearly, ``(m, classes)``: as SVC counts.

    Args:
        decisions: of the pairs (0, 1), (0, 2), ..., (1, 2), ..., float ``(m, pairs)``; above 0: the first of a pair.
        classes: their number.
    """
    first, second = np.triu_indices(classes, 1)
    sign = (np.arange(classes) == first[:, None]).astype(float) - (np.arange(classes) == second[:, None])
    wins = np.where(decisions >= 0, 1.0, -1.0) @ sign + classes - 1
    clear = decisions @ sign
    return wins / 2 + clear / (3 * (np.abs(clear) + 1))


def prefixed(prefix: str, found: Mapping[str, T]) -> dict[str, T]:
    """Each name with a prefix."""
    return {f"{prefix}{name}": value for name, value in found.items()}


def below(prefix: str, found: Mapping[str, T]) -> dict[str, T]:
    """What begins with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return squares.clip(0)
