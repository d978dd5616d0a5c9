"""Things to click in a notebook: each a thin view over a function that draws, which is also its static twin."""

from __future__ import annotations

import os
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hw3lib import plots
from hw3lib.classify import Result
from hw3lib.data import class_counts


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
    plots.draw_image(axes, row["image"], row["mask"] if show_outline else None, 512)
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
    """Test images that an attempt got wrong, the most often wrong first, of one true class or of all."""
    wrong: dict[int, list[str]] = {}
    tested = np.bincount(np.concatenate(result.test), minlength=len(table))
    for rows, y, y_pred in zip(result.test, result.y, result.y_pred, strict=True):
        for row, a, b in zip(rows, y, y_pred, strict=True):
            if a != b and true in (None, result.classes[a]):
                wrong.setdefault(int(row), []).append(result.classes[b])
    order = sorted(wrong, key=lambda row: (-len(wrong[row]) / tested[row], row))[:most]
    figure, grid = plt.subplots(1, most, figsize=(1.9 * most, 2.5), squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, position in zip(grid.flat, order, strict=False):
        row = table.iloc[position]
        plots.draw_image(axes, row["image"], row["mask"])
        said = max(set(wrong[position]), key=wrong[position].count)
        axes.set_title(
            f"{row['defect']}\ntaken for {said}\n{len(wrong[position])} of {tested[position]} times".replace("_", " "),
            fontsize=8,
        )
    if not order:
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
