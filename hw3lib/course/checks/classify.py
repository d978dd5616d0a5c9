"""Checks of chapter 2: intervals, heads, early stopping, a leaderboard, a leak, right for a wrong reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hw3lib.core.intervals import share_difference, wilson_interval

from . import hidden
from .base import CheckFailed, call, check, compare, number, parts, positions, short, within, written

_Z = 1.959963984540054  # 97.5 % point of the normal distribution
_BEST = "a logistic regression on standardised features"


def _wilson(correct: int, n: int, z: float = _Z) -> np.ndarray:
    p = correct / n
    return _between(
        (p + z**2 / (2 * n)) / (1 + z**2 / n), z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    )


def _between(centre: float, half: float) -> np.ndarray:
    return np.array([centre - half, centre + half])


def _wald(correct: int, n: int) -> np.ndarray:
    p = correct / n
    return _between(p, _Z * np.sqrt(p * (1 - p) / n))


def _wilson_hint(found: np.ndarray, expected: np.ndarray) -> str:
    """What of an interval is right: centre, half-width, or an end."""
    mine, theirs = (np.stack([ends.mean(1), np.diff(ends)[:, 0] / 2], 1) for ends in (found, expected))
    right = parts(mine, theirs, ["centre", "half-width"]) or parts(found, expected, ["low", "high"])
    return {
        "centre": "the centre is right; the half-width is not: what stands under the root, and what divides the root?",
        "half-width": "the half-width is right; the centre is not: it is drawn towards one half, by more the fewer "
        "images there are",
        "low": "the low end is right; the high one is as far from the centre, on the other side",
        "high": "the high end is right; the low one is as far from the centre, on the other side",
        "": "neither centre nor half-width is right; begin with the centre: it is drawn towards one half, by more the "
        "fewer images there are",
    }[right[0] if right else ""]


@check
def wilson(rng: np.random.Generator, function: Any) -> str:
    """The 95 % Wilson interval of ``correct`` out of ``n`` (Wilson 1927, Journal of the ASA 22)."""
    pairs = [(n - int(rng.integers(1, n // 2)), n) for n in map(int, rng.integers(8, 40, 4))]
    pairs += [(0, int(rng.integers(8, 20))), (n := int(rng.integers(8, 20)), n)]
    z2 = _Z**2
    compare(
        function,
        [(f"{k} of {n} correct", (k, n)) for k, n in pairs],
        _wilson,
        _wilson_hint,
        [
            (lambda k, n: _wilson(k, n)[::-1], "the ends are exchanged: the low one comes first"),
            (lambda k, n: 100 * _wilson(k, n), "these are per cent; return shares between 0 and 1"),
            (_wald, "that is p +- 1.96 sqrt(p(1-p)/n); for all correct it has no width, which nobody believes"),
            (lambda k, n: _wald(k, n).clip(0, 1), "that is p +- 1.96 sqrt(p(1-p)/n), clipped; its width is still 0"),
            (lambda k, n: _wilson(k, n, 1.645), "that is a 90 % interval: for 95 % z is 1.96"),
            (lambda k, n: _wilson(k, n, 1.0), "that is a 68 % interval: z is 1.96, not 1"),
            (lambda k, n: _wilson(k, n, 2.576), "that is a 99 % interval: for 95 % z is 1.96"),
            (
                lambda k, n: np.array([_wilson(k, n).mean(), np.ptp(_wilson(k, n)) / 2]),
                "these are centre and half-width; return the two ends",
            ),
            (
                lambda k, n: _between(_wilson(k, n).mean(), np.ptp(_wilson(k, n)) / 2 * (1 + z2 / n)),
                "the centre is right; the half-width is divided by 1 + z^2/n, too",
            ),
            (
                lambda k, n: _between(_wilson(k, n).mean(), np.ptp(_wald(k, n)) / 2 / (1 + z2 / n)),
                "the centre is right; under the root z^2/(4 n^2) joins p(1-p)/n",
            ),
            (
                lambda k, n: _between(k / n, np.ptp(_wilson(k, n)) / 2),
                "the half-width is right; the centre is not p, it is drawn towards one half",
            ),
            (lambda k, n: _wilson(k, n).clip(k / n), "the low end is p itself; the interval lies on both sides"),
        ],
        what="low and high",
        same=within(1e-4),
    )
    return "7 of 8 correct says: somewhere between 53 and 98 %"


@check
def exchange_head(rng: np.random.Generator, function: Any) -> str:
    """A pretrained torchvision network, of another width at each call, with another last layer, which alone learns."""
    import torch  # of all checks this one alone needs it, and torchvision
    from torchvision.models import mobilenet_v3_small

    num_classes, width = int(rng.integers(3, 12)), float(rng.choice([0.5, 0.625, 0.75, 0.875, 1.25]))
    start = mobilenet_v3_small(weights=None, width_mult=width)
    inputs = start.classifier[-1].in_features
    given = f"a MobileNetV3 of {width:g} times the width and {num_classes} classes"
    place = f"classifier.{len(start.classifier) - 1}."  # where the last layer's tensors are
    before = {name: value.clone() for name, value in start.state_dict().items()}
    model = call(function, start, num_classes, given=given)
    if not isinstance(model, torch.nn.Module):
        raise CheckFailed(f"{given}: expected a network, found {type(model).__name__}; return the model")
    now = model.state_dict()
    if gone := [name for name in before if name not in now and not name.startswith(place)]:
        raise CheckFailed(
            f"{given}: {len(gone)} tensors of the network are gone, such as {gone[0]}; exchange model.classifier[-1] "
            "and leave all before it in its place"
        )
    if added := [name for name in now if name not in before and not name.startswith(place)]:
        raise CheckFailed(
            f"{given}: there is a new layer, {added[0].rsplit('.', 1)[0]}, besides the last one; put the new layer in "
            "the place of model.classifier[-1], not behind it"
        )
    if changed := [n for n, v in before.items() if not n.startswith(place) and not torch.equal(v, now[n])]:
        raise CheckFailed(f"{given}: {changed[0]} is not what it was; keep the pretrained features")
    try:
        with torch.no_grad():
            shape = tuple(model.eval()(torch.zeros(2, 3, 64, 64)).shape)
    except RuntimeError as error:  # what torch says of shapes that do not fit
        raise CheckFailed(
            f"{given}: the network does not run ({error}); {inputs} features come to the last layer here, as "
            "model.classifier[-1].in_features says, and other widths have others"
        ) from None
    if shape != (2, num_classes):
        raise CheckFailed(
            f"{given}: 2 images give an output of shape {shape}, expected (2, {num_classes}); the last layer of "
            "model.classifier decides on the number of classes"
        )
    learns = {name: p.requires_grad for name, p in model.named_parameters()}
    if not any(learns.values()):
        raise CheckFailed(f"{given}: nothing learns any more; freeze before the new layer is put in, not after")
    if extra := [name for name, on in learns.items() if on and not name.startswith(place)]:
        raise CheckFailed(
            f"{given}: {len(extra)} other tensors learn too, such as {min(extra)}; a parameter learns as long as "
            "its requires_grad is true"
        )
    if frozen := [name for name, on in learns.items() if not on and name.startswith(place)]:
        raise CheckFailed(f"{given}: {frozen[0]} of the new layer does not learn; all of that layer is to")
    return "only the new layer learns; the features stay those of ImageNet"


@check
def choose_epoch(rng: np.random.Generator, function: Any) -> str:
    """The losses drawn over the epochs, and the epoch with the lowest validation loss, chosen without the test images.

    Args:
        function: ``f(history, axes) -> epoch``, which draws both losses and a vertical line at the epoch.
    """
    histories, found = [], []
    for turn in range(6):
        n = int(rng.integers(10, 20))
        # Two epochs are equally good, neither at the start nor at the end, where other rules would find them by chance.
        middle = range(n // 4, n // 2) if turn % 2 else range(n // 2, n - 1)
        losses = np.full(n, 0.3)
        others = np.setdiff1d(np.arange(n), rng.choice(middle, 2, replace=False))
        losses[others] = rng.permutation(np.linspace(0.4, 2, n - 2))
        falling = np.sort(4 * rng.random(n))[::-1].copy()
        falling[-2:] = falling[:-3:-1]  # but for the last epoch
        columns = {"train_loss": falling, "val_loss": losses, "test_accuracy": rng.random(n)}
        order = rng.permutation(list(columns))
        histories.append(pd.DataFrame({"epoch": np.arange(1, n + 1), **{name: columns[name] for name in order}}))
    looked_at, elsewhere = _axes(), _axes()
    for place, history in enumerate(histories):
        given = f"a history of {len(history)} epochs"
        epochs = []
        for again in range(2):
            history = history.assign(test_accuracy=rng.permutation(history["test_accuracy"].to_numpy()))
            axes = elsewhere if place or again else looked_at
            value = call(function, history, axes, given=given)
            if isinstance(value, pd.Series | pd.DataFrame):
                raise CheckFailed(f"{given}: found a row or column of the table; return the number of one epoch")
            epochs.append(number(value, f"{given}, the epoch"))
            if axes is looked_at:
                _judge_curves(axes, history, epochs[0], given)
        if len(set(epochs)) > 1:
            raise CheckFailed(
                f"{given}: the epoch changes when only test_accuracy changes; what the test images choose, they can no "
                "longer judge, not even between equals. Which other column was measured on images not trained on?"
            )
        found.append(epochs[0])
    ideas = [
        (lambda h: h["val_loss"].idxmin(), "that is the row of the table; epochs count from 1"),
        (lambda h: h["val_loss"].idxmin() + 2, "that is one epoch too late"),
        (lambda h: h["val_loss"].min(), "that is the loss itself; at which epoch was it reached?"),
        (lambda h: h["epoch"][h["val_loss"].idxmax()], "that is the highest loss: lower is better"),
        (
            lambda h: h["epoch"][h["train_loss"].idxmin()],
            "the training loss nearly always falls; it cannot say when to stop",
        ),
        (lambda h: h["epoch"][(h["val_loss"] + h["train_loss"]).idxmin()], "the training loss has no say in it"),
        (lambda h: h["epoch"][(h["val_loss"] - h["train_loss"]).idxmin()], "the gap between the losses is not the aim"),
        (lambda h: h["epoch"].max(), "the last epoch need not be the best"),
        (
            lambda h: h["epoch"][h["val_loss"].diff().gt(0).idxmax() - 1],
            "the loss rises and may fall again: read them all",
        ),
    ]
    for history, epoch in zip(histories, found, strict=True):
        best = history["epoch"][history["val_loss"] == history["val_loss"].min()].tolist()
        if epoch in best:
            continue
        every = list(zip(histories, found, strict=True))
        hint = next((why for idea, why in ideas if all(_equal(idea, h, e) for h, e in every)), "the lowest one decides")
        losses = history["val_loss"].round(2).tolist()
        raise CheckFailed(f"validation losses {short(losses)}: expected epoch {best[0]}, found {epoch:g}; {hint}")
    return "the picture says whether it learns by heart; validation images choose, and test images judge"


def _axes() -> Any:
    from matplotlib.figure import Figure  # of all checks this one alone draws

    axes: Any = Figure(figsize=(4, 3)).add_subplot()
    axes.__deepcopy__ = lambda memo: axes  # what is drawn on it is what is asked for
    return axes


def _judge_curves(axes: Any, history: pd.DataFrame, epoch: float, given: str) -> None:
    lines = [np.asarray(line.get_xydata(), float) for line in axes.get_lines()]
    for column, what in (("val_loss", "validation loss"), ("train_loss", "training loss")):
        wanted = history[["epoch", column]].to_numpy(float)
        if not any(line.shape == wanted.shape and np.allclose(line, wanted) for line in lines):
            among = [line for line in lines if len(line) == len(wanted) and np.allclose(line[:, 1], wanted[:, 1])]
            why = "it is drawn over the rows of the table" if among else "draw it with axes.plot"
            raise CheckFailed(f"{given}: no line of the {what} over the epoch; {why}")
    tested = history["test_accuracy"].to_numpy()
    if any(len(line) == len(tested) and np.allclose(line[:, 1], tested) for line in lines):
        raise CheckFailed(f"{given}: test_accuracy is in the picture by which you choose; leave it out")
    if not axes.get_xlabel() or not axes.get_ylabel():
        raise CheckFailed(f"{given}: an axis has no label; a reader asks what is drawn over what")
    if axes.get_legend() is None and len(axes.texts) < 2:
        raise CheckFailed(f"{given}: which line is which? Give them labels, and call axes.legend()")
    marks = [line[0, 0] for line in lines if len(line) and np.ptp(line[:, 0]) == 0]
    if not marks:
        raise CheckFailed(f"{given}: nothing marks the chosen epoch; axes.axvline draws a vertical line")
    if epoch not in marks:
        raise CheckFailed(f"{given}: epoch {epoch:g} is returned and {short(marks[0])} is marked")


def _equal(idea: Any, history: pd.DataFrame, epoch: float) -> bool:
    try:
        return bool(idea(history) == epoch)
    except KeyError:
        return False


@check
def beats_nearest_mean(rng: np.random.Generator, function: Any, features: np.ndarray, labels: np.ndarray) -> str:
    """A classifier ``f(X_train, y_train, X_test) -> y_pred`` against the nearest class mean, on a hidden test set.

    It passes where it is significantly better, by McNemar's exact test on the same images.

    Args:
        features, labels: to learn from, ``(N, D)`` and ``(N,)``.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    hidden.is_answered(function, features, labels, features[:1])
    asked, truth = hidden.drawn("beats_nearest_mean", function)
    given = f"{len(features)} training and {len(asked)} hidden images"
    value = call(function, features, labels, asked, given=given)
    try:
        said = np.asarray(value)
    except ValueError:
        raise CheckFailed(f"{given}: expected {len(asked)} labels, found {short(value)}") from None
    if said.shape != (len(asked),):
        raise CheckFailed(f"{given}: expected {len(asked)} labels, found the shape {said.shape}")
    if unknown := set(said.tolist()) - set(truth.tolist()):
        raise CheckFailed(f"{given}: {min(map(str, unknown))!r} is no class; expected labels as in y_train")
    names = np.unique(labels)
    means = np.stack([features[labels == name].mean(0) for name in names])
    plain = names[np.linalg.norm(asked[:, None] - means, axis=-1).argmin(1)] == truth
    known = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    best = known.fit(features, labels).predict(asked) == truth
    right = said == truth
    score = hidden.SCORES["beats_nearest_mean"] = hidden.Score(
        "accuracy",
        len(truth),
        ("nearest class mean", wilson_interval(int(plain.sum()), len(truth))),
        wilson_interval(int(best.sum()), len(truth)),
        wilson_interval(int(right.sum()), len(truth)),
        share_difference(right, plain),
        share_difference(right, best),
    )
    print(score)
    if score.gain.sign <= 0:
        hint = "a distance lets the feature with the largest numbers count most: are all in one unit?"
        if score.own.high < 1 / len(names):
            hint = "that is worse than guessing: X_test is to decide, by what X_train and y_train say"
        raise CheckFailed(f"{score.gain.points()} against the nearest class mean, {score.gain.verdict()}; {hint}")
    return f"significantly better than the nearest class mean, on images that nobody has seen; the best known: {_BEST}"


