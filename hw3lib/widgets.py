"""Things to click in a notebook: each a thin view over a function that draws, which is also its static twin."""

from __future__ import annotations

import os
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hw3lib import anomaly_plots, imbalance_plots, plots
from hw3lib.anomaly.comparison import Evaluation
from hw3lib.classify import Result
from hw3lib.classify.explain import Explanation
from hw3lib.data import class_counts
from hw3lib.drawing import draw_image
from hw3lib.errors import Hw3Error
from hw3lib.explain_plots import DECISIONS, PAGE


def headless() -> bool:
    """True where nobody is there to click: ``hw3 run``, ``make notebooks`` and the tests set ``HW3_HEADLESS``."""
    return bool(os.environ.get("HW3_HEADLESS"))


def _interactive(draw: Callable[..., Figure], **controls: object) -> None:
    """Show ``draw`` under its controls; headless, show the static twin: the figure for the controls' first values."""
    import ipywidgets
    from IPython.display import display

    first = {name: control.value for name, control in controls.items()}
    if headless():
        figure = draw(**first)
        display(figure)
        plt.close(figure)
        return
    output = ipywidgets.Output()

    def show(*_: object) -> None:
        with output:
            figure = draw(**{name: control.value for name, control in controls.items()})
            output.clear_output(wait=True)
            display(figure)
            plt.close(figure)

    for control in controls.values():
        control.observe(show, names="value")
    display(ipywidgets.VBox([ipywidgets.HBox(list(controls.values())), output]))
    show()


def one_image(table: pd.DataFrame, defect: str, number: int, show_outline: bool = True) -> Figure:
    """One image of a class at a readable size; ``number`` counts within the class and wraps round."""
    rows = table[table["defect"] == defect]
    row = rows.iloc[number % len(rows)]
    figure, axes = plt.subplots(figsize=(4, 4.2), layout="constrained")
    draw_image(axes, row["image"], row["mask"] if show_outline else None, 512)
    name = row["image"].replace("\\", "/").split("/")[-1]
    axes.set_title(f"{row['split']}/{defect}/{name}", fontsize=10)
    return figure


def browse(table: pd.DataFrame) -> None:
    """Browse a category: class, number of the image, outline on or off."""
    import ipywidgets

    classes = list(class_counts(table).index)
    start = next((c for c in classes if c != "good"), "good")
    most = int(table["defect"].value_counts().max()) - 1
    _interactive(
        lambda defect, number, show_outline: one_image(table, defect, number, show_outline),
        defect=ipywidgets.Dropdown(options=classes, value=start, description="class"),
        number=ipywidgets.IntSlider(0, 0, most, description="image", continuous_update=False),
        show_outline=ipywidgets.Checkbox(True, description="outline the defect"),
    )


def mistakes(result: Result, table: pd.DataFrame, true: str | None = None, most: int = 6) -> Figure:
    """Test images that an attempt got wrong, the most confident mistake first, of one true class or of all.

    The confidence is the mean probability of the wrong class over all splits that tested the image; of several wrong
    classes the one with the highest is shown.

    Raises:
        Hw3Error: the result keeps no probabilities.
    """
    if not result.probabilities:
        raise Hw3Error(f"{result.attempt.name!r} keeps no probabilities; make it with Result.from_probabilities")
    parts = (result.test, result.y, result.y_pred, result.probabilities)
    rows, y, y_pred, probabilities = (np.concatenate(part) for part in parts)
    wrong = y != y_pred
    if true is not None:
        wrong &= y == result.classes.index(true)
    found = []
    for row in np.unique(rows[wrong]):
        tested = rows == row
        mean = probabilities[tested].mean(0)
        said = max(np.unique(y_pred[tested & wrong]), key=lambda label: mean[label])
        found.append((mean[said], row, result.classes[said], (tested & wrong).sum(), tested.sum()))
    found = sorted(found, key=lambda mistake: (-mistake[0], mistake[1]))
    figure, grid = plt.subplots(1, most, figsize=(1.9 * most, 2.7), squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (confidence, position, said, times, tested) in zip(grid.flat, found, strict=False):
        row = table.iloc[position]
        draw_image(axes, row["image"], row["mask"])
        axes.set_title(
            f"{row['defect']}\ntaken for {said}\n{confidence:.0%} sure\nwrong {times} of {tested} times".replace(
                "_", " "
            ),
            fontsize=8,
        )
    if not found:
        grid[0][0].text(0, 0.5, "no mistake", fontsize=11)
    return figure


def browse_mistakes(results: list[Result], table: pd.DataFrame) -> None:
    """Browse the mistakes of every attempt by true class; begins with the last of ``results``."""
    import ipywidgets

    by_name = {r.attempt.name: r for r in results}
    _interactive(
        lambda attempt, true: mistakes(by_name[attempt], table, None if true == "all" else true),
        attempt=ipywidgets.Dropdown(options=list(by_name), value=results[-1].attempt.name, description="attempt"),
        true=ipywidgets.Dropdown(options=["all", *results[0].classes], description="true class"),
    )


def browse_grad_cams(explanations: list[Explanation], table: pd.DataFrame) -> None:
    """Browse Grad-CAM maps by attempt, true class and outcome, a line of images at a time."""
    import ipywidgets

    by_name = {e.attempt.name: e for e in explanations}
    last = max(len(e.rows) for e in explanations) - 1
    _interactive(
        lambda attempt, true, decisions, page: plots.grad_cams(
            by_name[attempt], table, None if true == "all" else true, decisions, page
        ),
        attempt=ipywidgets.Dropdown(options=list(by_name), value=explanations[0].attempt.name, description="attempt"),
        true=ipywidgets.Dropdown(options=["all", *explanations[0].classes], description="true class"),
        decisions=ipywidgets.Dropdown(options=list(DECISIONS), description="decisions"),
        page=ipywidgets.IntSlider(0, 0, last // PAGE, description="page", continuous_update=False),
    )


def explore_threshold(evaluation: Evaluation, table: pd.DataFrame) -> None:
    """Move the threshold of a detector with maps: histogram, ROC, precision, confusion matrix and heat map follow."""
    import ipywidgets

    scores, detector = evaluation.scores, evaluation.detector
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) / 200 or 1.0
    order = np.argsort(-scores, kind="stable")
    names = [
        "nearest to the threshold",
        *(f"{rank + 1}: {table['defect'].iloc[row]}" for rank, row in enumerate(order)),
    ]
    _interactive(
        lambda threshold, image: anomaly_plots.threshold_page(
            table,
            scores,
            threshold,
            evaluation.maps,
            detector.scale_,
            detector.map_threshold_,
            None if image == names[0] else int(order[names.index(image) - 1]),
        ),
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
    import ipywidgets

    classes = [name for name, count in table["defect"].value_counts().items() if count > 1]
    most = int(table["defect"].value_counts().max()) - 1

    def draw(defect: str, start: int, end: int) -> Figure:
        rows = np.flatnonzero(table["defect"] == defect)
        return imbalance_plots.latent_walk(model, images[rows[start % len(rows)]], images[rows[end % len(rows)]])

    _interactive(
        draw,
        defect=ipywidgets.Dropdown(options=classes, description="class"),
        start=ipywidgets.IntSlider(0, 0, most, description="from image", continuous_update=False),
        end=ipywidgets.IntSlider(1, 0, most, description="to image", continuous_update=False),
    )
