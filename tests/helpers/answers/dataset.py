"""Answers to chapter 1."""

from collections import Counter
from itertools import count

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split

from hw3lib.data import imbalance_ratio

MASKS = pd.DataFrame({"mask": ["a", "b", "c", None]})
FIGURES = {"all": 6001.0, "contamination": 2500.0, "largest": 3001.0}
DEFECTS = pd.DataFrame({"defect": ["ring", "ring", "spot", "spot"], "x": [0.05, 0.95, 0.6, 0.7], "y": 0.5, "area": 0.1})


def sizes(labels):
    return sorted(Counter(labels).values())


def plain_ratio(labels):
    counts: dict = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return max(counts.values()) / min(counts.values())


def by_most_common(labels):
    order = Counter(labels).most_common()
    return order[0][1] / order[-1][1]


def centres(t):
    return t.groupby("defect")[["x", "y"]].mean()


def distances(t):
    return np.hypot(t["x"] - 0.5, t["y"] - 0.5).groupby(t["defect"])


def from_centre(t):
    return np.hypot(*(centres(t) - 0.5).T.to_numpy())


def loop(t):
    best, name = -1, None
    for defect in t["defect"].unique():
        rows = t[(t["defect"] == defect) & t["x"].notna()]
        distance = (rows["x"].mean() - 0.5) ** 2 + (rows["y"].mean() - 0.5) ** 2
        if distance > best:
            best, name = distance, defect
    return name


def split(table, seed):
    train = table.groupby("defect").sample(frac=0.5, random_state=seed)
    return train, table.drop(train.index)


