"""Figures of long tails and of what oversamplers make. Also the static twins of the widgets."""

from __future__ import annotations

from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from hw3lib.core.fonts import BLUE, GREEN, GREY, ORANGE, PURPLE, pretty
from hw3lib.errors import Hw3Error
from hw3lib.imbalance.longtail import class_sizes, effective_classes, gini, head_tail_split, lorenz

from .style import nothing

COLOURS = {"head": BLUE, "medium": ORANGE, "tail": PURPLE}
PALETTE = [BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#D55E00", "#F0E442", "black"]


class LatentModel(Protocol):
    """What the figures need of a fitted ``DeepSmote`` or ``LroStyle``."""

    latents_: np.ndarray
    generated_latents_: np.ndarray
    parents_: np.ndarray

    def encode(self, images: np.ndarray) -> np.ndarray: ...

    def decode(self, latents: np.ndarray) -> np.ndarray: ...


def long_tail(table: pd.DataFrame) -> Figure:
    """Images of each class, coloured as head, medium or tail, beside the Lorenz curve with the Gini coefficient."""
    sizes = class_sizes(table)
    parts = head_tail_split(sizes)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, max(3.4, 0.4 * len(sizes) + 1.2)), width_ratios=[1.35, 1], layout="constrained"
    )
    bars = left.barh([pretty(name) for name in sizes.index], sizes, color=[COLOURS[part] for part in parts])
    left.bar_label(bars, padding=3, fontsize=9)
    left.invert_yaxis()
    left.margins(x=0.12)
    left.set(xlabel="images")
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[part]) for part in COLOURS if part in set(parts)]
    left.legend(handles, [part for part in COLOURS if part in set(parts)], frameon=False, fontsize=9, loc="lower right")
    curve = lorenz(sizes)
    right.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1, label="balance")
    right.plot(curve["classes"], curve["images"], "o-", color=BLUE, lw=1.8, ms=5, clip_on=False, label="Lorenz curve")
    right.fill_between(curve["classes"], curve["images"], curve["classes"], color=BLUE, alpha=0.12)
    right.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="classes, smallest first", ylabel="share of the images")
    right.set_title(
        f"Gini {gini(sizes):.2f}, as diverse as {effective_classes(sizes):.1f} of {len(sizes)} classes", fontsize=10
    )
    right.legend(frameon=False, fontsize=9, loc="upper left")
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    sns.despine(figure)
    return figure


