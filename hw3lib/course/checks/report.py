"""Checks of chapter 6: comparing with a reported figure, and reporting honestly."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .base import CheckFailed, call, near, number, passed

TEST_IMAGES = {"carpet": 22, "wood": 26, "bottle": 8, "capsule": 24}  # of the four reports' best rows


def intervals_agree(function: Callable[[float, float, float, float], bool]) -> None:
    """Whether two intervals, ``low, high`` of the one and of the other, have a point in common."""
    cases = [
        ((0.53, 0.98, 0.70, 0.90), True, "one inside the other"),
        ((0.70, 0.90, 0.53, 0.98), True, "one inside the other"),
        ((0.20, 0.50, 0.45, 0.80), True, "they overlap"),
        ((0.45, 0.80, 0.20, 0.50), True, "they overlap"),
        ((0.10, 0.30, 0.31, 0.60), False, "a gap lies between them"),
        ((0.31, 0.60, 0.10, 0.30), False, "a gap lies between them"),
        ((0.10, 0.30, 0.30, 0.60), True, "they touch"),
    ]
    for bounds, expected, why in cases:
        given = f"{bounds[0]:g} to {bounds[1]:g} and {bounds[2]:g} to {bounds[3]:g}"
        if bool(call(function, *bounds, given=given)) != expected:
            raise CheckFailed(f"{given}: expected {expected} ({why}); each must begin before the other ends")
    passed("overlap does not show that two figures are equal, only that these data do not settle which is higher")


def honest_summary(function: Callable[[np.ndarray], float]) -> None:
    """One accuracy from those of several splits, which is no better than the splits were on average."""
    rng = np.random.default_rng(0)
    for n in (5, 10, 30):
        accuracies = rng.integers(4, 9, n) / 8
        given = f"{n} splits from {accuracies.min():.1%} to {accuracies.max():.1%}"
        found = number(call(function, accuracies.copy(), given=given), "the accuracy")
        if near(found, accuracies.mean()):
            continue
        hint = "every split counts alike"
        if near(found, accuracies.max()):
            hint = "the best split is not what the next product will meet, and more splits would only raise it"
        elif near(found, np.median(accuracies)):
            hint = "the median is honest too, but the intervals of this course belong to the mean"
        raise CheckFailed(f"{given}: expected {accuracies.mean():.4f}, found {found:.4f}; {hint}")
    passed("the best of many splits is a statement about chance")


def points_an_image(prediction: Mapping[str, float], measured: Mapping[str, float]) -> None:
    """By how many percentage points one test image moves each report's accuracy; the prediction may be wrong."""
    for what, answer in (("prediction", prediction), ("measured", measured)):
        if not isinstance(answer, Mapping) or set(answer) != set(TEST_IMAGES):
            raise CheckFailed(f"{what}: expected a number for each of {', '.join(TEST_IMAGES)}, found {answer!r}")
    for name, images in TEST_IMAGES.items():
        found = number(measured[name], f"measured[{name!r}]")
        if not near(found, 100 / images, 1e-2):
            hint = (
                "in percentage points, not as a fraction" if near(found, 1 / images, 1e-3) else "one image of how many?"
            )
            raise CheckFailed(f"measured[{name!r}]: {found:g} is not it for {images} test images; {hint}")
        number(prediction[name], f"prediction[{name!r}]")
    passed("a difference smaller than that is no difference")
