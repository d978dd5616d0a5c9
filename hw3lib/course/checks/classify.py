"""Checks of chapter 2: intervals, heads, early stopping, a leaderboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hw3lib.core.intervals import share_difference, wilson_interval

from . import hidden
from .base import CheckFailed, call, check, compare, number, short, within

_Z = 1.959963984540054  # 97.5 % point of the normal distribution


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
        "look at the centre first: Wilson's is drawn towards one half, by more the fewer images there are",
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
        same=within(4e-4),
    )
    return "7 of 8 correct says: somewhere between 53 and 98 %"


@check
def exchange_head(rng: np.random.Generator, function: Any) -> str:
    """A pretrained torchvision network with another last layer, which alone learns."""
    import torch  # of all checks this one alone needs it, and torchvision
    from torchvision.models import mobilenet_v3_small

    num_classes = int(rng.integers(3, 12))
    given = f"a MobileNetV3 and {num_classes} classes"
    start = mobilenet_v3_small(weights=None)
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
    with torch.no_grad():
        shape = tuple(model.eval()(torch.zeros(2, 3, 64, 64)).shape)
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
def best_epoch(rng: np.random.Generator, function: Any) -> str:
    """The epoch with the lowest validation loss, found without a look at the test images."""
    histories, found = [], []
    for _ in range(8):
        n = int(rng.integers(9, 20))
        losses = rng.permutation(np.linspace(0.3, 2, n))
        losses[losses.argmax()] = losses.min()  # two epochs are equally good
        falling = np.sort(4 * rng.random(n))[::-1].copy()
        falling[-2:] = falling[:-3:-1]  # but for the last epoch
        columns = {"train_loss": falling, "val_loss": losses, "test_accuracy": rng.random(n)}
        order = rng.permutation(list(columns))
        histories.append(pd.DataFrame({"epoch": np.arange(1, n + 1), **{name: columns[name] for name in order}}))
    for history in histories:
        given = f"a history of {len(history)} epochs"
        epochs = []
        for _ in range(3):
            history = history.assign(test_accuracy=rng.permutation(history["test_accuracy"].to_numpy()))
            value = call(function, history, given=given)
            if isinstance(value, pd.Series | pd.DataFrame):
                raise CheckFailed(f"{given}: found a row or column of the table; return the number of one epoch")
            epochs.append(number(value, f"{given}, the epoch"))
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
    return "validation images choose, test images judge"


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
    asked, truth = hidden.drawn("beats_nearest_mean", rng)
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
    plain, best = (model.fit(features, labels).predict(asked) == truth for model in (NearestCentroid(), _best_known()))
    right = said == truth
    score = hidden.SCORES["beats_nearest_mean"] = hidden.Score(
        "accuracy",
        len(truth),
        ("nearest class mean", wilson_interval(int(plain.sum()), len(truth))),
        ("logistic regression of standardised features", wilson_interval(int(best.sum()), len(truth))),
        wilson_interval(int(right.sum()), len(truth)),
        share_difference(right, plain),
        share_difference(right, best),
    )
    print(score)
    if score.gain.sign <= 0:
        hint = "a mean lets every feature count alike: what learns how much each of them matters?"
        if score.gain.value < 0:
            hint = "that is worse: X_test is to decide, by what X_train and y_train say"
        raise CheckFailed(f"{score.gain.points()} against the nearest class mean, {score.gain.verdict()}; {hint}")
    return "significantly better than the nearest class mean, on images that nobody has seen"


def _best_known() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
