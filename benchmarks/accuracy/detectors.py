"""Detectors and their settings on many sets, with all and with few good images: where the defaults come from.

Test images may choose a default only where others judge it: what is best on all sets but one is measured on that one.
Rows are kept in ``runs/benchmark-detectors`` while code, images and settings are the same: an interrupted run goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from hw3lib.anomaly.comparison import evaluate, ranking
from hw3lib.anomaly.registry import make_detector
from hw3lib.core import machine
from hw3lib.core.kept import Kept
from hw3lib.core.places import project_root
from hw3lib.data import ImageStack, load_table
from hw3lib.data.synthetic import make
from hw3lib.networks.backbone import Backbone
from hw3lib.networks.devices import pick_device

GENERATED = ("bottle", "capsule", "carpet", "wood")
LITE0 = "tf_efficientnet_lite0"
_FIRST = ["features.2", "features.3", "features.4"]  # of EfficientNet-Lite: strides 4 and 8, and the first of 16
# The name of a row, the detector's on the command line, what differs from its defaults.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "PatchCore": ("patchcore", {}),
    "layers of the paper: strides 8, 16": ("patchcore", {"layers": ["features.3", "features.5"]}),
    "first stage of stride 16": ("patchcore", {"layers": _FIRST}),
    "both stages of stride 16": ("patchcore", {"layers": [*_FIRST, "features.5"]}),
    "whitened": ("patchcore", {"whiten": True}),
    "whitened, first stage of stride 16": ("patchcore", {"whiten": True, "layers": _FIRST}),
    "1 % of the patches": ("patchcore", {"ratio": 0.01}),
    "25 % of the patches": ("patchcore", {"ratio": 0.25}),
    "without equation 7": ("patchcore", {"neighbours": 0}),
    "maps not smoothed": ("patchcore", {"smoothing": 0.0}),
    "384 px": ("patchcore", {"image_size": 384}),
    "EfficientNet-Lite0": ("patchcore", {"arch": LITE0}),
    "EfficientNet-Lite2": ("patchcore", {"arch": "tf_efficientnet_lite2"}),
    "SubspaceAD": ("subspace", {}),
    "SubspaceAD, EfficientNet-Lite0": ("subspace", {"arch": LITE0}),
    "SubspaceAD, 99 % of the variance": ("subspace", {"variance": 0.99}),
    "PaDiM": ("padim", {}),
    "PaDiM, EfficientNet-Lite0": ("padim", {"arch": LITE0}),
    "k-nearest neighbours": ("knn", {}),
    "k-nearest neighbours, EfficientNet-Lite0": ("knn", {"arch": LITE0}),
    "Mahalanobis": ("mahalanobis", {}),
    "one-class SVM": ("ocsvm", {}),
    "isolation forest": ("iforest", {}),
    "synthetic defects": ("synthetic", {}),
    "synthetic defects, EfficientNet-Lite0": ("synthetic", {"arch": LITE0}),
    "Deep SVDD": ("svdd", {}),
    "Deep SVDD, EfficientNet-Lite0": ("svdd", {"arch": LITE0}),
    "CutPaste": ("cutpaste", {}),
    "CutPaste, EfficientNet-Lite1": ("cutpaste", {"arch": "tf_efficientnet_lite1"}),
    "GANomaly": ("ganomaly", {}),
    "autoencoder": ("autoencoder", {}),
}
FEW = (
    *tuple(ROWS)[:6],
    "EfficientNet-Lite0",
    "EfficientNet-Lite2",
    "SubspaceAD",
    "PaDiM",
    "k-nearest neighbours",
)


def main(
    category: str,
    data: str | None,
    sets: tuple[str, ...] = (),
    rows: tuple[str, ...] = tuple(ROWS),
    sizes: tuple[int, ...] = (4, 8, 16, 32),
    count: int = 3,
    profile: str = "quick",
) -> None:
    """Print AUROC, AUPRO and seconds by row and set, AUROC with few good images, and what leaving one set out chooses.

    Args:
        category, data: not looked at.
        sets: folders of real categories, to try besides the four generated ones.
        rows: of :data:`ROWS`.
        sizes: numbers of good images to learn from, besides all of them.
        count: draws of each number.
        profile: of the generated categories.
    """
    machine.keep()  # as every command does
    tables = {Path(folder).name: load_table(Path(folder).parent, Path(folder).name) for folder in sets}
    for name in GENERATED:
        make(name, _folder() / profile, profile)
        tables[f"generated {name}"] = load_table(_folder() / profile, f"synthetic/{name}")
    found: list[dict[str, Any]] = []
    for name, table in tables.items():
        images = _Category(table)
        for label in tqdm(rows, desc=name):
            found.append({"set": name, "row": label, "good": "all", **images.figures(label)})
            for number in [number for number in sizes if label in FEW and number < len(images.good)]:
                few = [images.figures(label, number, draw)["image_auroc"] for draw in range(count)]
                found.append({"set": name, "row": label, "good": number, "image_auroc": np.mean(few)})
    _print(pd.DataFrame(found), rows)


class _Category:
    """Good images to learn from and test images, and what a row gives on them."""

    def __init__(self, table: pd.DataFrame):
        self.good = table[(table["split"] == "train") & ~table["is_defect"]]
        self.test = table[table["split"] == "test"].reset_index(drop=True)
        self._stacks: dict[int, tuple[ImageStack, ImageStack]] = {}
        self._pixels: dict[int, list[str]] = {}  # hashes of both
        self._maps: dict[tuple, dict[str, torch.Tensor]] = {}

    def figures(self, label: str, number: int | None = None, draw: int = 0) -> dict[str, float]:
        """Metrics of a detector that learned from all good images, or from a draw of so many."""
        detector = make_detector(*ROWS[label])
        size = detector.image_size
        if size not in self._stacks:
            self._stacks[size] = ImageStack.load(self.good, size), ImageStack.load(self.test, size)
            self._pixels[size] = [hashlib.sha256(stack.images.tobytes()).hexdigest() for stack in self._stacks[size]]
        good, test = self._stacks[size]
        what = [repr(detector), *self._pixels[size], number, draw]
        kept = Kept(_folder(), "row.json", "anomaly", str(pick_device(detector.device)), "float32", of=what)
        found = kept.read()
        if found is None:
            if number is None:
                found = evaluate(detector, good, self.test, test, held_out=0).metrics
            else:
                rows = np.random.default_rng([draw, number]).permutation(len(good))[:number]
                with patch.object(Backbone, "feature_maps", self._remembered(Backbone.feature_maps)):
                    scores = detector.fit(good.part(rows), held_out=0).decision_function(test)
                found = {"image_auroc": ranking(self.test["is_defect"].to_numpy(bool), scores).auroc}
            kept.write(found)
        return found

    def _remembered(self, compute: Callable[..., dict[str, torch.Tensor]]) -> Callable[..., dict[str, torch.Tensor]]:
        """Feature maps, which the test images' are the same of in every draw; nothing is timed here."""

        def feature_maps(backbone: Backbone, images: torch.Tensor, layers: list[str]) -> dict[str, torch.Tensor]:
            pixels = hashlib.sha256(images.cpu().numpy().tobytes()).hexdigest()
            key = (backbone.name, *layers, pixels)
            if key not in self._maps:
                self._maps[key] = compute(backbone, images, layers)
            return self._maps[key]

        return feature_maps


