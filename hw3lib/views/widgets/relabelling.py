"""The error gallery with a choice beside each picture: is the label wrong, or the network?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
from IPython import display

from hw3lib.classify.result import Result
from hw3lib.core.fonts import tell_figure
from hw3lib.core.translation import say
from hw3lib.errors import Hw3Error
from hw3lib.views.plots.style import draw_image

from .choices import KEEP, UNSURE, Choices, image_keys
from .controls import headless, in_language, message, png, row
from .gallery import Mistake, mistakes, most_confident_mistakes
from .parts import Picture

_PAGE = 4  # mistakes beside each other
_OPEN = "not looked at"


def relabel(result: Result, table: pd.DataFrame, path: str | Path) -> None:
    """Look at the mistakes of an attempt, the most confident first, and say of each what its label should be.

    A choice is in the file at once, and there again the next time; :func:`hw3lib.views.widgets.choices.apply` gives
    the table with the new labels. Headless, the figure of :func:`mistakes` is shown and how many choices the file
    holds.

    Args:
        result: with probabilities, see :func:`most_confident_mistakes`.
        table: the images that ``result`` was made with.
        path: the file of choices, in the run's folder at best.

    Raises:
        Hw3Error: the result keeps no probabilities.
    """
    choices = Choices(path)
    if choices.said:
        say(choices.said)
    keys = image_keys(table)
    if headless():
        figure = mistakes(result, table)
        tell_figure(figure)
        display.display(figure)
        plt.close(figure)
        say(f"{sum(key in choices.items() for key in keys)} of {len(keys)} images were looked at.")
        return
    _show(result, table, choices, keys)


def _show(result: Result, table: pd.DataFrame, choices: Choices, keys: list[str]) -> None:
    true = ipywidgets.Dropdown(options=["all", *result.classes], description="true class")
    page = ipywidgets.IntSlider(1, 1, 1, description="page", continuous_update=False)
    tiles = ipywidgets.HBox(layout=ipywidgets.Layout(flex_flow="row wrap"))
    line = ipywidgets.HTML()

    def say(error: Hw3Error | None = None) -> None:
        looked = sum(key in choices.items() for key in keys)
        line.value = message(
            f"{error} Your choice is remembered and is written with the next one."
            if error
            else f"{choices.said} {looked} of {len(keys)} images were looked at; choices: {choices.path.name}.",
            wrong=error is not None,
        )

    def choose(mistake: Mistake, choice: str) -> None:
        try:
            choices.set(keys[mistake.row], table["defect"].iloc[mistake.row], None if choice == _OPEN else choice)
            say()
        except Hw3Error as error:
            say(error)

    def draw(*_: object) -> None:
        found = most_confident_mistakes(result, None if true.value == "all" else true.value)
        page.max = max(1, -(-len(found) // _PAGE))
        start = (page.value - 1) * _PAGE
        shown = [
            _tile(m, table, result.classes, choices.get(keys[m.row]), choose) for m in found[start : start + _PAGE]
        ]
        tiles.children = shown or [ipywidgets.HTML(message("no mistake"))]
        say()

    in_language(true, page)
    true.observe(draw, names="value")
    page.observe(draw, names="value")
    draw()
    display.display(ipywidgets.VBox([row(true, page), tiles, line]))


def _tile(mistake: Mistake, table: pd.DataFrame, classes: list[str], chosen: str | None, choose: Any) -> Any:
    image = table.iloc[mistake.row]
    figure, axes = plt.subplots(figsize=(2.3, 2.3), layout="constrained")
    draw_image(axes, image, image["mask"])
    said = f"{image['defect']} taken for {mistake.said}, {mistake.confidence:.0%} sure"
    picture = Picture()
    picture.show(png(figure), said)
    options = [_OPEN, KEEP, *(name for name in classes if name != image["defect"]), UNSURE]
    if chosen is not None and chosen not in options:  # a class that another run knew
        options.append(chosen)
    label = ipywidgets.Dropdown(
        options=options,
        value=chosen or _OPEN,
        description="label",
        style={"description_width": "initial"},
        layout={"width": "200px"},
    )
    in_language(label)
    label.observe(lambda change: choose(mistake, change["new"]), names="value")
    text = ipywidgets.HTML(message(said.replace("_", " ")), layout={"width": "200px"})
    return ipywidgets.VBox([picture, text, label], layout=ipywidgets.Layout(width="215px", margin="0 8px 12px 0"))
