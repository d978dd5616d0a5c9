"""Answers to chapter 5."""

from itertools import groupby

import numpy as np
import pandas as pd
from scipy import ndimage

from hw3lib.core.untrusted import parse


def runs(mask, order="F", start=False):
    counts, expected, place = [], start, 0
    values = mask.ravel(order=order)
    while place < len(values):
        length = 0
        while place < len(values) and values[place] == expected:
            place, length = place + 1, length + 1
        counts.append(length)
        expected = not expected
    return counts


def by_diff(mask):
    pixels = np.concatenate([[0], mask.T.ravel().astype(int)])
    return np.diff([0, *np.flatnonzero(np.diff(pixels)), mask.size])


def by_groups(mask):
    found = [(value, len(list(group))) for value, group in groupby(mask.T.ravel())]
    return [length for _, length in ([] if not found[0][0] else [(0, 0)]) + found]


def by_text(mask):
    text = "".join("01"[v] for v in mask.flatten("F").astype(int))
    return ([0] if text[0] == "1" else []) + [len("".join(g)) for _, g in groupby(text)]


def by_loop(mask):
    counts, now = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column] == now:
                counts[-1] += 1
            else:
                counts.append(1)
                now = not now
    return counts


def iou(a, b):
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, across) * max(0, down)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def hits(found, truth, once=True, apart=True, least=0.5, key=lambda box: -box[5]):
    """Right or not, the surest box first."""
    left, right = [tuple(t) for t in truth], []
    for box in sorted(map(tuple, found), key=key):
        near = [t for t in left if iou(box[1:5], t[1:]) >= least and (t[0] == box[0] or not apart)]
        right.append(bool(near))
        if near and once:
            left.remove(max(near, key=lambda t: iou(box[1:5], t[1:])))
    return np.array(right)


def ap(found, truth, **how):
    right = hits(found, truth, **how)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return sum(precision[k:].max() for k in np.flatnonzero(right)) / len(truth)


def ap_raw(found, truth):
    right = hits(found, truth)
    return (np.cumsum(right) / np.arange(1, len(right) + 1))[right].sum() / len(truth)


def ap_by_recall(found, truth):  # the area below the envelope, recall step by recall step
    right = hits(found, truth)
    recall, precision = np.cumsum(right) / len(truth), np.cumsum(right) / np.arange(1, len(right) + 1)
    total, before = 0.0, 0.0
    for level in np.unique(recall[recall > 0]):
        total += (level - before) * precision[recall >= level].max()
        before = level
    return total


def ap_as_voc(found, truth):
    right = hits(found, truth)
    recall = np.r_[0, np.cumsum(right) / len(truth), 1]
    precision = np.r_[0, np.cumsum(right) / np.arange(1, len(right) + 1), 0]
    for k in range(len(precision) - 2, -1, -1):
        precision[k] = max(precision[k], precision[k + 1])
    steps = np.flatnonzero(np.diff(recall))
    return ((recall[steps + 1] - recall[steps]) * precision[steps + 1]).sum()


def at_recalls(found, truth, count):
    right = hits(found, truth)
    recall, precision = np.cumsum(right) / len(truth), np.cumsum(right) / np.arange(1, len(right) + 1)
    return np.mean([precision[recall >= r - 1e-9].max(initial=0) for r in np.linspace(0, 1, count)])


def ap_by_image(found, truth):  # boxes of an image are matched by themselves, then all are put together
    rows = []
    for image in np.unique(found[:, 0]):
        own, goal = found[found[:, 0] == image], truth[truth[:, 0] == image]
        rows += zip(sorted(own[:, 5], reverse=True), hits(own, goal), strict=True)
    right = np.array([r for _, r in sorted(rows, key=lambda row: -row[0])])
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return np.maximum.accumulate(precision[::-1])[::-1][right].sum() / len(truth)


