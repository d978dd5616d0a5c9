"""Several detectors on one category: what each finds, how surely, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hw3lib.core.intervals import auroc_interval
from hw3lib.core.text import listed
from hw3lib.data.groups import products
from hw3lib.data.images import ImageStack
from hw3lib.data.masks import read_mask
from hw3lib.errors import Hw3Error

from .assembly import Maps
from .detector import Detector
from .maps import upsample
from .metrics.metrics import PixelMetrics, image_metrics


@dataclass
class DetectorEvaluation:
    """A fitted detector and what it says of the test images.

    Attributes:
        detector: fitted.
        label: as it stands in tables.
        is_defect: bool ``(N,)``.
        scores: float32 ``(N,)``.
        maps: float32, see :class:`hw3lib.anomaly.detector.Scores`, or None.
        metrics: ``image_auroc, average_precision, f1_max, pixel_auroc, pixel_ap, aupro`` (0 to 1; NaN without maps or
            masks), ``fit_seconds, ms_per_image, memory_bank, threshold, false_alarm_rate`` and ``detection_rate``
            (share of the good and of the defective test images above the threshold).
        groups: numbers of the products that the images show, int64 ``(N,)``; None: each shows another.
    """

    detector: Detector
    label: str
    is_defect: np.ndarray
    scores: np.ndarray
    maps: Maps | None
    metrics: dict[str, float] = field(default_factory=dict)
    groups: np.ndarray | None = None


def evaluate(
    detector: Detector,
    good: ImageStack,
    table: pd.DataFrame,
    images: ImageStack,
    *,
    label: str | None = None,
    held_out: float = 0.2,
    false_alarm_rate: float = 0.05,
    progress: bool = False,
) -> DetectorEvaluation:
    """Fit a detector on good images and read the test images once; they choose nothing.

    Args:
        detector: not fitted yet.
        good: good training images, at the detector's size; whole products are held out where they have groups.
        table: test images, columns ``mask, is_defect, width, height``, and ``group`` where several show one product.
        images: the same images, at the detector's size.
        label: name in tables; None: the detector's.
        held_out, false_alarm_rate, progress: see :meth:`Detector.fit`.

    Raises:
        Hw3Error: as :meth:`Detector.fit`; test images that are all good or all defective.
    """
    if len(table) != len(images):
        raise Hw3Error(f"table: {len(table)} rows for {len(images)} images; give the table the images were loaded by")
    is_defect = table["is_defect"].to_numpy(bool)
    started = time.perf_counter()
    detector.fit(good, held_out=held_out, false_alarm_rate=false_alarm_rate, progress=progress)
    fitted = time.perf_counter()
    scores, maps = detector.score(images, progress=progress)
    scored = time.perf_counter()
    whole = image_metrics(is_defect, scores)
    metrics = {"image_auroc": whole.auroc, "average_precision": whole.average_precision, "f1_max": whole.f1_max}
    metrics |= pixel_metrics(table, maps)
    metrics |= {
        "fit_seconds": fitted - started,
        "ms_per_image": 1000 * (scored - fitted) / len(images),
        "memory_bank": detector.memory_bank,
    }
    if detector.thresholds_ is not None:
        above = scores > detector.threshold_
        metrics |= {
            "threshold": detector.threshold_,
            "false_alarm_rate": above[~is_defect].mean(),
            "detection_rate": above[is_defect].mean(),
        }
    return DetectorEvaluation(detector, label or detector.name, is_defect, scores, maps, metrics, products(table))


def pixel_metrics(table: pd.DataFrame, maps: Maps | None) -> dict[str, float]:
    """``pixel_auroc``, ``pixel_ap`` and ``aupro`` at the masks' full resolution, one image after the other.

    NaN where there are no maps; defective images without a mask are left out, and so is a category without any.
    """
    counted = PixelMetrics()
    if maps is not None:
        for row, anomaly_map in zip(table.itertuples(), maps, strict=True):
            if row.is_defect and not isinstance(row.mask, str):
                continue
            shape = (row.height, row.width)
            mask = read_mask(row.mask) if row.is_defect else np.zeros(shape, bool)
            counted.update(mask, upsample(anomaly_map[None], shape)[0])
    try:
        return {
            "pixel_auroc": counted.auroc(),
            "pixel_ap": counted.average_precision(),
            "aupro": counted.aupro(),
        }
    except Hw3Error:  # no defective or no good pixel was counted
        return dict.fromkeys(("pixel_auroc", "pixel_ap", "aupro"), np.nan)


def compare_detectors(evaluations: Sequence[DetectorEvaluation], seed: int = 0) -> pd.DataFrame:
    """One row a detector, the highest image AUROC first; of equal ones the highest AUPRO, those without maps last.

    Returns:
        ``detector``, the metrics of :class:`DetectorEvaluation`, ``auroc_low`` and ``auroc_high`` (95 % interval
        of the image
        AUROC), ``behind``, ``behind_low`` and ``behind_high`` (the first row's AUROC less this one's, on the same
        images, with its interval), see :func:`auroc_interval`.
    """
    ranked = sorted(evaluations, key=lambda e: (-e.metrics["image_auroc"], -np.nan_to_num(e.metrics["aupro"], nan=-1)))
    best, rows = ranked[0], []
    for e in ranked:
        row = {"detector": e.label, **e.metrics}
        _, row["auroc_low"], row["auroc_high"] = auroc_interval(e.is_defect, e.scores, seed=seed, groups=e.groups)
        behind = auroc_interval(best.is_defect, best.scores, e.scores, seed=seed, groups=best.groups)
        row["behind"], row["behind_low"], row["behind_high"] = behind
        rows.append(row)
    return pd.DataFrame(rows)


def describe_detectors(table: pd.DataFrame, conditions: pd.DataFrame, false_alarm_rate: float) -> str:
    """About 150 words on what was measured, true of whatever was measured.

    Args:
        table: of :func:`compare_detectors`.
        conditions: of :func:`hw3lib.anomaly.robustness.robustness_table`.
        false_alarm_rate: that the thresholds were to keep.
    """
    first = table.iloc[0]
    beaten = [row.detector for row in table.itertuples() if row.behind_low > 0]
    level = [row.detector for row in table.iloc[1:].itertuples() if row.behind_low <= 0]
    text = [
        f"On the test images {first.detector} ranks first with an image AUROC of {first.image_auroc:.3f} "
        f"({first.auroc_low:.3f} to {first.auroc_high:.3f})."
    ]
    if beaten:
        text.append(f"Its lead over {listed(beaten)} is statistically significant.")
    if level:
        text.append(f"Its lead over {listed(level)} is not significant.")
    chance = [row.detector for row in table.itertuples() if row.auroc_low <= 0.5]
    if chance:
        text.append(f"Not significantly better than guessing: {listed(chance)}.")
    maps = table.dropna(subset=["aupro"])
    if len(maps):
        where = maps.loc[maps["aupro"].idxmax()]
        text.append(f"Where the defect is, {where.detector} shows best: AUPRO {where.aupro:.3f}.")
    text.append(
        f"The threshold of {first.detector}, set on held-out good images at {false_alarm_rate:.0%} false alarms, stops "
        f"{first.detection_rate:.0%} of the defective and {first.false_alarm_rate:.0%} of the good test images. "
        f"Fitting took {first.fit_seconds:.1f} s, an image {first.ms_per_image:.0f} ms."
    )
    quick = table.loc[table["ms_per_image"].idxmin()]
    if quick.detector != first.detector:
        text.append(f"{quick.detector} is quickest, {quick.ms_per_image:.0f} ms, with {quick.image_auroc:.3f}.")
    own = conditions[(conditions["detector"] == first.detector)]
    if len(own) > 1:
        worst = own.iloc[1:].sort_values("image_auroc").iloc[0]
        alarm = own.iloc[1:].sort_values("false_alarm_rate").iloc[-1]
        text.append(
            f"These figures hold for photographs taken alike: with the image {worst.condition}, {first.detector} falls "
            f"to {worst.image_auroc:.3f}, and {alarm.condition} it calls {alarm.false_alarm_rate:.0%} of good products "
            "anomalous."
        )
    return " ".join(text)
