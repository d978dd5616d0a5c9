"""The defect-guided classifier as a thing that is kept: of which type a defect is, or that it is of none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm.auto import tqdm

from hw3lib import __version__
from hw3lib.core.intervals import Interval, wilson_interval
from hw3lib.core.saved import Saved
from hw3lib.core.text import counted, listed, percent
from hw3lib.data.groups import GROUP, products
from hw3lib.data.labels import as_labels
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import COLUMN, PLAIN, Reading
from hw3lib.data.splits import stratified_folds
from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import pick_device

from .classifier import FEWEST_GOOD, WHOLE, DefectGuided
from .conformal import ERROR, level, p_values
from .kernel import KernelClassifier, PartsKernel
from .memory import symmetry_test
from .reader import GuidedReader

SAVED = Saved("classifier of defect types", "types.json", "types.safetensors", 1, "learn it again")
_MOST = 400  # labelled images that a new one is compared with for its p-values
_VIEWS = 600  # images, moved ones among them, that are learned from where there are symmetries enough
NEW = "none of the known types"

T = TypeVar("T")


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
class DefectTypes:
    """Learned from good images and labelled defects, of one type or more, of two images or more each.

    Where there are fewer than six good images, whole images are compared and nothing says where to look.

    Attributes:
        method: settings.
        classes: the types, sorted.
        labels, groups: type and product of each labelled image, int64 ``(n,)``.
        predicted: its type in cross-validation, int64 ``(n,)``; of a single type: that type.
        sets: the types that its conformal set holds when the others are known, bool ``(n, classes)``.
        reading: how photographs are read.
        device: where the network runs.
    """

    method: DefectGuided
    classes: list[str]
    labels: np.ndarray
    groups: np.ndarray
    predicted: np.ndarray
    sets: np.ndarray
    reading: Reading
    device: torch.device
    _reader: GuidedReader
    _kernel: PartsKernel
    _model: KernelClassifier | None

    @classmethod
    def learned(
        cls,
        defects: pd.DataFrame,
        good: pd.DataFrame,
        *,
        method: DefectGuided | None = None,
        reading: Reading = PLAIN,
        seed: int = 0,
        device: str = "auto",
        progress: bool = False,
        echo: Callable[[str], None] = lambda _: None,
    ) -> DefectTypes:
        """Learn from a table's labelled defects and good images, see :func:`hw3lib.data.load_table`.

        Args:
            defects: needs ``image`` and ``defect``; types with a single image, or product, are left out, which is said.
            good: none of them among the defects.
            method: settings; by default those of chapter 02.
            reading: how photographs are read, as those to be recognised will be.
            seed: of everything that is drawn.
            device: see :func:`hw3lib.networks.devices.pick_device`.
            progress: show a bar.
            echo: receives messages.

        Raises:
            Hw3Error: no type with two images, or one that cannot be read.
        """
        named = defects["image"] if GROUP not in defects else defects[GROUP]
        counts = named.groupby(defects["defect"]).nunique()
        if left := [f"{name} ({count})" for name, count in counts.items() if count < 2]:
            echo(f"types of defects that are left out, for two labelled products are the least: {listed(left)}")
        defects = defects[defects["defect"].isin(counts.index[counts > 1])].reset_index(drop=True)
        if not len(defects):
            found = listed(left) if left else "no defect"
            raise Hw3Error(f"found {found}; expected a type of defect with two photographs or more")
        method = method or DefectGuided()
        reading = replace(reading, fit="pad") if reading.fit == "tile" else reading.settled(tiles=False)
        if len(good) < FEWEST_GOOD:
            echo(f"{counted(len(good), 'good image')}: too few to say where to look; types are told by the whole image")
            method, good = replace(method, parts=WHOLE), good.iloc[:0]
        where, largest = pick_device(device), int(defects[["width", "height"]].to_numpy().max())
        echo(f"types of defects are learned from {counted(len(defects), 'labelled defect')}, beside good images")
        alike = good.assign(**{COLUMN: [reading] * len(good)})
        reader = GuidedReader(method, alike, largest, seed, where, progress)
        made = cls.__new__(cls)
        made.method, made.reading, made.device, made._reader = method, reading, where, reader
        made._learn(made._views(defects["image"].tolist(), progress), defects, seed, echo)
        return made

    def _views(self, files: list[str], progress: bool) -> list[np.ndarray]:
        """Features of all images, float32 ``(views, n, features)`` a part: moved by some symmetries of the product.

        To learn from moved images costs once what to average over them would cost with each image to recognise.
        """
        chosen, made = [0], []
        for view, symmetry in enumerate(chosen):  # grows once the first is known
            told = tqdm(files, f"types of defects, view {view + 1}", unit="image", disable=not progress)
            seen = [self._see(read_image(path, reading=self.reading), symmetry) for path in told]
            made.append([np.concatenate([found[part] for found in seen]) for part in self.method.parts])
            if view == 0 and self._reader.good_scores.size:
                peaks = np.array([found["maps"].max() for found in seen])
                accepted = np.flatnonzero(symmetry_test(self._reader.good_scores, peaks)["accepted"])
                count = int(np.clip(_VIEWS // len(files), 1, len(accepted)))
                chosen += accepted[np.linspace(0, len(accepted) - 1, count).astype(int)][1:].tolist()
        return [np.stack(part) for part in zip(*made, strict=True)]

    def _learn(self, views: list[np.ndarray], defects: pd.DataFrame, seed: int, echo: Callable[[str], None]) -> None:
        own = products(defects)
        self.classes = sorted(defects["defect"].unique())
        self.labels = y = as_labels(defects["defect"], self.classes)
        self.groups = np.arange(len(y)) if own is None else own
        parts, count = _flat(views), len(views[0])
        self._kernel, self._model, self.predicted = PartsKernel(parts), None, np.zeros(len(y), np.int64)
        if len(self.classes) > 1:
            echo(f"recognising {counted(len(y), 'labelled defect')} of {len(self.classes)} types in cross-validation")
            for train, test in stratified_folds(y, own, random_state=seed):
                known, new = _flat([v[:, train] for v in views]), [v[0, test] for v in views]
                if np.unique(y[train], return_counts=True)[1].min() < 2:  # two labelled ones: no probability of either
                    near = PartsKernel(known)(new).reshape(len(test), count, len(train)).max(1)
                    self.predicted[test] = y[train][near.argmax(1)]
                    continue
                model = KernelClassifier(len(self.classes), random_state=seed)
                model.fit(known, np.tile(y[train], count), np.tile(self.groups[train], count))
                self.predicted[test] = model.predict_proba(new).argmax(1)
            self._model = KernelClassifier(len(self.classes), random_state=seed)
            self._model.fit(parts, np.tile(y, count), np.tile(self.groups, count))
        rows = self._compared()
        alike = _alike(self._kernel.own, len(y))[np.ix_(rows, rows)]
        self.sets = np.ones((len(y), len(self.classes)), bool)
        for at, row in enumerate(rows):
            rest = np.arange(len(rows)) != at
            others = rows[rest]
            if len(np.unique(y[others])) == len(self.classes):
                found = p_values(alike[np.ix_(rest, rest)], y[others], self.groups[others], alike[at, rest])
                self.sets[row] = self._held(found)

    def _compared(self) -> np.ndarray:
        """Positions of the labelled images that a new one is compared with: all, or as many of each type as may be."""
        if len(self.labels) <= _MOST:
            return np.arange(len(self.labels))
        turn = pd.Series(self.labels).groupby(self.labels).cumcount().to_numpy()
        return np.sort(np.argsort(turn, kind="stable")[:_MOST])

    def describe(self, image: np.ndarray) -> list[np.ndarray]:
        """Features of an image, uint8 ``(H, W, 3)``, float32 ``(1, features)`` a part."""
        found = self._see(image)
        return [found[part] for part in self.method.parts]

    def _see(self, image: np.ndarray, symmetry: int = 0) -> dict[str, np.ndarray]:
        small, large = (self._square(image, side) for side in (self._reader.side, self._reader.full))
        return self._reader.see(small, large, symmetry)

    def _square(self, image: np.ndarray, side: int) -> torch.Tensor:
        squares = Geometry(image.shape[1], image.shape[0], side, self.reading.fit).squares(Image.fromarray(image))
        return torch.from_numpy(np.array(squares)).movedim(-1, 1).to(self.device)

    def type_of(self, image: np.ndarray) -> TypeOf:
        """Of which type the defect is that an image shows, uint8 ``(H, W, 3)``, read as :attr:`reading` says."""
        parts = self.describe(image)
        chances = np.ones(1) if self._model is None else self._model.predict_proba(parts)[0]
        rows = self._compared()
        # Described beside each other, the new one among them: so that none of them is more at home than another.
        n = len(self.labels)
        at = (np.arange(0, len(self._kernel.own), n)[:, None] + rows).ravel()  # their views
        together = PartsKernel(
            [np.concatenate([p[at], f]) for p, f in zip(self._kernel.parts(), parts, strict=True)]
        ).own
        new = together[-1, :-1].reshape(-1, len(rows)).max(0)
        own = _alike(together[:-1, :-1], len(rows))
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
        of = {name: self.labels == label for label, name in enumerate(self.classes)}
        right = self.predicted == self.labels
        return {name: wilson_interval(int(right[rows].sum()), int(rows.sum())) for name, rows in of.items()}

    def coverage(self) -> Interval:
        """Share of labelled defects whose set, made of the others, holds their type; Wilson's 95 % interval."""
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

    def save(self, folder: str | Path) -> None:
        """Write it into one folder, whole or not at all: ``types.json`` and ``types.safetensors``."""
        model = {} if self._model is None else _prefixed("model.", self._model.state())
        arrays = {"labels": self.labels, "groups": self.groups, "predicted": self.predicted, "sets": self.sets}
        arrays |= _prefixed("kernel.", self._kernel.state()) | model
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        settings = {
            "method": asdict(self.method),
            "classes": self.classes,
            "reading": asdict(self.reading),
            "backbone_sha256": self._reader.backbone.digest(),
            "hw3lib": __version__,
        }
        SAVED.write(folder, settings, tensors | _prefixed("reader.", self._reader.state()))

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> DefectTypes:
        """Read what :meth:`save` wrote; nothing in it is executed.

        Raises:
            Hw3Error: no such folder, a damaged or missing file, or other weights of the backbone.
        """
        settings, tensors = SAVED.read(folder)
        with SAVED.fitting(folder):
            method = DefectGuided(**settings["method"] | {"parts": tuple(settings["method"]["parts"])})
            where = pick_device(device)
            reader = GuidedReader.restored(method, _below("reader.", tensors), where)
            if settings["backbone_sha256"] != reader.backbone.digest():
                raise Hw3Error(f"learned with other weights of {method.arch}; learn it again")
            arrays = {name: tensor.numpy() for name, tensor in tensors.items() if not name.startswith("reader.")}
            model = _below("model.", arrays)
            return cls(
                method,
                list(map(str, settings["classes"])),
                arrays["labels"],
                arrays["groups"],
                arrays["predicted"],
                arrays["sets"],
                Reading(**settings["reading"]),
                where,
                reader,
                PartsKernel.restored(_below("kernel.", arrays)),
                KernelClassifier.restored(model) if model else None,
            )


def _flat(views: list[np.ndarray]) -> list[np.ndarray]:
    """``(views, n, features)`` each as ``(views * n, features)``."""
    return [v.reshape(-1, v.shape[-1]) for v in views]


def _alike(kernel: np.ndarray, n: int) -> np.ndarray:
    """How alike ``n`` images as they are and moved ones are, at most, ``(n, n)``, of a kernel between all views."""
    return kernel[:n].reshape(n, -1, n).max(1)


def _prefixed(prefix: str, found: Mapping[str, T]) -> dict[str, T]:
    return {f"{prefix}{name}": value for name, value in found.items()}


def _below(prefix: str, found: Mapping[str, T]) -> dict[str, T]:
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
