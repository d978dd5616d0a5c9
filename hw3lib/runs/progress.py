"""What a run shows while it works: lines in a log, and in a terminal a bar for each running notebook as well."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hw3lib.core.files import read_json

from .step import RECORD, Notebook, Outcome

_BAR = "{desc} |{bar:20}| {n_fmt}/{total_fmt} cells, {elapsed}{postfix}"


class Progress:
    """Lines when a notebook starts and ends, through ``echo``; bars on standard error if that is a terminal.

    Args:
        notebooks: of the run, in order.
        expected: seconds that each took before, by number; may lack some.
        echo: gets the lines.
    """

    def __init__(self, notebooks: list[Notebook], expected: Mapping[str, float], echo: Callable[[str], object]):
        self._places = {n.path.stem: f"[{i}/{len(notebooks)}] " for i, n in enumerate(notebooks, 1)}
        self._expected = expected
        self._echo = echo
        self._terminal = sys.stderr.isatty()
        self._bars: dict[str, tqdm] = {}

    def say(self, notebook: Notebook, text: str) -> None:
        """A line about a notebook."""
        with tqdm.external_write_mode(file=sys.stderr):
            self._echo(self._places[notebook.path.stem] + text)

    def cells(self, notebook: Notebook, done: int) -> None:
        """So many cells are done; the first call (with 0) makes the bar."""
        name = notebook.path.stem
        if self._terminal and name not in self._bars:
            about = self._expected.get(notebook.number)
            postfix = f"of about {tqdm.format_interval(about)}" if about else ""
            self._bars[name] = tqdm(
                desc=self._places[name] + name, total=notebook.cells, postfix=postfix, bar_format=_BAR, leave=False
            )  # fmt: skip
        if name in self._bars:
            self._bars[name].n = done
            self._bars[name].refresh()

    def ended(self, notebook: Notebook, outcome: Outcome) -> None:
        """A notebook has ended; one that was not run again has said so already."""
        self._close(notebook.path.stem)
        took = f"{notebook.path.stem}: {outcome.status} {'in' if outcome.status == 'ran' else 'after'}"
        if outcome.status != "unchanged":
            self.say(notebook, f"{took} {outcome.seconds:.0f} s")

    def tick(self) -> None:
        """Let the clocks in the bars go on."""
        for bar in self._bars.values():
            bar.refresh()

    def close(self) -> None:
        """Take the bars away."""
        for name in list(self._bars):
            self._close(name)

    def _close(self, name: str) -> None:
        if name in self._bars:
            self._bars.pop(name).close()


def expected_seconds(runs: Path, category: str, profile: str, notebooks: list[Notebook]) -> dict[str, float]:
    """Seconds that each notebook took before, by number: in the newest run of this profile, best of this category.

    Args:
        runs: folder of all runs; runs that were interrupted and resumed do not count.
        category, profile: what is to be run.
        notebooks: those asked for; one that was never run is left out.
    """
    found = {}
    for notebook in notebooks:
        records = [read_json(path) for path in runs.glob(f"*/{notebook.number}/{RECORD}")]
        times = [rank for record in records if (rank := _rank(record, category, profile))]
        if times:
            found[notebook.number] = max(times)[-1]
    return found


def _rank(record: dict[str, Any], category: str, profile: str) -> tuple[bool, str, float] | None:
    """Whether it is of this category, when, and how long it took; None if it tells nothing."""
    try:
        parameters = record["fingerprint"]["parameters"]
        if record["status"] != "ran" or record["resumed"] or parameters["profile"] != profile:
            return None
        return parameters["category"] == category, str(record["finished"]), float(record["seconds"])
    except (KeyError, TypeError, ValueError):  # written by another version, or damaged
        return None
