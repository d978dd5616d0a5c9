"""Browse the images of a category, and the Grad-CAM maps of attempts."""

from __future__ import annotations

from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from hw3lib.classify.explain import Explanation
from hw3lib.core.fonts import literal
from hw3lib.data.statistics import class_counts, defect_statistics
from hw3lib.views.plots import explain as explain_plots
from hw3lib.views.plots.explain import DECISIONS, PAGE
from hw3lib.views.plots.style import draw_image, nothing

from .controls import interactive

AREAS = (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # percent of an image
ALL = "all"


def choose_images(
    table: pd.DataFrame, split: str = ALL, defect: str = ALL, area: tuple[float, float] = (0, 100)
) -> pd.DataFrame:
    """The images of a split and a class whose defects cover a share of the image.

    Args:
        table: with the column ``area``, percent, missing where there is no mask; see :func:`browse`.
        split, defect: ``all``, or one of them.
        area: lowest and highest, percent, both included. The whole range, 0 to 100, also takes images without a mask.
    """
    chosen = (table["split"] == split) | (split == ALL)
    chosen &= (table["defect"] == defect) | (defect == ALL)
    if area != (AREAS[0], AREAS[-1]):
        chosen &= table["area"].between(*area)
    return table[chosen]


def one_image(table: pd.DataFrame, defect: str, number: int, show_outline: bool = True) -> Figure:
    """One image of a class, or of ``all``, at a readable size; ``number`` counts from 0 and wraps round."""
    rows = table if defect == ALL else table[table["defect"] == defect]
    if not len(rows):
        return nothing("no image is like this")
    row = rows.iloc[number % len(rows)]
    figure, axes = plt.subplots(figsize=(4, 4.2), layout="constrained")
    draw_image(axes, row, row["mask"] if show_outline else None, 512)
    name = row["image"].replace("\\", "/").split("/")[-1]
    axes.set_title(literal(f"{row['split']}/{row['defect']}/{name}"), fontsize=10)
    return figure


def browse(table: pd.DataFrame) -> None:
    """Browse a category by split, class and area of the defect, the defect outlined."""
    statistics = defect_statistics(table)
    areas = dict(zip(statistics["image"], 100 * statistics["area"], strict=True))
    table = table.assign(area=table["image"].map(areas).astype(float))
    classes = list(class_counts(table).index)
    start = next((c for c in classes if c != "good"), "good")

    whole = (AREAS[0], AREAS[-1])

    def chosen(split: str, defect: str, area: tuple[float, float] = whole) -> pd.DataFrame:
        return choose_images(table, split, defect, area)

    def prepare(controls: dict[str, Any]) -> None:
        filters = {name: controls[name].value for name in ("split", "defect", "area") if name in controls}
        controls["number"].max = max(len(chosen(**filters)), 1)  # a value above follows

    def say(number: int, show_outline: bool, **filters: Any) -> str:
        rows = chosen(**filters)
        if not len(rows):
            return "No image is like this."
        area = rows["area"].iloc[number - 1]
        chosen_from = f"Image {number} of {len(rows)} chosen from {len(table)}"
        return f"{chosen_from}." if pd.isna(area) else f"{chosen_from}; its defect covers {area:.2g} % of it."

    controls: dict[str, Any] = {
        "split": ipywidgets.Dropdown(options=[ALL, *dict.fromkeys(table["split"])], description="split"),
        "defect": ipywidgets.Dropdown(options=[ALL, *classes], value=start, description="class"),
    }
    if areas:
        controls["area"] = ipywidgets.SelectionRangeSlider(
            options=[(f"{area:g} %", area) for area in AREAS],
            index=(0, len(AREAS) - 1),
            description="area of the defect",
            continuous_update=False,
            layout={"width": "380px"},
        )
    controls["number"] = ipywidgets.IntSlider(1, 1, 1, description="image", continuous_update=False)
    controls["show_outline"] = ipywidgets.Checkbox(True, description="outline the defect", indent=False)
    interactive(
        lambda number, show_outline, **filters: one_image(chosen(**filters), ALL, number - 1, show_outline),
        say,
        prepare,
        **controls,
    )


def browse_grad_cams(explanations: list[Explanation], table: pd.DataFrame) -> None:
    """Browse Grad-CAM maps by attempt, true class and outcome, a line of images at a time."""
    by_name = {e.attempt.name: e for e in explanations}
    last = max(len(e.rows) for e in explanations) - 1
    interactive(
        lambda attempt, true, decisions, page: explain_plots.grad_cams(
            by_name[attempt], table, None if true == ALL else true, decisions, page
        ),
        attempt=ipywidgets.Dropdown(options=list(by_name), value=explanations[0].attempt.name, description="attempt"),
        true=ipywidgets.Dropdown(options=[ALL, *explanations[0].classes], description="true class"),
        decisions=ipywidgets.Dropdown(options=list(DECISIONS), description="decisions"),
        page=ipywidgets.IntSlider(0, 0, last // PAGE, description="page", continuous_update=False),
    )
