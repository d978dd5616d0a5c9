"""Random oversampling and the SMOTE family: imbalanced-learn does the work, tiny classes and images are let in."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from imblearn.over_sampling import SMOTE, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from scipy import sparse

from .base import Oversampler, OversamplerError, check_number

KINDS = {"smote": SMOTE, "borderline": BorderlineSMOTE, "svm": SVMSMOTE}


class RandomOversampler(Oversampler):
    """Copies of randomly drawn samples of the same class, by imbalanced-learn's ``RandomOverSampler``.

    Attributes:
        sample_indices_: positions in ``X`` of all returned samples, int ``(N + made,)``.
    """

    def _make(self, X, y, needed, rng):
        wanted = {c: n + int((y == c).sum()) for c, n in needed.items()}
        sampler = RandomOverSampler(sampling_strategy=wanted, random_state=rng)
        sampler.fit_resample(np.arange(len(y))[:, None], y)
        self.sample_indices_ = sampler.sample_indices_
        return X[self.sample_indices_[len(y) :]]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.sampler_tags.sample_indices = True
        return tags


@dataclass(kw_only=True, repr=False, eq=False)
class SmoteOversampler(Oversampler):
    """SMOTE (Chawla et al. 2002, arXiv 1106.1813) with as many neighbours as a tiny class has.

    A class of n samples uses ``min(k_neighbors, n - 1)`` neighbours. Images are interpolated pixel by pixel.

    Args:
        kind: ``smote``; ``borderline`` (Han et al. 2005) or ``svm`` (Nguyen et al. 2011) make samples near the border
            between classes. A class that has no such border is made by ``smote``, with a warning.
        k_neighbors: neighbours among which a partner is drawn.
        sampling_strategy, random_state: see :class:`Oversampler`.

    Attributes:
        k_neighbors_: the number used, by class.
    """

    kind: str = "smote"
    k_neighbors: int = 5

    def _make(self, X, y, needed, rng):
        if self.kind not in KINDS:
            raise OversamplerError(f"kind={self.kind!r}: expected one of {', '.join(KINDS)}")
        check_number("k_neighbors", self.k_neighbors, 1)
        vectors = X if X.ndim == 2 else X.reshape(len(X), -1).astype(np.float32)
        self.k_neighbors_, made = {}, [vectors[:0]]
        for name, number in needed.items():
            count = int((y == name).sum())
            self.k_neighbors_[name] = min(self.k_neighbors, count - 1)
            made.append(self._make_class(vectors, y, name, number, count, rng))
        joined = (sparse.vstack if sparse.issparse(X) else np.concatenate)(made)
        if X.ndim == 4:
            return np.clip(np.rint(joined), 0, 255).astype(np.uint8).reshape(-1, *X.shape[1:])
        return joined

    def _make_class(self, X, y, name, number: int, count: int, rng):
        arguments = {"sampling_strategy": {name: count + number}, "random_state": rng}
        if count == 1:
            return RandomOverSampler(**arguments).fit_resample(X, y)[0][len(y) :]
        arguments["k_neighbors"] = self.k_neighbors_[name]
        if self.kind != "smote":
            border = KINDS[self.kind](**arguments, m_neighbors=min(10, len(y) - 1))
            try:
                made = border.fit_resample(X, y)[0][len(y) :]
            except ValueError:  # every support vector of the class counts as noise
                made = X[:0]
            if made.shape[0] == number:
                return made
            warnings.warn(f"no border found for class {name}: made by plain SMOTE", UserWarning, stacklevel=7)
        return SMOTE(**arguments).fit_resample(X, y)[0][len(y) :]
