"""Defect-guided classification: good images say where to look, and region and whole image together say what it is.

The four reports shrink a whole image to 32 to 512 pixels, of which most defects cover less than two in a hundred. Here

1. the patches of good images are remembered and each patch of an image is compared with them: PatchCore, Roth et al.
   2022, arXiv 2106.08265 (:mod:`hw3lib.classify.guided.memory`);
2. what is read of the image is weighted by that distance, and patches are described by what they have that the nearest
   good patch has not: the residual of Liu et al., arXiv 2406.05645;
3. the most anomalous region is cut out of the full-size image and read again: the views of the region in MVREC,
   arXiv 2412.16897;
4. all this is averaged over the symmetries that the product is found to have;
5. a support vector machine on the mean of one kernel a part, strongly regularised and calibrated (Platt 1999), first
   says whether the image is good, then of which type the defect is.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from hw3lib.classify.result import Result
from hw3lib.core.kept import Kept
from hw3lib.data.groups import GROUP, products
from hw3lib.data.labels import Split, as_labels, class_names
from hw3lib.data.splits import stratified_folds
from hw3lib.data.table import digest
from hw3lib.errors import Hw3Error
from hw3lib.networks.devices import pick_device, resolve
from hw3lib.networks.symmetries import SYMMETRIES

from .kernel import KernelClassifier
from .memory import symmetry_test
from .reader import GuidedReader

PARTS = ("patches", "stage", "statistics", "region")
WHOLE = ("whole",)  # the embedding alone, for comparison: the same network, size and views, without guidance
CLASSIFIERS = {"kernel": "support vector machines", "logistic": "logistic regression"}
FEWEST_GOOD = 6


@dataclass(frozen=True)
class DefectGuided:
    """Settings of a defect-guided classifier.

    Attributes:
        name: as it stands in tables.
        arch: network with ImageNet weights, which stays frozen.
        image_size: side in pixels at which good patches are compared; never more than the images have.
        parts: what the classifier sees, some of :data:`PARTS`: ``patches`` (residuals of the whole image, weighted by
            the anomaly), ``stage`` (its coarsest stage, weighted likewise), ``statistics`` (how anomalous and how
            large), ``region`` (the region, read again). Or :data:`WHOLE`: the unweighted embedding of the whole image.
        classifier: ``kernel``, see :class:`.KernelClassifier`, or ``logistic``: regression on all parts side by side.
        region: side of the region as a share of the image's.
        region_size: side in pixels at which the region is read.
        memory: good patches in the memory bank.
        good_images: good images to learn from, at most; a third of them only set the scale of what is normal.
    """

    name: str = "defect-guided"
    arch: str = "tf_efficientnet_lite2"
    image_size: int = 448
    parts: tuple[str, ...] = PARTS
    classifier: str = "kernel"
    region: float = 1 / 3
    region_size: int = 224
    memory: int = 6000
    good_images: int = 120

    def __post_init__(self) -> None:
        if self.parts != WHOLE and (not self.parts or not set(self.parts) <= set(PARTS)):
            raise Hw3Error(f"{self.name!r}: parts={self.parts!r}, expected some of {', '.join(PARTS)}, or WHOLE")
        if self.classifier not in CLASSIFIERS:
            expected = " or ".join(CLASSIFIERS)
            raise Hw3Error(f"{self.name!r}: classifier={self.classifier!r}, expected {expected}")
        for name, low in (("image_size", 64), ("region_size", 64), ("memory", 100), ("good_images", FEWEST_GOOD)):
            if getattr(self, name) < low:
                raise Hw3Error(f"{self.name!r}: {name}={getattr(self, name)!r}, expected {low} or more")
        if not 0 < self.region <= 1:
            raise Hw3Error(f"{self.name!r}: region={self.region!r}, expected a share of the image's side, above 0 to 1")

    @property
    def strategy(self) -> str:
        """As it stands in tables."""
        return "whole image" if self.parts == WHOLE else "guided"

    def hyperparameters(self) -> str:
        """Those that a report names, in a line."""
        classifier = f"{CLASSIFIERS[self.classifier]} on {', '.join(self.parts)}"
        return ", ".join([self.arch, f"strategy {self.strategy}", f"{self.image_size} px", classifier])


@dataclass
class GuidedFeatures:
    """Features and anomaly maps of every image; nothing here knows a class or a split.

    Attributes:
        parts: features, float32 ``(8, N, features)`` for each of :data:`PARTS` and ``whole``; the first axis is
            :data:`hw3lib.networks.symmetries.SYMMETRIES`. NaN where no split could accept the symmetry.
        maps: anomaly maps of the unmoved images, float32 ``(N, h, w)``.
        regions: where the unmoved image was looked at again, ``x0, y0, x1, y1`` as shares of the sides of its square,
            which it fills unless it is padded, ``(N, 4)``.
        scores: highest anomaly of each unmoved image, ``(N,)``.
        good_scores: the same of good images that the memory does not hold, for each symmetry, ``(8, n)``.
        is_defect: whether an image is defective, bool ``(N,)``; used for :attr:`symmetries` alone.
    """

    parts: dict[str, np.ndarray]
    maps: np.ndarray
    regions: np.ndarray
    good_scores: np.ndarray
    is_defect: np.ndarray
    scores: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.scores = self.maps.max((1, 2))

    @property
    def symmetries(self) -> pd.DataFrame:
        """The symmetry test with all defective images, for the reader; each split makes its own from its own."""
        return symmetry_test(self.good_scores, self.scores[self.is_defect])

    def features(self, parts: tuple[str, ...], train: np.ndarray) -> list[np.ndarray]:
        """Parts of all images, ``(N, features)`` each, averaged over the symmetries that a split accepts.

        Args:
            parts: names in :attr:`parts`.
            train: positions of the split's training images, whose defective ones decide.
        """
        defects = train[self.is_defect[train]]
        accepted = symmetry_test(self.good_scores, self.scores[defects])["accepted"].to_numpy()
        return [self.parts[part][accepted].mean(0) for part in parts]


def good_images(table: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Good training images of a category that are not among its classification images, nor of their products."""
    good = table[(table["split"] == "train") & ~table["is_defect"] & ~table["image"].isin(images["image"])]
    if GROUP in table and GROUP in images:
        good = good[~good[GROUP].isin(images[GROUP])]
    return good.reset_index(drop=True)


