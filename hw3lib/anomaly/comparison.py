"""Several detectors on one category: what each finds, how surely, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hw3lib.core.intervals import Interval, auroc_difference, auroc_interval, holm, wilson_interval
from hw3lib.core.text import listed, percent
from hw3lib.data.groups import products
from hw3lib.data.regions.masks import read_mask
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

from .assembly import Maps
from .detector import Detector
from .maps import upsample
from .metrics.figures import pixel_figures, types_by_auroc
from .metrics.intervals import f1_interval
from .metrics.metrics import ImageMetrics, PixelMetrics, image_metrics
from .thresholds import f1_best_threshold


@dataclass
class DetectorEvaluation:
    """A fitted detector and what it says of the test images.

    Attributes:
        detector: fitted.
        label: as it stands in tables.
        is_defect: bool ``(N,)``.
        scores: float32 ``(N,)``.
        maps: float32, see :class:`hw3lib.anomaly.detector.Scores`, or None.
        metrics: ``image_auroc, average_precision, f1_max``, those of :func:`pixel_metrics` (0 to 1; NaN without maps or
            masks, or without good and defective test images), ``fit_seconds, ms_per_image, memory_bank, threshold,
            false_alarm_rate`` and ``detection_rate`` (share of the good and of the defective test images above the
            threshold; NaN where there are none), and the F1 of that threshold with its 95 % interval: ``f1, f1_low,
            f1_high``. ``f1_max`` is that of the best threshold on the test images, which nobody knows.
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
    held_out: float | None = None,
    false_alarm_rate: float = 0.05,
    progress: bool = False,
) -> DetectorEvaluation:
    """Fit a detector on good images and read the test images once; they choose nothing.

    Args:
        detector: not fitted yet.
        good: good training images, at the detector's size; products are what counts where they have groups.
        table: test images, columns ``mask, is_defect, width, height``, and ``group`` where several show one product.
        images: the same images, at the detector's size.
        label: name in tables; None: the detector's.
        held_out, false_alarm_rate, progress: see :meth:`Detector.fit`.

    Raises:
        Hw3Error: as :meth:`Detector.fit`; no test image.
    """
    if len(table) != len(images):
        raise Hw3Error(f"table: {len(table)} rows for {len(images)} images; give the table the images were loaded by")
    is_defect, groups = table["is_defect"].to_numpy(bool), products(table)
    started = time.perf_counter()
    detector.fit(good, held_out=held_out, false_alarm_rate=false_alarm_rate, progress=progress)
    fitted = time.perf_counter()
    scores, maps = detector.score(images, progress=progress)
    scored = time.perf_counter()
    whole = ranking(is_defect, scores)
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
            "false_alarm_rate": share(above[~is_defect]),
            "detection_rate": share(above[is_defect]),
        }
        metrics |= f1_interval(is_defect, above, groups).columns("f1")
    return DetectorEvaluation(detector, label or detector.name, is_defect, scores, maps, metrics, groups)


def ranking(is_defect: np.ndarray, scores: np.ndarray) -> ImageMetrics:
    """As :func:`hw3lib.anomaly.image_metrics`; NaN where all images are good, or all defective: a ranking needs both.

    Raises:
        Hw3Error: as :func:`hw3lib.anomaly.image_metrics` otherwise.
    """
    if len(np.unique(is_defect)) < 2:
        return ImageMetrics(np.nan, np.nan, np.nan, np.nan)
    return image_metrics(is_defect, scores)


def share(called: np.ndarray) -> float:
    """Share of True in a bool array; NaN of none."""
    return float(called.mean()) if len(called) else np.nan


def pixel_metrics(table: pd.DataFrame, maps: Maps | None) -> dict[str, float]:
    """Figures of maps at the masks' full resolution, one image after the other.

    Returns:
        ``pixel_auroc``, ``pixel_ap``, and ``aupro`` and ``aupimo`` with 95 % intervals over the defective images
        (``aupro_low`` and so on; the good ones are taken as they are). NaN where there are no maps; defective images
        without a mask are left out, and so is a category without any.
    """
    counted, rows = PixelMetrics(), []
    if maps is not None:
        for i, (row, anomaly_map) in enumerate(zip(table.itertuples(), maps, strict=True)):
            if row.is_defect and not isinstance(row.mask, str):
                continue
            shape = (row.height, row.width)
            mask = read_mask(row.mask) if row.is_defect else np.zeros(shape, bool)
            counted.update(mask, upsample(anomaly_map[None], shape)[0])
            rows += [i] * bool(mask.any())
    return pixel_figures(counted, None if (groups := products(table)) is None else groups[rows])


