"""Chapter 5's measurement of SAM on one category; where nothing could be measured, tables without rows and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hw3lib.annotate.instances import Instances, union
from hw3lib.annotate.prompts import BOX, CLICK, DETECTOR
from hw3lib.annotate.splitting import spread
from hw3lib.data.pixels.images import read_row

from . import evaluation as measure
from .finetune import FineTuning
from .sam import Embedding, Segmenter, propose
from .saved import save

SCORES = ("method", "prompt", "iou_before", "iou_after", "gain", "gain_low", "gain_high")
CURVE = ("n_train", "method", "prompt", "iou", "iou_low", "iou_high")
SHOWN = 4  # images in the figure


@dataclass
class MaskStudy:
    """SAM on the defective images of a category.

    Attributes:
        segmenter: as published; None where its weights are not here.
        defective: the images, rows from 0.
        annotated: their first annotation, by masks or by an anomaly detector, and ``origin`` its name.
        seed: of what is drawn.
        material, splits, settings, evaluation: of what was measured; None and none where nothing could be.
    """

    segmenter: Segmenter | None
    defective: pd.DataFrame
    annotated: Instances
    origin: str
    seed: int = 0
    material: measure.Material | None = None
    splits: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    settings: FineTuning | None = None
    evaluation: measure.SegmentationEvaluation | None = None

    @property
    def scores(self) -> pd.DataFrame:
        """See :meth:`.SegmentationEvaluation.table`; no row where nothing was measured."""
        return self.evaluation.table() if self.evaluation else pd.DataFrame(columns=list(SCORES))

    def curve(self, sizes: Sequence[int]) -> pd.DataFrame:
        """See :func:`.evaluation.curve`; sizes above the training images are left out, and no row if none is left."""
        fewer = [size for size in sizes if self.evaluation and size <= self.evaluation.n_train]
        if not fewer:
            return pd.DataFrame(columns=list(CURVE))
        assert self.material is not None
        return measure.curve(self.material, self.splits, fewer, self.settings, whole=self.evaluation)

    @property
    def without_curve(self) -> str:
        """Why there is no curve, if there is none."""
        if self.evaluation is None:
            return "not measured, as said above"
        return f"{self.evaluation.n_train} images to learn from are too few for a curve"

    def looks(self) -> dict[str, Any]:
        """What :func:`hw3lib.views.plots.masks.segmentations` draws: SAM before and after fine-tuning.

        Where nothing was measured, the first annotation beside what SAM, as published, makes of its boxes; without SAM
        no image, and ``without``, the sentence to draw instead.
        """
        if self.evaluation is not None:
            return self._before_and_after()
        if self.segmenter is not None:
            return self._asked_at_the_first_annotation()
        return {"images": [], "truths": None, "found": {}, "without": "SAM is left out, as said above"}

    def _before_and_after(self) -> dict[str, Any]:
        material, evaluation, test = self.material, self.evaluation, self.splits[0][1]
        assert material is not None and evaluation is not None
        tuned, rows = evaluation.tuned[0], test[:: max(1, len(test) // SHOWN)][:SHOWN]

        def masks(model: Segmenter, asked: Instances) -> list[np.ndarray]:
            each = [measure.segment(model, material.embeddings[row], asked.of(row)) for row in rows]
            return [measure.union(m, material.truth(row).shape) for m, row in zip(each, rows, strict=True)]

        found = {
            "true box, before": masks(material.segmenter, material.instances),
            "true box, after": masks(tuned[BOX], material.instances),
        }
        if DETECTOR in tuned:
            found["detector's boxes, after"] = masks(tuned[DETECTOR], material.detected)
        return {
            "images": [read_row(material.table.iloc[row]) for row in rows],
            "truths": [material.truth(row) for row in rows],
            "found": found,
            "names": [material.table["defect"][row] for row in rows],
        }

    def _asked_at_the_first_annotation(self) -> dict[str, Any]:
        assert self.segmenter is not None
        order = spread(self.defective, np.arange(len(self.defective)), self.seed)
        rows = [row for row in order if self.annotated.of(row)][:SHOWN]
        pictures = [read_row(self.defective.iloc[row]) for row in rows]
        first = [self.annotated.of(row) for row in rows]
        asked = [
            measure.segment(self.segmenter, self.segmenter.embed(picture), instances)
            for picture, instances in zip(pictures, first, strict=True)
        ]
        found = {
            f"from {self.origin}": [union(instances) for instances in first],
            "SAM, asked there": [measure.union(m, p.shape[:2]) for m, p in zip(asked, pictures, strict=True)],
        }
        names = [self.defective["defect"][row] for row in rows]
        boxes = [[i.xyxy for i in instances] for instances in first]
        return {"images": pictures, "truths": None, "found": found, "names": names, "boxes": boxes}

    @property
    def answer(self) -> Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float]] | None:
        """What :func:`hw3lib.views.widgets.segment` asks: SAM, its decoder tuned for clicks where it was; or None."""
        if self.segmenter is None:
            return None
        model = self.evaluation.tuned[0][CLICK] if self.evaluation else self.segmenter
        embed = self.segmenter.embed
        opened: list[tuple[np.ndarray, Embedding]] = []  # one image: embedded at its first click, for all others

        def answered(image: np.ndarray, points: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
            if not opened or opened[0][0] is not image:
                opened[:] = [(image, embed(image))]
            return propose(model, opened[0][1], points, labels)

        return answered

    def save(self, folder: str | Path) -> list[Path]:
        """Write SAM's decoders of the first split, one for each way to ask, for :func:`.saved.load`."""
        tuned = self.evaluation.tuned[0] if self.evaluation else {}
        return [save(model, Path(folder) / f"sam-{prompt}", replace=True) for prompt, model in tuned.items()]

    def metrics(self, curve: pd.DataFrame) -> dict[str, pd.DataFrame | None]:
        """What ``metrics.json`` holds of it; None where nothing was measured."""
        scores = self.scores if self.evaluation else None
        return {
            "sam": None if scores is None else scores[scores["method"] == measure.SAM],
            "segmentation": scores,
            "segmentation_curve": curve if len(curve) else None,
        }
