"""A run's folder as the report reads it: metrics.json, tables and figures, and nothing else.

Everything that is printed passes through :class:`Run`, which notes where it came from. A printed value is a *mark* in
the text, two characters of Unicode's private use around a number; :meth:`Run.plain` puts the values in.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hw3lib.core.files import SPREADSHEET
from hw3lib.core.intervals import column_names
from hw3lib.core.places import project_root
from hw3lib.core.text import composed, listed
from hw3lib.core.translation import ENGLISH, UNTRANSLATED, languages, message, texts, told
from hw3lib.errors import Hw3Error

MEASURED = ("01", "02", "03", "04", "05", "07")  # chapters that measure; 06 is the report
COMPLETE = MEASURED[:4]  # without annotations, fine-tuning and a line a report still answers most questions
MARK = re.compile("\ue000(\\d+)\ue001")
SEE = re.compile("\ue002(.+?)\ue003")  # a reference to a figure, a table or a paper, until these have numbers
CATALOGUE = "report"
NOTHING = "–"  # printed where a value is missing
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\uf8ff]")  # half characters and those for private use among them


@dataclass(frozen=True)
class Traced:
    """A printed value and where it came from.

    Attributes:
        printed: the text in the report.
        file: relative to the run's folder.
        pointer: JSON pointer (RFC 6901) into the file; a table counts as a list of its rows.
        value: what is there.
        scale, spec: ``printed`` is ``value * scale`` written by Python's format ``spec`` (zero without a sign for what
            rounds to it). Text is printed as it is (``"s"``); ``"quoted"``: the value is a text that holds ``printed``.
    """

    printed: str
    file: str
    pointer: str
    value: Any
    scale: float = 1
    spec: str = "s"


def clean(text: Any) -> str:
    """Text from a run without characters that no page can show or that are ours."""
    return _UNPRINTABLE.sub(" ", str(text)).strip()


def escaped(key: str) -> str:
    """A key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def printed(value: Any, scale: float, spec: str) -> str:
    """How ``value`` is written, see :class:`Traced`."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOTHING
    if spec == "s":
        return clean(value) or NOTHING
    text = format(value * scale, spec)
    return format(0.0, spec) if re.fullmatch(r"-[0.]+", text) else text


class Run:
    """What the notebooks of one run wrote, and what was printed of it.

    Args:
        folder: ``runs/<name>``, with ``01`` to ``05`` and ``07`` below it as far as there are.
        language: in which :meth:`say` and what is quoted are written.

    Raises:
        Hw3Error: no chapter there has a metrics.json, one cannot be read, they are of different categories or data, or
            there are no translations into the language.
    """

    def __init__(self, folder: str | Path, language: str = ENGLISH):
        texts(language, CATALOGUE)
        self.language = language
        self.folder = Path(folder)
        self.traced: list[Traced] = []
        self.missing: list[str] = []
        self.notes: list[str] = []  # printed at the end of the report
        self.asides: list[str] = []  # for who builds it
        self.advice: list[str] = []  # what brings a part that was left out, likewise
        self._content: dict[str, Any] = {}
        self.chapters = [number for number in MEASURED if (self.folder / number / "metrics.json").is_file()]
        if not self.chapters:
            raise Hw3Error(
                f"{self.folder}: no results to report; expected 01/metrics.json to 05/metrics.json, as `hw3 run` "
                "writes them"
            )
        self.metrics = {number: self._metrics(number) for number in self.chapters}
        self._agree()
        self.missing += [number for number in MEASURED if number not in self.chapters]

    def _metrics(self, number: str) -> Mapping[str, Any]:
        content = self.content(f"{number}/metrics.json")
        if not isinstance(content, dict):
            raise Hw3Error(
                f"{self.folder / number / 'metrics.json'}: expected an object; run `hw3 run {number} --force`"
            )
        return content

    def _agree(self) -> None:
        for key, what in (("category", "categories"), ("data_digest", "images")):
            found = {number: str(metrics.get(key))[:40] for number, metrics in self.metrics.items()}
            if len(set(found.values())) > 1:
                listing = ", ".join(f"{number}: {value[:16]}" for number, value in found.items())
                raise Hw3Error(
                    f"{self.folder}: its notebooks ran on different {what} ({listing}), so they are no one report; "
                    "run them again on the same, or choose another run"
                )
        for key in ("profile", "versions"):
            settings = {number: metrics.get(key) for number, metrics in self.metrics.items()}
            if any(value != next(iter(settings.values())) for value in settings.values()):
                how = ", ".join(f"{n} {value}" for n, value in settings.items())
                self.notes.append(
                    self.say("The notebooks ran with different profiles ({how}).", how=how)
                    if key == "profile"
                    else self.say("The notebooks ran with different versions of packages.")
                )

    def content(self, file: str) -> Any:
        """What a JSON file or a table (a list of its rows, numbers as numbers) holds.

        Raises:
            Hw3Error: it cannot be read.
        """
        if file not in self._content:
            path = self.folder / file
            try:
                text = path.read_text(encoding=SPREADSHEET)  # with or without the mark
                self._content[file] = json.loads(text) if file.endswith(".json") else _records(text)
            except (OSError, ValueError, RecursionError, csv.Error) as error:
                raise Hw3Error(f"{path}: cannot be read ({error}); run `hw3 run {file[:2]} --force`") from error
        return self._content[file]

    def has(self, file: str, pointer: str = "") -> bool:
        """Whether the file is there and, if asked, holds something but null at ``pointer``."""
        if not (self.folder / file).is_file():
            return False
        try:
            return self.value(file, pointer) is not None
        except Hw3Error:
            if not pointer:
                raise
            return False

    def value(self, file: str, pointer: str) -> Any:
        """What ``file`` holds at a JSON pointer.

        Raises:
            Hw3Error: there is nothing there.
        """
        value = self.content(file)
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]
            except (KeyError, IndexError, TypeError, ValueError):
                raise Hw3Error(
                    f"{self.folder / file}: there is no {pointer}, which the report needs; "
                    f"run `hw3 run {file[:2]} --force`"
                ) from None
        return value

    def agrees(self, number: Mapping[str, Any]) -> bool:
        """Whether a printed value is what its file holds.

        Args:
            number: one of :meth:`numbers`; what a file lacks cannot differ.

        Raises:
            Hw3Error: the file has nothing at its pointer.
        """
        value = self.value(number["file"], number["pointer"])
        if number["spec"] == "quoted":
            return number["printed"] in value
        if isinstance(value, int | float):
            return float(number["printed"]) == float(format(value * number["scale"], number["spec"]))
        return value is None or number["printed"] in {str(value), *(named(value, each) for each in languages())}

    def rows(self, file: str, pointer: str) -> list[dict[str, Any]]:
        """A list of rows, such as a leaderboard.

        Raises:
            Hw3Error: it is none.
        """
        rows = self.value(file, pointer)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Hw3Error(f"{self.folder / file}: {pointer} is no list of rows; run `hw3 run {file[:2]} --force`")
        return rows

    def mark(self, file: str, pointer: str, spec: str = "s", scale: float = 1, optional: bool = False) -> str:
        """A mark for the value at ``pointer``, printed as :class:`Traced` says.

        Raises:
            Hw3Error: there is none and it is not ``optional``, or it is of another kind than ``spec`` can write.
        """
        if optional and not self.has(file, pointer):
            return NOTHING
        value = self.value(file, pointer)
        try:
            text = printed(value, scale, spec)
        except (TypeError, ValueError, OverflowError):
            raise Hw3Error(
                f"{self.folder / file}: {pointer} is {str(value)[:60]!r}; expected a number. "
                f"Run `hw3 run {file[:2]} --force`"
            ) from None
        return self._add(Traced(named(text, self.language) if spec == "s" else text, file, pointer, value, scale, spec))

    def interval(
        self, file: str, at: str, name: str, limits: str | None = None, spec: str = ".1f", scale: float = 100
    ) -> str:
        """Marks for an estimate and its interval, ``51.4 (41.2 to 62.0)``, with a star where its p is 0.05 or less.

        Args:
            file, spec, scale: see :meth:`mark`.
            at: pointer to the row that holds them.
            name, limits: of its keys, see :meth:`hw3lib.core.Interval.columns`.
        """
        value, *ends, p = (f"{at}/{key}" for key in column_names(name, limits))
        said = self.mark(file, value, spec, scale, optional=True)
        if not self.has(file, value):
            return said
        if any(self.value(file, end) is None for end in ends):
            return self.say("{value} (interval not estimable)", value=said)
        star = "*" if self.has(file, p) and self.value(file, p) <= 0.05 else ""
        low, high = (self.mark(file, end, spec, scale) for end in ends)
        return self.say("{value} ({low} to {high})", value=said, low=low, high=high) + star

    def quote(self, file: str, pointer: str, sentences: str) -> str:
        """``sentences`` out of the text at ``pointer``, in the run's language, with a mark for each number in it."""
        whole = self.value(file, pointer)
        if self.language != ENGLISH and any(map(str.isalpha, sentences)):
            english, sentences = sentences, message(sentences, self.language, CATALOGUE)
            sentences = UNTRANSLATED + sentences if sentences == english else sentences
        return re.sub(
            r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?!\w)",
            lambda found: self._add(Traced(found[0], file, pointer, whole, spec="quoted")),
            clean(sentences),
        )

    def _add(self, traced: Traced) -> str:
        self.traced.append(traced)
        return f"\ue000{len(self.traced) - 1}\ue001"

    def say(self, words: str, /, **values: object) -> str:
        """A sentence, or a part of one, in the run's language, with values in the place of ``{name}``."""
        return told(words, self.language, CATALOGUE).format(**values)

    def name(self, words: object) -> str:
        """A name that the course gives, as of a detector, in the run's language; any other as it is."""
        return named(clean(words), self.language)

    def tell(self, words: str) -> str:
        """What stands in a figure, in the run's language as far as that is known."""
        return message(words, self.language, CATALOGUE)

    def listed(self, names: Sequence[str]) -> str:
        """``a, b and c``."""
        return listed(names) if self.language == ENGLISH else "、".join(names)

    def join(self, sentences: Sequence[str]) -> str:
        """Sentences behind each other."""
        return ("" if self.language.startswith("zh") else " ").join(sentences)

    @staticmethod
    def see(*keys: str) -> str:
        """A reference to a figure or a table, ``(Figure 3)``, or to papers, ``[3]``; nothing to what is not there."""
        return f"\ue002{' '.join(keys)}\ue003"

    def plain(self, text: str) -> str:
        """``text`` with the values in the place of their marks."""
        return MARK.sub(lambda mark: self.traced[int(mark[1])].printed, text)

    def numbers(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The traced values in ``texts``, in their order, each as a mapping of :class:`Traced`'s attributes."""
        return [asdict(self.traced[int(mark[1])]) for text in texts for mark in MARK.finditer(text)]

    def figure(self, number: str, *names: str) -> Path | None:
        """The first figure of a chapter that is there; if none is, the first name is noted as missing."""
        for name in names:
            path = self.folder / number / "figures" / f"{name}.png"
            if path.is_file():
                return path
        self.missing.append(f"{number}/figures/{names[0]}.png")
        return None

    def finished(self) -> float:
        """When the newest metrics.json was written, seconds since 1970."""
        return max((self.folder / number / "metrics.json").stat().st_mtime for number in self.chapters)


def named(words: object, language: str) -> str:
    """A name as the language writes it; as it is where that does not know it."""
    return texts(language, CATALOGUE).get(str(words), str(words))


def _records(text: str) -> list[dict[str, Any]]:
    found = csv.DictReader(text.splitlines(), restkey="")  # what stands beyond the last column has no name
    return [{key: _number(value) for key, value in row.items() if key} for row in found]


def _number(text: str | None) -> Any:
    try:
        number = float(text or "")
        return number if math.isfinite(number) else None
    except ValueError:
        return text or None


def find_run(run: str | Path | None, runs_dir: str | Path | None = None) -> Path:
    """The folder of a run: a name below ``runs_dir``, a path, or None for the newest that is complete.

    Raises:
        Hw3Error: there is none.
    """
    runs = Path(runs_dir) if runs_dir else project_root() / "runs"
    if run is None:
        newest = newest_run(runs)
        if newest is None:
            raise Hw3Error(
                f"no run with {', '.join(COMPLETE)} in {runs}; `hw3 run` makes one, or name one that is there"
            )
        return newest
    for folder in (runs / run, Path(run)):
        if folder.is_dir():
            return folder
    there = sorted(path.name for path in runs.glob("*") if any((path / n / "metrics.json").is_file() for n in MEASURED))
    raise Hw3Error(f"no run {str(run)!r} in {runs}; there are {', '.join(there) or 'none: make one with `hw3 run`'}")


def chosen_run(run: str | Path | None, out: str | Path | None, category: str) -> Path:
    """The folder of the run that notebook 06 reports: the one that is named, or the one that its results are in.

    Args:
        run: a name or folder; None if none is named.
        out: the notebook's results folder, which is in the run's; None if it stands alone. Then it is the newest
            complete run of the category, or ``interactive``.
        category: of the run.

    Raises:
        Hw3Error: there is no run of that name.
    """
    if run is not None:
        return find_run(run)
    if out is not None:
        return Path(out).parent
    runs = project_root() / "runs"
    return newest_run(runs, category) or runs / "interactive"


def newest_run(runs_dir: str | Path, category: str | None = None) -> Path | None:
    """The run with results of 01 to 04 whose last result is the newest; None if there is none.

    Args:
        runs_dir: holds the runs.
        category: leave out runs on others.
    """
    found = []
    for folder in Path(runs_dir).glob("*"):
        if all((folder / number / "metrics.json").is_file() for number in COMPLETE):
            try:
                run = Run(folder)
            except Hw3Error:
                continue  # of mixed or damaged results; named, it would say so
            if category is None or composed(category) == composed(str(run.metrics["01"].get("category"))):
                found.append((run.finished(), folder))
    return max(found)[1] if found else None
