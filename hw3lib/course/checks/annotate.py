"""Checks of chapter 5: run lengths, boxes, overlap, what is dropped."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from scipy import ndimage

from .base import Case, CheckFailed, check, compare, near, short


def _runs(pixels: np.ndarray) -> list[int]:
    """Lengths of runs of equal values, of zeros first."""
    runs = [(value, len(list(group))) for value, group in groupby(pixels.astype(int).tolist())]
    return [0] * (runs[0][0] == 1) + [length for _, length in runs]


def _whole(value: Any, expected: Any, what: str) -> np.ndarray:
    """A flat array of whole numbers, of any length."""
    try:
        found = np.asarray(value if not isinstance(value, str) else None, float).ravel()
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not np.isfinite(found).all() or (found != found.round()).any():
        raise CheckFailed(f"{what}: expected a flat list of whole numbers, found {short(value)}")
    return found.astype(int)


@check
def run_lengths(rng: np.random.Generator, function: Any) -> str:
    """COCO's uncompressed run lengths of a mask: down the columns, zeros first."""
    masks = [rng.random(rng.integers(2, 6, 2)) < rng.uniform(0.3, 0.7) for _ in range(6)]
    for mask, corners in zip(masks, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=False):
        mask[0, 0], mask[-1, -1] = corners
    masks += [np.zeros((2, int(rng.integers(2, 5))), bool), np.ones((2, int(rng.integers(2, 5))), bool)]
    compare(
        function,
        [(f"the mask {mask.astype(int).tolist()}", (mask,)) for mask in masks],
        lambda mask: _runs(mask.ravel(order="F")),
        "count how often the value stays the same before it changes; their sum is the number of pixels",
        [
            (lambda m: _runs(m.ravel()), "COCO goes down the columns, not along the rows"),
            (
                lambda m: [n for n in _runs(m.ravel(order="F")) if n],
                "the first number counts zeros, even where there are none",
            ),
            (lambda m: _runs(m.ravel(order="F"))[:-1], "the last run is missing: it ends with the mask"),
            (lambda m: _runs(m.ravel(order="F"))[1:], "the first run is missing: it counts zeros"),
            (lambda m: _runs(~m.ravel(order="F")), "these begin with ones; COCO begins with zeros"),
            (lambda m: _runs(m.ravel(order="F"))[::-1], "the order is the other one"),
            (lambda m: np.cumsum(_runs(m.ravel(order="F"))), "these are places where the value changes; count lengths"),
            (lambda m: _runs(m.ravel(order="F"))[1::2], "these are the runs of ones alone"),
            (lambda m: _runs(m.ravel(order="F"))[::2], "these are the runs of zeros alone"),
            (lambda m: m.ravel(order="F").astype(int), "these are the pixels themselves"),
            (lambda m: [0, *_runs(m.ravel(order="F"))], "there is one zero too many at the start"),
            (lambda m: [(~m).sum(), m.sum()], "these are all zeros and all ones; count every run by itself"),
        ],
        what="the run lengths",
        read=_whole,
    )
    return "what pycocotools writes, before it packs the numbers into letters"


@check
def mask_iou(rng: np.random.Generator, function: Any) -> str:
    """Intersection over union of two masks."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(6):
        shape = rng.integers(4, 9, 2)
        one, other = rng.random(shape) < rng.uniform(0.2, 0.7), rng.random(shape) < rng.uniform(0.2, 0.7)
        one[0, :2], other[0, :2] = (True, True), (True, False)
        pairs.append((one, other))
    pairs += [(pairs[0][0], ~pairs[0][0]), (pairs[1][1], pairs[1][1])]
    compare(
        function,
        [(f"masks of {a.sum()} and {b.sum()} pixels, {(a & b).sum()} in both", (a, b)) for a, b in pairs],
        lambda a, b: np.count_nonzero(a * b) / np.count_nonzero(a + b),
        "pixels in both over pixels in at least one",
        [
            (lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum()), "that is Dice, which counts the overlap twice"),
            (lambda a, b: (a == b).mean(), "that counts pixels that are in neither: nothing at all would score high"),
            (lambda a, b: (a & b).sum() / a.sum(), "below the line is the first mask alone"),
            (lambda a, b: (a & b).sum() / b.sum(), "below the line is the second mask alone"),
            (lambda a, b: (a & b).sum() / (a.sum() + b.sum()), "the pixels in both are counted twice below the line"),
            (lambda a, b: (a & b).mean(), "below the line are all pixels of the image"),
            (lambda a, b: (a & b).sum(), "that is the intersection; what is it divided by?"),
            (
                lambda a, b: 1 - (a & b).sum() / (a | b).sum(),
                "that is one minus it: & is in both, ^ in exactly one",
            ),
            (lambda a, b: (a & b).sum() / (a ^ b).sum(), "^ leaves out the pixels in both; | is in at least one"),
            (lambda a, b: (a & b).sum() / max(a.sum(), b.sum()), "below the line is the larger mask alone"),
            (lambda a, b: (a & b).sum() / min(a.sum(), b.sum()), "below the line is the smaller mask alone"),
            (lambda a, b: 100 * (a & b).sum() / (a | b).sum(), "that is in per cent; 0 to 1 was asked for"),
        ],
        what="the IoU",
    )
    return "no pixel outside both masks counts"


def _ends(mask: np.ndarray) -> np.ndarray:
    """First and last row and column: top, bottom, left, right."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return np.array([rows[0], rows[-1], columns[0], columns[-1]])