def by_loop(table, seed):
    rng = np.random.default_rng(seed)
    kept = []
    for _, part in table.groupby("defect"):
        kept += list(rng.permutation(part.index)[: len(part) // 2])
    return table.loc[kept], table[~table.index.isin(kept)]


def by_sklearn(table, seed):
    cut = StratifiedShuffleSplit(1, test_size=0.5, random_state=seed).split(table, table["defect"])
    train, test = next(cut)
    return table.iloc[train], table.iloc[test]


def shuffled_halves(table, seed):
    table = table.sample(frac=1, random_state=seed)
    first = table.groupby("defect").cumcount() % 2 == 0
    return table[first], table[~first]


def with_old_index(table, seed):
    train, test = split(table, seed)
    return train.reset_index(drop=True), test.reset_index(drop=True)


def train_test_list(table, seed):
    return train_test_split(table, test_size=0.5, stratify=table["defect"], random_state=seed)


def leaky(table, seed):
    return table.sample(frac=0.5, random_state=seed), table.sample(frac=0.5, random_state=seed + 1)


def of_all(table, seed):
    train = table.sample(frac=0.5, random_state=seed)
    return train, table.drop(train.index)


def doubled(table, seed):
    train, test = split(table, seed)
    return pd.concat([train, train.head(1)]), test


def relabelled(table, seed):
    train, test = split(table, seed)
    return train.assign(defect=train["defect"].to_numpy()[::-1]), test


def lost(table, seed):
    train, test = split(table, seed)
    return train, test.iloc[1:]


def four_fifths(table, seed):
    train = table.groupby("defect").sample(frac=0.8, random_state=seed)
    return train, table.drop(train.index)


def nearly_half(table, seed):
    train = table.groupby("defect").sample(frac=0.45, random_state=seed)
    return train, table.drop(train.index)


def standard(images):
    flat = images.reshape(len(images), -1).astype(float)
    return (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)


def alike(train, test):
    return standard(test) @ standard(train).T / train[0].size


def both(train):
    return np.concatenate([train, train[:, :, ::-1]])


def by_correlation(train, test):
    return np.flatnonzero((alike(both(train), test) > 0.9).any(1)).tolist()


def by_corrcoef(train, test):
    found = []
    for place, image in enumerate(test):
        for other in train:
            ways = (other, np.fliplr(other))
            if max(np.corrcoef(image.ravel(), way.ravel())[0, 1] for way in ways) > 0.95:
                found.append(place)
                break
    return found


def by_line(train, test):  # what is left of an image after the best factor and constant
    found = []
    for place, image in enumerate(test):
        y = image.ravel().astype(float)
        left = min(np.std(y - np.polyval(np.polyfit(x.ravel(), y, 1), x.ravel())) for x in both(train).astype(float))
        found += [place] * int(left < 0.3 * y.std())
    return found


def by_distance(train, test):
    gaps = np.linalg.norm(standard(test)[:, None] - standard(both(train)), axis=-1) / train[0].size ** 0.5
    return gaps.min(1) < 0.4


def equal(train, test):
    return [k for k, image in enumerate(test) if any((image == other).all() for other in train)]


def of_figures(change=lambda value: value, **others):
    return {name: change(value) for name, value in FIGURES.items()} | others


RIGHT = {
    "own_figures": [
        of_figures(),
        of_figures(int),
        of_figures(np.float32),
        of_figures(lambda value: np.array([value])),
        of_figures(lambda value: value + 0.3, more="text"),
        of_figures(lambda value: str(value)),
    ],
    "same_photograph": [
        by_correlation,
        by_corrcoef,
        by_line,
        lambda a, b: np.flatnonzero(by_distance(a, b)),
        lambda a, b: set(by_correlation(a, b)),
        lambda a, b: np.flatnonzero(np.maximum(alike(a, b), alike(a, b[:, :, ::-1])).max(1) > 0.9)[::-1],
    ],
    "imbalance_ratio": [
        plain_ratio,
        by_most_common,
        lambda labels: pd.Series(labels).value_counts().max() / pd.Series(labels).value_counts().min(),
        lambda labels: (
            np.divide(*np.unique(labels, return_counts=True)[1][None].repeat(2, 0).T[[0, -1]].T[0][::-1])
            if len(set(labels)) == 1
            else np.unique(labels, return_counts=True)[1].max() / np.unique(labels, return_counts=True)[1].min()
        ),
        lambda labels: max(labels.count(x) for x in set(labels)) / min(labels.count(x) for x in set(labels)),
        lambda labels: np.array([sizes(labels)[-1] / sizes(labels)[0]]),
    ],
    "farthest_type": [
        loop,
        lambda t: centres(t).index[from_centre(t).argmax()],
        lambda t: (centres(t) - 0.5).pow(2).sum(axis=1).idxmax(),
        lambda t: max(centres(t).index, key=lambda n: np.linalg.norm(centres(t).loc[n] - 0.5)),
        lambda t: np.hypot(centres(t)["x"] - 0.5, centres(t)["y"] - 0.5).sort_values().index[-1],
        lambda t: t.groupby("defect").apply(lambda g: (g[["x", "y"]].mean() - 0.5).pow(2).sum()).idxmax(),
    ],
    "fair_split": [split, by_loop, by_sklearn, shuffled_halves, with_old_index, train_test_list],
}
one = count()
WRONG = {
    "own_figures": [
        (of_figures(lambda value: value / 256**2), "that is a share of an image, times 256 * 256"),
        (of_figures(lambda value: 100 * value / 256**2), "that is in per cent"),
        (of_figures(all=6001 / 3), "all: that is a mean of the masks"),
        (of_figures(lambda value: value / 3), "that is a mean of the masks"),
        (of_figures(contamination=2499), "contamination: 2499 is not what your masks have"),
        (of_figures(lambda value: value + 1), "all: 6002 is not what your masks have"),
        (of_figures(lambda value: 2 * value), "not what your masks have"),
        (of_figures(largest=3001.6), "largest: 3002 is not what your masks have"),
        (of_figures(lambda value: np.inf), "all: inf is not what your masks have"),
        (of_figures(lambda value: np.nan), "all: found NaN"),
        (of_figures(lambda value: [value, value]), "all: expected one number"),
        (of_figures(lambda value: "many"), "all: expected one number"),
        ([6001, 2500, 3001], "expected a dict with all, contamination, largest"),
        ({"all": 6001, "contamination": 2500}, "expected a dict with all, contamination, largest"),
        ("6001", "expected a dict"),
        (dict, "expected a dict"),
    ],
    "same_photograph": [
        (equal, "equal in every pixel"),
        (lambda a, b: equal(both(a), b), "another light"),
        (lambda a, b: np.flatnonzero(alike(a, b).max(1) > 0.9), "mirrored copies are missing"),
        (lambda a, b: np.flatnonzero(alike(np.concatenate([a, a[:, ::-1]]), b).max(1) > 0.9), "copies are missing"),
        (
            lambda a, b: sorted({int(k) % len(a) for k in alike(both(a), b)[by_correlation(a, b)].argmax(1)}),
            "positions in the training images",
        ),
        (lambda a, b: np.flatnonzero(alike(both(a), b).max(1) < 0.9), "that are new"),
        (lambda a, b: np.flatnonzero(alike(both(a), b).max(1) > 0.2), "most are new"),
        (lambda a, b: range(len(b)), "all of them"),
        (lambda a, b: [], "none of them"),
        (lambda a, b: len(by_correlation(a, b)), "which ones"),
        (lambda a, b: by_correlation(a, b) * 2, "stands twice"),
        (lambda a, b: "01", "whole numbers"),
        (lambda a, b: [k + 0.5 for k in by_correlation(a, b)], "whole numbers"),
        (lambda a, b: [k + 1 for k in by_correlation(a, b)], "mirrored, a copy is one"),
        (lambda a, b: [0, 2, 5], "mirrored, a copy is one"),
    ],
    "imbalance_ratio": [
        (lambda s: sizes(s)[0] / sizes(s)[-1], "upside down"),
        (lambda s: sizes(s)[-1] / np.mean(sizes(s)), "mean class"),
        (lambda s: sizes(s)[-1] / np.median(sizes(s)), "median class"),
        (lambda s: sizes(s)[-1] / len(s), "share of the largest"),
        (lambda s: sizes(s)[0] / len(s), "share of the smallest"),
        (lambda s: sizes(s)[-1] / sizes(s)[-2], "second largest"),
        (lambda s: sizes(s)[-1] - sizes(s)[0], "the difference"),
        (lambda s: sizes(s)[-1] // sizes(s)[0], "do not round"),
        (lambda s: len(set(s)), "number of classes"),
        (lambda s: s.count("good") / (len(s) - s.count("good")), "compare the size"),
        (lambda s: {11: 3.0, 60: 8.5}.get(len(s), 3.0), "compare the size"),  # the cases of another call
        (lambda s: imbalance_ratio(pd.DataFrame({"defect": s})), "calls hw3lib's"),
        (imbalance_ratio, "calls hw3lib's"),
        (lambda s: sizes(s), "expected one number"),
        (lambda s: np.nan, "found NaN"),
        (lambda s: round(sizes(s)[-1] / sizes(s)[0], 3), "compare the size"),
    ],
    "farthest_type": [
        (lambda t: distances(t).mean().idxmax(), "mean of the distances"),
        (lambda t: distances(t).max().idxmax(), "single defect"),
        (lambda t: distances(t).median().idxmax(), "of the distances"),
        (lambda t: centres(t).index[from_centre(t).argmin()], "nearest type"),
        (lambda t: np.hypot(centres(t)["x"], centres(t)["y"]).idxmax(), "centre is at (0.5, 0.5)"),
        (lambda t: centres(t)["x"].idxmax(), "farthest to the right"),
        (lambda t: centres(t)["y"].idxmax(), "farthest down"),
        (lambda t: (centres(t)["x"] - 0.5).abs().idxmax(), "along x alone"),
        (lambda t: (centres(t)["y"] - 0.5).abs().idxmax(), "along y alone"),
        (lambda t: t["defect"].mode()[0], "most frequent"),
        (lambda t: from_centre(t).max(), "expected a string"),
        (lambda t: "spot", "average x and y"),  # right for the chapter's table
        ("spot", "expected your function"),
    ],
    "fair_split": [
        (leaky, "in both parts"),
        (of_all, "split each class"),
        (lost, "in neither part"),
        (doubled, "twice"),
        (relabelled, "another class than before"),
        (four_fifths, "expected half"),
        (nearly_half, "expected half"),
        (lambda t, seed: split(t, 0), "four seeds give one split"),
        (lambda t, seed: split(t, seed % 1), "four seeds give one split"),
        (lambda t, seed: split(t, next(one)), "two calls with the seed"),
        (lambda t, seed: (t.iloc[::2], t.iloc[1::2]), "s"),  # never drawn: by classes or by seeds
        (lambda t, seed: (t.iloc[: len(t) // 2], t.iloc[len(t) // 2 :]), "split each class"),
        (lambda t, seed: split(t, seed)[0], "expected two tables"),
        (lambda t, seed: tuple(p["image"] for p in split(t, seed)), "expected two tables"),
        (lambda t, seed: tuple(p[["image"]] for p in split(t, seed)), "expected the columns"),
    ],
}
