"""Explore training curves, a detector's threshold, and the latent space of an oversampler."""

from __future__ import annotations

import threading
import time
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import display
from matplotlib.figure import Figure

from hw3lib.anomaly.comparison import DetectorEvaluation
from hw3lib.classify.result import Result
from hw3lib.core.fonts import BLUE, GREY, ORANGE
from hw3lib.errors import Hw3Error
from hw3lib.networks.callbacks import Callback, Training
from hw3lib.views.plots import anomaly as anomaly_plots
from hw3lib.views.plots import imbalance as imbalance_plots
from hw3lib.views.plots.style import nothing

from .controls import described, headless, in_language, interactive, png, row
from .parts import Picture

_EVERY, _NEWEST = "all splits", "the one that learns"


def attempt_curves(histories: list[pd.DataFrame], highlight: int | None = None, title: str = "") -> Figure:
    """Loss and accuracy over the epochs, one line a training; validation dashed, a second stage behind a dotted line.

    Args:
        histories: columns as :meth:`hw3lib.networks.callbacks.History.to_frame` and perhaps ``stage``.
        highlight: position of the one that stands out; the others are thin and grey.
    """
    histories = list(histories)
    drawn = [i for i, history in enumerate(histories) if len(history)]
    if not drawn:
        return nothing("no epoch has ended yet" if histories else "no training curve is kept")
    figure, grid = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for axes, name in zip(grid, ("loss", "accuracy"), strict=True):
        for i in sorted(drawn, key=lambda i: i == highlight):
            out = highlight in (None, i)
            history, x = histories[i], np.arange(1, len(histories[i]) + 1)
            for column, style, colour in ((name, "-", BLUE), (f"val_{name}", "--", ORANGE)):
                if column in history:
                    label = {name: "training", f"val_{name}": "validation"}[column] if i == drawn[0] or out else None
                    look = {"color": colour if out else "0.75", "lw": 2 if i == highlight else 1}
                    axes.plot(x, history[column], style, marker="." if len(x) < 3 else "", label=label, **look)
        chosen = histories[drawn[0] if highlight not in drawn else highlight]
        if "stage" in chosen:
            for change in np.flatnonzero((chosen["stage"] != chosen["stage"].shift()).to_numpy())[1:]:
                axes.axvline(change + 0.5, color=GREY, ls=":", lw=1.2)
        axes.set(xlabel="epoch", ylabel=name, ylim=(0, 1.02 if name == "accuracy" else None))
        handles, labels = axes.get_legend_handles_labels()
        by_label = dict(zip(reversed(labels), reversed(handles), strict=True))
        axes.legend(by_label.values(), by_label.keys(), frameon=False)
    figure.suptitle(title, fontsize=11)
    sns.despine(figure)
    return figure


def explore_attempts(results: list[Result]) -> None:
    """Training curves by attempt and split; the chosen split stands out of the others."""
    by_name = {r.attempt.name: r for r in results}
    most = max(len(r.histories) for r in results)

    def number(split: str) -> int | None:
        return None if split == _EVERY else int(split) - 1

    def draw(attempt: str, split: str) -> Figure:
        histories = by_name[attempt].histories
        which = number(split)
        return attempt_curves(histories, which, attempt if which is None else f"{attempt}, split {split}")

    def say(attempt: str, split: str) -> str:
        result, which = by_name[attempt], number(split)
        if which is None or which >= len(result.accuracies):
            return f"Accuracy on test images {result.interval().percent()} over {len(result.test)} splits."
        return f"Accuracy on the test images of split {split}: {result.accuracies[which]:.0%}."

    interactive(
        draw,
        say,
        attempt=ipywidgets.Dropdown(options=list(by_name), value=results[-1].attempt.name, description="attempt"),
        split=ipywidgets.Dropdown(options=[_EVERY, *map(str, range(1, most + 1))], description="split"),
    )


