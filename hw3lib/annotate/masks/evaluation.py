"""How well defects are segmented, before fine-tuning and after, over repeated splits and from few images to more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hw3lib.annotate.instances import Instance, Instances, from_maps, read_instances
from hw3lib.annotate.prompts import BOX, CLICK, DETECTOR, PROMPTS, interior_click
from hw3lib.annotate.splitting import spread
from hw3lib.anomaly.assembly import Maps
from hw3lib.anomaly.detector import Detector
from hw3lib.anomaly.detectors.patchcore import PatchCore
from hw3lib.anomaly.maps import upsample
from hw3lib.core.intervals import Interval, Kind, corrected_interval, holm
from hw3lib.core.seeds import spawned
from hw3lib.data.groups import products
from hw3lib.data.labels import split_sizes
from hw3lib.data.pixels.reading import readings_of
from hw3lib.data.splits import repeated_splits
from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

from .finetune import FineTuning, FineTuningHistory, fine_tune
from .light import FrozenFeatures, LightSegmenter
from .sam import Embedding, Segmenter, embed_files

SAM, MAP, LIGHT = "SAM", "anomaly map", "LR-ASPP"
NONE = "none"  # a method that is not asked
_SPECK = 1e-4  # of the image's area: what a map finds below it is no box worth asking about
FIGURES = ("iou", "dice")


def iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks, bool ``(H, W)``; 1 if both are empty."""
    either = int((predicted | truth).sum())
    return int((predicted & truth).sum()) / either if either else 1.0


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of two masks, bool ``(H, W)``; 1 if both are empty."""
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else 1.0


@dataclass
class Material:
    """All that the splits share, made once: nothing in it has learned from a mask.

    Attributes:
        table: the defective images, rows from 0.
        instances: of their masks.
        embeddings: one an image.
        detected: what the detector's maps show above its threshold, boxes to ask SAM about.
        maps: the detector's anomaly maps, float32 ``(h, w)`` each; None without a detector.
        map_threshold: of the detector, which has seen good images only.
        light: the segmenter without prompts, and ``features`` for it.
    """

    segmenter: Segmenter
    table: pd.DataFrame
    instances: Instances
    embeddings: list[Embedding]
    detected: Instances
    maps: Maps | None
    map_threshold: float
    light: LightSegmenter
    features: FrozenFeatures
    before: dict[int, dict[str, tuple[float, float]]] = field(default_factory=dict, repr=False)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Ways to ask; a detector's boxes only where there is one."""
        return (BOX, CLICK) if self.maps is None else PROMPTS

    def truth(self, row: int) -> np.ndarray:
        """All that is defective in an image, bool ``(H, W)``."""
        return union([i.mask for i in self.instances.of(row)], self.embeddings[row].size)


