"""Answers to chapter 2."""

import copy
from itertools import count
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
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


def about(centre, half):
    return centre - half, centre + half


def head(model, num_classes):
    model.requires_grad_(False)
    model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, num_classes)
    return model


def by_loop(model, num_classes):
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.classifier[3] = nn.Linear(model.classifier[0].out_features, num_classes)
    return model


def of_a_copy(model, num_classes):
    return head(copy.deepcopy(model), num_classes)


def with_dropout(model, num_classes):
    model.requires_grad_(False)
    inputs = model.classifier[-1].in_features
    model.classifier[-1] = nn.Sequential(nn.Dropout(0.2), nn.Linear(inputs, num_classes))
    return model


def after(model, num_classes):
    head(model, num_classes)
    model.requires_grad_(False)
    model.classifier[-1].requires_grad_(True)
    return model


def without_bias(model, num_classes):
    model.requires_grad_(False)
    setattr(model.classifier, "3", nn.Linear(model.classifier[3].in_features, num_classes, bias=False))
    return model


def fixed_width(model, num_classes):
    model.requires_grad_(False)
    model.classifier[-1] = nn.Linear(1024, num_classes)
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
    model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, num_classes)
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


def drawn(choose, *, lines=("train_loss", "val_loss"), over="epoch", labels=True, legend=True, mark=0):
    """A picture of the losses, and the epoch that ``choose`` chooses."""

    def plot(history, axes):
        epoch = choose(history)
        for name in lines:
            axes.plot(history[over] if over else history.index, history[name], label=name)
        if labels:
            axes.set(xlabel="epoch", ylabel="loss")
        if legend:
            axes.legend()
        if mark is not None and np.ndim(epoch) == 0:
            axes.axvline(epoch + mark, linestyle=":")
        return epoch

    return plot


def by_pandas(history, axes):
    history.plot("epoch", ["val_loss", "train_loss"], ax=axes, ylabel="loss")
    epoch = best("val_loss")(history)
    axes.plot([epoch, epoch], axes.get_ylim())
    return epoch


def by_words(history, axes):
    for name in ("train_loss", "val_loss"):
        axes.plot(*history[["epoch", name]].to_numpy().T, marker="o")
        axes.text(1, history[name].iloc[0], name)
    epoch = int(history["epoch"][history["val_loss"].argmin()])
    axes.axvline(epoch, color="k")
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy")
    return epoch


def pipe(x, y, train, test, k=20, model=None, rows=None, choose=None, scale=None):
    """Standardise, choose features, fit; ``scale``, ``choose`` and ``rows`` are where each looks."""
    rows, choose, scale = (train if part is None else part for part in (rows, choose, scale))
    z = (x - x[scale].mean(0)) / x[scale].std(0)
    name = np.unique(y)[0]
    gap = np.abs(z[choose][y[choose] == name].mean(0) - z[choose][y[choose] != name].mean(0))
    keep = np.argsort(-gap)[:k]
    model = model or LogisticRegression(max_iter=500)
    return model.fit(z[rows][:, keep], y[rows]).predict(z[test][:, keep])


def everything(x):
    return np.arange(len(x))


def by_sklearn(x, y, train, test):
    steps = make_pipeline(StandardScaler(), SelectKBest(k=10), LogisticRegression(max_iter=500))
    return steps.fit(x[train], y[train]).predict(x[test])


def by_mean(x, y, train, test):
    middle, spread = np.median(x[train], 0), x[train].std(0)
    a, b = ((x[part] - middle) / spread for part in (train, test))
    names = np.unique(y[train])
    means = np.stack([a[y[train] == name].mean(0) for name in names])
    weight = np.abs(means[0] - means[1]) > 1
    return names[((b[:, None] - means) ** 2 * weight).sum(-1).argmin(1)]


def each_by_itself(x, y, train, test):  # the test rows are standardised by themselves
    z = x.copy()
    for part in (train, test):
        z[part] = (x[part] - x[part].mean(0)) / x[part].std(0)
    return pipe(z, y, train, test)


EXPLANATION = (
    "The network is right about the contaminated bottle, and its map peaks at the label in the corner, where nothing "
    "is wrong. Perhaps all contaminated bottles were photographed on one day with that label, so the label tells "
    "the class in training and in the test alike, and the accuracy cannot show it. I would cover the label, or cut it "
    "out, and look whether the decision changes; then photograph good bottles with the label, and train again."
)


def peaks(maps, masks):
    return np.array([mask[np.unravel_index(one.argmax(), one.shape)] for one, mask in zip(maps, masks, strict=True)])


