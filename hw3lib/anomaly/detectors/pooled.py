"""Detectors that see an image as one vector: the features of a pretrained network, averaged over the image.

scikit-learn does the work. They take seconds and no tuning, and they miss what an average hides: a small defect. What
is kept of the good images is their features; loading a saved detector fits scikit-learn's estimator on them again,
which another version of scikit-learn may do otherwise: :meth:`.Detector.compare_probe` tells.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest as SklearnIsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM as SklearnOneClassSVM
from tqdm.auto import tqdm

from hw3lib.anomaly.detector import BACKBONE, Detector, Rows
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.networks.patches import stage_names


@dataclass(kw_only=True)
class Pooled(Detector):
    """Base of the detectors on pooled features; ``arch`` is a backbone with ImageNet weights, which stays frozen."""

    no_graph: ClassVar[str] = "scikit-learn computes its scores, which torch cannot write as a graph"

    arch: str = BACKBONE

    @property
    def has_maps(self) -> bool:
        return False

    def _fit(self, images: Rows, progress: bool) -> None:
        self._backbone = backbones.load(self.arch).to(self._torch_device)
        starts = range(0, len(images), self.batch_size)
        with torch.no_grad():
            parts = [
                self._features(torch.from_numpy(images[i : i + self.batch_size]).to(self._torch_device))
                for i in tqdm(starts, desc=f"{self.name}: read", unit="batch", disable=not progress)
            ]
        self._learned = np.concatenate(parts)
        self._estimate(self._learned)

    def _score(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.from_numpy(self._distance(self._features(images)).astype(np.float32)), None

    def _features(self, images: torch.Tensor) -> np.ndarray:
        return self._backbone.embed(images).cpu().numpy()

    @abstractmethod
    def _estimate(self, features: np.ndarray) -> None:
        """Fit on features of good images, float32 ``(n, features)``."""

    @abstractmethod
    def _distance(self, features: np.ndarray) -> np.ndarray:
        """Scores ``(n,)``, higher is more anomalous."""

    def _state(self) -> dict[str, torch.Tensor]:
        return {"features": torch.from_numpy(self._learned)}

    def _restore(self, state: dict[str, torch.Tensor]) -> None:
        self._backbone = backbones.load(self.arch).to(self._torch_device)
        self._learned = state["features"].numpy()
        self._estimate(self._learned)

    @property
    def memory_bank(self) -> int:
        return len(self._learned)


@dataclass(kw_only=True)
class _Standardised(Pooled):
    """Features scaled to mean 0 and variance 1 over the good images, then one of scikit-learn's estimators."""

    def _estimate(self, features: np.ndarray) -> None:
        self._scaler = StandardScaler().fit(features)
        self._model = self._make(len(features)).fit(self._scaler.transform(features))

    def _distance(self, features: np.ndarray) -> np.ndarray:
        return -self._model.score_samples(self._scaler.transform(features))

    @abstractmethod
    def _make(self, n: int) -> Any:
        """An unfitted estimator for ``n`` images."""


@dataclass(kw_only=True)
class OneClassSVM(_Standardised):
    """The smallest region of a kernel's space that holds most good images (RBF kernel, width by ``gamma="scale"``).

    Learns a smooth border around the cloud of good images. Fails where a defect moves the mean of the features less
    than good images differ among themselves.

    Attributes:
        nu: upper bound on the share of good images outside, above 0 to 1.
    """

    name: ClassVar[str] = "one-class SVM"
    source: ClassVar[str] = "Schölkopf et al. 2001, Neural Computation 13(7): the nu formulation"

    nu: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.nu <= 1:
            raise Hw3Error(f"{self.name}: nu={self.nu!r}, expected a share above 0, at most 1")

    def _make(self, n: int) -> SklearnOneClassSVM:
        return SklearnOneClassSVM(nu=self.nu, gamma="scale")


@dataclass(kw_only=True)
class IsolationForest(_Standardised):
    """Random trees: what few random cuts separate from the rest is anomalous.

    Learns which values are rare, one feature at a time. Fails in many dimensions, where a cut seldom meets the few
    features that a defect changes.

    Attributes:
        trees: number of trees.
    """

    name: ClassVar[str] = "isolation forest"
    source: ClassVar[str] = "Liu, Ting and Zhou 2008, ICDM: the score 2^(-mean depth / c(n)), equation 2"

    trees: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trees < 1:
            raise Hw3Error(f"{self.name}: trees={self.trees!r}, expected 1 or more")

    def _make(self, n: int) -> SklearnIsolationForest:
        return SklearnIsolationForest(n_estimators=self.trees, random_state=self.seed)


@dataclass(kw_only=True)
class NearestImages(_Standardised):
    """Mean distance to the nearest good images.

    Learns nothing: it remembers. Fails where good images vary in more ways than have been photographed.

    Attributes:
        neighbours: how many; all good images, if there are fewer.
    """

    name: ClassVar[str] = "k-nearest neighbours"
    source: ClassVar[str] = "Bergman, Cohen and Hoshen 2020, arXiv 2002.10445: k nearest pooled features"

    neighbours: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise Hw3Error(f"{self.name}: neighbours={self.neighbours!r}, expected 1 or more")

    def _make(self, n: int) -> NearestNeighbors:
        return NearestNeighbors(n_neighbors=min(self.neighbours, n))

    def _distance(self, features: np.ndarray) -> np.ndarray:
        return self._model.kneighbors(self._scaler.transform(features))[0].mean(1)


@dataclass(kw_only=True)
class Mahalanobis(Pooled):
    """Distance from the mean in units of the spread of good images, summed over the stages of the network.

    The covariance is shrunk (Ledoit and Wolf 2004), since there are fewer images than features. Learns which directions
    vary among good images. Fails where a defect is too small to move a mean over the image.
    """

    name: ClassVar[str] = "Mahalanobis"
    source: ClassVar[str] = "Rippel, Mertens and Merhof 2020, arXiv 2005.14140: sum over levels of M(x), equation 1"

    def _features(self, images: torch.Tensor) -> np.ndarray:
        # The stages one after the other; where each ends is known from the network.
        maps = self._backbone.feature_maps(images, self._levels)
        return torch.cat([m.mean((2, 3)) for m in maps.values()], 1).cpu().numpy()

    @property
    def _levels(self) -> list[str]:
        return stage_names(self._backbone)

    def _estimate(self, features: np.ndarray) -> None:
        channels = [self._backbone.stages()[level][0] for level in self._levels]
        self._ends = np.cumsum(channels)[:-1]
        self._models = [LedoitWolf().fit(level) for level in np.split(features, self._ends, 1)]

    def _distance(self, features: np.ndarray) -> np.ndarray:
        levels = np.split(features, self._ends, 1)
        squared = [model.mahalanobis(level) for model, level in zip(self._models, levels, strict=True)]
        return np.sqrt(squared).sum(0)
