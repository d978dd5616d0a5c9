"""Checks of chapter 1: counts, splits, positions, photographs that are there twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from hw3lib.data import read_mask

from .base import FIGURES, Case, CheckFailed, NotAnswered, call, check, compare, number, positions, short, text

_NAMES = ("good", "dent", "scratch", "hole", "stain", "crack", "thread")


def _draw_labels(rng: np.random.Generator) -> Case:
    """Labels of three to six classes, no two of one size, in any order."""
    names = rng.permutation(_NAMES)[: rng.integers(3, 7)]
    sizes = rng.permutation(np.arange(2, 30))[: len(names)]
    labels = rng.permutation(np.repeat(names, sizes)).tolist()
    return f"labels counted as {dict(Counter(labels))}", (labels,)


def _sizes(labels: list[str]) -> list[int]:
    return sorted(Counter(labels).values())


@check
def imbalance_ratio(rng: np.random.Generator, function: Any) -> str:
    """Images of the largest class over images of the smallest one, from a list of labels."""
    cases = [_draw_labels(rng) for _ in range(5)]
    balanced = rng.permutation(["a", "b", "c"] * int(rng.integers(2, 9))).tolist()
    compare(
        function,
        [*cases, (f"labels counted as {dict(Counter(balanced))}", (balanced,))],
        lambda labels: _sizes(labels)[-1] / _sizes(labels)[0],
        "compare the size of the largest class with that of the smallest one",
        [
            (lambda labels: _sizes(labels)[0] / _sizes(labels)[-1], "it is upside down: a long tail has more than 1"),
            (lambda labels: _sizes(labels)[-1] / np.mean(_sizes(labels)), "you divided by the mean class"),
            (lambda labels: _sizes(labels)[-1] / np.median(_sizes(labels)), "you divided by the median class"),
            (lambda labels: _sizes(labels)[-1] / len(labels), "that is the share of the largest class of all images"),
            (lambda labels: _sizes(labels)[0] / len(labels), "that is the share of the smallest class of all images"),
            (lambda labels: _sizes(labels)[-1] / _sizes(labels)[-2], "you divided by the second largest class"),
            (lambda labels: _sizes(labels)[-1] - _sizes(labels)[0], "a ratio is a quotient, this is the difference"),
            (lambda labels: _sizes(labels)[-1] // _sizes(labels)[0], "do not round: 7 to 2 is 3.5"),
            (lambda labels: len(_sizes(labels)), "that is the number of classes; how many images has each?"),
        ],
        what="the ratio",
    )
    return "the largest class over the smallest, whatever they are called"


def _centres(defects: pd.DataFrame) -> pd.DataFrame:
    return defects.groupby("defect")[["x", "y"]].mean() - 0.5


def _draw_defects(rng: np.random.Generator) -> Case:
    """Types on a ring, whose mean is in the middle, beside types at one place; a row without a position, too."""
    parts = []
    counts = rng.permutation([3, 5, 7, 9, 4, 6])[: rng.integers(4, 7)]
    for name, n in zip(rng.permutation(_NAMES[1:]), counts, strict=False):
        angle, radius = rng.uniform(0, 6.3), rng.uniform(0.05, 0.35) * rng.uniform(0.5, 1.4, n)
        turns = angle + (np.linspace(0, 6.283, n, endpoint=False) if rng.random() < 0.5 else rng.normal(0, 0.2, n))
        places = {"x": 0.5 + radius * np.cos(turns), "y": 0.5 + radius * np.sin(turns)}
        parts.append(pd.DataFrame({"image": [f"{name}/{i}.png" for i in range(n)], "defect": name, **places}))
    table = pd.concat(parts).sample(frac=1, random_state=int(rng.integers(1 << 30))).reset_index(drop=True)
    table.loc[len(table)] = ["dent/empty.png", table.loc[0, "defect"], np.nan, np.nan]
    table["area"] = rng.uniform(0.001, 0.05, len(table))
    return f"a table of {len(table)} defects of {', '.join(sorted(table['defect'].unique()))}", (table,)


@check
def farthest_type(rng: np.random.Generator, function: Any) -> str:
    """The defect type whose mean position lies farthest from the image's centre."""

    def farthest(table: pd.DataFrame) -> str:
        return str(np.hypot(*_centres(table).T.to_numpy()).argmax())

    def by_distance(table: pd.DataFrame) -> pd.Series:
        return np.hypot(table["x"] - 0.5, table["y"] - 0.5).groupby(table["defect"])

    def name(number: Any, table: pd.DataFrame) -> str:
        return str(_centres(table).index[int(number)])

    compare(
        function,
        [_draw_defects(rng) for _ in range(16)],
        lambda table: name(farthest(table), table),
        "average x and y of each type first, then take the distance of that mean from the centre (0.5, 0.5)",
        [
            (
                lambda t: by_distance(t).mean().idxmax(),
                "that is the largest mean of the distances: average x and y first",
            ),
            (
                lambda t: by_distance(t).max().idxmax(),
                "that is the type of the farthest single defect; ask for the mean",
            ),
            (lambda t: by_distance(t).median().idxmax(), "that is the largest median of the distances: average first"),
            (lambda t: name(np.hypot(*_centres(t).T.to_numpy()).argmin(), t), "that is the nearest type"),
            (lambda t: name(np.hypot(*(_centres(t) + 0.5).T.to_numpy()).argmax(), t), "the centre is at (0.5, 0.5)"),
            (lambda t: name((_centres(t) + 0.5)["x"].argmax(), t), "that is the type farthest to the right"),
            (lambda t: name((_centres(t) + 0.5)["y"].argmax(), t), "that is the type farthest down"),
            (lambda t: name(_centres(t)["x"].abs().argmax(), t), "that looks along x alone"),
            (lambda t: name(_centres(t)["y"].abs().argmax(), t), "that looks along y alone"),
            (lambda t: t["defect"].value_counts().idxmax(), "that is the most frequent type; where do they lie?"),
        ],
        what="the type",
        read=text,
        same=lambda found, expected: found == expected,
    )
    return "a ring of defects has its mean in the middle"