def made_images(
    X: np.ndarray,
    y: np.ndarray,
    X_resampled: np.ndarray,
    y_resampled: np.ndarray,
    columns: int = 6,
    features: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:
    """For each class that grew: real images, generated ones, and below each the nearest real image of any class.

    Above a nearest image stands how far it is, as the root mean square of the difference in grey levels, or, with
    ``features``, the distance between the two feature vectors. A distance of 0 is a copy.

    Args:
        X, y: the real images, uint8 ``(N, 3, H, W)``, and their classes.
        X_resampled, y_resampled: what ``fit_resample`` gave: the real images, followed by the generated ones.
        columns: images in a line; the first of each class are shown.
        features: of the real images and of the resampled ones, ``(N, D)`` and ``(N + made, D)``.

    Raises:
        Hw3Error: the real images are not the first of the resampled ones.
    """
    if len(X_resampled) < len(X) or not np.array_equal(X_resampled[: len(X)], X):
        raise Hw3Error("X_resampled: expected the images of X first, followed by the generated ones")
    made, y_made = X_resampled[len(X) :], np.asarray(y_resampled)[len(X) :]
    grown = list(dict.fromkeys(y_made.tolist()))
    if not grown:
        return nothing("no image was generated")
    if features is None:
        scale = np.sqrt(X[0].size)
        real_vectors, made_vectors = (a.reshape(len(a), -1).astype(np.float32) / scale for a in (X, made))
    else:
        real_vectors, made_vectors = features[0], features[1][len(X) :]
    search = NearestNeighbors(n_neighbors=1).fit(real_vectors)
    figure, grid = plt.subplots(
        3 * len(grown), columns, figsize=(1.45 * columns, 4.9 * len(grown)), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_frame_on(False)
    for number, name in enumerate(grown):
        lines = grid[3 * number : 3 * number + 3]
        real, new = X[np.asarray(y) == name][:columns], np.flatnonzero(y_made == name)[:columns]
        distance, nearest = search.kneighbors(made_vectors[new])
        for axes, image in zip(lines[0], real, strict=False):
            axes.imshow(image.transpose(1, 2, 0))
        for column, row in enumerate(new):
            lines[1][column].imshow(made[row].transpose(1, 2, 0))
            near = nearest[column, 0]
            lines[2][column].imshow(X[near].transpose(1, 2, 0))
            lines[2][column].set_title(f"{pretty(str(y[near]))}\n{distance[column, 0]:.3g} away", fontsize=8)
        for line, word in zip(lines, ("real", "generated", "nearest real"), strict=True):
            line[0].set_ylabel(f"{pretty(str(name))}\n{word}", fontsize=9)
    return figure


def latent_map(model: LatentModel, y: np.ndarray, y_resampled: np.ndarray) -> Figure:
    """Latent vectors on the two main axes of the real ones (PCA): real images filled, generated ones as rings.

    A thin line joins each generated image to its two parents.

    Args:
        model: a fitted oversampler with latents.
        y, y_resampled: classes of the real images, and of these followed by the generated ones.
    """
    if not len(model.generated_latents_):
        return nothing("no image was generated")
    y, y_made = np.asarray(y), np.asarray(y_resampled)[len(y) :]
    pca = PCA(2).fit(model.latents_)
    real, made = pca.transform(model.latents_), pca.transform(model.generated_latents_)
    figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    for number, name in enumerate(np.unique(y)):
        colour = PALETTE[number % len(PALETTE)]
        mine, new = y == name, np.flatnonzero(y_made == name)
        for row in new:
            for parent in model.parents_[row]:
                axes.plot(*zip(real[parent], made[row], strict=True), color=colour, lw=0.5, alpha=0.35, zorder=1)
        label = f"{pretty(str(name))}, {mine.sum()} real"
        axes.scatter(real[mine, 0], real[mine, 1], color=colour, s=34, zorder=3, label=label)
        if len(new):
            label = f"{pretty(str(name))}, {len(new)} generated"
            axes.scatter(made[new, 0], made[new, 1], fc="none", ec=colour, s=42, lw=1.2, zorder=2, label=label)
    shares = pca.explained_variance_ratio_
    axes.set(xlabel=f"first axis ({shares[0]:.0%} of the variance)", ylabel=f"second axis ({shares[1]:.0%})")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    sns.despine(figure)
    return figure


def latent_walk(model: LatentModel, a: np.ndarray, b: np.ndarray, steps: int = 7) -> Figure:
    """Two real images at the ends and, between them, what the decoder makes on the straight line between their codes.

    Args:
        model: a fitted oversampler with ``encode`` and ``decode``.
        a, b: images, uint8 ``(3, H, W)``.
        steps: decoded images, both ends included, 2 or more.

    Raises:
        Hw3Error: fewer than two steps.
    """
    if steps < 2:
        raise Hw3Error(f"steps={steps}: expected 2 or more, the two ends")
    start, end = model.encode(np.stack([a, b]))
    shares = np.linspace(0, 1, steps, dtype=np.float32)
    between = model.decode(start + shares[:, None] * (end - start))
    titles = ["real", *(f"{share:.0%}" for share in shares), "real"]
    figure, line = plt.subplots(1, steps + 2, figsize=(1.35 * (steps + 2), 1.75), layout="constrained")
    for axes, image, title in zip(line, [a, *between, b], titles, strict=True):
        axes.imshow(image.transpose(1, 2, 0))
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=9)
    return figure


def ranking(table: pd.DataFrame, ceiling: pd.Series | None = None) -> Figure:
    """Gain of every method on plain training with its 95 % interval, and recall of the rarest type, best on top.

    Args:
        table: of :meth:`hw3lib.imbalance.result.MethodComparison.ranking`.
        ceiling: of :meth:`hw3lib.imbalance.result.MethodComparison.ceiling`, drawn above all methods.
    """
    table = table.iloc[::-1]
    verdicts = {"helps": GREEN, "equivalent": BLUE, "hurts": ORANGE, "not significant": GREY}
    colours = [verdicts.get(verdict, GREY) for verdict in table["verdict"]]
    if ceiling is not None:
        table = pd.concat([table, ceiling.to_frame().T.convert_dtypes()], ignore_index=True)
        colours.append("black")
    y = np.arange(len(table))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 0.3 * len(table) + 1.4), sharey=True, width_ratios=(3, 2), layout="constrained"
    )
    left.axvline(0, color="black", lw=0.8, zorder=0)
    left.hlines(y, 100 * table["gain_low"], 100 * table["gain_high"], color=colours, lw=2.5)
    left.scatter(100 * table["gain"].fillna(0), y, color=colours, s=36, zorder=3)
    left.set(yticks=y, yticklabels=table["method"], xlabel="gain in balanced accuracy on plain training, points")
    for verdict, colour in verdicts.items():
        left.plot([], [], "o-", color=colour, lw=2.5, label=verdict)
    if ceiling is not None:
        left.plot([], [], "o-", color="black", lw=2.5, label="nothing cut away")
        left.axhline(len(table) - 1.5, color="0.8", lw=0.8)
    left.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4)
    right.plot(100 * table["tail_recall"], y, "D", color=PURPLE, ms=5)
    right.set(xlim=(0, 100), xlabel="recall of the rarest type, %")
    right.grid(axis="x", color="0.9")
    left.set_ylim(-0.6, len(table) - 0.4)
    sns.despine(figure)
    return figure
