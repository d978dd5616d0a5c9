"""Which type of defect it is: the most anomalous region of a photograph beside those of labelled defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from hw3lib.anomaly.maps import upsample
from hw3lib.data.groups import products
from hw3lib.data.overlooked import overlooked
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import PLAIN, Reading
from hw3lib.data.splits import stratified_folds
from hw3lib.data.table import load_folder
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
    """

    classes: list[str]
    right: tuple[int, int]
    folder: str
    _model: Pipeline
    _backbone: backbones.Backbone
    _threshold: float | None

    @classmethod
    def fit(
        cls,
        folder: str | Path,
        map_of: MapOf,
        threshold: float | None,
        reading: Reading = PLAIN,
        echo: Callable[[str], None] = print,
    ) -> DefectTypes:
        """Learn from the labelled defects of a category.

        Args:
            folder: the category.
            map_of: gives the anomaly map, float ``(h, w)``, or None, of an image, uint8 ``(H, W, 3)``.
            threshold: of the maps.
            reading: how photographs are read, the detector's.
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
        backbone = backbones.load(ARCH).eval()
        features = []
        for path in table["image"]:
            image = read_image(path, reading=reading)
            features.append(_describe(backbone, image, map_of(image), threshold))
        x, y = np.stack(features), table["defect"].to_numpy(str)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        folds = stratified_folds(y, products(table))
        right = int((cross_val_predict(model, x, y, cv=folds) == y).sum())
        return cls(sorted(counts.index), (right, len(y)), table.attrs["category"], model.fit(x, y), backbone, threshold)

    def probabilities(self, image: np.ndarray, anomaly_map: np.ndarray | None) -> np.ndarray:
        """Of each class, float64 ``(classes,)``; ``image`` is uint8 ``(H, W, 3)``, the map float ``(h, w)``."""
        return self._model.predict_proba(_describe(self._backbone, image, anomaly_map, self._threshold)[None])[0]

    def say(self, image: np.ndarray, anomaly_map: np.ndarray | None) -> str:
        """The most probable type in a sentence, and how much that is worth."""
        p = self.probabilities(image, anomaly_map)
        order = np.argsort(-p)[:2]
        first, second = (f"{self.classes[i].replace('_', ' ')} ({p[i]:.0%})" for i in order)
        right, of = self.right
        return (
            f"Type of defect: most like {first}, then {second}. In cross-validation on the labelled photographs of "
            f"{self.folder} it recognised {right} of {of}; a type that is not among them cannot be named."
        )


def _describe(
    backbone: backbones.Backbone, image: np.ndarray, anomaly_map: np.ndarray | None, threshold: float | None
) -> np.ndarray:
    box = region(anomaly_map, threshold, image.shape[:2])
    left, top, right, bottom = box
    crop = Image.fromarray(image[top:bottom, left:right]).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    with torch.no_grad():
        pixels = torch.from_numpy(np.array(crop).transpose(2, 0, 1)[None])
        return backbone.embed(pixels)[0].numpy()
