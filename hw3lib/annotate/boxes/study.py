"""Chapter 5's measurement of detectors on one category; where nothing could be measured, tables without rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hw3lib.annotate.instances import Instances
from hw3lib.annotate.splitting import spread
from hw3lib.core.text import slug

from .base import BoxDetector
from .comparison import Split, detection_runs, detection_summary, learning_curve
from .metrics import truth_of
from .yolo_world import YoloWorld, example_photographs, kept_vocabulary

BOARD = ("model", "map50_before", "map50_after", "gain", "gain_low", "gain_high")
WITHOUT = "not measured, as said above"
SHOWN = 8  # images in the figure


@dataclass
class BoxStudy:
    """Detectors on the images of a category, each fitted on every split.

    Attributes:
        images: rows from 0; their ``boxes``; and the ``splits``: none where nothing could be measured.
        models: by name, not fitted; none where nothing could be measured.
        seed: of what is drawn.
        runs: see :func:`.detection_runs`.
        fitted: of each model the detector of the first split.
        without: the sentence to draw where nothing was measured.
    """

    images: pd.DataFrame
    boxes: Instances
    splits: Sequence[Split]
    models: Mapping[str, BoxDetector]
    seed: int = 0
    runs: pd.DataFrame = field(init=False)
    fitted: dict[str, BoxDetector] = field(default_factory=dict, init=False)
    without: str = WITHOUT

    def __post_init__(self) -> None:
        self.runs = pd.DataFrame()
        if self.models:
            self.runs = detection_runs(self.images, self.boxes, self.models, self.splits, done=self._keep)

    def _keep(self, row: dict, model: BoxDetector) -> None:
        self.fitted.setdefault(row["model"], model)

    @property
    def board(self) -> pd.DataFrame:
        """See :func:`.detection_summary`, the best first."""
        return detection_summary(self.runs) if len(self.runs) else pd.DataFrame(columns=list(BOARD))

    def vocabulary(self) -> dict[str, dict]:
        """Of each YOLO-World what it still knows of COCO's names, see :func:`.kept_vocabulary`."""
        worlds = {name: model for name, model in self.fitted.items() if isinstance(model, YoloWorld)}
        return {name: kept_vocabulary(model, example_photographs()) for name, model in worlds.items()}

    def describe_vocabulary(self, vocabulary: Mapping[str, Mapping[str, Any]]) -> str:
        """One line for each YOLO-World: which names it found before, and which it finds after."""
        lines = []
        for name, kept in vocabulary.items():
            model = self.fitted[name]
            assert isinstance(model, YoloWorld)
            before, after = (", ".join(kept[when]) or "nothing" for when in ("before", "after"))
            lines.append(f"{name} ({model.train} trained, text {model.text}): before {before}; after {after}")
        return "\n".join(lines) or "YOLO-World was not trained"

    def looks(self) -> dict[str, Any]:
        """What :func:`hw3lib.views.plots.boxes.boxes_on_images` draws: the best model on defective test images."""
        if not self.fitted:
            nothing: dict[str, Any] = dict.fromkeys(("truth", "predictions", "classes", "rows"), [])
            return {"table": self.images.iloc[:0], **nothing, "without": self.without}
        classes, test = self.boxes.classes, self.splits[0][1]
        tested = self.images.iloc[test].reset_index(drop=True)
        faulty = np.flatnonzero(tested["is_defect"])
        truth = truth_of(self.images, self.boxes, classes)
        return {
            "table": tested,
            "truth": [truth[row] for row in test],
            "predictions": self.fitted[self._best].predict(self.images, test),
            "classes": classes,
            "rows": faulty[spread(tested.iloc[faulty], np.arange(len(faulty)), self.seed)[:SHOWN]],
        }

    def curve(self, sizes: Sequence[int]) -> pd.DataFrame:
        """mAP50 of the best model over the number of training images of the first split.

        Sizes that are not below the split's training images are left out; these join without being computed again. See
        :func:`.comparison.learning_curve`.
        """
        if not self.fitted:
            return pd.DataFrame(columns=["model", "split", "images", "map50"])
        best, learned = self._best, len(self.splits[0][0])
        whole = self.runs[["model", "split", "map50_after"]].rename(columns={"map50_after": "map50"})
        steps = [whole[(whole["model"] == best) & (whole["split"] == 0)].assign(images=learned)]
        if smaller := [size for size in sizes if size < learned]:
            models, splits = {best: self.models[best]}, self.splits[:1]
            steps.insert(0, learning_curve(self.images, self.boxes, models, splits, smaller, seed=self.seed))
        return pd.concat(steps)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the detectors of the first split, each into a folder of its name, for :meth:`.BoxDetector.load`."""
        return [model.save(Path(folder) / slug(name), replace=True) for name, model in self.fitted.items()]

    def metrics(self, vocabulary: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What ``metrics.json`` holds of it; None where nothing was measured."""
        return {"detection": self.board if self.fitted else None, "vocabulary": vocabulary}

    @property
    def _best(self) -> str:
        return self.board["model"].iloc[0]