@dataclass
class SegmentationEvaluation:
    """What was reached on the test images of each split.

    Attributes:
        per_image: columns ``split, row, method, prompt, iou_before, iou_after, dice_before, dice_after``; a method that
            learns nothing has no ``after``, one that cannot do without learning no ``before``.
        n_train, n_test: images in each part of a split.
        tuned: SAM fine-tuned for each prompt, one such dict a split, and ``histories`` of how they learned.
        seconds: of each split, fine-tuning and evaluation together.
    """

    per_image: pd.DataFrame
    n_train: int
    n_test: int
    tuned: list[dict[str, Segmenter]] = field(default_factory=list, repr=False)
    histories: list[dict[str, FineTuningHistory]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        """One row for each method and prompt: means over the splits and 95 % corrected resampled t intervals.

        Columns ``method, prompt, iou_before, iou_after, gain, gain_low, gain_high, gain_p, dice_before, dice_after,
        dice_gain`` (as ``gain``), ``iou_low, iou_high`` (interval of ``iou_after``, or of ``iou_before`` where there is
        no after), ``n_splits, n_train, n_test``. A gain is paired: the same images before and after, and its p-value is
        that of all rows together (:func:`hw3lib.core.holm`). Of a single split there is no interval.
        """
        values = [f"{figure}_{when}" for figure in FIGURES for when in ("before", "after")]
        means = self.per_image.groupby(["method", "prompt", "split"], sort=False)[values].mean().reset_index()
        parts = list(means.groupby(["method", "prompt"], sort=False))
        gains = [
            holm(self._interval(part[f"{figure}_after"] - part[f"{figure}_before"], "difference") for _, part in parts)
            for figure in FIGURES
        ]
        rows = []
        for ((method, prompt), part), iou, dice in zip(parts, *gains, strict=True):
            row = {"method": method, "prompt": prompt, "n_splits": len(part)}
            row |= {name: part[name].mean() for name in values} | iou.columns("gain") | dice.columns("dice_gain")
            when = "iou_before" if part["iou_after"].isna().all() else "iou_after"
            row |= self._interval(part[when]).columns(when, "iou")
            rows.append(row | {"n_train": self.n_train, "n_test": self.n_test})
        order = ["method", "prompt", "iou_before", "iou_after", "gain", "gain_low", "gain_high"]
        table = pd.DataFrame(rows)
        return table[order + [name for name in table.columns if name not in order]]

    def _interval(self, values: pd.Series, kind: Kind = "figure") -> Interval:
        if len(values) < 2 or values.isna().any():
            return Interval(float(values.mean()), kind=kind)
        return corrected_interval(values.to_numpy(), self.n_train, self.n_test, kind=kind)


def prepare(
    segmenter: Segmenter,
    table: pd.DataFrame,
    *,
    detector: Detector | None = None,
    detect: bool = True,
    light: LightSegmenter | None = None,
    cache: str | Path | None = None,
    progress: bool = False,
) -> Material:
    """Embed the defective images, fit a detector on good training images, and let it look at the defective ones.

    Args:
        segmenter: a published model.
        table: a category with masks, see :func:`hw3lib.data.load_table`.
        detector: not fitted yet, or fitted on good images already; None takes PatchCore at 224 px.
        detect: False goes without a detector, as a category without good training images must.
        light: the segmenter to compare with; None takes the default one.
        cache: folder for the embeddings.

    Raises:
        Hw3Error: a category without masks or without good training images, or as :func:`.embed_files`.
    """
    images = table[table["is_defect"] & table["mask"].map(lambda mask: isinstance(mask, str))].reset_index(drop=True)
    if not len(images):
        raise Hw3Error("the table has no defective image with a mask; segmentation learns from masks")
    sizes = list(zip(images["height"], images["width"], strict=True))
    detected, maps, threshold = (
        _detected(table, images, sizes, detector, progress) if detect else (Instances([]), None, np.nan)
    )
    light = light or LightSegmenter()
    features = light.features(ImageStack.load(images, light.image_size))
    embeddings = embed_files(segmenter, list(images["image"]), readings_of(images), cache=cache, progress=progress)
    return Material(
        segmenter, images, read_instances(images, boxes=False), embeddings, detected, maps, threshold, light, features
    )


def _detected(
    table: pd.DataFrame,
    images: pd.DataFrame,
    sizes: list[tuple[int, int]],
    detector: Detector | None,
    progress: bool,
) -> tuple[Instances, Maps, float]:
    """What a detector finds in the images, its maps, and their threshold."""
    detector = detector or PatchCore(image_size=224)
    if not hasattr(detector, "n_good_"):
        good = table[(table["split"] == "train") & ~table["is_defect"]]
        if not len(good):
            raise Hw3Error("the table has no good training image; the detector that makes prompts learns from these")
        detector.fit(ImageStack.load(good, detector.image_size, tiles=True), progress=progress)
    maps = detector.anomaly_map(ImageStack.load(images, detector.image_size, reading=detector.reading_, tiles=True))
    speck = max(1, round(_SPECK * float(np.median([h * w for h, w in sizes]))))
    return from_maps(maps, detector.map_threshold_, sizes, min_area=speck), maps, detector.map_threshold_


def few_image_splits(
    images: pd.DataFrame, n_splits: int = 5, n_train: int = 20, random_state: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified splits ``(train, test)`` of few training images; all others are tested on.

    What segments does not name classes, so classes too small to stand on both sides are put together, the smallest
    first.

    Raises:
        Hw3Error: ``n_train`` is not 2 to one less than there are images.
    """
    if not 2 <= n_train < len(images):
        raise Hw3Error(f"n_train={n_train}: expected 2 to {len(images) - 1} of {len(images)} images")
    classes = images["defect"].astype(str)
    while True:
        counts = classes.value_counts(sort=False).sort_index().sort_values(kind="stable")
        try:
            return repeated_splits(images.assign(defect=classes), n_splits, len(images) - n_train, random_state)
        except Hw3Error:
            if len(counts) == 1:
                raise
            classes = classes.replace(counts.index[0], counts.index[1])


def segment(
    segmenter: Segmenter, embedding: Embedding, instances: Sequence[Instance], prompt: str = BOX
) -> list[np.ndarray]:
    """A mask, bool ``(H, W)``, for each instance, prompted by its box or by a click on its most interior pixel."""
    if not instances:
        return []
    if prompt == CLICK:
        points = np.array([[interior_click(i)] for i in instances], np.float32)
        return list(segmenter.predict(embedding, points=points, labels=np.ones((len(instances), 1), int)).masks)
    return list(segmenter.predict(embedding, boxes=np.array([i.xyxy for i in instances], np.float32)).masks)


def union(masks: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """All masks as one, bool ``(H, W)``; empty if there is none."""
    return np.any(masks, axis=0) if len(masks) else np.zeros(size, bool)


def evaluate(
    material: Material,
    splits: list[tuple[np.ndarray, np.ndarray]],
    settings: FineTuning | None = None,
    *,
    progress: bool = False,
) -> SegmentationEvaluation:
    """Fine-tune on the training part of each split, once for each prompt, and measure on its test part.

    The test part chooses nothing.

    With a true box or a click, an image's figure is the mean over its instances. With boxes from the detector nothing
    says which box is which instance, so that all masks together are compared with all that is defective; an image in
    which the detector finds nothing has an IoU of 0.

    Args:
        material: see :func:`prepare`.
        splits: pairs ``(train, test)`` of rows of ``material.table``, see :func:`few_image_splits`.
        settings: of the fine-tuning; each prompt is tried in its turn, and the seed of the next split is one more.

    Raises:
        Hw3Error: a split whose parts share images, or as :func:`.fine_tune`.
    """
    settings = settings or FineTuning()
    rows, models, histories, seconds = [], [], [], []
    for number, (train, test) in enumerate(tqdm(splits, desc="splits", disable=not progress)):
        if shared := set(train) & set(test):
            raise Hw3Error(f"split {number}: {len(shared)} images are on both sides; expected none")
        started = time.perf_counter()
        results = {prompt: _tuned(material, train, settings, prompt, number, progress) for prompt in material.prompts}
        tuned = {prompt: found for prompt, (found, _) in results.items()}
        learned = light_masks(material, train, test, number)
        for row in test:
            if row not in material.before:
                material.before[row] = _sam_figures(material, dict.fromkeys(material.prompts, material.segmenter), row)
            after, truth = _sam_figures(material, tuned, row), material.truth(row)
            for prompt, before in material.before[row].items():
                rows.append(_row(number, row, SAM, prompt, before, after[prompt]))
            if material.maps is not None:
                found = upsample(material.maps[row], truth.shape) > material.map_threshold
                rows.append(_row(number, row, MAP, NONE, _figures(found, truth), None))
            rows.append(_row(number, row, LIGHT, NONE, None, _figures(learned[row], truth)))
        models.append(tuned)
        histories.append({prompt: history for prompt, (_, history) in results.items()})
        seconds.append(time.perf_counter() - started)
    return SegmentationEvaluation(pd.DataFrame(rows), *split_sizes(splits), models, histories, seconds)


def curve(
    material: Material,
    splits: list[tuple[np.ndarray, np.ndarray]],
    sizes: Sequence[int] = (5, 10, 20),
    settings: FineTuning | None = None,
    *,
    whole: SegmentationEvaluation | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """IoU against the number of training images, always on the same test images; each number contains the smaller ones.

    Args:
        whole: of the same splits, with all of their training images: joins the curve without being computed again.

    Returns:
        One row for each number, method and prompt: ``n_train, method, prompt, iou, iou_low, iou_high``; SAM before
        fine-tuning, and the map, which learns from no mask, have ``n_train`` 0. Where there are ten images or more,
        those that come first are spread over the classes.

    Raises:
        Hw3Error: a size below 2 or above the training images of the splits.
    """
    largest = min(len(train) for train, _ in splits)
    if not sizes or min(sizes) < 2 or max(sizes) > largest:
        raise Hw3Error(f"sizes={tuple(sizes)}: expected numbers from 2 to {largest}, the training images of a split")
    parts = []
    every = set(sizes) | ({whole.n_train} if whole else set())
    for size in sorted(every):
        fewer = [(spread(material.table, train)[:size], test) for train, test in splits]
        known = whole if whole and size == whole.n_train else evaluate(material, fewer, settings, progress=progress)
        table = known.table()
        after = table.dropna(subset="iou_after").assign(iou=lambda t: t["iou_after"])
        parts.append(after[["n_train", "method", "prompt", "iou", "iou_low", "iou_high"]])
        if size == min(every):
            before = table.dropna(subset="iou_before").assign(iou=lambda t: t["iou_before"], n_train=0)
            before.loc[before["iou_after"].notna(), ["iou_low", "iou_high"]] = np.nan
            parts.insert(0, before[["n_train", "method", "prompt", "iou", "iou_low", "iou_high"]])
    return pd.concat(parts, ignore_index=True)


def _tuned(
    material: Material, train: np.ndarray, settings: FineTuning, prompt: str, number: int, progress: bool
) -> tuple[Segmenter, FineTuningHistory]:
    instances = [i for i in material.instances if i.row in set(train)]
    embeddings = {int(row): material.embeddings[row] for row in train}
    settings = replace(settings, prompt=prompt, seed=spawned(settings.seed, number))
    detected = [i for i in material.detected if i.row in set(train)]
    numbers = products(material.table)
    groups = None if numbers is None else dict(enumerate(numbers.tolist()))
    return fine_tune(
        material.segmenter, embeddings, instances, settings, detected=detected, groups=groups, progress=progress
    )


def light_masks(material: Material, train: np.ndarray, test: np.ndarray, seed: int = 0) -> dict[int, np.ndarray]:
    """Masks that the segmenter without prompts, fitted on the training images, gives the test images, by their row."""
    light = replace(material.light, seed=seed)
    light.fit(material.features.of(train), [material.truth(row) for row in train])
    sizes = [material.embeddings[row].size for row in test]
    return dict(zip(test, light.predict(material.features.of(test), sizes), strict=True))


def _sam_figures(material: Material, segmenters: Mapping[str, Segmenter], row: int) -> dict[str, tuple[float, float]]:
    """IoU and Dice of an image for each prompt, by the segmenter that is meant for it."""
    embedding, instances, truth = material.embeddings[row], material.instances.of(row), material.truth(row)
    figures = {}
    for prompt in (BOX, CLICK):
        masks = segment(segmenters[prompt], embedding, instances, prompt)
        each = [_figures(mask, i.mask) for mask, i in zip(masks, instances, strict=True)]
        figures[prompt] = tuple(np.mean(each, axis=0))
    if DETECTOR in segmenters:
        found = segment(segmenters[DETECTOR], embedding, material.detected.of(row))
        figures[DETECTOR] = _figures(union(found, truth.shape), truth)
    return figures


def _figures(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    return iou(predicted, truth), dice(predicted, truth)


def _row(
    split: int, row: int, method: str, prompt: str, before: tuple | None, after: tuple | None
) -> dict[str, object]:
    before, after = before or (np.nan, np.nan), after or (np.nan, np.nan)
    result = {"split": split, "row": int(row), "method": method, "prompt": prompt}
    for figure, one, two in zip(FIGURES, before, after, strict=True):
        result |= {f"{figure}_before": one, f"{figure}_after": two}
    return result
