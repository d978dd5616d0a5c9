"""An attempt is a value: what one row of a student's table says, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

from hw3lib.errors import Hw3Error

STRATEGIES = ("scratch", "transfer", "two-stage", "fine-tune", "adapters", "lora")
HEADS = ("linear", "multi-scale")
OPTIMISERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class Attempt:
    """One way to train a classifier of defect types.

    Attributes:
        name: as it stands in tables.
        arch: ``simple_cnn``, a Lite network or any torchvision classifier.
        strategy: ``scratch`` (random weights), ``transfer`` (ImageNet weights, only the head learns), ``two-stage``
            (transfer, then the backbone too, at ``fine_tune_lr``), ``fine-tune`` (ImageNet weights, all at once),
            ``adapters`` or ``lora`` (ImageNet weights stay; small added layers learn, see
            :mod:`hw3lib.classify.adapters`).
        head: ``linear`` replaces the last layer; ``multi-scale`` also feeds it the mean and the maximum of earlier
            feature maps, so that a small defect is not averaged away.
        image_size: side in pixels.
        normalise: as the weights expect it; False only divides by 255.
        flip: training images are mirrored at random, left to right and top to bottom.
        rotation: training images are turned at random, by up to this many degrees either way, 0 to 180.
        colour_jitter: brightness, contrast and saturation of training images are changed at random by factors of up
            to ``1 +- colour_jitter``, 0 to 1.
        views: where a frozen part reads augmented images, it reads this many of each once, the first being the image
            itself; every epoch draws one of them for each image.
        optimiser, lr, cosine, batch_size, epochs: training of the head or, from scratch, of everything. ``cosine``
            anneals the rate to zero.
        fine_tune_epochs, fine_tune_lr: the second stage.
        fine_tune_stages: how many of the backbone's last stages learn in it, which is much faster; None: all of them.
        adapter_size: channels of an adapter's bottleneck, or the rank of LoRA's matrices.
        weight_decay: L2 penalty of the optimiser.
        patience: stop when the validation loss has not fallen for this many epochs and go back to its best; None
            trains all epochs. The validation images come out of the training part.
        images_per_class: training images of each class; None takes all of the training part.

    Raises:
        Hw3Error: a field, or two together, make no sense.
    """

    name: str
    arch: str = "simple_cnn"
    strategy: str = "scratch"
    head: str = "linear"
    image_size: int = 64
    normalise: bool = True
    flip: bool = False
    rotation: float = 0.0
    colour_jitter: float = 0.0
    views: int = 8
    optimiser: str = "adam"
    lr: float = 1e-3
    cosine: bool = False
    batch_size: int = 32
    epochs: int = 30
    fine_tune_epochs: int = 0
    fine_tune_lr: float = 1e-4
    fine_tune_stages: int | None = None
    adapter_size: int = 16
    weight_decay: float = 0.0
    patience: int | None = None
    images_per_class: int | None = None

    def hyperparameters(self) -> str:
        """Those that a report names, in a line."""
        said = [self.arch, f"strategy {self.strategy}", f"{self.image_size} px", f"{self.head} head"]
        said += [f"{self.optimiser} at rate {self.lr:g}", f"{self.epochs} epochs"]
        said += [f"then {self.fine_tune_epochs} at {self.fine_tune_lr:g}"] if self.fine_tune_epochs else []
        return ", ".join([*said, f"batches of {self.batch_size}"])

    def __post_init__(self) -> None:
        for field, allowed in (("strategy", STRATEGIES), ("head", HEADS), ("optimiser", OPTIMISERS)):
            if getattr(self, field) not in allowed:
                self._refuse(field, f"one of {', '.join(allowed)}")
        for field, least in (
            ("image_size", 1),
            ("views", 2),
            ("batch_size", 2),  # batch normalisation learns nothing from a single image
            ("epochs", 1),
            ("fine_tune_epochs", 0),
            ("fine_tune_stages", 1),
            ("adapter_size", 1),
            ("patience", 1),
            ("images_per_class", 1),
        ):
            value = getattr(self, field)
            optional = field in ("fine_tune_stages", "patience", "images_per_class")
            if not (value is None and optional or type(value) is int and value >= least):
                self._refuse(field, f"an integer of {least} or more" + (", or None" if optional else ""))
        for field in ("normalise", "flip", "cosine"):
            if type(getattr(self, field)) is not bool:
                self._refuse(field, "True or False")
        for field in ("lr", "fine_tune_lr"):
            self._require_number(field, "a rate above 0", lambda rate: 0 < rate < float("inf"))
        self._require_number("weight_decay", "a number of 0 or more", lambda decay: 0 <= decay < float("inf"))
        self._require_number("rotation", "degrees from 0 to 180", lambda degrees: 0 <= degrees <= 180)
        self._require_number("colour_jitter", "a strength from 0 to 1", lambda strength: 0 <= strength <= 1)
        if (self.strategy == "two-stage") != (self.fine_tune_epochs > 0):
            self._refuse("fine_tune_epochs", "1 or more with strategy 'two-stage', and 0 with every other")
        if self.arch == "simple_cnn" and (self.strategy != "scratch" or self.head != "linear"):
            self._refuse("arch", "a network with ImageNet weights for this strategy or head; simple_cnn has none")
        if self.strategy == "lora" and self.head != "linear":
            self._refuse("head", "'linear' with strategy 'lora', through whose layers earlier maps cannot be traced")
        if self.fine_tune_stages is not None and (self.strategy != "two-stage" or self.head != "linear"):
            self._refuse("fine_tune_stages", "None but for strategy 'two-stage' with head 'linear'")

    def _require_number(self, field: str, expected: str, holds: Callable[[float], bool]) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
            self._refuse(field, expected)

    def _refuse(self, field: str, expected: str) -> None:
        raise Hw3Error(f"attempt {self.name!r}: {field}={getattr(self, field)!r}, expected {expected}")

    @property
    def augments(self) -> bool:
        """Whether training images are changed at random."""
        return self.flip or self.rotation > 0 or self.colour_jitter > 0

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
