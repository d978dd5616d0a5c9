"""Mean average precision of boxes, computed by pycocotools."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hw3lib.annotate.instances import Instance
from hw3lib.errors import Hw3Error

MOST = 100  # boxes of an image that COCO's evaluation looks at, those of the highest scores


class Boxes(NamedTuple):
    """The boxes of one image.

    Attributes:
        boxes: float32 ``(n, 4)``: left, top, right, bottom in pixels of the original image.
        scores: float32 ``(n,)``, 0 to 1; ones for the truth.
        labels: int64 ``(n,)``, positions in the list of classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, boxes: ArrayLike, scores: ArrayLike | None = None, labels: ArrayLike = ()) -> Boxes:
        """From lists; without ``scores`` they are ones."""
        corners = np.asarray(boxes, np.float32).reshape(-1, 4)
        sure = np.ones(len(corners), np.float32) if scores is None else np.asarray(scores, np.float32)
        classes = np.asarray(labels, np.int64)
        if not len(corners) == len(sure) == len(classes):
            raise Hw3Error(
                f"{len(corners)} boxes, {len(sure)} scores, {len(classes)} labels; expected one of each a box"
            )
        return cls(corners, sure, classes)

    def above(self, score: float) -> Boxes:
        """Those whose score is ``score`` or more."""
        chosen = self.scores >= score
        return Boxes(self.boxes[chosen], self.scores[chosen], self.labels[chosen])


@dataclass(frozen=True)
class MeanAP:
    """Average precision, 0 to 1, as COCO defines it: 101 recall levels, at most 100 boxes an image.

    Attributes:
        map50: mean over the classes at an intersection over union of 0.5.
        map50_95: mean over the classes and over 0.5, 0.55, ... 0.95.
        per_class: class to its average precision at 0.5; those without a true box are left out, here and in the means.
    """

    map50: float
    map50_95: float
    per_class: dict[str, float]


def truth_of(table: pd.DataFrame, instances: Sequence[Instance], classes: Sequence[str]) -> list[Boxes]:
    """The true boxes of every image of a table, in its order.

    Raises:
        Hw3Error: an instance of an image that the table does not have.
    """
    number = {name: position for position, name in enumerate(classes)}
    found: list[tuple[list, list]] = [([], []) for _ in range(len(table))]
    for instance in instances:
        if not 0 <= instance.row < len(table):
            raise Hw3Error(f"an instance is of image {instance.row}; expected 0 to {len(table) - 1}, rows of the table")
        if instance.defect in number:
            found[instance.row][0].append(instance.xyxy)
            found[instance.row][1].append(number[instance.defect])
    return [Boxes.of(boxes, None, labels) for boxes, labels in found]


def mean_average_precision(truth: Sequence[Boxes], predictions: Sequence[Boxes], classes: Sequence[str]) -> MeanAP:
    """Compare predicted with true boxes, one :class:`Boxes` an image in each list.

    Images without a true box count: what is found on them is wrong.

    Raises:
        Hw3Error: lists of different lengths, no true box at all, or a label that is no position in ``classes``.

    Example:
        >>> box = np.array([[10, 10, 30, 30]], np.float32)
        >>> truth = Boxes(box, np.ones(1, np.float32), np.zeros(1, np.int64))
        >>> round(mean_average_precision([truth], [truth], ["hole"]).map50, 6)
        1.0
    """
    if len(truth) != len(predictions):
        raise Hw3Error(f"truth of {len(truth)} images, predictions of {len(predictions)}; expected the same images")
    if not sum(len(boxes.labels) for boxes in truth):
        raise Hw3Error(
            f"no true box on {len(truth)} images: average precision is not defined; give images with defects"
        )
    for boxes in (*truth, *predictions):
        if len(boxes.labels) and not 0 <= boxes.labels.min() <= boxes.labels.max() < len(classes):
            raise Hw3Error(f"labels {sorted(set(boxes.labels.tolist()))}: expected 0 to {len(classes) - 1}")
    with redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
        precision = _evaluate(truth, predictions, classes)  # (thresholds, recall levels, classes), -1 without truth
    kept = [k for k in range(len(classes)) if precision[0, 0, k] >= 0]
    per_class = {classes[k]: float(precision[0, :, k].mean()) for k in kept}
    return MeanAP(float(np.mean(list(per_class.values()))), float(precision[:, :, kept].mean()), per_class)


def _evaluate(truth: Sequence[Boxes], predictions: Sequence[Boxes], classes: Sequence[str]) -> np.ndarray:
    from pycocotools.coco import COCO  # imports matplotlib.pyplot
    from pycocotools.cocoeval import COCOeval

    def annotations(images: Sequence[Boxes]) -> list[dict]:
        rows: list[dict[str, Any]] = []
        for image, boxes in enumerate(images, 1):
            for (x0, y0, x1, y1), score, label in zip(boxes.boxes.tolist(), boxes.scores, boxes.labels, strict=True):
                rows.append({"id": len(rows) + 1, "image_id": image, "category_id": int(label) + 1, "iscrowd": 0})
                rows[-1] |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "score": float(score)}
        return rows

    def coco(images: Sequence[Boxes]) -> COCO:
        made = COCO()
        made.dataset = {
            "images": [{"id": image} for image in range(1, len(images) + 1)],
            "categories": [{"id": k, "name": name} for k, name in enumerate(classes, 1)],
            "annotations": annotations(images),
        }
        made.createIndex()
        return made

    run = COCOeval(coco(truth), coco(predictions), "bbox")
    run.params.maxDets = [MOST]
    run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
    run.evaluate()
    run.accumulate()
    return run.eval["precision"][:, :, :, 0, 0]
