"""What is known of types of defects, and of which a new one is; without PyTorch and scikit-learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from hw3lib.core.text import listed, percent
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.reading import Reading

from .conformal import ERROR, level, p_values
from .kernel import KernelClassifier, PartsKernel, below, prefixed

if TYPE_CHECKING:
    from hw3lib.core.intervals import Interval

_MOST = 400  # labelled images that a new one is compared with for its p-values
NEW = "none of the known types"


class TypeOf(NamedTuple):
    """What is said of one defect.

    Attributes:
        probabilities: of each type, if it is one of them; they sum to one.
        p_values: conformal, of each type.
        names: the types that it may be of, the most probable first; empty: a new one.
    """

    probabilities: dict[str, float]
    p_values: dict[str, float]
    names: list[str]

    def say(self) -> str:
        """``scratch (71 %) or crack (29 %)``."""
        if not self.names:
            return NEW
        shown = [f"{name.replace('_', ' ')} ({self.probabilities[name]:.0%})" for name in self.names]
        return " or ".join(shown)


@dataclass
class Recognition(ABC):
    """Types of defects as they were learned, whoever describes an image.

    Attributes:
        classes: the types, sorted.
        labels, groups: type and product of each labelled image, int64 ``(n,)``.
        predicted: its type in cross-validation, int64 ``(n,)``; of a single type: that type.
        sets: the types that its conformal set holds when the others are known, bool ``(n, classes)``.
        reading: how photographs are read.
    """

    classes: list[str]
    labels: np.ndarray
    groups: np.ndarray
    predicted: np.ndarray
    sets: np.ndarray
    reading: Reading
    _kernel: PartsKernel
    _model: KernelClassifier | None

    @abstractmethod
    def describe(self, image: np.ndarray) -> list[np.ndarray]:
        """Features of an image, uint8 ``(H, W, 3)``, float32 ``(1, features)`` a part."""

    def squares(self, image: np.ndarray, side: int) -> np.ndarray:
        """An image as squares, uint8 ``(1, 3, side, side)``."""
        found = Geometry(image.shape[1], image.shape[0], side, self.reading.fit).squares(Image.fromarray(image))
        return np.moveaxis(np.array(found), -1, 1)

    def _compared(self) -> np.ndarray:
        """Positions of the labelled images that a new one is compared with: all, or as many of each type as may be."""
        if len(self.labels) <= _MOST:
            return np.arange(len(self.labels))
        turn = np.tril(self.labels[:, None] == self.labels, -1).sum(1)  # how many of its type come before
        return np.sort(np.argsort(turn, kind="stable")[:_MOST])

    def type_of(self, image: np.ndarray) -> TypeOf:
        """Of which type the defect is that an image shows, uint8 ``(H, W, 3)``, read as :attr:`reading` says."""
        parts = self.describe(image)
        chances = np.ones(1) if self._model is None else self._model.predict_proba(parts)[0]
        rows = self._compared()
        # Described beside each other, the new one among them: so that none of them is more at home than another.
        n, last = len(self.labels), len(rows)
        at = (np.arange(0, len(self._kernel.own), n)[:, None] + rows).ravel()  # their views
        all_parts = [np.concatenate([p[at], f]) for p, f in zip(self._kernel.parts(), parts, strict=True)]
        together = PartsKernel(all_parts, np.append(np.arange(last), len(at))).own  # of none that was moved
        new = together[-1, :-1].reshape(-1, last).max(0)
        own = alike(together[:-1, :-1], last)
        found = p_values(own, self.labels[rows], self.groups[rows], new)
        held = [int(i) for i in np.argsort(-chances, kind="stable") if self._held(found)[i]]
        named = dict(zip(self.classes, chances.tolist(), strict=True))
        return TypeOf(named, dict(zip(self.classes, found.tolist(), strict=True)), [self.classes[i] for i in held])

    @property
    def counts(self) -> list[int]:
        """Labelled products of each type."""
        return [len(np.unique(self.groups[self.labels == label])) for label in range(len(self.classes))]

    def _held(self, found: np.ndarray) -> np.ndarray:
        """Which types a set holds, bool ``(classes,)``, by their p-values."""
        held = found > np.array([level(count) for count in self.counts])
        # Of a type with too few labelled ones to be excluded nothing says that a defect is new.
        return held if held.any() else found > ERROR

    @property
    def right(self) -> tuple[int, int]:
        """Labelled defects recognised in cross-validation, and their number."""
        return int((self.predicted == self.labels).sum()), len(self.labels)

    def recall(self) -> dict[str, Interval]:
        """Share of each type that is recognised in cross-validation, with Wilson's 95 % interval."""
        from hw3lib.core.intervals import wilson_interval  # brings scipy.stats, which scoring does without

        of = {name: self.labels == label for label, name in enumerate(self.classes)}
        right = self.predicted == self.labels
        return {name: wilson_interval(int(right[rows].sum()), int(rows.sum())) for name, rows in of.items()}

    def coverage(self) -> Interval:
        """Share of labelled defects whose set, made of the others, holds their type; Wilson's 95 % interval."""
        from hw3lib.core.intervals import wilson_interval  # as above

        held = self.sets[np.arange(len(self.labels)), self.labels]
        return wilson_interval(int(held.sum()), len(held))

    def promise(self) -> str:
        """What may be expected of the sets, a sentence."""
        least: dict[str, list[str]] = {}
        for name, count in zip(self.classes, self.counts, strict=True):
            least.setdefault(percent(1 - level(count)), []).append(f"{name.replace('_', ' ')} ({count})")
        shares = [f"{share} of the defects of type {listed(names)}" for share, names in least.items()]
        return (
            f"The set of possible types holds the right one for at least {'; for '.join(shares)}, on average over "
            "defects that look as the labelled ones do (their number in brackets). With "
            f"{round(1 / ERROR) - 1} labelled ones of each type or more a defect unlike all of them is said to be new."
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learned of the labelled images; :func:`known` reads it."""
        model = {} if self._model is None else prefixed("model.", self._model.state())
        found = {"labels": self.labels, "groups": self.groups, "predicted": self.predicted, "sets": self.sets}
        return found | prefixed("kernel.", self._kernel.state()) | model


def known(classes: list[str], reading: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of a :class:`Recognition`, of :meth:`.Recognition.arrays`."""
    model = below("model.", arrays)
    return {
        "classes": list(map(str, classes)),
        **{name: arrays[name] for name in ("labels", "groups", "predicted", "sets")},
        "reading": Reading(**reading),
        "_kernel": PartsKernel.restored(below("kernel.", arrays)),
        "_model": KernelClassifier.restored(model) if model else None,
    }


def alike(kernel: np.ndarray, n: int) -> np.ndarray:
    """How alike ``n`` images as they are and moved ones are, at most, ``(n, n)``, of a kernel between all views."""
    return kernel[:n].reshape(n, -1, n).max(1)
