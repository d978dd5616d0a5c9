"""Accuracy, not speed: what chapters 02 and 03 decide on generated categories, as Markdown for ``docs/results.md``."""

from __future__ import annotations

import pandas as pd

from hw3lib.core.intervals import EQUIVALENT, Interval
from hw3lib.data.fetch.sources import SYNTHETIC
from hw3lib.errors import Hw3Error
from hw3lib.runs.run import run_notebooks

ALL = "synthetic"
CHAPTERS = {"02": ("hypotheses", "finding", "difference", ""), "03": ("methods", "method", "gain", None)}


def main(category: str, data: str | None, profile: str = "quick") -> None:
    """Run notebooks 02 and 03 where they are not up to date, and print the verdict on every finding and method.

    Args:
        category: a category, or ``synthetic`` for the four that are generated.
        data: where it is.
        profile: of the notebooks.
    """
    columns: dict[str, dict[str, pd.Series]] = {number: {} for number in CHAPTERS}
    for name in SYNTHETIC if category == ALL else (category,):
        for outcome in run_notebooks(list(CHAPTERS), category=name, data=data, profile=profile):
            if outcome.status == "failed":
                raise Hw3Error(f"{outcome.notebook} on {name}: {outcome.message}")
            number = outcome.notebook[:2]
            columns[number][name] = verdicts(outcome.metrics, number)
    for found in columns.values():
        print(table(found) + "\n")


def verdicts(metrics: dict, number: str) -> pd.Series:
    """Difference and verdict of every finding (02) or method at the highest ratio (03); first the design."""
    key, name, value, limits = CHAPTERS[number]
    rows = pd.DataFrame(metrics[key]).dropna(subset=value)
    if "ratio" in rows:
        rows = rows[rows["ratio"] == rows["ratio"].max()]
    said = {}
    for _, row in rows.iterrows():
        gain = Interval.read(row, value, limits, "difference")
        mark = "**" if gain.sign else "*" * (row["verdict"] == EQUIVALENT)
        said[row[name]] = f"{mark}{gain.text('.1f', 100)}{mark}"
    decided = sum(text.startswith("*") for text in said.values())
    return pd.Series({"design": metrics["design"]} | said | {"decided": f"{decided} of {len(said)}"})


def table(columns: dict[str, pd.Series]) -> str:
    """Markdown, a column a category; bold is significant, italic equivalent to none, empty what was not measured."""
    found = pd.DataFrame(columns)
    order = list(dict.fromkeys(name for column in columns.values() for name in column.index if name != "decided"))
    found = found.reindex([*order, "decided"]).fillna("")
    lines = [["", *found.columns], ["---"] * (len(found.columns) + 1), *([i, *row] for i, row in found.iterrows())]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
