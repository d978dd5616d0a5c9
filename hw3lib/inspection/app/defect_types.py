"""Which type of defect it is: the most anomalous region of a photograph beside those of labelled defects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from hw3lib.anomaly.maps import upsample
from hw3lib.core.files import file_digest, read_json, write_json
from hw3lib.core.places import project_root
from hw3lib.core.provenance import code_version, versions
from hw3lib.data.groups import products
from hw3lib.data.overlooked import overlooked
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import PLAIN, Reading
from hw3lib.data.splits import stratified_folds
from hw3lib.data.table import digest, load_folder
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

ARCH = "tf_efficientnet_lite0"
SIZE = 224  # pixels at which a region is described
_SMALLEST = 0.25  # of the image's shorter side: a region's surroundings tell what it is on

MapOf = Callable[[np.ndarray], "np.ndarray | None"]


def region(anomaly_map: np.ndarray | None, threshold: float | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square round the region that holds the map's peak: left, top, right, bottom in pixels of the image.

    The region is what lies above the threshold and hangs together with the peak. The square is half as large again, at
    least a quarter of the image's shorter side, at most that side, and inside of the image.

    Args:
        anomaly_map: float ``(h, w)``, or None, which takes the middle of the image.
        threshold: of the map.
        size: ``(H, W)`` of the image.
    """
    height, width = size
    short = min(size)
    if anomaly_map is None:
        x, y, side = width / 2, height / 2, float(short)
    else:
        full = upsample(anomaly_map, size)
        peak = np.unravel_index(full.argmax(), size)
        labels, _ = ndimage.label(full > min(threshold, full[peak] - 1e-6 * max(abs(full[peak]), 1.0)), np.ones((3, 3)))
        rows, columns = ndimage.find_objects((labels == labels[peak]).astype(np.int8))[0]
        x, y = (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2
        side = 1.5 * max(columns.stop - columns.start, rows.stop - rows.start)
    side = int(round(min(max(side, _SMALLEST * short), short)))
    left = int(np.clip(round(x - side / 2), 0, width - side))
    top = int(np.clip(round(y - side / 2), 0, height - side))
    return left, top, left + side, top + side


@dataclass(frozen=True)
class DefectTypes:
    """A logistic regression on frozen features of the most anomalous region.

    Attributes:
        classes: the types, sorted.
        right: of the labelled defects recognised in cross-validation, and their number.
        folder: name of the category.
        weights: float64 ``(features + 1, classes)``, the last row added; of features as they are.
        threshold: of the maps.
    """

    classes: list[str]
    right: tuple[int, int]
    folder: str
    weights: np.ndarray
    threshold: float | None

    @classmethod
    def learned(
        cls,
        folder: str | Path,
        detector: str | Path,
        map_of: MapOf,
        threshold: float | None,
        reading: Reading = PLAIN,
        progress: bool = False,
        echo: Callable[[str], None] = print,
    ) -> DefectTypes:
        """Learn from the labelled defects of a category, or take what was learned from the same ones before.

        That lies in ``runs/app`` of the project, by what it depends on: the photographs, the detector, the code, the
        versions of packages.

        Args:
            folder: the category.
            detector: its folder or file, which the maps come from.
            map_of: gives the anomaly map, float ``(h, w)``, or None, of an image, uint8 ``(H, W, 3)``.
            threshold: of the maps.
            reading: how photographs are read, the detector's.
            progress: show a bar.
            echo: receives a message on what is not looked at.

        Raises:
            Hw3Error: no category, fewer than two types, or a type with a single photograph.
        """
        table = load_folder(folder, find_range=False)
        if left := overlooked(table, folder):
            echo(left)
        table = table[table["is_defect"]]
        counts = table["defect"].value_counts()
        if len(counts) < 2 or counts.min() < 2:
            found = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no defect"
            raise Hw3Error(
                f"--types {folder}: found {found}; expected at least two types of defect with two photographs or more"
            )
        name = table.attrs["category"]
        files = sorted(path for path in (Path(detector), *Path(detector).glob("*")) if path.is_file())
        depends = [digest(table), *map(file_digest, files), code_version(), sorted(versions().items())]
        file = project_root() / "runs" / "app" / f"{hashlib.sha256(json.dumps(depends).encode()).hexdigest()}.json"
        if kept := read_json(file):
            return cls(kept["classes"], tuple(kept["right"]), name, np.array(kept["weights"]), threshold)
        echo(f"types of defects are learned from {len(table)} photographs of {folder}, once: {file}")
        classes, right, weights = _learn(table, map_of, threshold, reading, progress)
        try:
            write_json(file, {"classes": classes, "right": right, "weights": weights.tolist()})
        except Hw3Error as error:  # a place that may not be written
            echo(f"{error} The types will be learned again at the next start.")
        return cls(classes, right, name, weights, threshold)

    def probabilities(self, image: np.ndarray, anomaly_map: np.ndarray | None) -> dict[str, float]:
        """Of each class, 0 to 1; ``image`` is uint8 ``(H, W, 3)``, the map float ``(h, w)``."""
        features = _describe(_backbone(), image, anomaly_map, self.threshold)
        return dict(zip(self.classes, softmax(np.append(features, 1) @ self.weights).tolist(), strict=True))

    def say(self, probabilities: dict[str, float]) -> str:
        """The most probable type in a sentence, and how much that is worth."""
        order = sorted(probabilities, key=lambda name: -probabilities[name])[:2]
        first, second = (f"{name.replace('_', ' ')} ({probabilities[name]:.0%})" for name in order)
        right, of = self.right
        return (
            f"Type of defect: most like {first}, then {second}. In cross-validation on the labelled photographs of "
            f"{self.folder} it recognised {right} of {of}; a type that is not among them cannot be named."
        )


def _learn(
    table: pd.DataFrame, map_of: MapOf, threshold: float | None, reading: Reading, progress: bool
) -> tuple[list[str], tuple[int, int], np.ndarray]:
    """Classes, what was recognised in cross-validation, and weights, see :class:`DefectTypes`."""
    features = []
    for path in tqdm(table["image"], desc="types of defects", unit="image", disable=not progress):
        image = read_image(path, reading=reading)
        features.append(_describe(_backbone(), image, map_of(image), threshold))
    x, y = np.stack(features), table["defect"].to_numpy(str)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    folds = stratified_folds(y, products(table))
    right = int((cross_val_predict(model, x, y, cv=folds) == y).sum())
    scaler, regression = (step for _, step in model.fit(x, y).steps)
    slopes, intercepts = regression.coef_, regression.intercept_
    if len(slopes) == 1:  # of two classes only the second has weights
        slopes, intercepts = np.vstack([0 * slopes, slopes]), np.append(0, intercepts)
    slopes = slopes / scaler.scale_
    weights = np.column_stack([slopes, intercepts - slopes @ scaler.mean_]).T
    # In the order in which they are read again, so that the arithmetic is the same to the last bit.
    return regression.classes_.tolist(), (right, len(y)), np.ascontiguousarray(weights)


@cache
def _backbone() -> backbones.Backbone:
    return backbones.load(ARCH).eval()


def _describe(
    backbone: backbones.Backbone, image: np.ndarray, anomaly_map: np.ndarray | None, threshold: float | None
) -> np.ndarray:
    box = region(anomaly_map, threshold, image.shape[:2])
    left, top, right, bottom = box
    crop = Image.fromarray(image[top:bottom, left:right]).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    with torch.no_grad():
        pixels = torch.from_numpy(np.array(crop).transpose(2, 0, 1)[None])
        return backbone.embed(pixels)[0].numpy()
