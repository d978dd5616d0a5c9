"""The 15 categories of MVTec AD and how many images each has.

The dataset: P. Bergmann, M. Fauser, D. Sattlegger, C. Steger, "MVTec AD - A Comprehensive Real-World Dataset for
Unsupervised Anomaly Detection", CVPR 2019. The counts were taken from the list of files in ``data/mvtec/meta.json`` of
github.com/boschresearch/MultiADS; they add up to the published 5,354 images, 3,629 to train and 1,725 to test. Counts
by defect type are given for the four categories of the course only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialCounts:
    """Numbers of images of one category; ``None`` where the number is not known here.

    Attributes:
        train_good: images in ``train/good``.
        test_total: images in ``test``, good and defective together.
        test_good: images in ``test/good``.
        defects: images in ``test`` by defect type, without ``good``.
    """

    train_good: int
    test_total: int
    test_good: int | None = None
    defects: Mapping[str, int] | None = None


OFFICIAL: Mapping[str, OfficialCounts] = {
    "bottle": OfficialCounts(209, 83, 20, {"broken_large": 20, "broken_small": 22, "contamination": 21}),
    "cable": OfficialCounts(224, 150),
    "capsule": OfficialCounts(
        219, 132, 23, {"crack": 23, "faulty_imprint": 22, "poke": 21, "scratch": 23, "squeeze": 20}
    ),
    "carpet": OfficialCounts(
        280, 117, 28, {"color": 19, "cut": 17, "hole": 17, "metal_contamination": 17, "thread": 19}
    ),
    "grid": OfficialCounts(264, 78),
    "hazelnut": OfficialCounts(391, 110),
    "leather": OfficialCounts(245, 124),
    "metal_nut": OfficialCounts(220, 115),
    "pill": OfficialCounts(267, 167),
    "screw": OfficialCounts(320, 160),
    "tile": OfficialCounts(230, 117),
    "toothbrush": OfficialCounts(60, 42),
    "transistor": OfficialCounts(213, 100),
    "wood": OfficialCounts(247, 79, 19, {"color": 8, "combined": 11, "hole": 10, "liquid": 10, "scratch": 21}),
    "zipper": OfficialCounts(240, 151),
}