def _folder() -> Path:
    return project_root() / "runs" / "benchmark-detectors"


def _print(found: pd.DataFrame, rows: tuple[str, ...]) -> None:
    whole = found[found["good"] == "all"]
    for figure in ("image_auroc", "aupro"):
        table = 100 * whole.pivot(index="row", columns="set", values=figure).loc[[*rows]].dropna(axis=1, how="all")
        table.insert(0, "mean", table.mean(axis=1))
        table.insert(1, "worst", table.iloc[:, 1:].min(axis=1))
        print(f"\n{figure}, %, all good images\n{table.round(1).to_string(na_rep='')}")
    seconds = whole.groupby("row", sort=False)[["fit_seconds", "ms_per_image"]].mean()
    print(f"\nmean over the sets\n{seconds.round(1).to_string()}")
    few = 100 * found.groupby(["row", "good", "set"], sort=False)["image_auroc"].mean().unstack().dropna()
    few = few.loc[[row for row in rows if row in FEW]]
    few.insert(0, "mean", few.mean(axis=1))
    print(f"\nimage_auroc, %, by the number of good images, where all sets have as many\n{few.round(1).to_string()}")
    _print_left_out(100 * found[found["row"].isin(FEW)].groupby(["row", "set"])["image_auroc"].mean().unstack())


def _print_left_out(table: pd.DataFrame) -> None:
    """What is best on all sets but one, on that one; a set counts by its mean over the numbers of good images."""
    print("\nleave one set out: what is best on the others, and its mean image_auroc on the one left out")
    for name in table:
        best = table.drop(columns=name).mean(axis=1).idxmax()
        print(f"  {name:20} {best:35} {table.loc[best, name]:.1f}, the default {table.loc['PatchCore', name]:.1f}")
