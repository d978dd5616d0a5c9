"""An attempt is a value: what one row of a student's table says, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from hw3lib.errors import Hw3Error

STRATEGIES = ("scratch", "transfer", "two-stage", "fine-tune")
HEADS = ("linear", "multi-scale")
OPTIMISERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class Attempt:
    """One way to train a classifier of defect types.

    Attributes:
        name: as it stands in tables.
        arch: ``simple_cnn``, a Lite network or any torchvision classifier.
        strategy: ``scratch`` (random weights), ``transfer`` (ImageNet weights, only the head learns), ``two-stage``
            (transfer, then the backbone too, at ``fine_tune_lr``) or ``fine-tune`` (ImageNet weights, all at once).
        head: ``linear`` replaces the last layer; ``multi-scale`` also feeds it the mean and the maximum of earlier
            feature maps, so that a small defect is not averaged away.
        image_size: side in pixels.
        normalise: as the weights expect it; False only divides by 255.
        augment: random flips, rotation of up to 10 degrees and brightness, drawn for each image of each batch.
        optimiser, lr, cosine, batch_size, epochs: training of the head or, from scratch, of everything. ``cosine``
            anneals the rate to zero.
        fine_tune_epochs, fine_tune_lr: the second stage.
        fine_tune_stages: how many of the backbone's last stages learn in it, which is much faster; None: all of them.
        weight_decay: L2 penalty of the optimiser.
        patience: stop when the validation loss has not fallen for this many epochs and go back to its best; None
            trains all epochs. The validation images come out of the training part.
        images_per_class: training images of each class; None takes all of the training part.
    """

    name: str
    arch: str = "simple_cnn"
    strategy: str = "scratch"
    head: str = "linear"
    image_size: int = 64
    normalise: bool = True
    augment: bool = False
    optimiser: str = "adam"
    lr: float = 1e-3
    cosine: bool = False
    batch_size: int = 32
    epochs: int = 30
    fine_tune_epochs: int = 0
    fine_tune_lr: float = 1e-4
    fine_tune_stages: int | None = None
    weight_decay: float = 0.0
    patience: int | None = None
    images_per_class: int | None = None

    def __post_init__(self) -> None:
        for field, allowed in (("strategy", STRATEGIES), ("head", HEADS), ("optimiser", OPTIMISERS)):
            if getattr(self, field) not in allowed:
                self._refuse(field, f"one of {', '.join(allowed)}")
        for field in ("image_size", "batch_size", "epochs"):
            if getattr(self, field) < 1:
                self._refuse(field, "1 or more")
        for field in ("lr", "fine_tune_lr"):
            if not getattr(self, field) > 0:
                self._refuse(field, "a rate above 0")
        if (self.strategy == "two-stage") != (self.fine_tune_epochs > 0):
            self._refuse("fine_tune_epochs", "1 or more with strategy 'two-stage', and 0 with every other")
        if self.arch == "simple_cnn" and (self.strategy != "scratch" or self.head != "linear"):
            self._refuse("arch", "a network with ImageNet weights for this strategy or head; simple_cnn has none")
        if self.augment and (self.strategy == "transfer" or self.fine_tune_stages is not None):
            self._refuse("augment", "False where a frozen part reads each image once ('transfer', fine_tune_stages)")
        if self.fine_tune_stages is not None and (self.strategy != "two-stage" or self.head != "linear"):
            self._refuse("fine_tune_stages", "None but for strategy 'two-stage' with head 'linear'")

    def _refuse(self, field: str, expected: str) -> None:
        raise Hw3Error(f"attempt {self.name!r}: {field}={getattr(self, field)!r}, expected {expected}")

    @property
    def key(self) -> str:
        """Hash of all fields but the name: equal settings are the same attempt."""
        values = {k: v for k, v in asdict(self).items() if k != "name"}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: Attempt) -> dict[str, tuple]:
        """Fields in which two attempts differ, ``{field: (other's value, own value)}``, the name left out."""
        return {
            f.name: (getattr(other, f.name), getattr(self, f.name))
            for f in fields(self)
            if f.name != "name" and getattr(self, f.name) != getattr(other, f.name)
        }
