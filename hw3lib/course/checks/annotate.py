"""Checks of chapter 5: run lengths, boxes, average precision, what is dropped."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from scipy import ndimage

from .base import Case, check, compare, near, parts, whole


def _runs(pixels: np.ndarray) -> list[int]:
    """Lengths of runs of equal values, of zeros first."""
    runs = [(value, len(list(group))) for value, group in groupby(pixels.astype(int).tolist())]
    return [0] * (runs[0][0] == 1) + [length for _, length in runs]


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
        read=whole,
    )
    return "what pycocotools writes, before it packs the numbers into letters"


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of one box with each of the others, all ``x1, y1, x2, y2``."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared)


def _right(found: np.ndarray, truth: np.ndarray, once: bool = True, apart: bool = True, least: float = 0.5) -> Any:
    """Which found boxes are right, taken in their order: one for each true box (``once``), on its image (``apart``)."""
    left, right = np.ones(len(truth), bool), np.zeros(len(found), bool)
    for row, one in enumerate(found):
        overlap = _overlap(one[1:5], truth[:, 1:]) * left * ((truth[:, 0] == one[0]) | (not apart))
        right[row] = overlap.max() >= least
        if right[row]:
            left[overlap.argmax()] = not once
    return right


def _precisions(right: np.ndarray) -> np.ndarray:
    return np.cumsum(right) / np.arange(1, len(right) + 1)


def _envelope(precisions: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(precisions[::-1])[::-1]


_RECALLS = (
    "that is nearly it: it averages over recalls at equal distances, as VOC 2007 and COCO do; sum over the right boxes"
)


def _draw_boxes(rng: np.random.Generator) -> Case:
    """Boxes of some images, all at the same places: found well, twice, badly, on another image, or not at all."""
    images = range(int(rng.integers(3, 6)))
    places = np.array([[5, 5], [40, 8], [10, 45], [50, 50]]) + rng.uniform(0, 4, (4, 2))
    sizes = rng.uniform(14, 24, (4, 2))
    boxes = np.column_stack([places, places + sizes])
    truth = np.array([[image, *boxes[k]] for image in images for k in rng.permutation(4)[: rng.integers(2, 4)]])
    found = []
    for image, *box in truth:
        shift = np.tile(rng.uniform(-1.5, 1.5, 2), 2)
        tall = np.array([0, 0, 0, (box[3] - box[1]) * rng.choice([0.8, 1.2])])  # an IoU of 0.56, and one of 0.45
        if rng.random() < 0.9:
            found.append([image, *(box + (shift if rng.random() < 0.5 else tall)), rng.uniform(0.3, 1)])
        found += [[image, *(box - shift), rng.uniform(0.2, 1)]] if rng.random() < 0.5 else []
        found += [[image, *(np.array(box) + 9), rng.uniform(0.4, 1)]] if rng.random() < 0.5 else []
    for image in images:  # where another image has a defect, and this one has none
        free = [k for k in range(4) if not (truth[truth[:, 0] == image, 1:] == boxes[k]).all(1).any()]
        found.append([image, *boxes[free[0]], rng.uniform(0.3, 1)])
    return f"{len(found)} boxes found, {len(truth)} true ones", (rng.permutation(np.array(found)), truth)


@check
def average_precision(rng: np.random.Generator, function: Any) -> str:
    """Average precision of one class at an IoU of 0.5 (Everingham et al. 2015, IJCV 111)."""

    def ap(f: np.ndarray, t: np.ndarray, ascending: bool = False, envelope: bool = True, **how: Any) -> float:
        f = f[np.argsort(f[:, 5] if ascending else -f[:, 5])]
        right = _right(f, t, **how)
        precisions = _precisions(right)
        return float((_envelope(precisions) if envelope else precisions)[right].sum() / len(t))

    def at_recalls(f: np.ndarray, t: np.ndarray, count: int) -> float:
        right = _right(f[np.argsort(-f[:, 5])], t)
        recalls, best = np.cumsum(right) / len(t), np.append(_envelope(_precisions(right)), 0)
        return float(best[np.searchsorted(recalls, np.linspace(0, 1, count) - 1e-9)].mean())

    compare(
        function,
        [_draw_boxes(rng) for _ in range(6)],
        ap,
        "take the found boxes by falling score: is there a true box left, on this image, that it overlaps by half?",
        [
            (lambda f, t: ap(f, t, once=False), "a second box on the same defect is false: each true one counts once"),
            (lambda f, t: ap(f, t, apart=False), "a box is right on its own image alone: look at the first column"),
            (lambda f, t: ap(f, t, ascending=True), "that begins with the lowest score; the surest box comes first"),
            (lambda f, t: ap(f, t, envelope=False), "precision may rise again: take the highest from this box onwards"),
            (lambda f, t: ap(f, t, least=1e-9), "boxes that touch are not enough: the IoU is to be 0.5 or more"),
            (lambda f, t: ap(f, t) * len(t) / len(f), "divide by the number of true boxes, also those not found"),
            (
                lambda f, t: ap(f, t) * len(t) / max(_right(f[np.argsort(-f[:, 5])], t).sum(), 1),
                "true boxes that nobody found count, too: divide by all true ones",
            ),
            (lambda f, t: _right(f[np.argsort(-f[:, 5])], t).mean(), "that is the precision of all boxes together"),
            (lambda f, t: _right(f[np.argsort(-f[:, 5])], t).sum() / len(t), "that is the recall of all boxes"),
            (lambda f, t: 100 * ap(f, t), "that is in per cent; 0 to 1 was asked for"),
            (
                lambda f, t: _precisions(_right(f[np.argsort(-f[:, 5])], t)).mean(),
                "that averages over all found boxes; the precision counts where a box is right",
            ),
            (
                lambda f, t: float(_envelope(_precisions(r := _right(f, t)))[r].sum() / len(t)),
                "these boxes are in no order: sort them by score, the surest first",
            ),
            *((partial(at_recalls, count=count), _RECALLS) for count in (11, 101)),
        ],
        what="the average precision",
    )
    return "mAP50 is this, averaged over the classes: sure mistakes cost more than unsure ones"


def _ends(mask: np.ndarray) -> np.ndarray:
    """First and last row and column: top, bottom, left, right."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return np.array([rows[0], rows[-1], columns[0], columns[-1]])


def _box_hint(found: np.ndarray, expected: np.ndarray) -> str:
    """Which of the four are right."""
    right = ", ".join(parts(found, expected, ["xmin", "ymin", "xmax", "ymax"])) or "none of the four"
    return f"right each time: {right}; x goes along the columns, pixels count from 1, the last one is included"


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
        _box_hint,
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
        shape = rng.integers(25, 36, 2)
        masks = [rng.random(shape) < rng.uniform(0.15, 0.3) for _ in range(int(rng.integers(2, 5)))]
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