def ends(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max(), rows.max()


def by_slices(mask):
    rows, columns = ndimage.find_objects(mask.astype(int))[0]
    return columns.start + 1, rows.start + 1, columns.stop, rows.stop


def by_any(mask):
    x, y = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return [x[0] + 1, y[0] + 1, x[-1] + 1, y[-1] + 1]


def by_argwhere(mask):
    points = np.argwhere(mask)[:, ::-1] + 1
    return np.concatenate([points.min(0), points.max(0)])


def moved(*by, order=(0, 1, 2, 3)):
    return lambda mask: np.array(ends(mask))[list(order)] + by


def areas(mask, structure=np.ones((3, 3))):  # noqa: B008
    labels, n = ndimage.label(mask, structure)
    return np.array([(labels == k).sum() for k in range(1, n + 1)])


def small(masks, least):
    return sum(int((areas(m) < least).sum()) for m in masks)


def by_sum(masks, least):
    total = 0
    for mask in masks:
        labels, n = ndimage.label(mask, ndimage.generate_binary_structure(2, 2))
        total += sum(size < least for size in ndimage.sum(mask, labels, range(1, n + 1)))
    return total


def by_unique(masks, least):
    total = 0
    for mask in masks:
        labels = ndimage.label(mask, np.ones((3, 3)))[0]
        total += (np.unique(labels[labels > 0], return_counts=True)[1] < least).sum()
    return total


def by_filling(masks, least):
    total = 0
    for mask in masks:
        left = set(map(tuple, np.argwhere(mask)))
        while left:
            waiting, size = [left.pop()], 0
            while waiting:
                y, x = waiting.pop()
                size += 1
                near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= near
                waiting += near
            total += size < least
    return total


def over(count):
    return lambda masks, least: sum(int(count(m, least)) for m in masks)


RIGHT = {
    "run_lengths": [runs, by_diff, by_groups, by_text, by_loop, lambda m: tuple(map(float, runs(m)))],
    "average_precision": [
        ap,
        ap_by_recall,
        ap_as_voc,
        ap_by_image,
        lambda f, t: np.array([ap(f, t)]),
        lambda f, t: ap(pd.DataFrame(f).sort_values(5).to_numpy(), t[::-1]),
    ],
    "voc_box": [moved(1, 1, 1, 1), by_slices, by_any, by_argwhere, lambda m: tuple(v + 1 for v in ends(m)), lambda m: (
        np.array(ends(m), float) + 1)],
    "dropped_components": [
        small,
        by_sum,
        by_unique,
        by_filling,
        lambda masks, least: np.sum([np.sum(areas(m) < least) for m in masks]),
        lambda masks, least: sum(a <= least - 1 for m in masks for a in areas(m)),
    ],
}  # fmt: skip
WRONG = {
    "run_lengths": [
        (lambda m: runs(m, "C"), "down the columns"),
        (lambda m: [v for v in runs(m) if v], "counts zeros, even"),
        (lambda m: runs(m)[:-1], "last run is missing"),
        (lambda m: runs(m)[1:], "first run is missing"),
        (lambda m: runs(m, start=True), "begins with zeros"),
        (lambda m: runs(m)[::-1], "order is the other one"),
        (lambda m: np.cumsum(runs(m)), "count lengths"),
        (lambda m: runs(m)[1::2], "ones alone"),
        (lambda m: runs(m)[::2], "zeros alone"),
        (lambda m: m.ravel(order="F").astype(int), "pixels themselves"),
        (lambda m: [0, *runs(m)], "one zero too many"),
        (lambda m: [(~m).sum(), m.sum()], "every run by itself"),
        (lambda m: [1, 3], "count how often"),
        (lambda m: [v + 0.5 for v in runs(m)], "whole numbers"),
        (lambda m: "1 3", "whole numbers"),
        (lambda m: [runs(m), [1]], "whole numbers"),
    ],
    "average_precision": [
        (lambda f, t: ap(f, t, once=False), "second box on the same defect"),
        (lambda f, t: ap(f, t, apart=False), "on its own image alone"),
        (lambda f, t: ap(f, t, key=lambda box: box[5]), "surest box comes first"),
        (lambda f, t: ap(f, t, key=lambda box: 0), "in no order"),
        (ap_raw, "precision may rise again"),
        (lambda f, t: ap(f, t, least=1e-9), "boxes that touch"),
        (lambda f, t: ap(f, t) * len(t) / len(f), "also those not found"),
        (lambda f, t: ap(f, t) * len(t) / hits(f, t).sum(), "nobody found"),
        (lambda f, t: hits(f, t).mean(), "precision of all boxes"),
        (lambda f, t: hits(f, t).sum() / len(t), "recall of all boxes"),
        (lambda f, t: 100 * ap(f, t), "per cent"),
        (lambda f, t: (np.cumsum(hits(f, t)) / np.arange(1, len(f) + 1)).mean(), "where a box is right"),
        (lambda f, t: ap(f, t, least=0.9), "by falling score"),
        (lambda f, t: f[:, 5].mean(), "by falling score"),
        (lambda f, t: parse("0.5"), "calls hw3lib's"),
        (lambda f, t: hits(f, t), "expected one number"),
        (lambda f, t: at_recalls(f, t, 11), "that is nearly it"),
        (lambda f, t: at_recalls(f, t, 101), "that is nearly it"),
        (lambda f, t: ap(f[f[:, 0] < 3], t), "by falling score"),
        (lambda f, t: {9: 0.5}.get(len(t), 1.0), "by falling score"),
    ],
    "voc_box": [
        (moved(0, 0, 0, 0, order=(1, 0, 3, 2)), "exchanged, and pixels count from 1"),
        (moved(1, 1, 1, 1, order=(1, 0, 3, 2)), "x goes along the columns"),
        (moved(0, 0, 0, 0), "Pascal VOC's is 1"),
        (moved(1, 1, 2, 2), "beyond the last"),
        (moved(1, 1, 0, 0), "last pixel is not in the box"),
        (moved(0, 0, 1, 1), "very first pixel"),
        (moved(2, 2, 2, 2), "add 1 once"),
        (moved(-1, -1, -1, -1), "1 was subtracted"),
        (moved(1, 1, 1, 1, order=(0, 2, 1, 3)), "the order is xmin, ymin"),
        (moved(1, 1, 1, 1, order=(2, 3, 0, 1)), "corners are exchanged"),
        (lambda m: (*(e := ends(m))[:2], e[2] - e[0] + 1, e[3] - e[1] + 1), "COCO's box"),
        (lambda m: (1, 1, *m.shape[::-1]), "whole image"),
        (lambda m: (2, 10, 9, 12), "right each time: none of the four"),
        (moved(1, 1, 5, 1), "right each time: xmin, ymin, ymax"),
        (lambda m: ends(m)[:2], "of the shape (4,)"),
        (lambda m: np.nonzero(m)[0].min, "of the shape (4,)"),
    ],
    "dropped_components": [
        (over(lambda m, k: (areas(m) <= k).sum()), "exactly min_area pixels stays"),
        (over(lambda m, k: (areas(m, None) < k).sum()), "not joined"),
        (over(lambda m, k: (areas(m) >= k).sum()), "that stay"),
        (over(lambda m, k: len(areas(m))), "all components"),
        (over(lambda m, k: areas(m)[areas(m) < k].sum()), "count components"),
        (over(lambda m, k: m.sum() < k), "these are masks"),
        (over(lambda m, k: (areas(m) < k).any()), "count all of them"),
        (over(lambda m, k: (areas(m) == k).sum()), "have exactly"),
        (lambda masks, k: (areas(masks[0]) < k).sum(), "first mask alone"),
        (lambda masks, k: (areas(masks[-1]) < k).sum(), "last mask alone"),
        (lambda masks, k: small(masks, k) + len(masks), "background"),
        (lambda masks, k: small(masks, 3), "m"),
        (7, "expected your function"),
    ],
}