def compare_types(evaluations: Sequence[DetectorEvaluation], defects: Sequence[str] | pd.Series) -> pd.DataFrame:
    """Image AUROC of each type of defect against all good images: what a mean over the types hides.

    Args:
        evaluations: of the same test images.
        defects: type of each, ``(N,)``; the names of good ones do not matter.

    Returns:
        ``detector`` and the columns of :func:`.types_by_auroc`; a row a detector and type, in their order.
    """
    defects, rows = np.asarray(defects), []
    for e in evaluations:
        rows += [{"detector": e.label} | row for row in types_by_auroc(e.is_defect, e.scores, defects, e.groups)]
    names = ["detector", "defect", "images", *Interval(kind="AUROC").columns("image_auroc", "auroc")]
    return pd.DataFrame(rows, columns=names)


def compare_detectors(evaluations: Sequence[DetectorEvaluation], seed: int = 0) -> pd.DataFrame:
    """One row a detector, the highest image AUROC first; of equal ones the highest AUPRO, those without maps last.

    Without an AUROC, which needs good and defective images, the detectors are in the order given.

    Returns:
        ``detector``, the metrics of :class:`DetectorEvaluation`, ``auroc_low``, ``auroc_high`` (95 % interval of the
        image AUROC, :func:`hw3lib.core.auroc_interval`) and ``auroc_p`` (that it is not 0.5), ``behind``,
        ``behind_low``, ``behind_high`` and ``behind_p`` (the first row's AUROC less this one's, on the same images,
        :func:`hw3lib.core.intervals.auroc_difference`; missing for the first itself). The p-values are those of all
        rows together, :func:`hw3lib.core.holm`.
    """
    ranked = sorted(evaluations, key=lambda e: [-np.nan_to_num(e.metrics[k], nan=-1) for k in ("image_auroc", "aupro")])
    best = ranked[0]
    reached = holm(auroc_interval(e.is_defect, e.scores, e.groups) for e in ranked)
    leads = [auroc_difference(best.is_defect, best.scores, e.scores, best.groups, seed=seed) for e in ranked[1:]]
    return pd.DataFrame(
        {"detector": e.label, **e.metrics, **auroc.columns("image_auroc", "auroc"), **behind.columns("behind")}
        for e, auroc, behind in zip(ranked, reached, [Interval(kind="difference"), *holm(leads)], strict=True)
    )


def beats_guessing(table: pd.DataFrame, detector: str) -> bool | str:
    """Whether a detector's image AUROC is significantly above 0.5; in words where it was not measured.

    Args:
        table: of :func:`compare_detectors`.
        detector: its label there.
    """
    found = Interval.read(table.set_index("detector").loc[detector], "image_auroc", "auroc", "AUROC")
    return found.sign > 0 if found.estimable else "not measured, as said above"


def describe_best_f1(evaluation: DetectorEvaluation) -> str:
    """The sentence of :func:`hw3lib.anomaly.f1_best_threshold` on the test images, or why there is none."""
    if evaluation.is_defect.all() or not evaluation.is_defect.any():
        kind = "defective" if evaluation.is_defect.all() else "good"
        return f"Here all test images are {kind}, so there is no F1 and no such threshold."
    return str(f1_best_threshold(evaluation.is_defect, evaluation.scores))


def describe_alarms(evaluation: DetectorEvaluation) -> str:
    """What a detector's threshold makes of the test images, good and defective, in a sentence with an interval."""
    above = evaluation.scores > evaluation.detector.threshold_
    said = []
    for kind, chosen in (("good", ~evaluation.is_defect), ("defective", evaluation.is_defect)):
        stopped, total = int(above[chosen].sum()), int(chosen.sum())
        if total:
            found = wilson_interval(stopped, total)
            # Of independent images alone.
            interval = f" ({percent(found.low)} to {percent(found.high)})" if evaluation.groups is None else ""
            said.append(f"{stopped} of {total} {kind} test images{interval}")
    return f"It stops {listed(said)}."


