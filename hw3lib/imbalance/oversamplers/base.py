"""What all oversamplers share: imbalanced-learn's manners, for feature vectors and for images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from scipy import sparse
from sklearn.utils import check_random_state

from hw3lib.errors import Hw3Error


class OversamplerError(Hw3Error, ValueError):
    """Bad input of an oversampler; also a ``ValueError``, which imbalanced-learn's manners ask for."""


@dataclass(kw_only=True, repr=False, eq=False)
class Oversampler(BaseOverSampler):
    """Base of the oversamplers.

    ``fit_resample(X, y)`` takes feature vectors ``(N, D)`` or images, uint8 ``(N, 3, H, W)``, and labels ``(N,)``. It
    returns the originals, first and unchanged, followed by what was made; dtype and shape stay. Where no class needs
    more, nothing is made. Where samples are made between two, a class with one has no neighbour: it is copied, with a
    warning.

    Args:
        sampling_strategy: ``"auto"`` brings every class to the size of the largest, a dict gives the wanted size of
            each class, a float the wanted ratio of two classes; see imbalanced-learn.
        random_state: the same seed gives the same samples.

    Raises:
        Hw3Error: missing values, images of mixed sizes or of another dtype, a class in ``sampling_strategy`` that is
            not in ``y``, a wanted size below the present one.
    """

    takes_vectors = True
    interpolates = True  # between two samples of a class

    sampling_strategy: str | float | dict = "auto"
    random_state: int | np.random.RandomState | None = None

    def fit(self, X, y):
        """Check the data and find how many samples each class needs (``sampling_strategy_``)."""
        with _as_oversampler_error(self):
            return super().fit(_as_array(X), y)

    def fit_resample(self, X, y):
        """Originals and what was made: ``(X, y)``; see the class."""
        with _as_oversampler_error(self):
            return super().fit_resample(_as_array(X), y)

    def _check_X_y(self, X, y, accept_sparse=None):
        if np.ndim(X) > 2 and not sparse.issparse(X):
            y, binarize = check_target_type(y, indicate_one_vs_all=True)
            X, y = _check_images(X), np.asarray(y)
            if len(X) != len(y):
                raise OversamplerError(f"y: found {len(y)} labels for {len(X)} images, expected one an image")
        elif self.takes_vectors:
            X, y, binarize = super()._check_X_y(X, y, accept_sparse)
        else:
            raise OversamplerError(f"X: found shape {np.shape(X)}, expected images, uint8 (N, 3, H, W)")
        if isinstance(self.sampling_strategy, Mapping):
            unknown = [c for c in self.sampling_strategy if c not in set(y.tolist())]
            if unknown:
                raise OversamplerError(
                    f"sampling_strategy: the class {unknown[0]!r} is not present in the data; "
                    f"its classes are {', '.join(map(repr, np.unique(y).tolist()))}"
                )
        return X, y, binarize

    def _fit_resample(self, X, y):
        needed = {c: n for c, n in self.sampling_strategy_.items() if n > 0}
        single = [str(c) for c in needed if (y == c).sum() == 1]
        if single and self.interpolates:
            warnings.warn(
                f"{type(self).__name__}: one sample only in {', '.join(single)}, which is copied; nothing can be "
                "interpolated",
                UserWarning,
                stacklevel=4,
            )
        made = self._make(X, y, needed, check_random_state(self.random_state))
        labels = np.repeat(np.array(list(needed), dtype=y.dtype), list(needed.values()))
        stack = sparse.vstack if sparse.issparse(X) else np.concatenate
        extra = {"format": X.format} if sparse.issparse(X) else {}
        return stack([X, made], **extra), np.concatenate([y, labels])

    def _make(self, X, y, needed: dict, rng: np.random.RandomState):
        """New samples, of the shape and dtype of ``X``, class by class in the order of ``needed`` (class: number)."""
        raise NotImplementedError


class _as_oversampler_error:
    """Turn the ValueErrors of scikit-learn and imbalanced-learn into :class:`OversamplerError`, their text kept."""

    def __init__(self, owner: Oversampler):
        self.owner = owner

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, traceback) -> None:
        if isinstance(error, ValueError) and not isinstance(error, Hw3Error):
            raise OversamplerError(f"{type(self.owner).__name__}: {error}") from error


def _as_array(X):
    """A list or an object array of images as one array; everything else as it is."""
    if isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1):
        shapes = sorted({np.shape(x) for x in X if np.ndim(x) == 3})
        if len(shapes) > 1:
            raise OversamplerError(
                f"X: images of mixed sizes, {shapes[0]} and {shapes[1]}; bring them to one size, "
                "for instance by hw3lib.data.ImageStack"
            )
        if shapes:
            return np.stack(list(X))
    return X


def _check_images(X) -> np.ndarray:
    X = np.asarray(X)
    if X.ndim != 4 or X.shape[1] != 3 or X.dtype != np.uint8 or 0 in X.shape:
        raise OversamplerError(
            f"X: found {X.dtype} {X.shape}, expected feature vectors (N, D) or images, uint8 (N, 3, H, W)"
        )
    return X


def check_number(name: str, value, low: float, *, whole: bool = True, excluded: bool = False) -> None:
    """Refuse a parameter that is no number of at least (``excluded``: above) ``low``."""
    kind: type[Any] = Integral if whole else Real
    good = isinstance(value, kind) and not isinstance(value, bool) and (value > low if excluded else value >= low)
    if not good or not np.isfinite(value):
        what = "a whole number" if whole else "a number"
        raise OversamplerError(f"{name}={value!r}: expected {what} {'above' if excluded else 'of at least'} {low:g}")
