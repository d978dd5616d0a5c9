"""Checks of chapter 1: counts, splits, positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

from .base import CheckFailed, call, near, number, passed


def imbalance_ratio(function: Callable[[list[str]], float]) -> None:
    """Images of the largest class over images of the smallest one, from a list of labels."""
    rng = np.random.default_rng(0)
    cases = [["good"] * 6 + ["dent"] * 2 + ["scratch"] * 3]
    cases += [list(rng.choice(["a", "b", "c", "d"], 60, p=[0.6, 0.2, 0.1, 0.1])) for _ in range(5)]
    for labels in cases:
        counts = Counter(labels)
        given = f"labels counted as {dict(counts)}"
        found, expected = (
            number(call(function, labels, given=given), "the ratio"),
            max(counts.values()) / min(counts.values()),
        )
        if near(found, expected):
            continue
        hint = "compare the largest class with the smallest one"
        if near(found, 1 / expected):
            hint = "it is upside down: a balanced set has 1, a long tail more"
        elif near(found, max(counts.values()) / (len(labels) / len(counts))):
            hint = "you divided by the mean class; the tail is the smallest one"
        elif near(found, max(counts.values()) / len(labels)):
            hint = "that is the share of the largest class of all images"
        raise CheckFailed(f"{given}: expected {expected:.4g}, found {found:.4g}; {hint}")
    passed("the largest class over the smallest, whatever they are called")


def farthest_type(prediction: str, measured: str, defects: pd.DataFrame) -> None:
    """The defect type whose mean position lies farthest from the image's centre; the prediction may be wrong."""
    types = sorted(defects["defect"].unique())
    if prediction not in types:
        raise CheckFailed(f"prediction: expected one of {', '.join(types)}, found {prediction!r}")
    centres = defects.dropna(subset=["x", "y"]).groupby("defect")[["x", "y"]].mean()
    distance = np.hypot(centres["x"] - 0.5, centres["y"] - 0.5)
    if measured != distance.idxmax():
        raise CheckFailed(
            f"measured: {measured!r} is not the farthest; average x and y of each type first, and take the distance "
            "of that mean from the centre (0.5, 0.5), not the mean of the distances"
        )
    end = "as predicted" if prediction == measured else f"where {prediction} was predicted"
    passed(f"{measured}, {end}; now look at the map again")


def fair_split(function: Callable[[pd.DataFrame, int], tuple[pd.DataFrame, pd.DataFrame]]) -> None:
    """Half to train on and half to test on: nothing in both, nothing lost, each class in proportion."""
    for classes, seed in (({"good": 20, "dent": 10, "scratch": 6}, 0), ({"good": 40, "crack": 4}, 1)):
        names = [name for name, count in classes.items() for _ in range(count)]
        table = pd.DataFrame({"image": [f"{name}/{i:03d}.png" for i, name in enumerate(names)], "defect": names})
        given = f"a table of {len(table)} images"
        parts = call(function, table.copy(), seed, given=given)
        if not (isinstance(parts, tuple) and len(parts) == 2 and all(isinstance(p, pd.DataFrame) for p in parts)):
            raise CheckFailed(f"{given}: expected two tables, train and test")
        train, test = (set(part["image"]) for part in parts)
        if both := train & test:
            raise CheckFailed(
                f"{given}: {len(both)} images, such as {min(both)}, are in both parts; what is drawn for the test "
                "must come from what training has left"
            )
        if lost := set(table["image"]) - train - test:
            raise CheckFailed(f"{given}: {len(lost)} images, such as {min(lost)}, are in neither part")
        for name, count in classes.items():
            share = int((parts[0]["defect"] == name).sum())
            if abs(share - count / 2) > 1:
                raise CheckFailed(
                    f"{given}: {share} of {count} images of {name} are to train on, expected half; split each class "
                    "by itself (a random split of all leaves rare classes to chance)"
                )
    passed("no image in both parts, none lost, each class in proportion")
