"""Put the report together and write it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hw3lib.core.files import atomic_path
from hw3lib.core.fonts import require_font, without_font
from hw3lib.core.text import composed
from hw3lib.core.translation import ENGLISH
from hw3lib.errors import Hw3Error

from . import notes as own_words
from . import pages, web
from .document import Question
from .numbering import numbered
from .questions.annotate import annotation
from .questions.anomaly import anomalies
from .questions.classify import attempts
from .questions.dataset import dataset
from .questions.imbalance import long_tail
from .runs import Run, clean
from .sentences import count

QUESTIONS = (dataset, attempts, long_tail, anomalies, annotation)
_LINE = "_" * 30  # where no author is named: to be filled in by hand


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        category: what it is about.
        pages: of the PDF, 1 to 3.
        words: of the paragraphs, by question (``"1"`` to ``"5"``); words in tables and captions do not count. Of
            Chinese each character is one.
        limits: words that the assignment allows, for the questions that have a limit.
        missing: what the run lacks: chapters (``"05"``), figures (``"04/figures/heat_maps.png"``), tables
            (``"05: sam"``).
        notes: what a reader should know besides, such as a summary that was shortened.
        pdf, html, json: the files.
        numbers: each value on the pages, see :class:`hw3lib.report.runs.Traced`.
        pictures: the pages as PNG, if asked for.
    """

    category: str
    pages: int
    words: dict[str, int]
    limits: dict[str, int]
    missing: list[str]
    notes: list[str]
    pdf: Path
    html: Path
    json: Path
    numbers: list[dict[str, Any]] = field(repr=False)
    pictures: list[bytes] = field(repr=False)


def answers(run: Run) -> list[Question]:
    """The five questions as what was measured answers them.

    Raises:
        Hw3Error: a file of the run holds something else than its notebook writes.
    """
    try:
        return [question(run) for question in QUESTIONS]
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise Hw3Error(
            f"{run.folder}: a metrics.json there holds something else than its notebook writes ({error}); run the "
            "notebooks again with `hw3 run --force`"
        ) from error


def build(
    run_folder: str | Path,
    out: str | Path | None = None,
    *,
    dpi: int = 0,
    category: str | None = None,
    language: str = ENGLISH,
    author: str | None = None,
    notes: str | Path | None = None,
) -> Report:
    """Answer the assignment's five questions on at most three pages A4 from what a run measured.

    Args:
        run_folder: ``runs/<name>`` with ``01`` to ``05`` and ``07``, as far as there are; what is missing is named.
        out: a folder for report.pdf, report.html and report.json (where each number came from), or the PDF or HTML
            file, with the others beside it; ``report`` in the run's folder if None.
        dpi: of :attr:`Report.pictures`; none are drawn at 0.
        category: that the run should be on; None takes any.
        language: of the report, one of :func:`hw3lib.core.translation.languages`.
        author: who hands it in; None leaves a line to be filled in.
        notes: a Markdown file of the author's own words, half a page; made with headings alone if there is none, and
            never written again.

    Returns:
        What was written. The same results give the same bytes.

    Raises:
        Hw3Error: nothing was measured, a file is damaged, the chapters are of different data or of another category,
            three pages are not enough, or there is no font for the language.
    """
    run = Run(run_folder, language)
    require_font(language)
    found = str(run.metrics[run.chapters[0]].get("category"))
    if category is not None and composed(category) != composed(found):
        raise Hw3Error(f"the run is on {found}, and category is {category!r}: set category to {found!r}")
    questions = answers(run)
    if notes is not None:
        path = Path(notes)
        if own_words.make(path, run):
            run.asides.append(run.say("{file} was made: write half a page into it and build again.", file=path.name))
        questions += own_words.read(path, run)
    first = run.chapters[0]
    title = run.say("Visual inspection of {category}", category=run.mark(f"{first}/metrics.json", "/category"))
    if boxes := without_font(*(run.plain(text) for text in [title, *(t for q in questions for t in q.texts())])):
        run.asides.append(boxes)
    closing = _closing(run)
    date = int(run.finished())
    alternatives = [numbered(run, questions)]
    ranks = sorted({block.get("optional", 0) for q in questions for block in q.blocks} - {0})
    for rank in ranks:
        less = [replace(q, blocks=[b for b in q.blocks if not 0 < b.get("optional", 0) <= rank]) for q in questions]
        alternatives.append(numbered(run, less))
    about: dict[str, Any] = {
        "language": language,
        "byline": run.say("Author: {author}", author=clean(author) if author else _LINE),
        "references_title": run.say("References"),
    }
    ruled = "" if any(not q.number for q in questions) else run.say("In my own words")
    by = {"author": clean(author or ""), "own_words": ruled}
    made = pages.fit(title, alternatives, closing, run.plain, date, dpi, **by, **about)
    questions, references = alternatives[made.alternative]
    about["references"] = references
    answered = [q for q in questions if q.number]
    words = {str(q.number): sum(count(run.plain(text)) for text in q.paragraphs()) for q in answered}
    limits = {str(q.number): q.limit for q in answered if q.limit}
    for number, limit in limits.items():
        if words[number] > limit:
            run.asides.append(f"Question {number} has {words[number]} words, {words[number] - limit} too many.")
    numbers = run.numbers([title, *(text for q in questions for text in q.texts()), *closing])
    pdf = _target(out if out is not None else run.folder / "report")
    html, record = pdf.with_suffix(".html"), pdf.with_suffix(".json")
    said = [*run.notes, *run.asides, *run.advice]
    content = {
        "run": run.folder.resolve().name,
        "language": language,
        "pages": made.pages,
        "room": made.room,
        "words": words,
        "missing": run.missing,
        "notes": said,
        "numbers": numbers,
    }
    # None of the three is in its place before all are written, so that they stay those of one run.
    with atomic_path(pdf) as new_pdf, atomic_path(html) as new_html, atomic_path(record) as new_record:
        new_pdf.write_bytes(made.pdf)
        new_html.write_text(web.page(title, questions, closing, run, **about), encoding="utf-8", newline="\n")
        new_record.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    return Report(
        category=found,
        pages=made.pages,
        words=words,
        limits=limits,
        missing=run.missing,
        notes=said,
        pdf=pdf,
        html=html,
        json=record,
        numbers=numbers,
        pictures=made.pictures,
    )


def _target(out: str | Path) -> Path:
    """The PDF file that ``out`` means."""
    out = Path(out)
    if out.suffix.lower() in (".pdf", ".html"):
        return out.with_suffix(".pdf")
    if out.is_file():
        raise Hw3Error(f"out is {out}, a file; expected a folder, or a name that ends in .pdf or .html")
    return out / "report.pdf"


def _closing(run: Run) -> list[str]:
    """Lines at the end: which run, what is missing, notes."""
    finished = datetime.fromtimestamp(int(run.finished()), timezone.utc).date()
    line = run.say(
        "From run {run}, profile {profile}, notebooks {chapters}, finished {finished}; report.json names "
        "the file and the place in it that each number came from.",
        run=clean(run.folder.resolve().name),
        profile=run.mark(f"{run.chapters[0]}/metrics.json", "/profile", optional=True),
        chapters=run.listed(run.chapters),
        finished=finished,
    )
    lines = [line]
    if run.missing:
        lines.append(run.say("Missing: {what}.", what=run.say(", ").join(run.missing)))
    return lines + run.notes
