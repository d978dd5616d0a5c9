"""The defect-guided classifier as a thing that is kept: of which type a defect is, or that it is of none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from hw3lib import __version__
from hw3lib.core.saved import Saved
from hw3lib.core.text import counted, listed
from hw3lib.data.groups import GROUP, products
from hw3lib.data.labels import as_labels
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import COLUMN, PLAIN, Reading
from hw3lib.data.splits import stratified_folds
from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import pick_device

from .classifier import FEWEST_GOOD, WHOLE, DefectGuided
from .conformal import p_values
from .kernel import KernelClassifier, PartsKernel, below, prefixed
from .memory import symmetry_test
from .reader import GuidedReader
from .recognition import Recognition, alike, known

SAVED = Saved("classifier of defect types", "types.json", "types.safetensors", 1, "learn it again")
_JUDGED = 0.25  # of the labelled products of each type, in a learning curve
_VIEWS = 600  # images, moved ones among them, that are learned from where there are symmetries enough


@dataclass
class DefectTypes(Recognition):
    """Learned from good images and labelled defects, of one type or more, of two images or more each.

    Where there are fewer than six good images, whole images are compared and nothing says where to look.

    Attributes:
        method: settings.
        symmetries: by which labelled images were moved to be learned from, the first is 0.
        device: where the network runs.
    """

    method: DefectGuided
    symmetries: list[int]
    device: torch.device
    _reader: GuidedReader

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

    def extended(
        self,
        files: list[str],
        names: list[str],
        *,
        seed: int = 0,
        progress: bool = False,
        echo: Callable[[str], None] = lambda _: None,
    ) -> DefectTypes:
        """Another one, that knows more labelled defects, each of another product than those before.

        What the good images taught stays, and so does what is known of the labelled ones: the time that it takes to
        look is in proportion to what is new.

        Args:
            files: photographs.
            names: type of each, known or new; of a new one two or more.
            seed, progress, echo: as in :meth:`learned`.

        Raises:
            Hw3Error: it was saved by a version that did not keep the symmetries; a photograph that cannot be read.
        """
        n = len(self.labels)
        if len(self.symmetries) * n != len(self._kernel.own):
            raise Hw3Error("types that an earlier version learned cannot be added to; fit the inspector again")
        kept = self.symmetries[: max(1, _VIEWS // (n + len(files)))]
        made = replace(self, symmetries=kept)
        before = [part.reshape(-1, n, part.shape[-1])[: len(kept)] for part in self._kernel.parts()]
        after = made._views(files, progress, kept)
        known = pd.DataFrame({"defect": [self.classes[label] for label in self.labels], GROUP: self.groups})
        new = pd.DataFrame({"defect": names, GROUP: self.groups.max() + 1 + np.arange(len(files))})
        both = pd.concat([known, new], ignore_index=True)
        made._learn([np.concatenate(pair, 1) for pair in zip(before, after, strict=True)], both, seed, echo)
        return made

    def _views(self, files: list[str], progress: bool, symmetries: list[int] | None = None) -> list[np.ndarray]:
        """Features of all images, float32 ``(views, n, features)`` a part: moved by some symmetries of the product.

        To learn from moved images costs once what to average over them would cost with each image to recognise.
        """
        chosen, made = [0] if symmetries is None else symmetries, []
        for view, symmetry in enumerate(chosen):  # grows once the first is known
            told = tqdm(files, f"types of defects, view {view + 1}", unit="image", disable=not progress)
            seen = [self._see(read_image(path, reading=self.reading), symmetry) for path in told]
            made.append([np.concatenate([found[part] for found in seen]) for part in self.method.parts])
            if symmetries is None and view == 0 and self._reader.good_scores.size:
                peaks = np.array([found["maps"].max() for found in seen])
                accepted = np.flatnonzero(symmetry_test(self._reader.good_scores, peaks)["accepted"])
                count = int(np.clip(_VIEWS // len(files), 1, len(accepted)))
                chosen += accepted[np.linspace(0, len(accepted) - 1, count).astype(int)][1:].tolist()
        self.symmetries = [int(symmetry) for symmetry in chosen]
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
                self.predicted[test] = self._predicted(views, train, test, seed)
            self._model = KernelClassifier(len(self.classes), random_state=seed)
            self._model.fit(parts, np.tile(y, count), np.tile(self.groups, count))
        rows = self._compared()
        likeness = alike(self._kernel.own, len(y))[np.ix_(rows, rows)]
        self.sets = np.ones((len(y), len(self.classes)), bool)
        for at, row in enumerate(rows):
            rest = np.arange(len(rows)) != at
            others = rows[rest]
            if len(np.unique(y[others])) == len(self.classes):
                found = p_values(likeness[np.ix_(rest, rest)], y[others], self.groups[others], likeness[at, rest])
                self.sets[row] = self._held(found)

    def _predicted(self, views: list[np.ndarray], train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        """Types of some labelled images as others teach them, int64."""
        y, count = self.labels, len(views[0])
        known, new = _flat([v[:, train] for v in views]), [v[0, test] for v in views]
        if np.unique(y[train], return_counts=True)[1].min() < 2:  # a single one of a type: no probability of it
            near = PartsKernel(known)(new).reshape(len(test), count, len(train)).max(1)
            return y[train][near.argmax(1)]
        model = KernelClassifier(len(self.classes), random_state=seed)
        model.fit(known, np.tile(y[train], count), np.tile(self.groups[train], count))
        return model.predict_proba(new).argmax(1)

    def learning_curve(
        self, draws: int, seed: int = 0, progress: bool = False
    ) -> tuple[list[int], np.ndarray, tuple[int, int]]:
        """How well types are recognised that 1, 2, 4, 8, ... labelled products of each taught.

        In each draw a quarter of the products of each type judges, and of the others so many teach.

        Args:
            draws: of both.
            seed: of the draws.
            progress: show a bar.

        Returns:
            The numbers of products of each type; the balanced accuracy, float ``(draws, numbers)``; the numbers of
            products that taught last and that judged. There must be two types or more, of two products or more.
        """
        least, parts = min(self.counts), self._kernel.parts()
        apart = max(1, round(_JUDGED * least))
        sizes = [2**i for i in range(16) if 2**i <= least - apart]
        views = [part.reshape(-1, len(self.labels), part.shape[-1]) for part in parts]
        found = np.zeros((draws, len(sizes)))
        with tqdm(total=found.size, desc="types of defects", unit="fit", disable=not progress) as bar:
            for draw in range(draws):
                rng = np.random.default_rng([seed, draw])
                orders = [rng.permutation(np.unique(self.groups[self.labels == c])) for c in range(len(self.classes))]
                judged = np.isin(self.groups, np.concatenate([order[:apart] for order in orders]))
                for at, size in enumerate(sizes):
                    taught = np.isin(self.groups, np.concatenate([order[apart : apart + size] for order in orders]))
                    test = np.flatnonzero(judged)
                    right = self._predicted(views, np.flatnonzero(taught), test, seed) == self.labels[test]
                    found[draw, at] = np.mean([right[self.labels[test] == c].mean() for c in range(len(orders))])
                    bar.update()
        return sizes, found, (len(self.classes) * sizes[-1], len(self.classes) * apart)

    def describe(self, image: np.ndarray) -> list[np.ndarray]:
        """Features of an image, uint8 ``(H, W, 3)``, float32 ``(1, features)`` a part."""
        found = self._see(image)
        return [found[part] for part in self.method.parts]

    def _see(self, image: np.ndarray, symmetry: int = 0) -> dict[str, np.ndarray]:
        small, large = (self._square(image, side) for side in (self._reader.side, self._reader.full))
        return self._reader.see(small, large, symmetry)

    def _square(self, image: np.ndarray, side: int) -> torch.Tensor:
        return torch.from_numpy(self.squares(image, side)).to(self.device)

    def save(self, folder: str | Path) -> None:
        """Write it into one folder, whole or not at all: ``types.json`` and ``types.safetensors``."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in self.arrays().items()}
        settings = {
            "method": asdict(self.method),
            "classes": self.classes,
            "reading": asdict(self.reading),
            "symmetries": self.symmetries,
            "backbone_sha256": self._reader.backbone.digest(),
            "hw3lib": __version__,
        }
        SAVED.write(folder, settings, tensors | prefixed("reader.", self._reader.state()))

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
            reader = GuidedReader.restored(method, below("reader.", tensors), where)
            if settings["backbone_sha256"] != reader.backbone.digest():
                raise Hw3Error(f"learned with other weights of {method.arch}; learn it again")
            arrays = {name: tensor.numpy() for name, tensor in tensors.items() if not name.startswith("reader.")}
            fields = known(settings["classes"], settings["reading"], arrays)
            symmetries = list(map(int, settings.get("symmetries", [0])))  # earlier versions kept none
            return cls(**fields, method=method, symmetries=symmetries, device=where, _reader=reader)


def _flat(views: list[np.ndarray]) -> list[np.ndarray]:
    """``(views, n, features)`` each as ``(views * n, features)``."""
    return [v.reshape(-1, v.shape[-1]) for v in views]
