"""Charts as SVG in the size in which they are printed, so that their letters are as large as is said here."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hw3lib.core.fonts import BLUE, GREY, ORANGE, chinese_fonts, literal

from .document import Block
from .pictures import tile

WIDTH = 87  # mm, of a column
POINTS = 7.5  # of letters


def number(value: object, default: float = math.nan) -> float:
    """A number of a file as it is; ``default`` for anything else."""
    return float(value) if isinstance(value, int | float) else default


@contextmanager
def _style() -> Iterator[None]:
    fonts = dict.fromkeys([*matplotlib.rcParams["font.family"], *chinese_fonts()])
    chosen: dict[Any, Any] = {"font.size": POINTS, "font.family": list(fonts), "axes.linewidth": 0.6}
    with matplotlib.rc_context(chosen | {"svg.hashsalt": "hw3lib", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)  # said once, by without_font
        yield


@_style()
def bars(names: Sequence[str], parts: Mapping[str, Sequence[float]], axis: str) -> list[Block]:
    """A bar a name, of one colour a part, with the numbers written out.

    Args:
        names: from the top on.
        parts: of each bar, by the name of the part.
        axis: what is counted.
    """
    figure, axes = _figure(names, 0.75 * len(parts))
    height = 0.8 / len(parts)
    for i, ((part, numbers), colour) in enumerate(zip(parts.items(), (BLUE, ORANGE), strict=False)):
        y = np.arange(len(names)) + (i - (len(parts) - 1) / 2) * height
        axes.bar_label(axes.barh(y, numbers, 0.9 * height, color=colour, label=part), padding=2)
    axes.margins(x=0.1)
    axes.set_xlabel(axis)
    axes.legend(frameon=False, loc="best")
    return _written(figure)


@_style()
def intervals(
    names: Sequence[str],
    rows: Sequence[Sequence[float]],
    axis: str,
    marked: int | None = None,
    reference: float | None = None,
) -> list[Block]:
    """A point and a line a name: an estimate and its interval.

    Args:
        names: from the top on.
        rows: estimate, lower and upper limit of each; limits of NaN are not drawn.
        axis: what is estimated.
        marked: the row in another colour.
        reference: where a dashed line stands.
    """
    figure, axes = _figure(names)
    for i, (value, low, high) in enumerate(rows):
        colour = ORANGE if i == marked else BLUE
        axes.plot([low, high], [i, i], color=colour, lw=1.6, solid_capstyle="butt")
        axes.plot(value, i, "o", color=colour, ms=4)
    if reference is not None:
        axes.axvline(reference, color=GREY, ls="--", lw=0.8, zorder=0)
    axes.set_xlabel(axis)
    return _written(figure)


def _figure(names: Sequence[str], rows: float = 1) -> tuple[Figure, Axes]:
    labels = ["\n".join(wrap(literal(name), 30)) for name in names]
    tall = 1.2 + 3 * max(label.count("\n") + 1 for label in labels)  # mm
    figure = Figure(figsize=(WIDTH / 25.4, (tall * rows * len(names) + 12) / 25.4), layout="constrained")
    axes = figure.subplots()
    axes.set(yticks=range(len(names)), yticklabels=labels, ylim=(len(names) - 0.4, -0.6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2)
    return figure, axes


def _written(figure: Figure) -> list[Block]:
    """The lines of a figure: one, with the chart. Its letters are curves, so that no reader needs the font."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return [{"label": "", "tiles": [tile(buffer.getvalue(), "svg")]}]
