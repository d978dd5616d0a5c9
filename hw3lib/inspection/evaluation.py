"""How well a detector finds what a category's labels and masks say: counted while its photographs are scored."""

from __future__ import annotations

import numpy as np

from hw3lib.anomaly.maps import upsample
from hw3lib.anomaly.metrics.figures import pixel_figures, types_by_auroc
from hw3lib.anomaly.metrics.intervals import f1_interval
from hw3lib.anomaly.metrics.metrics import PixelMetrics, image_metrics
from hw3lib.core.intervals import Interval
from hw3lib.core.text import counted, listed
from hw3lib.data.regions.masks import read_mask
from hw3lib.errors import Hw3Error

from .photographs import Label

_MOST = 10**7  # pairs of a good and a defective image; with more, intervals take much memory and are narrow


class Evaluation:
    """Scores and maps of photographs whose label is known, one at a time. The labels choose nothing."""

    def __init__(self) -> None:
        self._labels: list[Label] = []
        self._scores: list[float] = []
        self._pixels, self._masks = PixelMetrics(), 0

    def add(self, label: Label, score: float, anomaly_map: np.ndarray | None) -> None:
        """Count a photograph, and its map, float32 ``(h, w)``, with its mask, where its size is known.

        A mask that cannot be read, or is of another size, is left out.
        """
        self._labels.append(label._replace(mask=None))
        self._scores.append(score)
        if anomaly_map is None or not min(label.size) or (label.is_defect and label.mask is None):
            return
        try:
            mask = read_mask(label.mask) if label.mask is not None else np.zeros(label.size, bool)
            self._pixels.update(mask, upsample(anomaly_map, label.size))
        except Hw3Error:
            return
        self._masks += bool(mask.any())

    def say(self, threshold: float) -> list[str]:
        """What came out, a sentence each; empty where only good or only defective images have been counted."""
        is_defect, scores = np.array([label.is_defect for label in self._labels], bool), np.array(self._scores)
        bad = int(is_defect.sum())
        if not 0 < bad < len(scores):
            return []
        value = image_metrics(is_defect, scores).auroc
        said = [
            f"image AUROC {100 * value:.1f} % on {len(scores) - bad} good and {bad} defective images; their labels "
            "chose nothing",
            f"F1 {f1_interval(is_defect, scores > threshold).text()} at this threshold",
        ]
        defects = np.array([label.defect for label in self._labels])
        if bad * (len(scores) - bad) <= _MOST:
            rows = types_by_auroc(is_defect, scores, defects)
            texts = (
                f"{row['defect']} {Interval.read(row, 'image_auroc', 'auroc', 'AUROC').text()} of "
                f"{counted(row['images'], 'image')}"
                for row in rows
            )
            said.append(f"image AUROC by type: {listed(list(texts))}")
        if self._masks:
            found = pixel_figures(self._pixels)
            texts = (
                f"{name} {Interval.read(found, key).text()}"
                for name, key in (("AUPRO", "aupro"), ("AUPIMO", "aupimo"))
                if not np.isnan(found[key])
            )
            said.append(f"{listed(list(texts))} on {counted(self._masks, 'image')} with a mask")
        return said
