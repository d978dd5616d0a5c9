"""A run is a folder: figures, tables and metrics.json that a notebook writes and the report reads."""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path
from typing import Any, NoReturn

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.core.getipython import get_ipython
from IPython.display import Image, display
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from hw3lib.core import machine
from hw3lib.core.files import SPREADSHEET, atomic_path
from hw3lib.core.fonts import tell_figure
from hw3lib.core.places import project_root
from hw3lib.core.provenance import code_version, package_version, versions
from hw3lib.core.text import printable, sentence
from hw3lib.core.translation import ENGLISH, here, say, tell_known
from hw3lib.data.parts import WHOLE, left_out, parts_of
from hw3lib.data.table import digest
from hw3lib.errors import Hw3Error

from .contract import CHAPTER_KEYS, ENDED, PHOTOGRAPHS, ChapterEnds

_DPI = 100


def told(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose labels and words are in the language here; figures, also in lists, are the same."""

    def word(value: Any) -> Any:
        if isinstance(value, tuple):  # of labels on several levels
            return tuple(map(word, value))
        return tell_known(value.replace("_", " ")) if isinstance(value, str) else value

    made = table.copy()
    for at in range(made.shape[1]):
        if not pd.api.types.is_numeric_dtype(table.dtypes.iloc[at]):
            made.isetitem(at, [tell_known(value) if isinstance(value, str) else value for value in table.iloc[:, at]])
    for axis in (0, 1):
        labels = made.axes[axis].map(word)
        made = made.set_axis(labels.set_names([word(name) for name in made.axes[axis].names]), axis=axis)
    return made


def tell_tables() -> None:
    """Let the notebook that this runs in, if any, display tables as :func:`told` where it is not in English."""
    shell = get_ipython()
    if shell is None or shell.display_formatter is None or here() == ENGLISH:
        return
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(pd.DataFrame, lambda table: told(table)._repr_html_())
    formatters["text/plain"].for_type(pd.DataFrame, lambda table, printer, _: printer.text(repr(told(table))))


class RunFolder:
    """Where one notebook writes.

    Args:
        notebook: its number, ``"01"``.
        table: the category, for its name and digest.
        profile: ``quick`` or ``full``.
        out: the folder; None takes ``runs/interactive/<notebook>`` of the project.
        seeds: every seed used, by name.
        device: what computed.
    """

    def __init__(
        self,
        notebook: str,
        table: pd.DataFrame,
        profile: str,
        out: str | None = None,
        seeds: dict[str, int] | None = None,
        device: str = "cpu",
    ):
        if profile not in ("quick", "full"):
            raise Hw3Error(f"profile={profile!r}: expected 'quick' or 'full'")
        machine.keep()
        tell_tables()
        self.started = time.perf_counter()
        self.folder = Path(out) if out else project_root() / "runs" / "interactive" / notebook
        self._table = table
        self.left_out: dict[str, str] = {}
        self.common = {
            "notebook": notebook,
            "category": table.attrs["category"],
            "profile": profile,
            "seeds": seeds or {},
            "versions": {"hw3lib": package_version("hw3lib")} | versions(),
            "device": device,
            "data_digest": digest(table),
            "code": code_version(),
        }

    def announce(self, **splits: Any) -> None:
        """Say what this chapter leaves out on this category, for want of which images; ``metrics.json`` says it too.

        Args:
            splits: of a classifier: ``n_splits, test_size, random_state``, see :func:`hw3lib.data.parts.parts_of`.

        Raises:
            ChapterEnds: nothing is left to do, see :meth:`end`.
        """
        self.left_out = left_out(parts_of(self._table, **splits), self.common["notebook"])
        if why := self.left_out.get(WHOLE.get(self.common["notebook"], "")):
            self.end(why)
        self._say(self.left_out)

    def end(self, why: str) -> NoReturn:
        """End this chapter, for nothing is left to do; ``why`` is a sentence without its full stop.

        Raises:
            ChapterEnds: always. ``metrics.json`` is written, with nulls for what was not measured.
        """
        chapter = self.common["notebook"]
        self.left_out = {WHOLE[chapter]: why}
        self._say(self.left_out)
        self.metrics(**dict.fromkeys(CHAPTER_KEYS[chapter]), **{ENDED: True})
        raise ChapterEnds(f"Chapter {chapter} ends here.")

    def _say(self, left_out: dict[str, str]) -> None:
        for why in left_out.values():
            say(printable(sentence(why)), width=100)

    def figure(self, figure: Figure, name: str) -> None:
        """Save a figure as ``figures/<name>.png`` at 100 dpi; the notebook shows it at the end of the cell.

        The file says where its photographs are and what stands above and beside each, see :func:`photographs`, so that
        the report can lay them out anew, in letters of its own. There it is English, whatever language is drawn.
        """
        shown = figure.dpi
        english = [(axes.get_title(), axes.get_ylabel(), axes.get_xlabel()) for axes in figure.axes]
        tell_figure(figure)
        figure.set_dpi(_DPI)
        figure.draw_without_rendering()
        box = figure.get_tightbbox().padded(0.1)
        said = {PHOTOGRAPHS: json.dumps(photographs(figure, box, english))}
        with atomic_path(self.folder / "figures" / f"{name}.png") as path:
            figure.savefig(path, dpi=_DPI, bbox_inches=box, metadata=said)
        figure.set_dpi(shown)  # of the notebook, which is smaller
        if figure.canvas.manager is None and get_ipython() is not None:  # pyplot shows only what it made
            with io.BytesIO() as picture:
                figure.savefig(picture, dpi=plt.rcParams["figure.dpi"], bbox_inches="tight")
                display(Image(picture.getvalue()))

    def table(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Save a table as ``<name>.csv`` and give it back for display."""
        with atomic_path(self.folder / f"{name}.csv") as path:
            table.to_csv(path, encoding=SPREADSHEET)
        return table

    def metrics(self, **values: Any) -> None:
        """Write ``metrics.json``: the common keys, the seconds since the start, and these. Missing numbers are null.

        ``left_out``, if it is among the values, joins what :meth:`announce` said.
        """
        said = {"left_out": {**self.left_out, **values.get("left_out", {})}}
        content = {**self.common, "seconds": round(time.perf_counter() - self.started, 1), **values, **said}
        with atomic_path(self.folder / "metrics.json") as path:
            path.write_text(json.dumps(plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def photographs(figure: Figure, box: Bbox, names: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Where the photographs of a figure are in its file, and the texts around each.

    Args:
        figure: drawn at the file's resolution.
        box: the part of it that is written, inches.
        names: title, label of the y axis and of the x axis of each axes.

    Returns:
        One a photograph, line by line: ``box`` (left, top, right, bottom, pixels), ``title``, ``label`` and ``below``,
        what stands above, at the left and under it, ``line`` and ``column`` in the figure's grid.
    """
    found = []
    for axes, (title, label, below) in zip(figure.axes, names, strict=True):
        place = axes.get_subplotspec()
        if axes.images and place is not None:
            extent = axes.get_window_extent()
            x, y = extent.intervalx - box.x0 * figure.dpi, box.y1 * figure.dpi - extent.intervaly
            sides = [math.ceil(x[0]) + 2, math.ceil(y[1]) + 2, math.floor(x[1]) - 2, math.floor(y[0]) - 2]
            said = {"title": title, "label": label, "below": below}
            found.append({"box": sides, **said, "line": place.rowspan.start, "column": place.colspan.start})
    return found


def plain(value: Any) -> Any:
    """Numpy and pandas values as what JSON knows; what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, pd.DataFrame):
        return plain(value.to_dict("records"))
    if isinstance(value, pd.Series):
        return plain(value.to_dict())
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