def describe_detectors(table: pd.DataFrame, conditions: pd.DataFrame, false_alarm_rate: float) -> str:
    """About 150 words on what was measured, true of whatever was measured.

    Args:
        table: of :func:`compare_detectors`.
        conditions: of :func:`hw3lib.anomaly.robustness.robustness_table`.
        false_alarm_rate: that the thresholds were to keep.
    """
    if table["image_auroc"].isna().all():
        return _describe_alarms_alone(table, conditions, false_alarm_rate)
    first = table.iloc[0]
    reached = {row["detector"]: Interval.read(row, "image_auroc", "auroc", "AUROC") for _, row in table.iterrows()}
    leads = {row["detector"]: Interval.read(row, "behind", kind="difference") for _, row in table.iloc[1:].iterrows()}
    beaten, level = ([name for name, lead in leads.items() if (lead.sign > 0) == wins] for wins in (True, False))
    level_best = table.loc[table["image_auroc"] == first.image_auroc, "detector"].tolist()
    auroc = reached[first.detector].text()
    text = [f"On the test images {listed(level_best)} rank first, each with an image AUROC of {auroc}."]
    if len(level_best) == 1:
        text = [f"On the test images {level_best[0]} ranks first with an image AUROC of {auroc}."]
    if beaten:
        text.append(f"Its lead over {listed(beaten)} is statistically significant.")
    if level:
        text.append(f"Its lead over {listed(level)} is not significant.")
    chance = [name for name, found in reached.items() if found.sign <= 0]
    if chance:
        text.append(f"Not significantly better than guessing: {listed(chance)}.")
    maps = table.dropna(subset=["aupro"])
    if len(maps):
        where = maps.loc[maps["aupro"].idxmax()]
        said = f"AUPRO {where.aupro:.3f}"
        if not np.isnan(where.aupimo):
            said = f"{said}, and AUPIMO, of hardly any false alarm, {Interval.read(where, 'aupimo').text()}"
        text.append(f"Where the defect is, {where.detector} shows best: {said}.")
    text.append(
        f"The threshold of {first.detector}, set on good images at {percent(false_alarm_rate)} false alarms, stops "
        f"{percent(first.detection_rate)} of the defective and {percent(first.false_alarm_rate)} of the good test "
        "images. "
        f"Fitting took {first.fit_seconds:.1f} s, an image {first.ms_per_image:.0f} ms."
    )
    text.append(f"The F1 of that threshold is {Interval.read(first, 'f1').text()}.")
    quick = table.loc[table["ms_per_image"].idxmin()]
    if quick.detector != first.detector:
        text.append(f"{quick.detector} is quickest, {quick.ms_per_image:.0f} ms, with {quick.image_auroc:.3f}.")
    own = conditions[(conditions["detector"] == first.detector)].dropna(subset="image_auroc")
    if len(own) > 1:
        worst = own.iloc[1:].sort_values("image_auroc").iloc[0]
        alarm = own.iloc[1:].sort_values("false_alarm_rate").iloc[-1]
        text.append(
            f"These figures hold for photographs taken alike: on {worst.images} of them {first.detector} reaches "
            f"{own.iloc[0].image_auroc:.3f} as they are, {worst.image_auroc:.3f} with the image {worst.condition}, and "
            f"{alarm.condition} it calls {percent(alarm.false_alarm_rate)} of good products anomalous."
        )
    return " ".join(text)


def _describe_alarms_alone(table: pd.DataFrame, conditions: pd.DataFrame, false_alarm_rate: float) -> str:
    """What can be said of detectors where the test images do not allow to rank them."""
    quick = table.loc[table["ms_per_image"].idxmin()]
    text = [
        "No AUROC was measured: to rank detectors takes good and defective test images, and one kind is missing.",
        f"{quick.detector} is quickest, {quick.ms_per_image:.0f} ms an image.",
    ]
    alarms = table.dropna(subset="false_alarm_rate")
    if len(alarms):
        least, most = alarms["false_alarm_rate"].min(), alarms["false_alarm_rate"].max()
        text.insert(
            1,
            f"Thresholds set on good images at {percent(false_alarm_rate)} false alarms stop {percent(least)} to "
            f"{percent(most)} of the good test images, by detector.",
        )
    own = conditions[conditions["detector"] == conditions["detector"].iloc[-1]].dropna(subset="false_alarm_rate")
    if len(own) > 1:
        worst = own.iloc[1:].sort_values("false_alarm_rate").iloc[-1]
        text.append(
            f"That holds for photographs taken alike: with the image {worst.condition}, {worst.detector} calls "
            f"{percent(worst.false_alarm_rate)} of good products anomalous."
        )
    return " ".join(text)
