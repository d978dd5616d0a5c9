"""Confidence intervals of AUPRO, AUPIMO and F1 that hold for few images, and where all values are 0 or 1."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from hw3lib.core.intervals import Interval


def mean_interval(values: np.ndarray, groups: np.ndarray | None = None, confidence: float = 0.95) -> Interval:
    """Mean of values in 0 to 1 and its interval, where the values of one group are drawn together.

    Student's interval of the mean with one group of zeros and one of ones added, each of the average size: as Agresti
    and Coull (The American Statistician 52, 1998) do for shares, so that values that are all 1 have an interval too.
    The variance is that of the groups' sums (the ratio estimator: Cochran, Sampling Techniques, 1977, section 9.2).

    Args:
        values: of images, or of regions in them, ``(n,)``.
        groups: which values belong together: regions of an image, images of a product, int ``(n,)``; None: none do.
        confidence: share of intervals that hold the true mean, 0 to 1.

    Returns:
        The mean with limits within 0 to 1; NaN of no values.
    """
    values = np.asarray(values, float)
    if not len(values):
        return Interval(confidence=confidence)
    _, which = np.unique(np.arange(len(values)) if groups is None else groups, return_inverse=True)
    sums, sizes = np.bincount(which, values), np.bincount(which)
    sums, sizes = np.append(sums, [0, sizes.mean()]), np.append(sizes, [sizes.mean()] * 2)
    middle, n = sums.sum() / sizes.sum(), len(sums)
    error = math.sqrt(n / (n - 1) * ((sums - middle * sizes) ** 2).sum()) / sizes.sum()
    half = stats.t.ppf(0.5 + confidence / 2, n - 1) * error
    return Interval(float(values.mean()), max(0.0, float(middle - half)), min(1.0, float(middle + half)), confidence)


def f1_interval(is_defect: np.ndarray, above: np.ndarray, groups: np.ndarray | None = None) -> Interval:
    """F1 of the defective class at a threshold that was set before, and its 95 % interval.

    F1 rises with the share of the defective images above the threshold and falls with that of the good ones. Each has
    its :func:`mean_interval`; how far F1 moves to either end of both is added as independent errors are (MOVER: Zou and
    Donner, Statistics in Medicine 27, 2008).

    Args:
        is_defect: bool ``(N,)``; the test images' balance stays as it is.
        above: whether the score lies above the threshold, bool ``(N,)``.
        groups: products that the images show, int ``(N,)``; None: each shows another.

    Returns:
        F1 with limits within 0 to 1; NaN where all images are good, or all defective.
    """
    goods, defects = int((~is_defect).sum()), int(is_defect.sum())
    if not goods or not defects:
        return Interval()
    found, alarms = (
        mean_interval(above[rows], None if groups is None else groups[rows]) for rows in (is_defect, ~is_defect)
    )

    def f1(found: float, alarms: float) -> float:
        return 2 * found * defects / (defects + found * defects + alarms * goods)

    value = f1(found.value, alarms.value)
    low = math.hypot(value - f1(found.low, alarms.value), value - f1(found.value, alarms.high))
    high = math.hypot(f1(found.high, alarms.value) - value, f1(found.value, alarms.low) - value)
    return Interval(value, max(0.0, value - low), min(1.0, value + high))