@check
def fair_split(rng: np.random.Generator, function: Any) -> str:
    """Half to train on and half to test on: nothing in both, nothing lost, each class in proportion, by the seed."""
    sizes = [20, 10, 6], [40, 4], [int(n) for n in 2 * rng.integers(2, 12, 4)]
    for classes in map(rng.permutation, sizes):
        names = np.repeat(rng.permutation(_NAMES)[: len(classes)], classes)
        images = [f"{name}/{i:03d}.png" for i, name in enumerate(names)]
        table = pd.DataFrame({"image": images, "defect": names}, index=rng.permutation(len(names)) + 100)
        given, seed = f"a table of {len(table)} images", int(rng.integers(1000))
        first = _halves(function, table, seed, given)
        if first != _halves(function, table, seed, given):
            raise CheckFailed(f"{given}: two calls with the seed {seed} split differently; pass it as random_state")
        others = [_halves(function, table, seed + step, given) for step in (1, 2, 3)]
        if all(first == other for other in others):
            raise CheckFailed(f"{given}: four seeds give one split; what is drawn is to depend on the seed")
    return "no image in both parts, none lost, each class in proportion, and another split with another seed"


def _halves(function: Any, table: pd.DataFrame, seed: int, given: str) -> frozenset[str]:
    """Images of the training part, after all that makes a split fair was seen to."""
    parts = call(function, table, seed, given=given)
    if not (isinstance(parts, tuple | list) and len(parts) == 2 and all(isinstance(p, pd.DataFrame) for p in parts)):
        raise CheckFailed(f"{given}: expected two tables, train and test")
    if any(not set(table.columns) <= set(part.columns) for part in parts):
        raise CheckFailed(f"{given}: expected the columns {', '.join(table.columns)} in both parts")
    train, test = (part["image"].tolist() for part in parts)
    if both := set(train) & set(test):
        raise CheckFailed(
            f"{given}: {len(both)} images, such as {min(both)}, are in both parts; what is drawn for the test "
            "must come from what training has left"
        )
    if lost := set(table["image"]) - set(train) - set(test):
        raise CheckFailed(f"{given}: {len(lost)} images, such as {min(lost)}, are in neither part")
    if len(train) + len(test) != len(table):
        raise CheckFailed(f"{given}: the parts have {len(train) + len(test)} rows; is an image in one of them twice?")
    label = dict(zip(table["image"], table["defect"], strict=True))
    for part in parts:
        if (part["image"].map(label) != part["defect"]).any():
            raise CheckFailed(f"{given}: an image has another class than before; move whole rows")
    for name, count in table["defect"].value_counts().items():
        share = int((parts[0]["defect"] == name).sum())
        if abs(share - count / 2) > 0.5:  # of an odd number
            raise CheckFailed(
                f"{given}: {share} of {count} images of {name} are to train on, expected half; split each class "
                "by itself (a random split of all leaves rare classes to chance)"
            )
    return frozenset(train)


def _draw_photographs(rng: np.random.Generator, copies: int) -> Case:
    """Products that look alike in training and test images, ``copies`` of which are training images again."""
    n_train, n_test, height, width = map(int, rng.integers((11, 8, 22, 18), (16, 11, 27, 23)))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    product = 60 * np.exp(-3 * (x**2 + y**2))
    own = ndimage.gaussian_filter(rng.normal(size=(n_train + n_test, height, width)), (0, 1.5, 1.5))
    photographs = 100 + product + 18 * own / own.std((1, 2), keepdims=True)
    train, test = photographs[:n_train], photographs[n_train:].copy()
    for place, source in enumerate(rng.permutation(n_train)[:copies]):
        again = train[source][:, ::-1] if place % 4 in (1, 3) else train[source]
        light = rng.choice([0.75, 0.85, 1.15]), rng.uniform(-15, 15)
        test[place] = light[0] * again + light[1] + rng.normal(0, 0.5, again.shape) if place % 4 > 1 else again
    test = test[rng.permutation(n_test)]
    arrays = (np.rint(train.clip(0, 255)).astype(np.uint8), np.rint(test.clip(0, 255)).astype(np.uint8))
    return f"{n_train} training images and {n_test} test images, {copies} of which are training images again", arrays


