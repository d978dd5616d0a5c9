"""Detectors of boxes: what the plain baseline, YOLOv8 and YOLO-World share, which is all but the network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from hw3lib.annotate.instances import Instance
from hw3lib.core.registry import Registry
from hw3lib.core.saved import Saved
from hw3lib.data.pixels.geometry import Geometry
from hw3lib.data.pixels.reading import reading_of
from hw3lib.data.splits import stratified_split
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error
from hw3lib.networks.schedules import tenth_then_cosine
from hw3lib.networks.steps import Steps
from hw3lib.networks.symmetries import boxes_mirrored_by_bits, mirrored_by_bits

from .metrics import Boxes, mean_average_precision, truth_of
from .training import Best, Clock

_BOXES = "hw3lib.annotate.boxes"
_SAVED: Mapping[str, type[BoxDetector]] = Registry(  # by their own names, as they stand in saved folders
    {
        "FCOS": f"{_BOXES}.fcos:Fcos",
        "YOLOv8n": f"{_BOXES}.yolo:YoloV8",
        "YOLO-World-s": f"{_BOXES}.yolo_world:YoloWorld",
    }
)
SAVED = Saved("detector of boxes", "detector.json", "weights.safetensors", 2, "fit it again, and save it")
Target = tuple[torch.Tensor, torch.Tensor]  # boxes float32 (n, 4) in pixels of the working size, labels int64 (n,)


@dataclass(kw_only=True)
class BoxDetector(ABC):
    """A network that finds defects and says where and of which class they are.

    Images are brought to squares of ``size`` pixels, as their category is read: stretched or padded. Fields are
    settings, attributes that end in ``_`` are fitted.

    Attributes:
        size: side of the square in pixels, a multiple of 32.
        epochs: passes over the training images; 0 leaves the network as it was before any training.
        batch_size: images a step.
        lr: highest learning rate of AdamW; it rises over the first tenth of the steps and falls to zero as a cosine.
        patience: None trains all epochs. A number holds out ``validation`` of the training images, measures mAP50 there
            ten times, stops after so many measurements without a new best one, and keeps the best network.
        validation: share of the training images, of every class, 0 to 1.
        flips: mirror and turn training images at random by the eight symmetries of the square.
        seed: of fresh weights, batches and flips.
        device: ``auto`` takes a CUDA GPU if there is one.
        classes_: names of the classes, sorted; labels are positions in it.
        seconds_: time that the last fit took.
        history_: mean training loss of every epoch.
    """

    size: int = 320
    epochs: int = 30
    batch_size: int = 4
    lr: float = 1e-3
    patience: int | None = None
    validation: float = 0.2
    flips: bool = True
    seed: int = 0
    device: str = "auto"
    classes_: list[str] = field(default_factory=list, init=False, repr=False)
    seconds_: float = field(default=0.0, init=False, repr=False)
    history_: list[float] = field(default_factory=list, init=False, repr=False)

    name: ClassVar[str]
    text: ClassVar[str] = ""  # where the classes' names enter the network: see YoloWorld

    def __post_init__(self) -> None:
        lowest = {"size": 32, "epochs": 0, "batch_size": 1}
        for setting, low in lowest.items():
            if not isinstance(getattr(self, setting), int | np.integer) or getattr(self, setting) < low:
                raise Hw3Error(f"{self.name}: {setting}={getattr(self, setting)!r}, expected a whole number from {low}")
        if self.size % 32:
            raise Hw3Error(f"{self.name}: size={self.size}, expected a multiple of 32, the network's largest stride")
        if not 0 < self.lr < math.inf:
            raise Hw3Error(f"{self.name}: lr={self.lr!r}, expected a number above 0")
        if self.patience is not None and (self.patience < 1 or not 0 < self.validation < 1):
            raise Hw3Error(
                f"{self.name}: patience={self.patience}, validation={self.validation}; expected 1 or more measurements "
                "and a share between 0 and 1"
            )

    @abstractmethod
    def _build(self) -> nn.Module:
        """The network before training; what is random in it comes from torch's global generator, which is seeded."""

    @abstractmethod
    def _groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters that learn, and their factor on ``lr``."""

    @abstractmethod
    def _loss(self, images: torch.Tensor, targets: list[Target]) -> torch.Tensor:
        """Scalar loss of images, float32 ``(n, 3, size, size)``, 0 to 255."""

    @abstractmethod
    def _detect(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Boxes in pixels of the working size, scores and labels of each image, at most 100 an image."""

    def _begin(self, images: torch.Tensor, targets: list[Target]) -> None:  # noqa: B027
        """Look at the training images before the first epoch; most detectors need not."""

    def _settings(self) -> dict:
        """What besides the fields is needed to build the network again."""
        return {"classes_": self.classes_, "seconds_": self.seconds_}

    @property
    def _torch_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def fit(
        self,
        table: pd.DataFrame,
        instances: Sequence[Instance],
        rows: Sequence[int] | np.ndarray,
        *,
        classes: Sequence[str] | None = None,
        each_epoch: Callable[[int, BoxDetector], None] | None = None,
        progress: bool = False,
    ) -> BoxDetector:
        """Learn from the images at some positions of a table; nothing else of the table is looked at.

        Args:
            table: columns ``image, defect, width, height``.
            instances: boxes of the table's images; images without any are background.
            rows: positions of the training images.
            classes: names of the classes; None takes those of all instances.
            each_epoch: called with the number of finished epochs and the detector: with 0 before training, then after
                every epoch. Its time is not counted.
            progress: show a bar.

        Raises:
            Hw3Error: no box on the training images, or a loss that is no longer finite.
        """
        clock = Clock()
        chosen = np.asarray(rows, int)
        self.classes_ = sorted({i.defect for i in instances} if classes is None else set(classes))
        truth = truth_of(table, instances, self.classes_)
        if not sum(len(truth[row].labels) for row in chosen):
            raise Hw3Error(f"{self.name}: no box on the {len(chosen)} training images; give images with defects")
        learn, held = self._hold_out(table, chosen)
        targets = [self._target(truth[row], table.iloc[row]) for row in learn]
        # Random layers of the network and torchvision's samplers draw from the global generators; both are put back.
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self._network = self._build().to(self._torch_device).eval()
            images = torch.from_numpy(ImageStack.load(table.iloc[learn], self.size, look=False).images)
            self._begin(images, targets)
            self.history_ = []
            tell = clock.outside(each_epoch, self)
            tell(0)
            self._learn(images, targets, (table.iloc[held], [truth[row] for row in held]), tell, progress)
        self._network.eval()
        self.seconds_ = clock.seconds()
        return self

    def _hold_out(self, table: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Training and validation positions."""
        if self.patience is None:
            return rows, rows[:0]
        part = table.iloc[rows].assign(row=rows)
        learn, held = stratified_split(part, self.validation, self.seed)
        return learn["row"].to_numpy(), held["row"].to_numpy()

    def _target(self, boxes: Boxes, row: pd.Series) -> Target:
        if reading_of(row).fit == "stretch":
            scale = np.float32(self.size) / np.array([row["width"], row["height"]] * 2, np.float32)
            return torch.from_numpy(boxes.boxes * scale), torch.from_numpy(boxes.labels)
        geometry = Geometry(row["width"], row["height"], self.size, reading_of(row).fit)
        placed = geometry.to_square(boxes.boxes).astype(np.float32)
        return torch.from_numpy(placed), torch.from_numpy(boxes.labels)

    def _learn(self, images: torch.Tensor, targets: list[Target], held: tuple, tell: Callable, progress: bool) -> None:
        if not self.epochs:
            return
        groups: list[dict[str, Any]] = [{"params": params, "lr": self.lr * factor} for params, factor in self._groups()]
        steps = self.epochs * math.ceil(len(images) / self.batch_size)
        optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: tenth_then_cosine(step, steps))
        update = Steps(optimizer, schedule, name=self.name, clip=10.0)
        rng, watch = np.random.default_rng(self.seed), Best(self.patience, self.epochs)
        for epoch in tqdm(range(self.epochs), desc=self.name, unit="epoch", disable=not progress):
            losses = []
            for rows in np.array_split(rng.permutation(len(images)), math.ceil(len(images) / self.batch_size)):
                batch, boxes = self._augmented(images[rows], [targets[row] for row in rows], rng)
                losses.append(update(self._loss(batch, boxes)))
            self.history_.append(float(np.mean(losses)))
            tell(epoch + 1)
            if watch.due(epoch) and watch.stop(self._network, lambda: self._score(*held)):
                break
        watch.restore(self._network)

    def _score(self, table: pd.DataFrame, truth: list[Boxes]) -> float:
        return mean_average_precision(truth, self.predict(table), self.classes_).map50

    def _augmented(
        self, images: torch.Tensor, targets: list[Target], rng: np.random.Generator
    ) -> tuple[torch.Tensor, list[Target]]:
        device, made = self._torch_device, []
        images = images.to(device).float()
        for image, (boxes, labels) in zip(images, targets, strict=True):
            symmetry = int(rng.integers(8)) if self.flips else 0
            boxes = boxes_mirrored_by_bits(boxes, symmetry, self.size)
            made.append((mirrored_by_bits(image, symmetry), boxes.to(device), labels.to(device)))
        return torch.stack([image for image, _, _ in made]), [(boxes, labels) for _, boxes, labels in made]

    def predict(self, table: pd.DataFrame, rows: Sequence[int] | np.ndarray | None = None) -> list[Boxes]:
        """Boxes of the images at some positions of a table, or of all: one :class:`Boxes` an image, best score first.

        Scores are kept from 0.001 on, as average precision wants them; ``Boxes.above(0.25)`` leaves what to show.

        Raises:
            Hw3Error: the detector is not fitted.
        """
        if not self.classes_:
            raise Hw3Error(f"{self.name}: not fitted; call fit or load first")
        chosen = table if rows is None else table.iloc[np.asarray(rows, int)]
        loaded, found = ImageStack.load(chosen, self.size, look=False), []
        stack = loaded.images
        self._network.eval()
        with torch.no_grad():
            for start in range(0, len(stack), 8):
                images = torch.from_numpy(np.ascontiguousarray(stack[start : start + 8]))
                found += self._detect(images.to(self._torch_device).float())
        placed = [Boxes(*(values.cpu().numpy() for values in image)) for image in found]
        if loaded.geometries is None:
            sides = chosen[["width", "height", "width", "height"]].to_numpy(np.float32) / self.size
            return [b._replace(boxes=b.boxes * side) for b, side in zip(placed, sides, strict=True)]
        return [_on_image(boxes, geometry) for boxes, geometry in zip(placed, loaded.geometries, strict=True)]

    def save(self, folder: str | Path, replace: bool = False) -> Path:
        """Write ``detector.json`` and ``weights.safetensors``; nothing in them is executed when they are loaded."""
        if not self.classes_:
            raise Hw3Error(f"{self.name}: not fitted; there is nothing to save")
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        facts = {"detector": self.name, "fields": known, "fitted": self._settings()}
        SAVED.write(folder, facts, self._network.state_dict(), replace)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> BoxDetector:
        """A detector that was saved; ``BoxDetector.load`` finds out which.

        Raises:
            Hw3Error: files that are missing, damaged or of another kind.
        """
        facts, state = SAVED.read(folder)
        with SAVED.fitting(folder):
            if not issubclass(_SAVED[facts["detector"]], cls):
                raise Hw3Error(f"holds a {facts['detector']}, expected {cls.__name__}")
            made = _SAVED[facts["detector"]](**(facts["fields"] | {"device": device}))
            for name in made._settings():
                kind, value = type(getattr(made, name)), facts["fitted"][name]
                if not isinstance(value, float | int if kind is float else kind):
                    raise TypeError(f"{name} is {str(value)[:40]!r}")
                setattr(made, name, value)
            if not made.classes_ or not all(isinstance(name, str) for name in made.classes_):
                raise TypeError(f"classes_ is {str(made.classes_)[:40]}")
            made._network = made._empty().to(made._torch_device).eval()
            made._network.load_state_dict(state)
        return made

    def _empty(self) -> nn.Module:
        """The network without its weights, for :meth:`load` to fill."""
        return self._build()


def _on_image(found: Boxes, geometry: Geometry) -> Boxes:
    """Boxes of a square on its image, cut off at the image's edges; those that lie in the padding are left out."""
    boxes = geometry.to_image(found.boxes).clip(0, [geometry.width, geometry.height] * 2).astype(np.float32)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return Boxes(boxes[kept], found.scores[kept], found.labels[kept])
