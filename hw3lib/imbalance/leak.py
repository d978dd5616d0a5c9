"""The leak: what oversampling before the split does to the score, against oversampling the training part alone."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hw3lib.core.intervals import Interval, corrected_interval
from hw3lib.core.scores import balanced_accuracy
from hw3lib.core.seeds import spawned
from hw3lib.data.groups import GROUP
from hw3lib.data.labels import split_sizes
from hw3lib.data.splits import repeated_splits


class Leak(NamedTuple):
    """Balanced accuracy with the leak and without.

    Attributes:
        table: one row a split: ``honest`` (oversampled after the split), ``leaky`` (before it, as its author would
            report it), ``leaky_real`` (the same classifier on the real test images only).
        inflation: mean of ``leaky - honest`` with its 95 % interval.
        inflation_real: of ``leaky_real - honest``: what is left where no generated image is tested on.
    """

    table: pd.DataFrame
    inflation: Interval
    inflation_real: Interval


def leak_experiment(
    X: np.ndarray,
    y: np.ndarray,
    oversampler,
    *,
    classifier=None,
    n_splits: int = 10,
    test_size: float = 0.2,
    random_state: int = 0,
    groups: np.ndarray | None = None,
) -> Leak:
    """Oversample before the split and after it, on the same repeated stratified splits of the real samples.

    The wrong way oversamples everything; of each class the same share of what was made as of the real samples then goes
    to the test part, so that copies and relatives of test samples are trained on. Both ways share the real samples of
    each part, which pairs them; the interval is Nadeau and Bengio's (:func:`hw3lib.core.corrected_interval`).

    Args:
        X: feature vectors ``(N, D)`` or images, uint8 ``(N, 3, H, W)``, which the classifier gets flattened.
        y: labels, ``(N,)``.
        oversampler: anything with ``fit_resample`` that returns the originals first; not changed.
        classifier: anything with ``fit`` and ``predict``; by default a logistic regression on standardised values.
        n_splits, test_size: see :func:`hw3lib.data.repeated_splits`.
        random_state: of the splits; each split oversamples with one of its own.
        groups: the product that each sample shows, ``(N,)``: none stands on both sides; None: another one each.

    Raises:
        Hw3Error: a class too small to stand on both sides, or what the oversampler refuses.
    """
    X, y = np.asarray(X), np.asarray(y)
    classifier = classifier or make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    samples = pd.DataFrame({"defect": y} if groups is None else {"defect": y, GROUP: groups})
    splits = repeated_splits(samples, n_splits, test_size, random_state)
    rows = []
    for i, (train, test) in enumerate(splits):
        sampler = clone(oversampler)
        if "random_state" in sampler.get_params():
            sampler.set_params(random_state=spawned(random_state, i))
        honest = _predict(classifier, *_resample(clone(sampler), X[train], y[train]), X[test])
        X_all, y_all = _resample(sampler, X, y)
        tested = np.zeros(len(y_all), bool)
        tested[test] = True
        tested[len(y) :] = _stratified(y_all[len(y) :], len(test) / len(y), np.random.default_rng([random_state, i]))
        leaky = _predict(classifier, X_all[~tested], y_all[~tested], X_all[tested])
        rows.append(
            (
                balanced_accuracy(y[test], honest),
                balanced_accuracy(y_all[tested], leaky),
                # The originals come first, so the first answers are those on the real test samples.
                balanced_accuracy(y[test], leaky[: len(test)]),
            )
        )
    table = pd.DataFrame(rows, columns=["honest", "leaky", "leaky_real"])
    sizes = split_sizes(splits)
    inflation, inflation_real = (
        corrected_interval(table[name] - table["honest"], *sizes, kind="difference") for name in ("leaky", "leaky_real")
    )
    return Leak(table, inflation, inflation_real)


def _resample(sampler, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of one image is said once by the caller's own use
        return sampler.fit_resample(X, y)


def _predict(classifier, X_train, y_train, X_test):
    return clone(classifier).fit(X_train.reshape(len(X_train), -1), y_train).predict(X_test.reshape(len(X_test), -1))


def _stratified(y: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of the given share of each class, rounded."""
    mask = np.zeros(len(y), bool)
    for name in np.unique(y):
        rows = np.flatnonzero(y == name)
        mask[rng.permutation(rows)[: int(round(share * len(rows)))]] = True
    return mask
