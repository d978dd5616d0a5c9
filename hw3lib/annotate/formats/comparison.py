"""Whether what was written reads back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from hw3lib.annotate.dataset import Dataset
from hw3lib.annotate.instances import Instance, union


@dataclass(frozen=True)
class RoundTrip:
    """How what was read compares with what was written.

    Attributes:
        exact: images, splits and instances are the same: class and mask, or of box formats class and box.
        instances: number read.
        iou: mean over images and classes of the IoU of the masks (of the boxes' areas) written and read.
        lowest_iou: the lowest of them.
    """

    exact: bool
    instances: int
    iou: float
    lowest_iou: float


def round_trip(written: Dataset, read: Dataset, keeps: str = "masks") -> RoundTrip:
    """Compare a dataset with what was read back; images are matched by name, in whatever order they are.

    Args:
        keeps: ``masks``, or ``boxes`` to compare the instances' boxes only.
    """
    ours, theirs = _by_place(written, keeps), _by_place(read, keeps)
    listed = [set(zip(d.names, d.sizes, d.splits, strict=True)) for d in (written, read)]
    exact = listed[0] == listed[1] and ours.keys() == theirs.keys() and written.classes == read.classes
    ious = []
    for place in ours.keys() | theirs.keys():
        left, right = ours.get(place, []), theirs.get(place, [])
        exact = exact and sorted(map(_key, left)) == sorted(map(_key, right))
        ious.append(_iou(left, right))
    mean, lowest = (float(np.mean(ious)), float(min(ious))) if ious else (1.0, 1.0)
    return RoundTrip(exact, len(read.instances), mean, lowest)


def _by_place(data: Dataset, keeps: str) -> dict[tuple[str, str], list[Instance]]:
    found = defaultdict(list)
    for i in data.instances:
        if keeps == "boxes":
            i = Instance(i.row, i.defect, i.x, i.y, np.ones_like(i.crop), i.size)
        found[data.names[i.row], i.defect].append(i)
    return found


def _key(instance: Instance) -> tuple:
    return *instance.xywh, instance.kind, instance.crop.tobytes()


def _iou(left: list[Instance], right: list[Instance]) -> float:
    sizes = {instance.size for instance in left + right}
    if len(sizes) != 1 or not left or not right:
        return 0.0
    one, other = union(left), union(right)
    return float((one & other).sum() / (one | other).sum())
