"""The error gallery: test images that an attempt got wrong, the most confident mistake first."""

from __future__ import annotations

from typing import NamedTuple

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hw3lib.classify.result import Result
from hw3lib.core.fonts import pretty
from hw3lib.errors import Hw3Error
from hw3lib.views.plots.style import draw_image

from .controls import interactive


class Mistake(NamedTuple):
    """An image taken for another class: its row, how sure those decisions were, and how often any was wrong."""

    row: int
    said: str
    confidence: float
    wrong: int
    tested: int


def most_confident_mistakes(result: Result, true: str | None = None) -> list[Mistake]:
    """The mistakes of an attempt, the most confident first, of one true class or of all.

    The confidence is the mean probability of the wrong class over the splits in which it was decided for; of several
    wrong classes the one with the highest is taken.

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
        mine = (rows == row) & wrong
        sure = {label: probabilities[mine & (y_pred == label), label].mean() for label in np.unique(y_pred[mine])}
        said = max(sure, key=lambda label: sure[label])
        times = int(mine.sum()), int((rows == row).sum())
        found.append(Mistake(int(row), result.classes[said], float(sure[said]), *times))
    return sorted(found, key=lambda mistake: (-mistake.confidence, mistake.row))


def mistakes(result: Result, table: pd.DataFrame, true: str | None = None, most: int = 6) -> Figure:
    """The most confident mistakes of an attempt as pictures, see :func:`most_confident_mistakes`.

    Raises:
        Hw3Error: the result keeps no probabilities.
    """
    found = most_confident_mistakes(result, true)
    figure, grid = plt.subplots(1, most, figsize=(1.9 * most, 2.7), squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, mistake in zip(grid.flat, found, strict=False):
        row = table.iloc[mistake.row]
        draw_image(axes, row, row["mask"])
        axes.set_title(
            f"{pretty(row['defect'])}\ntaken for {pretty(mistake.said)}\n{mistake.confidence:.0%} sure\n"
            f"wrong {mistake.wrong} of {mistake.tested} times",
            fontsize=8,
        )
    if not found:
        grid[0][0].text(0, 0.5, "no mistake", fontsize=11)
    return figure


def browse_mistakes(results: list[Result], table: pd.DataFrame) -> None:
    """Browse the mistakes of every attempt by true class; begins with the last of ``results``."""
    by_name = {r.attempt.name: r for r in results}
    interactive(
        lambda attempt, true: mistakes(by_name[attempt], table, None if true == "all" else true),
        attempt=ipywidgets.Dropdown(options=list(by_name), value=results[-1].attempt.name, description="attempt"),
        true=ipywidgets.Dropdown(options=["all", *results[0].classes], description="true class"),
    )
