"""The answer to assignment question 5 in about 150 words, written from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hw3lib.core.intervals import Interval

from .available import BOXES, MASKS
from .instances import Instances

STEPS = ("sam", "detection", "yolo")


def describe_annotation(
    instances: Instances,
    formats: Sequence[dict[str, Any]],
    sam: pd.DataFrame | None,
    detection: pd.DataFrame | None,
    curve: pd.DataFrame | None = None,
    *,
    origin: str = MASKS,
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Which data the models need, what they reached here, and why so few images are enough or are not.

    Args:
        instances: of the ground-truth masks or boxes, or of anomaly maps.
        formats: rows of :meth:`.export.Exported.rows`.
        sam: :meth:`.segmentation.Evaluation.table`; None, or no row, where it was not measured.
        detection: :func:`.detection_summary`; None, or no row, where nothing was trained.
        curve: :func:`.segmentation.curve`.
        origin: of the instances, see :func:`.available.defective_images`.
        left_out: why ``sam`` or ``detection`` is None, or lacks ``yolo``: sentences without their full stops.
    """
    left_out = left_out or {}
    made = "Both were made from the masks"
    if origin == BOXES:
        made = "Boxes were drawn and masks were not; SAM, asked with them, gives a first mask for a person to correct"
    elif origin != MASKS:
        made = "Without masks, anomaly maps gave a first annotation for a person to correct"
    images = len({instance.row for instance in instances})
    sentences = [
        "YOLO-World needs boxes, class names as prompts, and images without defects; SAM needs masks, and boxes or "
        f"clicks to ask with. {made}: {_count(len(instances), 'instance')} of "
        f"{_count(len(instances.classes), 'class', 'classes')} in {_count(images, 'image')}, in "
        f"{_count(len(formats), 'format')}."
    ]
    inexact = [row["format"] for row in formats if not row["exact"]]
    if formats:
        sentences.append(
            f"All but {' and '.join(inexact)} read back as written." if inexact else "All read back as written."
        )
    sentences += _of_sam(sam)
    sentences += _of_detection(detection)
    reasons = dict.fromkeys(left_out[step] for step in STEPS if step in left_out)
    sentences += [f"Left out: {reason}." for reason in reasons]
    sentences += _why(sam, curve)
    return " ".join(sentences)


def _of_sam(sam: pd.DataFrame | None) -> list[str]:
    if sam is None or not len(sam):
        return []
    rows = sam.set_index(["method", "prompt"])
    box = rows.loc[("SAM", "box")]
    said = [
        f"Asked with a true box, SAM reaches an IoU of {box['iou_before']:.2f} untrained and {box['iou_after']:.2f} "
        f"after {box['n_train']:.0f} images ({_gain(box)}).",
    ]
    if ("SAM", "detector") in rows.index:
        reached = rows.loc[("SAM", "detector"), "iou_after"]
        said.append(f"Without a person, asked with the anomaly detector's boxes, it reaches {reached:.2f}.")
    return said


def _of_detection(detection: pd.DataFrame | None) -> list[str]:
    if detection is None or not len(detection):
        return []
    best = detection.iloc[0]
    if not detection["map50_after"].max() > 0:
        return [f"After training, {_count(len(detection), 'detector')} found nothing: an mAP50 of 0.00."]
    after, before = f"{best['map50_after']:.2f}", f"{best['map50_before']:.2f}"
    if len(detection) > 1:
        return [
            f"Of {len(detection)} detectors {best['model']} finds most, mAP50 {after} after training, {before} before."
        ]
    return [f"{best['model']} reaches an mAP50 of {after} after training, {before} before."]


def _why(sam: pd.DataFrame | None, curve: pd.DataFrame | None) -> list[str]:
    general = (
        "Such models suit fine-tuning because they know edges, parts and objects from millions of images; only a small "
        "part must learn what a defect is"
    )
    if sam is not None and len(sam):
        box = sam.set_index(["method", "prompt"]).loc[("SAM", "box")]
        if Interval.read(box, "gain", kind="difference").sign <= 0:
            general = (
                "Such models know edges, parts and objects from millions of images, so that only a small part must "
                "learn what a defect is; that this pays is not shown on these images"
            )
    if curve is None or sam is None or not len(curve):
        return [f"{general}."]
    after = curve[curve["n_train"] > 0]
    few, many = int(after["n_train"].min()), int(after["n_train"].max())
    at = after.set_index(["n_train", "method", "prompt"])["iou"]
    light = next(method for method in after["method"].unique() if method != "SAM")
    return [
        f"{general}: with {few} images SAM reaches {at[few, 'SAM', 'box']:.2f}, with {many} "
        f"{at[many, 'SAM', 'box']:.2f}; a segmenter without such knowledge, and without a prompt, "
        f"{at[few, light, 'none']:.2f} and {at[many, light, 'none']:.2f}."
    ]


def _gain(row: pd.Series) -> str:
    gain = Interval.read(row, "gain", kind="difference")
    said = f"gain {gain.points()}"
    return f"{said}, {gain.verdict('statistically significant', 'significantly worse')}" if gain.estimable else said


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
