"""The same test images under another light or turned a little: where detectors that look perfect break."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import affine_grid, grid_sample

from hw3lib.core.intervals import auroc_interval
from hw3lib.data.stack import ImageStack

from .comparison import DetectorEvaluation, share

Change = Callable[[np.ndarray], np.ndarray]


def light(red: float = 1.0, green: float = 1.0, blue: float = 1.0) -> Change:
    """Images times a factor for each channel, clipped; equal factors make them brighter or darker."""
    factors = np.array([red, green, blue], np.float32).reshape(3, 1, 1)
    return lambda images: _to_uint8(images * factors)


def light_from_the_left(strength: float) -> Change:
    """Brighter by a share of ``strength`` at the left edge, darker by as much at the right one, in a straight ramp."""

    def change(images: np.ndarray) -> np.ndarray:
        return _to_uint8(images * np.linspace(1 + strength, 1 - strength, images.shape[-1], dtype=np.float32))

    return change


def turn(degrees: float) -> Change:
    """Images turned anticlockwise around their centre; what comes in from outside mirrors the inside."""
    angle = np.deg2rad(degrees)
    matrix = torch.tensor([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]).float()
    return lambda images: _sample(images, matrix)


def shift(share: float) -> Change:
    """Images moved to the right by a share of their width; what comes in mirrors the inside."""
    matrix = torch.tensor([[1, 0, -2 * share], [0, 1, 0]]).float()
    return lambda images: _sample(images, matrix)


# The first one changes nothing: the others are compared with it.
CONDITIONS: dict[str, Change] = {
    "as photographed": lambda images: images,
    "20 % darker": light(0.8, 0.8, 0.8),
    "in warmer light": light(1.1, 1.0, 0.85),
    "lit from the left": light_from_the_left(0.2),
    "shifted by 5 %": shift(0.05),
    "turned by 5 degrees": turn(5),
    "turned by 90 degrees": lambda images: np.ascontiguousarray(np.rot90(images, 1, (-2, -1))),
}


def robustness_table(
    evaluations: Sequence[DetectorEvaluation],
    images: ImageStack | np.ndarray,
    rows: np.ndarray | None = None,
    *,
    conditions: Mapping[str, Change] | None = None,
    asked_rate: float | None = None,
) -> pd.DataFrame:
    """Score changed test images with detectors as they are; nothing is fitted and no threshold is moved.

    Args:
        evaluations: fitted detectors with thresholds, all of one image size.
        images: test images of the evaluations, uint8 ``(n, 3, H, W)`` or, where they are padded or cut into tiles, an
            ImageStack: then the images are changed, and not what is around them.
        rows: their positions among the evaluations' images; None: they are all of them.
        conditions: name and change; None: :data:`CONDITIONS`.
        asked_rate: false-alarm rate that the thresholds were to keep, for the figure.

    Returns:
        One row a condition and detector: ``condition, detector, image_auroc, auroc_low, auroc_high, auroc_p`` (95 %
        interval over these images, each by itself), ``false_alarm_rate, detection_rate``, ``images``, and
        ``asked_rate`` if it is given. NaN for what good images alone, or defective ones alone, cannot say.
    """
    found = []
    for name, change in (conditions or CONDITIONS).items():
        changed = _changed(images, change)
        for e in evaluations:
            scores = e.detector.decision_function(changed)
            is_defect = e.is_defect if rows is None else e.is_defect[rows]
            above = scores > e.detector.threshold_
            groups = e.groups if rows is None or e.groups is None else e.groups[rows]
            row: dict[str, object] = {"condition": name, "detector": e.label}
            row |= auroc_interval(is_defect, scores, groups).columns("image_auroc", "auroc")
            row |= {"false_alarm_rate": share(above[~is_defect]), "detection_rate": share(above[is_defect])}
            row["images"] = len(is_defect)
            found.append(row if asked_rate is None else {**row, "asked_rate": asked_rate})
    return pd.DataFrame(found)


def _changed(images: ImageStack | np.ndarray, change: Change) -> ImageStack | np.ndarray:
    if not isinstance(images, ImageStack):
        return change(images)
    if images.geometries is None:
        return change(images.images)
    return images.changed(lambda image: change(image.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0))


def _to_uint8(images: np.ndarray) -> np.ndarray:
    return np.rint(images).clip(0, 255).astype(np.uint8)


def _sample(images: np.ndarray, matrix: torch.Tensor) -> np.ndarray:
    """Images ``(N, 3, H, W)`` resampled: ``matrix`` takes target to source places in units of half a square's side."""
    height, width = images.shape[2:]
    matrix = matrix * torch.tensor([[1, height / width, 1], [width / height, 1, 1]])  # the sides are 2 units each
    parts = []
    for part in np.array_split(images, max(1, len(images) // 16)):
        batch = torch.from_numpy(np.ascontiguousarray(part)).float()
        grid = affine_grid(matrix.expand(len(batch), 2, 3), list(batch.shape), align_corners=False)
        parts.append(_to_uint8(grid_sample(batch, grid, "bilinear", "reflection", align_corners=False).numpy()))
    return np.concatenate(parts)
