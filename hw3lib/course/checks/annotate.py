"""Checks of chapter 5: run lengths, boxes, overlap, what is dropped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from hw3lib.annotate.instances import components
from hw3lib.data.regions.masks import read_mask

from .base import CheckFailed, call, near, number, numbers, passed


def run_lengths(function: Callable[[np.ndarray], list[int]]) -> None:
    """COCO's uncompressed run lengths of a mask: down the columns, zeros first."""
    rng = np.random.default_rng(0)
    cases = [np.array([[0, 1], [1, 1], [0, 0]], bool), np.array([[1, 0], [1, 0]], bool), np.zeros((2, 3), bool)]
    cases += [rng.random((5, 4)) < 0.5 for _ in range(5)]
    for mask in cases:
        given = f"the mask {mask.astype(int).tolist()}" if mask.size < 8 else f"a mask of {mask.shape} pixels"
        found = [int(v) for v in np.ravel(np.asarray(call(function, mask.copy(), given=given)))]
        expected = _runs(mask.ravel(order="F"))
        if found == expected:
            continue
        hint = "count how often the value stays the same before it changes"
        if sum(found) != mask.size:
            hint = f"they add up to {sum(found)}, the mask has {mask.size} pixels"
        elif found == _runs(mask.ravel(order="C")):
            hint = "COCO goes down the columns, not along the rows"
        elif mask[0, 0] and [0, *found] == expected:
            hint = "the first number counts zeros, even where there are none"
        raise CheckFailed(f"{given}: these are not its run lengths; {hint}")
    passed("what pycocotools writes, before it packs the numbers into letters")


def _runs(pixels: np.ndarray) -> list[int]:
    changes = np.flatnonzero(np.diff(np.concatenate([[False], pixels]).astype(int))).tolist()
    ends = [*changes, len(pixels)]
    return np.diff([0, *ends]).tolist()


def mask_iou(function: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Intersection over union of two masks."""
    rng = np.random.default_rng(0)
    a = np.zeros((6, 6), bool)
    a[1:4, 1:4] = True
    b = np.zeros((6, 6), bool)
    b[2:6, 2:6] = True
    cases = [(a, a), (a, b), (a, ~a), *(tuple(rng.random((2, 8, 8)) < 0.4) for _ in range(4))]
    for one, other in cases:
        both, either = int((one & other).sum()), int((one | other).sum())
        given = f"masks of {one.sum()} and {other.sum()} pixels, {both} in both"
        found = number(call(function, one.copy(), other.copy(), given=given), "the IoU")
        expected = both / either
        if near(found, expected):
            continue
        hint = "pixels in both over pixels in either"
        if near(found, 2 * both / (one.sum() + other.sum())):
            hint = "that is Dice, which counts the overlap twice and is always the kinder one"
        elif near(found, (one == other).mean()):
            hint = "that counts pixels that are in neither: an empty prediction would be nearly perfect"
        elif near(found, both / max(int(one.sum()), 1)) or near(found, both / max(int(other.sum()), 1)):
            hint = (
                "only one of the two masks is below the line: a mask of everything would be perfect, or one of nothing"
            )
        raise CheckFailed(f"{given}: expected {expected:.4g}, found {found:.4g}; {hint}")
    passed("no pixel outside both masks counts")


def voc_box(function: Callable[[np.ndarray], tuple[int, int, int, int]]) -> None:
    """Pascal VOC's ``xmin, ymin, xmax, ymax`` of a mask: the first pixel is 1, the last one belongs to the box."""
    cases = [((0, 3), (0, 5)), ((2, 4), (1, 9)), ((5, 6), (7, 8))]  # rows, columns; half-open
    for (top, bottom), (left, right) in cases:
        mask = np.zeros((8, 12), bool)
        mask[top:bottom, left:right] = True
        given = f"a mask with rows {top} to {bottom - 1} and columns {left} to {right - 1} of 8 x 12"
        found = tuple(numbers(call(function, mask, given=given), (4,), f"{given}, the box").astype(int).tolist())
        expected = (left + 1, top + 1, right, bottom)
        if found == expected:
            continue
        hint = "look at one number after the other"
        if found == (top + 1, left + 1, bottom, right) or found == (top, left, bottom - 1, right - 1):
            hint = "x and y are exchanged: x goes along the columns"
        elif found == (left, top, right - 1, bottom - 1):
            hint = "numpy's first pixel is 0, Pascal VOC's is 1"
        elif found[:2] == expected[:2]:
            hint = "the upper left corner is right; is the last pixel of the defect in the box, and no other?"
        elif found[2:] == expected[2:]:
            hint = "the lower right corner is right; which number has the very first pixel of an image?"
        raise CheckFailed(f"{given}: found {found}; {hint}")
    passed("one pixel more or less is a box that no other program agrees with")


def dropped_components(prediction: int, measured: int, table: pd.DataFrame, min_area: int) -> None:
    """How many components of the masks are smaller than ``min_area`` pixels; the prediction may be wrong."""
    if not isinstance(prediction, int) or isinstance(prediction, bool) or prediction < 0:
        raise CheckFailed(f"prediction: expected a number of components, 0 or more, found {prediction!r}")
    masks = ((0, "", read_mask(path)) for path in table["mask"].dropna())
    expected = len(components(masks, min_area=min_area).dropped)
    if measured != expected:
        raise CheckFailed(
            f"measured: {measured} is not it; label each mask with diagonal neighbours joined, and count what has "
            f"fewer than {min_area} pixels (exactly {min_area} stays)"
        )
    passed(f"{measured} components, {prediction} predicted; whoever sets min_area decides what counts as a defect")