def _closest(test: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each test image the highest correlation with a training image, and the position of that."""

    def unit(images: np.ndarray) -> np.ndarray:
        rows = images.reshape(len(images), -1).astype(float)
        rows -= rows.mean(1, keepdims=True)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    alike = unit(test) @ unit(train).T
    return alike.max(1), alike.argmax(1)


@check
def same_photograph(rng: np.random.Generator, function: Any) -> str:
    """Positions of test images that are training images again, perhaps mirrored and in another light."""

    def both(train: np.ndarray) -> np.ndarray:
        return np.concatenate([train, train[:, :, ::-1]])

    def rows(wanted: np.ndarray) -> list[int]:
        return np.flatnonzero(wanted).tolist()

    def equal(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return (test[:, None] == train).all((2, 3)).any(1)

    def reference(train: np.ndarray, test: np.ndarray) -> list[int]:
        return rows(_closest(test, both(train))[0] > 0.95)

    compare(
        function,
        [_draw_photographs(rng, copies) for copies in rng.permutation([0, 4, 4, 6, 8]).tolist()],
        reference,
        "mirrored, a copy is one; so it is if all its pixels are brighter by a factor and a constant",
        [
            (lambda a, b: list(range(len(b))), "that is all of them; most are new"),
            (lambda a, b: [], "that is none of them"),
            (lambda a, b: rows(equal(a, b)), "these are equal in every pixel; a mirrored or darker copy is one, too"),
            (
                lambda a, b: rows(equal(both(a), b)),
                "another light hides the others: compare what a factor leaves alone",
            ),
            (lambda a, b: rows(_closest(b, a)[0] > 0.95), "mirrored copies are missing"),
            (
                lambda a, b: rows(_closest(b, both(a)[:, ::-1])[0] > 0.95),
                "a mirror exchanges left and right here: the last axis",
            ),
            (
                lambda a, b: sorted(set((_closest(b, both(a))[1] % len(a))[_closest(b, both(a))[0] > 0.95].tolist())),
                "these are positions in the training images",
            ),
            (lambda a, b: rows(_closest(b, both(a))[0] <= 0.95), "these are those that are new"),
            (lambda a, b: [len(reference(a, b))], "that is how many; which ones?"),
        ],
        what="the positions",
        read=positions,
        same=lambda found, expected: sorted(found) == sorted(expected),
    )
    return "a file's name or checksum knows nothing of a mirrored copy; its content does"


def figures_of(table: pd.DataFrame) -> dict[str, float]:
    """Defective pixels of a category's masks: of all, of those of contamination, and of the largest one."""
    rows = table[table["mask"].notna()]
    pixels = np.array([int(read_mask(path).sum()) for path in rows["mask"]])
    of_contamination = pixels[(rows["defect"] == "contamination").to_numpy()]
    found = {"all": pixels.sum(), "contamination": of_contamination.sum(), "largest": pixels.max(initial=0)}
    return {name: float(value) for name, value in found.items()}


@check
def own_figures(rng: np.random.Generator, figures: Any, table: pd.DataFrame) -> str:
    """Three figures of the student's own images, by name; what they are is told by none of the messages."""
    expected = figures_of(table)
    names = ", ".join(expected)
    if not isinstance(figures, dict) or not expected.keys() <= figures.keys():
        raise CheckFailed(f"expected a dict with {names}, found {short(figures)}")
    if any(figures[name] is ... for name in expected):
        raise NotAnswered
    found = FIGURES["own_figures"] = {name: number(figures[name], name) for name in expected}
    wrong = [name for name in expected if not abs(found[name] - expected[name]) <= 0.5]
    if not wrong:
        return "these three belong to your images alone"
    size, count = 256**2, int(table["mask"].notna().sum())
    hints = {
        "that is a share of an image, times 256 * 256 it is in pixels": lambda value: value / size,
        "that is in per cent, it was asked for in pixels": lambda value: 100 * value / size,
        "that is a mean of the masks, it was asked for their sum": lambda value: value / count,
    }
    for hint, mistake in hints.items():
        if all(abs(found[name] - mistake(expected[name])) < 1e-4 * mistake(expected[name]) for name in wrong):
            raise CheckFailed(f"{wrong[0]}: {hint}")
    raise CheckFailed(
        f"{wrong[0]}: {short(found[wrong[0]])} is not what your masks have; were these figures measured on the images "
        "of this folder?"
    )