@check
def voc_box(rng: np.random.Generator, function: Any) -> str:
    """Pascal VOC's ``xmin, ymin, xmax, ymax`` of a mask: the first pixel is 1, the last one belongs to the box."""
    cases: list[Case] = []
    for corner in (True, False, False, False, False):
        mask = np.zeros((int(rng.integers(8, 14)), int(rng.integers(15, 24))), bool)
        top, left = (0, 0) if corner else (int(rng.integers(1, 4)), int(rng.integers(4, 9)))
        height, width = int(rng.integers(1, 5)), int(rng.integers(2, 7))
        mask[top : top + height, left : left + width] = rng.random((height, width)) < 0.5
        mask[top, left] = mask[top + height - 1, left + width - 1] = True
        given = f"a mask with rows {top} to {top + height - 1} and columns {left} to {left + width - 1}"
        cases.append((f"{given} of {mask.shape[0]} x {mask.shape[1]}", (mask,)))

    def taken(order: tuple[int, ...], plus: tuple[int, ...]) -> Any:
        return lambda mask: _ends(mask)[list(order)] + plus

    xyxy = (2, 0, 3, 1)
    compare(
        function,
        cases,
        lambda mask: tuple(int(v) for v in _ends(mask)[[2, 0, 3, 1]] + 1),
        "look at one number after the other: x goes along the columns, pixels count from 1, the last one is included",
        [
            (taken((0, 2, 1, 3), (0, 0, 0, 0)), "x and y are exchanged, and pixels count from 1"),
            (taken((0, 2, 1, 3), (1, 1, 1, 1)), "x and y are exchanged: x goes along the columns"),
            (taken(xyxy, (0, 0, 0, 0)), "numpy's first pixel is 0, Pascal VOC's is 1"),
            (
                taken(xyxy, (1, 1, 2, 2)),
                "the upper left corner is right; the lower right one is a pixel beyond the last",
            ),
            (taken(xyxy, (1, 1, 0, 0)), "the upper left corner is right; the last pixel is not in the box"),
            (taken(xyxy, (0, 0, 1, 1)), "the lower right corner is right; the very first pixel has the number 1"),
            (taken(xyxy, (2, 2, 2, 2)), "these count from 2: add 1 once"),
            (taken(xyxy, (-1, -1, -1, -1)), "1 was subtracted; numpy counts from 0 and Pascal VOC from 1"),
            (
                taken((2, 3, 0, 1), (1, 1, 1, 1)),
                "these are xmin, xmax, ymin, ymax; the order is xmin, ymin, xmax, ymax",
            ),
            (taken((3, 1, 2, 0), (1, 1, 1, 1)), "the two corners are exchanged: the upper left one comes first"),
            (
                lambda m: (*(_ends(m)[[2, 0]] + 1), np.ptp(_ends(m)[2:]) + 1, np.ptp(_ends(m)[:2]) + 1),
                "the last two are width and height, as COCO has them; Pascal VOC has a corner",
            ),
            (
                lambda m: (*_ends(m)[[2, 0]], np.ptp(_ends(m)[2:]) + 1, np.ptp(_ends(m)[:2]) + 1),
                "that is COCO's box: x, y, width, height, from 0",
            ),
            (lambda m: (1, 1, m.shape[1], m.shape[0]), "that is the whole image"),
        ],
        what="the box",
    )
    return "one pixel more or less is a box that no other program agrees with"


def _areas(mask: np.ndarray, diagonal: bool = True) -> np.ndarray:
    labels, _ = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)
    return np.bincount(labels.ravel())[1:]


@check
def dropped_components(rng: np.random.Generator, function: Any) -> str:
    """How many components of several masks are smaller than ``min_area`` pixels."""

    def over(count: Any) -> Any:
        return lambda masks, least: sum(int(count(mask, least)) for mask in masks)

    cases: list[Case] = []
    for _ in range(6):
        masks = [rng.random((30, 30)) < rng.uniform(0.15, 0.3) for _ in range(int(rng.integers(2, 5)))]
        cases.append((f"{len(masks)} masks, min_area={(least := int(rng.integers(3, 6)))}", (masks, least)))
    right = over(lambda mask, least: (_areas(mask) < least).sum())
    compare(
        function,
        cases,
        right,
        "label each mask with diagonal neighbours joined, and count the components that are smaller",
        [
            (over(lambda m, least: (_areas(m) <= least).sum()), "a component of exactly min_area pixels stays"),
            (over(lambda m, least: (_areas(m, False) < least).sum()), "diagonal neighbours are not joined"),
            (over(lambda m, least: (_areas(m) >= least).sum()), "these are the components that stay"),
            (over(lambda m, least: (_areas(m) > least).sum()), "these are components that stay"),
            (over(lambda m, least: len(_areas(m))), "these are all components, the large ones, too"),
            (over(lambda m, least: _areas(m)[_areas(m) < least].sum()), "these are pixels; count components"),
            (over(lambda m, least: m.sum() < least), "these are masks; a mask can have several components"),
            (
                over(lambda m, least: (_areas(m) < least).any()),
                "these are masks with a small component; count all of them",
            ),
            (over(lambda m, least: (_areas(m) == least).sum()), "these have exactly min_area pixels"),
            (over(lambda m, least: (_areas(~m) < least).sum()), "these are the holes: what is defective is true"),
            (lambda masks, least: (_areas(masks[0]) < least).sum(), "that is the first mask alone"),
            (lambda masks, least: (_areas(masks[-1]) < least).sum(), "that is the last mask alone"),
            (over(lambda m, least: (_areas(m) < least).sum() + 1), "the background of each mask was counted, too"),
        ],
        what="the components",
        same=near,
    )
    return "whoever sets min_area decides what counts as a defect"