def extract_features(
    method: DefectGuided,
    images: pd.DataFrame,
    good: pd.DataFrame,
    *,
    keep: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> GuidedFeatures:
    """Features and anomaly map of every image, compared with the memory bank of good patches; labels are not used.

    Args:
        method: settings.
        images: the images to classify.
        good: good images, none of them among ``images``; see :func:`good_images`.
        keep: folder in which the outcome is kept, so that it is not computed again.
        seed: draws the good images and the patches to remember.
        device: see :func:`hw3lib.classify.run_attempt`.
        progress: show a bar.

    Raises:
        Hw3Error: fewer than six good images, some of them among ``images``, missing weights.
    """
    if len(good) < FEWEST_GOOD:
        raise Hw3Error(
            f"{method.name!r} learns from good images and found {len(good)}, expected at least {FEWEST_GOOD} in "
            "train/good that are not among the images to classify; add some"
        )
    if set(map(str, good["image"])) & set(map(str, images["image"])):
        raise Hw3Error(
            f"{method.name!r}: some good images are among those to classify; take good_images(table, images)"
        )
    where = pick_device(device)
    settings = {k: v for k, v in asdict(method).items() if k not in ("name", "parts", "classifier")}
    data = [digest(images), digest(good)] if keep is not None else []
    on = {"device": where.type, "precision": resolve("auto", where)}
    file = Kept(keep, "guided.npz", "classify", **on, settings=settings, data=data, seed=seed)
    kept = file.read()
    if kept is None:
        kept = _extract(method, images, good, seed, where, progress)
        file.write(kept)
    parts = {name: kept[name] for name in PARTS + WHOLE}
    is_defect = images["is_defect"].to_numpy(bool)
    return GuidedFeatures(parts, kept["maps"].astype(np.float32), kept["regions"], kept["good_scores"], is_defect)


def _extract(
    method: DefectGuided, images: pd.DataFrame, good: pd.DataFrame, seed: int, device: torch.device, progress: bool
) -> dict[str, np.ndarray]:
    reader = GuidedReader(method, good, int(images[["width", "height"]].to_numpy().max()), seed, device, progress)

    def see(symmetries: list[int]) -> list[dict[str, np.ndarray]]:
        """All images, moved by each symmetry: features by part, and anomaly maps and regions. Files are read once."""
        seen: list[dict[str, list[np.ndarray]]] = [{} for _ in symmetries]
        for start in tqdm(range(0, len(images), 8), desc=method.name, unit="batch", disable=not progress):
            batch = images.iloc[start : start + 8]
            small, large = reader.read(batch, reader.side), reader.read(batch, reader.full)
            for symmetry, moved in zip(symmetries, seen, strict=True):
                for name, value in reader.see(small, large, symmetry).items():
                    moved.setdefault(name, []).append(value)
        return [{name: np.concatenate(values) for name, values in moved.items()} for moved in seen]

    (unmoved,) = see([0])
    maps, regions = unmoved.pop("maps"), unmoved.pop("regions")
    good_scores = reader.good_scores
    # Whatever the split, its defective images have no higher median than the most anomalous image of all.
    possible = symmetry_test(good_scores, maps.max(keepdims=True).ravel())["accepted"]
    merged = {name: np.full((len(SYMMETRIES), *v.shape), np.nan, np.float32) for name, v in unmoved.items()}
    others = np.flatnonzero(possible)[1:].tolist()  # the first is the image as it is
    for symmetry, seen in zip([0, *others], [unmoved, *(see(others) if others else [])], strict=True):
        for name, value in merged.items():
            value[symmetry] = seen[name]
    return {**merged, "maps": maps.astype(np.float16), "regions": regions, "good_scores": good_scores}


def run_guided(
    method: DefectGuided,
    images: pd.DataFrame,
    good: pd.DataFrame,
    splits: list[Split],
    *,
    keep: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
) -> Result:
    """Train and test on every split.

    Arguments and errors are those of :func:`extract_features` and :func:`hw3lib.classify.run_attempt`.

    Which symmetries to average over is decided in each split by the defective images of its training part.
    """
    started = time.perf_counter()
    seen = extract_features(method, images, good, keep=keep, seed=seed, device=device, progress=progress)
    looking = time.perf_counter() - started
    classes = class_names(images)
    labels, groups = as_labels(images["defect"], classes), products(images)
    probabilities, seconds = [], []
    for train, test in splits:
        started = time.perf_counter()
        own = None if groups is None else groups[train]
        features = seen.features(method.parts, train)
        if method.classifier == "logistic":
            joined = np.hstack(features)
            regression = _logistic(labels[train], seed, own).fit(joined[train], labels[train])
            probabilities.append(regression.predict_proba(joined[test]))
        else:
            model = KernelClassifier(len(classes), random_state=seed)
            model.fit([f[train] for f in features], labels[train], own)
            probabilities.append(model.predict_proba([f[test] for f in features]))
        seconds.append(time.perf_counter() - started)
    seconds[0] += looking
    return Result.from_probabilities(method, images, splits, probabilities, seconds=seconds)


def _logistic(y: np.ndarray, seed: int, groups: np.ndarray | None = None) -> GridSearchCV:
    """Logistic regression whose penalty is chosen by cross-validation within the training images."""
    folds = stratified_folds(y, groups, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return GridSearchCV(model, {"logisticregression__C": [1e-3, 1e-2, 1e-1, 1.0]}, cv=folds)
