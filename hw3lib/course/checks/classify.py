"""Checks of chapter 2: intervals, heads, early stopping, a leaderboard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedShuffleSplit

from .base import CheckFailed, call, near, numbers, passed

_Z = 1.959963984540054  # 97.5 % point of the normal distribution


def wilson(function: Callable[[int, int], tuple[float, float]]) -> None:
    """The 95 % Wilson interval of ``correct`` out of ``n`` (Wilson 1927, Journal of the ASA 22)."""
    for correct, n in ((7, 8), (18, 26), (0, 10), (20, 20)):
        given = f"{correct} of {n} correct"
        found = numbers(call(function, correct, n, given=given), (2,), f"{given}, low and high")
        share = correct / n
        shrunk = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        expected = (shrunk - half, shrunk + half)
        if all(near(f, e, 2e-3) for f, e in zip(found, expected, strict=True)):
            continue
        wald = _Z * np.sqrt(share * (1 - share) / n)
        hint = "look at the centre first: Wilson's is drawn towards one half, by more the fewer images there are"
        if near(found[0], share - wald, 2e-3):
            hint = (
                "that is the interval p +- 1.96 sqrt(p(1-p)/n); for all correct it has no width, which nobody believes"
            )
        elif near(sum(found) / 2, shrunk, 2e-3):
            hint = "the centre is right; under the root a term z^2/(4 n^2) joins p(1-p)/n, and all is divided"
        raise CheckFailed(
            f"{given}: expected {expected[0]:.3f} to {expected[1]:.3f}, found {found[0]:.3f} to {found[1]:.3f}; {hint}"
        )
    passed("7 of 8 correct says: somewhere between 53 and 98 %")


def exchange_head(function: Callable) -> None:
    """A pretrained torchvision network with another last layer, which alone learns."""
    import torch  # of five checks this one alone needs it, and torchvision
    from torchvision.models import mobilenet_v3_small

    for num_classes in (3, 7):
        given = f"a MobileNetV3 and {num_classes} classes"
        torch.manual_seed(0)
        start = mobilenet_v3_small(weights=None)
        before = {name: value.clone() for name, value in start.state_dict().items()}
        model = call(function, start, num_classes, given=given)
        if not isinstance(model, torch.nn.Module):
            raise CheckFailed(f"{given}: expected a network, found {type(model).__name__}")
        with torch.no_grad():
            shape = tuple(model.eval()(torch.zeros(2, 3, 64, 64)).shape)
        if shape != (2, num_classes):
            raise CheckFailed(
                f"{given}: 2 images give an output of shape {shape}, expected (2, {num_classes}); the last layer of "
                "model.classifier decides on the number of classes"
            )
        learns = {name for name, p in model.named_parameters() if p.requires_grad}
        head = {name for name, p in model.named_parameters() if p.shape[0] == num_classes}
        if not learns:
            raise CheckFailed(f"{given}: nothing learns any more; freeze before the new layer is put in, not after")
        if extra := learns - head:
            raise CheckFailed(
                f"{given}: {len(extra)} other tensors learn too, such as {min(extra)}; a parameter learns as long as "
                "its requires_grad is true"
            )
        now = model.state_dict()
        if changed := [n for n, v in before.items() if n not in head and n in now and not torch.equal(v, now[n])]:
            raise CheckFailed(f"{given}: {changed[0]} is not what it was; keep the pretrained features")
    passed("only the new layer learns; the features stay those of ImageNet")


def best_epoch(function: Callable[[pd.DataFrame], int]) -> None:
    """The epoch with the lowest validation loss, found without a look at the test images."""
    rng = np.random.default_rng(0)
    for _ in range(6):
        n = 12
        history = pd.DataFrame(
            {
                "epoch": np.arange(1, n + 1),
                "train_loss": np.sort(rng.random(n))[::-1],
                "val_loss": rng.permutation(np.linspace(0.3, 2, n)),
                "test_accuracy": rng.random(n),
            }
        )
        found = call(function, history.copy(), given="a history")
        other = history.assign(test_accuracy=rng.permutation(history["test_accuracy"].to_numpy()))
        again = call(function, other, given="a history")
        expected = int(history.loc[history["val_loss"].idxmin(), "epoch"])
        if found != again or found == history.loc[history["test_accuracy"].idxmax(), "epoch"] != expected:
            raise CheckFailed(
                "the epoch changes when only test_accuracy changes; what the test images choose, they can no longer "
                "judge. Which other column was measured on images that were not trained on?"
            )
        if found == history["train_loss"].idxmin() + 1 and found != expected:
            raise CheckFailed("the training loss only ever falls; it cannot say when to stop")
        if found != expected:
            raise CheckFailed(
                f"validation losses {history['val_loss'].round(2).tolist()}: expected the epoch of the lowest one, "
                f"{expected}, found {found}; mind that epochs count from 1"
            )
    passed("validation images choose, test images judge")


def beats_nearest_mean(function: Callable, features: np.ndarray, labels: np.ndarray, n_splits: int = 10) -> None:
    """A classifier ``f(X_train, y_train, X_test) -> y_pred`` against the nearest class mean, on the same splits."""
    labels = np.asarray(labels)
    names = np.unique(labels)
    gains, ours = [], []
    for train, test in StratifiedShuffleSplit(n_splits, test_size=0.25, random_state=1).split(features, labels):
        given = f"{len(train)} training and {len(test)} test images"
        said = np.asarray(call(function, features[train], labels[train], features[test], given=given))
        if said.shape != (len(test),):
            raise CheckFailed(f"{given}: expected {len(test)} labels, found the shape {said.shape}")
        if unknown := set(said.tolist()) - set(labels.tolist()):
            raise CheckFailed(f"{given}: {sorted(map(str, unknown))[0]!r} is no class; expected labels as in y_train")
        means = np.stack([features[train][labels[train] == name].mean(0) for name in names])
        plain = names[np.linalg.norm(features[test][:, None] - means, axis=-1).argmin(1)]
        ours.append((said == labels[test]).mean())
        gains.append(ours[-1] - (plain == labels[test]).mean())
    if np.mean(gains) <= 0:
        raise CheckFailed(
            f"mean accuracy {np.mean(ours):.1%} over {n_splits} splits, {100 * np.mean(gains):+.1f} points against the "
            "nearest class mean; it lets every feature count alike: what learns how much each of them matters?"
        )
    passed("better on the same splits, on average; the chapter says how to test whether that is significant")
