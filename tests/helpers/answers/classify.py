"""Answers to chapter 2."""

import copy
from itertools import count
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from hw3lib.core.intervals import wilson_interval


def features(rng, labels):  # the second one is noise that a mean cannot ignore
    n = len(labels)
    return np.stack([(labels == "b") + 0.2 * rng.normal(size=n), 30 * rng.normal(size=n)], 1)


LABELS = np.repeat(["a", "b"], 60)
FEATURES = features(np.random.default_rng(0), LABELS)


def hidden(rng):
    labels = rng.permutation(np.repeat(["a", "b"], 45))
    return features(rng, labels), labels


def wilson(k, n, z=1.96):
    p = k / n
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    centre = (p + z * z / 2 / n) / (1 + z * z / n)
    return centre - half, centre + half


def solved(k, n):  # the ends solve (p - x)^2 = z^2 x (1 - x) / n
    z2, p = 1.96**2 / n, k / n
    return np.sort(np.roots([1 + z2, -2 * p - z2, p * p]))


def wald(k, n):
    half = 1.96 * sqrt(k / n * (1 - k / n) / n)
    return k / n - half, k / n + half


def centre_half(k, n):
    low, high = wilson(k, n)
    return (low + high) / 2, (high - low) / 2


def head(model, num_classes):
    model.requires_grad_(False)
    model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, num_classes)
    return model


def by_loop(model, num_classes):
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.classifier[3] = nn.Linear(1024, num_classes)
    return model


def of_a_copy(model, num_classes):
    return head(copy.deepcopy(model), num_classes)


def with_dropout(model, num_classes):
    model.requires_grad_(False)
    model.classifier[-1] = nn.Sequential(nn.Dropout(0.2), nn.Linear(1024, num_classes))
    return model


def after(model, num_classes):
    head(model, num_classes)
    model.requires_grad_(False)
    model.classifier[-1].requires_grad_(True)
    return model


def without_bias(model, num_classes):
    model.requires_grad_(False)
    setattr(model.classifier, "3", nn.Linear(1024, num_classes, bias=False))
    return model


def appended(model, num_classes):
    model.requires_grad_(False)
    model.classifier.append(nn.Linear(1000, num_classes))
    return model


def thrown_away(model, num_classes):
    model.requires_grad_(False)
    model.classifier = nn.Linear(576, num_classes)
    return model


def wrapped(model, num_classes):
    model.requires_grad_(False)
    return nn.Sequential(model, nn.Linear(1000, num_classes))


def fresh(model, num_classes):
    from torchvision.models import mobilenet_v3_small

    return head(mobilenet_v3_small(weights=None), num_classes)


def half_frozen(model, num_classes):
    model = head(model, num_classes)
    model.classifier[-1].bias.requires_grad = False
    return model


def features_only(model, num_classes):
    model.features.requires_grad_(False)
    model.classifier[-1] = nn.Linear(1024, num_classes)
    return model


def three(model, num_classes):
    return head(model, 2)


def only_layer(model, num_classes):
    return head(model, num_classes).classifier[-1]


def unanswered_head(model, num_classes):
    head(model, num_classes)


def learned(make):
    return lambda x, y, t: make.fit(x, y).predict(t)


def best(column, worst=False):
    return lambda h: h["epoch"][h[column].idxmax() if worst else h[column].idxmin()]


def ties_by_test(h):
    return h.sort_values(["val_loss", "test_accuracy"], ascending=[True, False])["epoch"].iloc[0]


def looked_up(x, y, t):
    rows = {tuple(row): label for row, label in zip(FEATURES, LABELS, strict=True)}
    return np.array([rows.get(tuple(row), "a") for row in t])


