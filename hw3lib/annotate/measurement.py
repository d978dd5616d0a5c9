"""What chapter 5 can measure on a category and a machine; what it cannot is left out by a sentence, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from hw3lib.anomaly.detector import Detector
from hw3lib.core import optional
from hw3lib.core.text import counted, short_paths
from hw3lib.core.translation import say
from hw3lib.data.parts import parts_of
from hw3lib.data.regions.annotations import annotations_path
from hw3lib.data.splits import classification_images
from hw3lib.errors import Hw3Error

from . import available
from .boxes.base import BoxDetector
from .boxes.study import BoxStudy
from .boxes.yolo import Yolo
from .instances import Instances, from_masks, read_instances
from .masks import evaluation
from .masks.finetune import FineTuning
from .masks.sam import Segmenter
from .masks.study import MaskStudy
from .splitting import spread

SAM, DETECTION, YOLO = "sam", "detection", "yolo"


def _refuse(why: str) -> NoReturn:
    raise Hw3Error(why)


@dataclass
class Measurement:
    """A category with or without masks, on a machine with or without SAM and YOLO: what is there is measured.

    Each step gives the same tables, with rows where it was measured; where not, the reason is said at once, and kept.

    Attributes:
        table: see :func:`hw3lib.data.load_table`.
        seed: of all that is drawn and trained.
        min_area: components of fewer pixels are no instance.
        echo: is given each sentence about what is left out.
        end: is given why nothing could be annotated at all; it must raise.
        defective: the images to annotate, rows from 0, and ``origin``: ``masks``, ``boxes`` or ``anomaly maps``.
        left_out: step to why it, or a part of it, was left out: ``sam``, ``detection``, ``yolo``.
        advice: step to what brings what is left out.

    Raises:
        Hw3Error: the category has no defective image.
    """

    table: pd.DataFrame
    seed: int = 0
    min_area: int = 1
    echo: Callable[[str], object] = say
    end: Callable[[str], NoReturn] = _refuse
    defective: pd.DataFrame = field(init=False)
    origin: str = field(init=False)
    left_out: dict[str, str] = field(default_factory=dict, init=False)
    advice: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.defective, self.origin = available.defective_images(self.table)
        masked = int(self.defective["mask"].notna().sum())
        self.echo(f"{masked} defective images with a mask, {len(self.table) - masked} without")
        there = self.table["image"].isin(self.defective["image"])
        missing = self.table.loc[self.table["is_defect"] & ~there, "image"]
        if len(missing):
            number, lack = counted(len(missing), "defective image"), {"boxes": "box"}.get(self.origin, "mask")
            self.echo(f"Left out below, for they have no {lack}: {number} ({short_paths(missing)}).")
        if why := available.without_measurement(self.defective, self.origin):
            steps = (SAM,) if self.origin == available.BOXES else (SAM, DETECTION)
            self.left_out = dict.fromkeys(steps, why)
            self.echo(f"Left out below: {why}.")

    @cached_property
    def detector(self) -> Detector:
        """See :func:`.available.fit_detector`; fitted when it is first needed."""
        return available.fit_detector(self.table, self.seed)

    @property
    def annotator(self) -> Detector | None:
        """The detector that makes the annotations where none were drawn; None where some were."""
        return self.detector if self.origin == available.MAPS else None

    @cached_property
    def annotated(self) -> Instances:
        """The instances of ``defective``: of masks, as they were drawn, or of anomaly maps.

        Raises:
            Hw3Error: there is none, and :attr:`end` is not another's.
        """
        found = available.annotate(self.defective, self.annotator, min_area=self.min_area)
        if not len(found):
            images, small = counted(len(self.defective), "defective image"), f"of {self.min_area} pixels or more"
            if self.annotator is None:
                self.end(f"no mask of {images} marks a region {small}, so there is nothing to annotate")
            self.end(f"without masks a detector annotates, and in {images} it found no region {small}")
        return found

    def compared(self, found: Sequence[tuple[int, int, int, int, int]]) -> str:
        """Whether boxes made by hand from the masks, ``(row, left, top, right, bottom)``, are the library's."""
        if self.origin == available.MAPS:
            return "no mask to make boxes from: these are made from anomaly maps"
        if self.origin == available.BOXES:
            return "no mask to make boxes from: these are as they were drawn"
        made, drawn = self.annotated, annotations_path(self.table)
        if drawn:
            made = from_masks(self.defective, min_area=self.min_area)
        same = f"the library finds the same boxes: {[(i.row, *i.xyxy) for i in made] == list(found)}"
        return f"{same}; below are the objects that {drawn.name} tells apart" if drawn else same

    @cached_property
    def segmenter(self) -> Segmenter | None:
        """SAM as published, or None where its weights are not here."""
        try:
            return Segmenter.load()
        except optional.Missing as error:
            self._without(SAM, error)
            return None

    def part(self, most: int) -> pd.DataFrame:
        """At most so many of the defective images, every class in turn, in their order."""
        rows = spread(self.defective, np.arange(len(self.defective)), self.seed)[:most]
        return self.defective.iloc[np.sort(rows)]

    def fine_tune(
        self,
        part: pd.DataFrame,
        *,
        n_train: int,
        n_splits: int,
        settings: FineTuning | None = None,
        cache: str | Path | None = None,
    ) -> MaskStudy:
        """Fine-tune SAM on few images and test it on the others, see :mod:`.masks.evaluation`.

        Args:
            part: the images, see :meth:`part`.
            n_train: images to learn from, at most half of them.
            n_splits: repetitions.
            settings: of the fine-tuning.
            cache: folder for the embeddings.
        """
        study = MaskStudy(self.segmenter, self.defective, self.annotated, self.origin, self.seed)
        if self.segmenter is None or SAM in self.left_out:
            self.echo(f"Not measured: {self.left_out[SAM]}.")
            return study
        detector = None if parts_of(self.table).no_fit else self.detector
        study.material = evaluation.prepare(
            self.segmenter, part, detector=detector, detect=detector is not None, cache=cache
        )
        n_train = min(n_train, len(part) // 2)
        study.splits = evaluation.few_image_splits(study.material.table, n_splits, n_train, self.seed)
        study.settings = settings
        study.evaluation = evaluation.evaluate(study.material, study.splits, settings)
        return study

    def detect(self, models: Mapping[str, BoxDetector], *, n_splits: int, test_size: float = 0.4) -> BoxStudy:
        """Train detectors of boxes and test them, see :func:`.detection_runs`; YOLO where it is installed.

        Args:
            models: by name; those that need what is not here are left out.
            n_splits, test_size: see :func:`.available.detectable`.
        """
        images = classification_images(self.table, random_state=self.seed)
        boxes = read_instances(images, min_area=self.min_area)
        images, boxes, splits, without = available.detectable(images, boxes, n_splits, test_size, self.seed)
        if without and DETECTION not in self.left_out:
            what = ", ".join(f"{count} {name}" for name, count in without.items())
            self.echo(f"left out: {what}")
        if not splits:
            self.left_out.setdefault(DETECTION, "no class has images with boxes on both sides of a split")
        models = self._there(models)
        if DETECTION in self.left_out:
            self.echo(f"Not measured: {self.left_out[DETECTION]}.")
            models = {}
        return BoxStudy(images, boxes, splits, models, self.seed)

    def _there(self, models: Mapping[str, BoxDetector]) -> dict[str, BoxDetector]:
        """The models whose optional parts are here."""
        try:
            optional.require("yolo")
            optional.require("yolo-weights")
        except optional.Missing as error:
            self._without(YOLO, error)
            return {name: model for name, model in models.items() if not isinstance(model, Yolo)}
        return dict(models)

    def _without(self, step: str, error: optional.Missing) -> None:
        self.left_out[step], self.advice[step] = error.reason, error.advice
        self.echo(f"Left out: {error}.")

    def metrics(self) -> dict[str, str | dict[str, str]]:
        """For ``metrics.json``: where the annotations are from, what is left out, and what would bring it."""
        return {"origin": self.origin, "left_out": self.left_out, "advice": self.advice}