def beside(maps, masks, said, truth):
    return np.flatnonzero((said == truth) & (truth != "good") & ~peaks(maps, masks))


def beside_by_loop(maps, masks, said, truth):
    found = []
    for k in range(len(maps)):
        row, column = np.argwhere(maps[k] == maps[k].max())[0]
        if truth[k] != "good" and truth[k] == said[k] and not masks[k][row, column]:
            found.append(k)
    return found


def of_defects(maps, masks, said, truth):
    return [k for k in np.flatnonzero(masks.any((1, 2)) & (said == truth)) if maps[k][masks[k]].max() < maps[k].max()]


def by_means(maps, masks, said, truth):
    rows = np.flatnonzero((said == truth) & (truth != "good"))
    return [k for k in rows if maps[k][masks[k]].mean() <= maps[k][~masks[k]].mean()]


def right(rule):
    return lambda m, k, s, t: np.flatnonzero(rule(peaks(m, k), s, t))


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
    "choose_epoch": [
        drawn(best("val_loss")),
        drawn(lambda h: int(np.argmin(h["val_loss"])) + 1, lines=("val_loss", "train_loss")),
        drawn(lambda h: h.loc[h["val_loss"] == h["val_loss"].min(), "epoch"].iloc[-1]),
        by_pandas,
        by_words,
        drawn(lambda h: min(h.itertuples(), key=lambda row: row.val_loss).epoch),
    ],
    "leak_free": [
        pipe,
        by_sklearn,
        by_mean,
        lambda x, y, a, b: pipe(x, y, a, b, k=6, model=SVC()).tolist(),
        lambda x, y, a, b: pipe(x, y, a, b, model=LinearDiscriminantAnalysis(), k=5),
        lambda x, y, a, b: np.concatenate([pipe(x, y, a, b[::2]), pipe(x, y, a, b[1::2])])[
            np.argsort(np.r_[: len(b) : 2, 1 : len(b) : 2])
        ],
    ],
    "wrong_reason": [
        (EXPLANATION, beside),
        (EXPLANATION, beside_by_loop),
        (EXPLANATION, of_defects),
        (EXPLANATION, lambda *x: set(beside(*x).tolist())),
        (EXPLANATION, lambda *x: beside(*x)[::-1].tolist()),
        (EXPLANATION * 2, lambda m, k, s, t: np.flatnonzero(np.where(t == "good", False, s == t) > peaks(m, k))),
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
        (lambda k, n: (0.0, 1.0), "neither centre nor half-width"),
        (lambda k, n: {7: (0.529, 0.978), 18: (0.5, 0.835)}.get(k, (0, 1)), "neither centre nor half-width"),
        (lambda k, n: about(centre_half(k, n)[0], 0.1), "the centre is right; the half-width is not"),
        (lambda k, n: about(centre_half(k, n)[0], wald(k, n)[1] - k / n), "the centre is right; the half-width is not"),
        (lambda k, n: about(0.5, centre_half(k, n)[1]), "the half-width is right; the centre is not"),
        (lambda k, n: (wilson(k, n)[0], 1.0), "the low end is right"),
        (lambda k, n: (0.0, wilson(k, n)[1]), "the high end is right"),
        (lambda k, n: np.round(wilson(k, n), 3), "the"),
        (lambda k, n: wilson(k, n)[0], "shape (2,)"),
        (wilson_interval, "calls hw3lib's"),
    ],
    "exchange_head": [
        (lambda m, n: head(m, n).requires_grad_(False), "nothing learns"),
        (lambda m, n: head(m, n).requires_grad_(True), "other tensors learn too"),
        (lambda m, n: m.requires_grad_(False), "expected (2, "),
        (fixed_width, "as model.classifier[-1].in_features says"),
        (lambda m, n: head(m, 5), "decides on the number of classes"),
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
    "choose_epoch": [
        (drawn(best("test_accuracy", worst=True)), "when only test_accuracy changes"),
        (drawn(ties_by_test), "not even between equals"),
        (drawn(best("train_loss")), "nearly always falls"),
        (drawn(lambda h: h["val_loss"].idxmin()), "count from 1"),
        (drawn(lambda h: h["val_loss"].idxmin() + 2), "too late"),
        (drawn(lambda h: h["val_loss"].min()), "the loss itself"),
        (drawn(best("val_loss", worst=True)), "lower is better"),
        (drawn(lambda h: h["epoch"][(h["val_loss"] + h["train_loss"]).idxmin()]), "has no say"),
        (drawn(lambda h: h["epoch"][(h["val_loss"] - h["train_loss"]).idxmin()]), "gap between"),
        (drawn(lambda h: h["epoch"].max()), "last epoch"),
        (drawn(lambda h: h["epoch"][h["val_loss"].diff().gt(0).idxmax() - 1]), "may fall again"),
        (drawn(lambda h: h.loc[h["val_loss"].idxmin()]), "a row or column"),
        (drawn(lambda h: {12: 3}.get(len(h), 1)), "the lowest one decides"),
        (drawn(best("val_loss"), lines=("train_loss",)), "no line of the validation loss"),
        (drawn(best("val_loss"), lines=("val_loss",)), "no line of the training loss"),
        (drawn(best("val_loss"), over=None), "over the rows of the table"),
        (drawn(best("val_loss"), lines=("train_loss", "val_loss", "test_accuracy")), "leave it out"),
        (drawn(best("val_loss"), labels=False), "has no label"),
        (drawn(best("val_loss"), legend=False), "which line is which"),
        (drawn(best("val_loss"), mark=None), "nothing marks"),
        (drawn(best("val_loss"), mark=1), "is marked"),
        (lambda h, axes: best("val_loss")(h), "no line of"),
        (drawn(lambda h: h["epoch"][h["loss"].idxmin()]), "raised KeyError"),
    ],
    "leak_free": [
        (lambda x, y, a, b: pipe(x, y, a, b, choose=everything(x), scale=everything(x)), "other labels"),
        (lambda x, y, a, b: pipe(x, y, a, b, choose=everything(x)), "other labels"),
        (lambda x, y, a, b: pipe(x, y, a, b, scale=everything(x)), "judged by its neighbours"),
        (lambda x, y, a, b: pipe(x, y, a, b, rows=everything(x)), "other labels"),
        (lambda x, y, a, b: pipe(x, y, b, b), "other labels"),
        (lambda x, y, a, b: pipe(x, y, a, b, choose=b), "other labels"),
        (each_by_itself, "judged by its neighbours"),
        (lambda x, y, a, b: y[b], "other labels"),
        (lambda x, y, a, b: np.random.default_rng(next(tick)).choice(y, len(b)), "predict differently"),
        (lambda x, y, a, b: np.full(len(b), "good"), "nothing leaks, and"),
        (lambda x, y, a, b: np.where(pipe(x, y, a, b) == "good", "dent", "good"), "worse than guessing"),
        (lambda x, y, a, b: pipe(x, y, a, everything(x)), "a label for each test row"),
        (lambda x, y, a, b: pipe(x, y, a, b) == "good", "is no class"),
        (lambda x, y, a, b: pipe(x[:, np.argsort(-x.var(0))[:3]], y, a, b), "s"),
        (lambda x, y, a, b: [[1], [2, 3]], "a label for each test row"),
    ],
    "wrong_reason": [
        ((EXPLANATION, right(lambda p, s, t: (s == t) & ~p)), "has no defect to point at"),
        ((EXPLANATION, right(lambda p, s, t: (t != "good") & ~p)), "wrong decisions are among them, too"),
        ((EXPLANATION, right(lambda p, s, t: ~p)), "good images and wrong decisions"),
        ((EXPLANATION, right(lambda p, s, t: (s == t) & p)), "ask for the others"),
        ((EXPLANATION, right(lambda p, s, t: (s != t) & (t != "good") & ~p)), "these are the wrong decisions"),
        ((EXPLANATION, right(lambda p, s, t: (s != "good") & ~p)), "compare it with truth"),
        ((EXPLANATION, lambda m, k, s, t: beside(-m, k, s, t)), "where the map is lowest"),
        ((EXPLANATION, by_means), "compares means"),
        ((EXPLANATION, right(lambda p, s, t: (s == t) & (t != "good"))), "where are their peaks"),
        ((EXPLANATION, lambda *x: []), "there are some"),
        ((EXPLANATION, lambda *x: len(beside(*x))), "three things"),
        ((EXPLANATION, lambda *x: beside(*x) + 1), "three things"),
        ((EXPLANATION, lambda *x: np.repeat(beside(*x), 2)), "stands twice"),
        (("It looks at the label.", beside), "5 words, expected 60 to 300"),
        (("label " * 80, beside), "again and again"),
        ((None, beside), "expected a text"),
        ((EXPLANATION, EXPLANATION), "expected your function"),
    ],
    "beats_nearest_mean": [
        (learned(NearestCentroid()), "are all in one unit"),
        (lambda x, y, t: np.where(learned(RidgeClassifier())(x, y, t) == "a", "b", "a"), "worse than guessing"),
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