class AttemptExplorer(Callback):
    """Curves of several trainings while they go: one picture that follows the newest, or the one that is chosen.

    Give it to :func:`hw3lib.classify.run_attempt` as a callback, and show it (``explorer.show()``) in the cell before.
    Headless it draws nothing; the results hold the same curves, see :func:`explore_attempts`.

    Args:
        seconds: least time between two pictures.
    """

    def __init__(self, seconds: float = 1.0):
        self.seconds = seconds
        self.histories: dict[str, pd.DataFrame] = {}
        self._current, self._drawn = "", 0.0
        self._picture: Any = None
        self._choice: Any = None
        self._drawing = threading.Lock()  # a newer JupyterLab lets controls move while a cell runs

    def show(self) -> None:
        """Display the picture and its control."""
        if headless():
            return
        self._picture = Picture()
        self._choice = ipywidgets.Dropdown(
            options=[_NEWEST, *self.histories], description="training", style={"description_width": "initial"}
        )
        in_language(self._choice)
        self._choice.observe(lambda _: self._draw(), names="value")
        self._draw()
        display.display(ipywidgets.VBox([row(self._choice), self._picture]))

    def on_start(self, training: Training) -> None:
        if not training.is_main:
            return
        name, number = training.name, 1
        while (key := f"{name}, {number}") in self.histories:
            number += 1
        self._current, self.histories[key] = key, training.history.to_frame()
        if self._choice is not None:
            kept = self._choice.value
            self._choice.options = [_NEWEST, *self.histories]
            self._choice.value = kept
            in_language(self._choice)

    def on_epoch(self, training: Training) -> None:
        if training.is_main:
            self.histories[self._current] = training.history.to_frame()
            if time.monotonic() - self._drawn >= self.seconds:
                self._draw()

    def on_end(self, training: Training) -> None:
        if training.is_main:
            self._draw()

    def _draw(self) -> None:
        if self._picture is None:
            return
        with self._drawing:
            chosen = self._current if self._choice.value == _NEWEST else self._choice.value
            names = list(self.histories)
            attempt = chosen.rpartition(", ")[0]
            alike = [name for name in names if name.rpartition(", ")[0] == attempt]
            highlight = alike.index(chosen) if chosen in alike else None
            figure = attempt_curves([self.histories[name] for name in alike], highlight, chosen)
            self._picture.show(png(figure), described(figure))
            self._drawn = time.monotonic()


def explore_threshold(evaluation: DetectorEvaluation, table: pd.DataFrame) -> None:
    """Move the threshold of a detector with maps: histogram, ROC, precision, confusion matrix and heat map follow."""
    scores, detector, maps = evaluation.scores, evaluation.detector, evaluation.maps
    if maps is None:
        raise Hw3Error(f"{type(detector).__name__} makes no maps; the threshold explorer needs a detector that does")
    is_defect = table["is_defect"].to_numpy(bool)
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) / 200 or 1.0
    order = np.argsort(-scores, kind="stable")
    nearest = "nearest to the threshold"
    names = [nearest, *(f"{rank + 1}: {table['defect'].iloc[at]}" for rank, at in enumerate(order))]

    def say(threshold: float, image: str) -> str:
        called = scores > threshold
        return (
            f"Above {threshold:.3g}: {called[~is_defect].sum()} false alarms in {(~is_defect).sum()} good images, "
            f"{(~called[is_defect]).sum()} of {is_defect.sum()} defects missed."
        )

    interactive(
        lambda threshold, image: anomaly_plots.threshold_page(
            table,
            scores,
            threshold,
            maps,
            detector.scale_,
            detector.map_threshold_,
            None if image == nearest else int(order[names.index(image) - 1]),
        ),
        say,
        threshold=ipywidgets.FloatSlider(
            detector.threshold_,
            min=low - step,
            max=high + step,
            step=step,
            description="threshold",
            continuous_update=False,
            readout_format=".3g",
            layout={"width": "420px"},
        ),
        image=ipywidgets.Dropdown(options=names, description="image"),
    )


def walk(model: imbalance_plots.LatentModel, images: np.ndarray, table: pd.DataFrame) -> None:
    """Walk between two images of a class in the latent space of a fitted oversampler."""
    classes = [name for name, count in table["defect"].value_counts().items() if count > 1]
    most = int(table["defect"].value_counts().max()) - 1

    def draw(defect: str, start: int, end: int) -> Figure:
        rows = np.flatnonzero(table["defect"] == defect)
        return imbalance_plots.latent_walk(model, images[rows[start]], images[rows[end]])

    def prepare(controls: dict[str, Any]) -> None:
        last = int((table["defect"] == controls["defect"].value).sum()) - 1
        controls["start"].max = controls["end"].max = last

    interactive(
        draw,
        None,
        prepare,
        defect=ipywidgets.Dropdown(options=classes, description="class"),
        start=ipywidgets.IntSlider(0, 0, most, description="from image", continuous_update=False),
        end=ipywidgets.IntSlider(1, 0, most, description="to image", continuous_update=False),
    )