tick = count()
RIGHT = {
    "wilson": [
        wilson,
        solved,
        lambda k, n: list(wilson(k, n)),
        lambda k, n: tuple(round(v, 4) for v in wilson(k, n)),
        lambda k, n: binomtest(k, n).proportion_ci(method="wilson"),
        lambda k, n: np.clip(wilson(k, n), 0, 1),
    ],
    "exchange_head": [head, by_loop, of_a_copy, with_dropout, after, without_bias],
    "best_epoch": [
        best("val_loss"),
        lambda h: int(np.argmin(h["val_loss"])) + 1,
        lambda h: h.loc[h["val_loss"] == h["val_loss"].min(), "epoch"].iloc[-1],
        lambda h: h.sort_values("val_loss", kind="stable")["epoch"].iloc[0],
        lambda h: h.set_index("epoch")["val_loss"].idxmin(),
        lambda h: min(h.itertuples(), key=lambda row: row.val_loss).epoch,
    ],
    "beats_nearest_mean": [
        learned(LogisticRegression(max_iter=3000)),
        learned(LinearDiscriminantAnalysis()),
        learned(RidgeClassifier()),
        learned(make_pipeline(StandardScaler(), SVC())),
        learned(GaussianNB()),
        learned(make_pipeline(StandardScaler(), NearestCentroid())),
    ],
}
WRONG = {
    "wilson": [
        (wald, "has no width"),
        (lambda k, n: np.clip(wald(k, n), 0, 1), "clipped"),
        (lambda k, n: wilson(k, n)[::-1], "ends are exchanged"),
        (lambda k, n: 100 * np.array(wilson(k, n)), "per cent"),
        (lambda k, n: wilson(k, n, 1.645), "90 % interval"),
        (lambda k, n: wilson(k, n, 1.0), "68 % interval"),
        (lambda k, n: wilson(k, n, 2.576), "99 % interval"),
        (centre_half, "centre and half-width"),
        (lambda k, n: (k / n - centre_half(k, n)[1], k / n + centre_half(k, n)[1]), "the centre is not p"),
        (lambda k, n: (k / n, wilson(k, n)[1]), "on both sides"),
        (lambda k, n: (0.0, 1.0), "centre first"),
        (lambda k, n: {7: (0.529, 0.978), 18: (0.5, 0.835)}.get(k, (0, 1)), "centre first"),
        (lambda k, n: wilson(k, n)[0], "shape (2,)"),
        (wilson_interval, "calls hw3lib's"),
    ],
    "exchange_head": [
        (lambda m, n: head(m, n).requires_grad_(False), "nothing learns"),
        (lambda m, n: head(m, n).requires_grad_(True), "other tensors learn too"),
        (lambda m, n: m.requires_grad_(False), "expected (2, "),
        (appended, "in the place of"),
        (thrown_away, "are gone"),
        (wrapped, "are gone"),
        (fresh, "is not what it was"),
        (half_frozen, "does not learn"),
        (features_only, "other tensors learn too"),
        (three, "output of shape (2, 2)"),
        (only_layer, "are gone"),
        (unanswered_head, "is there a return"),
        (lambda m, n: n, "expected a network, found int"),
    ],
    "best_epoch": [
        (best("test_accuracy", worst=True), "when only test_accuracy changes"),
        (ties_by_test, "not even between equals"),
        (best("train_loss"), "nearly always falls"),
        (lambda h: h["val_loss"].idxmin(), "count from 1"),
        (lambda h: h["val_loss"].idxmin() + 2, "too late"),
        (lambda h: h["val_loss"].min(), "the loss itself"),
        (best("val_loss", worst=True), "lower is better"),
        (lambda h: h["epoch"][(h["val_loss"] + h["train_loss"]).idxmin()], "has no say"),
        (lambda h: h["epoch"][(h["val_loss"] - h["train_loss"]).idxmin()], "gap between"),
        (lambda h: h["epoch"].max(), "last epoch"),
        (lambda h: h["epoch"][h["val_loss"].diff().gt(0).idxmax() - 1], "may fall again"),
        (lambda h: h.loc[h["val_loss"].idxmin()], "a row or column"),
        (lambda h: {12: 3}.get(len(h), 1), "the lowest one decides"),
        (lambda h: h["epoch"][h["loss"].idxmin()], "raised KeyError"),
    ],
    "beats_nearest_mean": [
        (learned(NearestCentroid()), "every feature count alike"),
        (lambda x, y, t: np.where(learned(RidgeClassifier())(x, y, t) == "a", "b", "a"), "that is worse"),
        (lambda x, y, t: np.full(len(t), "a"), "points"),
        (lambda x, y, t: np.random.default_rng(next(tick)).choice(y, len(t)), "points"),
        (lambda x, y, t: np.full(len(t), "c"), "'c' is no class"),
        (lambda x, y, t: y, "expected 90 labels"),
        (lambda x, y, t: LABELS[: len(t)], "points"),  # the notebook's variables
        (looked_up, "points"),
        (lambda x, y, t: learned(LogisticRegression(max_iter=3000))(FEATURES[:, ::-1], LABELS, t), "points"),
        (lambda x, y, t: t[:, 0] > 0.5, "is no class"),
        (lambda x, y, t: np.unique(y)[::-1][(t[:, 0] > t[:, 0].mean()).astype(int)], "points"),
        (lambda x, y, t: learned(LogisticRegression(max_iter=3000))(x, y, x), "expected 90 labels"),
        (lambda x, y, t: pd.get_dummies(y[: len(t)]), "expected 90 labels"),
        (lambda x, y, t: 1 / 0, "raised ZeroDivisionError"),
    ],
}