def _draw_rows(rng: np.random.Generator, signal: float) -> tuple:
    """About 60 rows of 150 features on scales of their own, four of which say the class if ``signal`` is not 0."""
    rows, features = 2 * int(rng.integers(28, 34)), int(rng.integers(140, 161))
    y = rng.permutation(np.repeat(rng.permutation(["dent", "good"]), rows // 2))
    x = rng.normal(size=(rows, features))
    x[:, rng.permutation(features)[:4]] += signal * (y == "good")[:, None]
    x = x * 10 ** rng.uniform(-1, 1, features) + rng.uniform(-5, 5, features)
    order = rng.permutation(rows)
    return x, y, order[:36], order[36:]


@check
def leak_free(rng: np.random.Generator, function: Any) -> str:
    """``f(X, y, train, test) -> predictions``: nothing of the test rows decides how they are classified.

    The leak is not looked for in the code: labels of the test rows, and the other test rows, are exchanged, and no
    prediction may change. The data are noise there, on which any leak shows.
    """

    def predicted(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        given = f"{len(train)} training and {len(test)} test rows"
        value = call(function, x, y, train, test, given=given)
        try:
            found = np.asarray(value)
        except ValueError:
            found = np.array(None)
        if found.shape != test.shape:
            raise CheckFailed(f"{given}: expected a label for each test row, found the shape {found.shape}")
        if unknown := set(found.tolist()) - set(y.tolist()):
            raise CheckFailed(f"{given}: {short(min(map(str, unknown)))} is no class; expected labels as in y")
        return found

    for _ in range(4):
        x, y, train, test = _draw_rows(rng, 0)
        first = predicted(x, y, train, test)
        if (first != predicted(x, y, train, test)).any():
            raise CheckFailed("two calls on the same rows predict differently; give what draws a random_state")
        other = y.copy()
        other[test] = rng.permutation(y[test])
        if changed := int((first != predicted(x, other, train, test)).sum()):
            raise CheckFailed(
                f"with other labels of the test rows {changed} of {len(test)} predictions change: y[test] was read "
                "before the prediction. Which steps choose or fit by y, and on which rows?"
            )
        moved = x.copy()
        moved[test[1::2]] = 30 * x[test[1::2]] + 5 * np.abs(x).max(0)
        if changed := int((first != predicted(moved, y, train, test))[::2].sum()):
            raise CheckFailed(
                f"with other values of half of the test rows {changed} predictions of the other half change: a product "
                "is judged by its neighbours in the test. Which steps take means, spreads or a choice from all rows?"
            )
    accuracies = []
    for _ in range(4):
        x, y, train, test = _draw_rows(rng, 2.5)
        accuracies.append((predicted(x, y, train, test) == y[test]).mean())
    if np.mean(accuracies) < 0.75:
        hint = "worse than guessing" if np.mean(accuracies) < 0.4 else "the classes differ"
        raise CheckFailed(
            f"nothing leaks, and {np.mean(accuracies):.1%} of the test rows are right, expected 75% or more: four "
            f"features say the class; {hint}; choose features and fit on the training rows, then use these features of "
            "the test rows"
        )
    return "what is learned, even a mean, is learned from the training rows: on pure noise it now says 50 %"


@check
def wrong_reason(rng: np.random.Generator, explanation: Any, function: Any) -> str:
    """Which right decisions have their peak beside the defect, and a text on one of them, which a teacher judges.

    Args:
        explanation: 60 to 300 words.
        function: ``f(maps, masks, said, truth) -> positions``.
    """
    written(explanation, "explanation", 60, 300)
    cases = []
    for _ in range(5):
        truth = np.array(["good", "good", "good", *rng.permutation(["dent", "hole"] * int(rng.integers(6, 9)))])
        n, (height, width) = len(truth), map(int, rng.integers(6, 9, 2))
        masks = np.zeros((n, height, width), bool)
        maps = rng.random((n, height, width))
        said = truth.copy()
        for image in range(3, n):
            top, left = rng.integers(0, height - 2), rng.integers(0, width - 2)
            masks[image, top : top + 3, left : left + 3] = True
            inside, outside = rng.choice(np.flatnonzero(masks[image])), rng.choice(np.flatnonzero(~masks[image]))
            maps[image].ravel()[inside if image % 2 else outside] = 1.5
            maps[image].ravel()[rng.choice(np.flatnonzero(masks[image]), rng.integers(0, 6), replace=False)] -= 1
        said[[0, 5, 6, 9, 10]] = ["dent", "hole", "good", "good", "hole"]  # some of which are right after all
        order = rng.permutation(n)
        arguments = maps[order], masks[order], said[order], truth[order]
        cases.append((f"{n} images, {(said == truth).sum()} decided rightly", arguments))

    def peak(maps: np.ndarray, masks: np.ndarray, best: Any = np.argmax) -> np.ndarray:
        return np.array([mask.ravel()[best(one)] for one, mask in zip(maps, masks, strict=True)])

    def rows(wanted: np.ndarray) -> list[int]:
        return np.flatnonzero(wanted).tolist()

    def mean(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
        return np.array([m[k].mean() > m[~k].mean() if k.any() else False for m, k in zip(maps, masks, strict=True)])

    compare(
        function,
        cases,
        lambda m, k, s, t: rows((s == t) & (t != "good") & ~peak(m, k)),
        "three things are to be true of an image: it has a defect, the decision is right, the peak is beside the mask",
        [
            (lambda m, k, s, t: [], "there are some"),
            (lambda m, k, s, t: rows((s == t) & ~peak(m, k)), "a good image has no defect to point at; leave it out"),
            (
                lambda m, k, s, t: rows((t != "good") & ~peak(m, k)),
                "wrong decisions are among them, too",
            ),
            (lambda m, k, s, t: rows(~peak(m, k)), "good images and wrong decisions are among them"),
            (lambda m, k, s, t: rows((s == t) & peak(m, k)), "these point at the defect; ask for the others"),
            (lambda m, k, s, t: rows((s != t) & (t != "good") & ~peak(m, k)), "these are the wrong decisions"),
            (
                lambda m, k, s, t: rows((s != "good") & ~peak(m, k)),
                "said is what the network says; compare it with truth",
            ),
            (
                lambda m, k, s, t: rows((s == t) & (t != "good") & ~peak(m, k, np.argmin)),
                "that is where the map is lowest; its peak is the highest value",
            ),
            (
                lambda m, k, s, t: rows((s == t) & (t != "good")),
                "these are all right decisions; where are their peaks?",
            ),
            (lambda m, k, s, t: rows((s == t) & (t != "good") & ~mean(m, k)), "that compares means; ask for the peak"),
        ],
        what="the positions",
        read=positions,
        same=lambda found, expected: sorted(found) == sorted(expected),
    )
    return "the pointing game finds them, and why they are there is yours to say; your text is for your teacher"
