"""The report as PDF, and its pages as PNG, by Typst. Texts reach it as JSON, so nothing in them is markup."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw3lib.core.fonts import chinese_fonts
from hw3lib.core.translation import ENGLISH
from hw3lib.errors import Hw3Error

from .document import Block, Question
from .references import Cited

MAX_PAGES = 3
ROOMY = 0.3  # of the way from the smallest letters and pictures to the largest: what has no room there is left out
_STEPS = 6  # halvings of that way

TEMPLATE = r"""
#let report = json("report.json")
#let room = json("room.json")  // 0 to 1: how large letters and pictures are
#let tone = rgb("#14507a")
#let size = (9 + 2.2 * room) * 1pt
#let small = calc.max(7.4pt, 0.84 * size)
#set document(title: report.title, author: report.author, date: auto)
#set page(paper: "a4", columns: 2, margin: (x: 15mm, top: 12mm, bottom: 14mm), footer: context align(center,
  text(7.5pt, luma(90))[#counter(page).display() / #counter(page).final().first()]))
#set columns(gutter: 6mm)
#set text(size, font: report.fonts, lang: report.language, region: report.region, hyphenate: false)
#set par(leading: (0.48 + 0.27 * room) * 1em, spacing: (0.75 + 0.5 * room) * 1em, justify: true)
#show heading.where(level: 1): it => block(above: 0pt, below: 6pt, text(16pt, it.body))
#show heading.where(level: 2): it => block(above: (8 + 6 * room) * 1pt, below: 6pt, sticky: true, width: 100%,
  stroke: (bottom: 0.6pt + tone), inset: (bottom: 2.5pt), text(11pt, tone, it.body))
#show heading.where(level: 3): it => block(above: 7pt, below: 4pt, sticky: true, text(size, tone, it.body))

#show regex("[0-9]{4}-[0-9]{2}-[0-9]{2}"): box  // no line ends in a date

#let caption(b) = align(left, text(small, luma(60), par(justify: false, leading: 0.4em, {
  if b.label != "" { strong(b.label + " ") }
  b.caption
})))
#let floats(b, body) = if b.label == "" { block(breakable: false, above: 6pt, below: 8pt, width: 100%, body) } else {
  place(if b.at("wide", default: false) { bottom } else { auto }, float: true, clearance: (6 + 9 * room) * 1pt,
    scope: if b.at("wide", default: false) { "parent" } else { "column" }, block(width: 100%, body))
}
#let line-of(b, line, columns) = block(breakable: false, width: 100%, {
  set text(7.2pt)
  set par(leading: 0.3em, justify: false)
  if line.label != "" { align(left, text(luma(60), line.label)); v(1.5pt, weak: true) }
  grid(columns: (1fr,) * columns, column-gutter: 1.5mm, row-gutter: 1.5pt, align: center + bottom,
    ..if line.tiles.any(t => t.title != "") { line.tiles.map(t => t.title) + ([],) * (columns - line.tiles.len()) },
    ..line.tiles.map(t => {
      let drawn = image.with(t.file, alt: b.caption)
      if not b.grows { drawn() } else {
        drawn(width: if b.alone { calc.min(87mm, t.aspect * (45mm + 55mm * room)) } else { 100% })
      }
      if t.below != "" { linebreak(); t.below }
    }))
})
#let draw(b) = {
  if b.kind == "text" { par(b.text) }
  else if b.kind == "heading" { heading(level: 3, b.text) }
  else if b.kind == "absent" {
    block(fill: rgb("#fff3dc"), inset: 4pt, radius: 2pt, width: 100%, par(b.text))
  } else if b.kind == "figure" {
    let columns = calc.max(..b.lines.map(l => l.tiles.len()))
    floats(b, {
      align(center, block(width: if b.grows and not b.alone { 45% + 55% * room } else { 100% },
        grid(columns: (1fr,) * b.across, column-gutter: 2.5mm, row-gutter: (1.2 + 1.6 * room) * 1mm,
          ..b.lines.map(line => line-of(b, line, columns)))))
      v(4pt, weak: true)
      caption(b)
    })
  } else if b.kind == "table" {
    floats(b, {
      set text(small)
      set par(leading: 0.35em, justify: false)
      caption(b)
      v(4pt, weak: true)
      table(
        columns: range(b.header.len()).map(x => if x == b.left - 1 { 1fr } else { auto }),
        align: (x, y) => (if x < b.left { left } else { right }) + horizon,
        inset: (x: 2.2pt, y: (1.8 + 2.6 * room) * 1pt),
        stroke: (x, y) => (top: if y == 1 { 0.5pt } else if y == 0 { 0.8pt } else { 0pt },
          bottom: if y == b.rows.len() { 0.8pt } else { 0pt }),
        fill: (x, y) => if b.marked != none and y == b.marked + 1 { rgb("#e3eef6") },
        table.header(..b.header.map(strong)),
        ..b.rows.enumerate().map(((i, row)) => row.map(
          cell => if b.marked == i and not b.wide { strong(cell) } else { cell })).flatten(),
      )
    })
  }
}

#place(top, float: true, scope: "parent", clearance: 8pt, {
  heading(level: 1, report.title)
  if report.byline != "" { text(small, luma(60), report.byline) }
})
#for question in report.questions {
  heading(level: 2, question.title)
  for b in question.blocks { draw(b) }
}
#set text(7.5pt)
#set par(leading: 0.45em, spacing: 0.5em, justify: false)
#if report.references.len() > 0 {
  heading(level: 2, report.references-title)
  for (number, words, shown, target) in report.references [
    #par(hanging-indent: 1.6em)[\[#number\] #words.#if target != "" [ #link(target, shown)]]
  ]
}
#line(length: 100%, stroke: 0.4pt + luma(160))
#set text(luma(70))
#for words in report.closing { par(words) }
#if report.own-words != "" {
  // What is left of the last page is ruled, for words by hand.
  block(height: 1fr, width: 100%, above: 12pt, layout(left => if left.height > 40mm {
    block(width: 100%, below: 0pt, text(9pt, tone, report.own-words))
    for i in range(calc.floor((left.height - 5mm) / 8mm)) {
      place(dy: (i + 1) * 8mm, line(length: 100%, stroke: 0.4pt + luma(190)))
    }
  }))
}
#context [#metadata(counter(page).final().first()) <pages>]
"""


@dataclass(frozen=True)
class Printed:
    """A report that fits: as PDF, its number of pages, the pages as PNG if asked for, and what was taken.

    Attributes:
        alternative: which of the alternatives was printed.
        room: how large letters and pictures are, 0 to 1.
    """

    pdf: bytes
    pages: int
    pictures: list[bytes]
    alternative: int
    room: float


def fit(
    title: str,
    alternatives: Sequence[tuple[Sequence[Question], Sequence[Cited]]],
    closing: Sequence[str],
    plain: Callable[[str], str],
    date: int,
    dpi: int,
    **about: Any,
) -> Printed:
    """The report on at most three pages, filled: with letters and pictures as large as they allow.

    Args:
        title, closing: what stands on the pages.
        alternatives: questions and the papers they cite, with less from one to the next: the first that has room is
            printed.
        plain: puts values in the place of marks.
        date: of the document, seconds since 1970.
        dpi: of the PNG pages; none are drawn at 0.
        about: ``language``, ``byline`` (who wrote it), ``author``, ``references_title``, and ``own_words``, the title
            of the lines that fill the last page; none if it is empty.

    Raises:
        Hw3Error: it needs more than three pages however small letters and pictures are.
    """
    import typst  # 30 MB, which the report as a web page does without

    for number, (questions, references) in enumerate(alternatives):
        with _prepared(title, questions, references, closing, plain, **about) as folder:
            compiler: Any = typst.Compiler(folder / "report.typ")

            def pages(room: float, folder: Path = folder, compiler: Any = compiler) -> int:
                (folder / "room.json").write_text(json.dumps(room), encoding="utf-8")
                return int(json.loads(compiler.query("<pages>", field="value", one=True)))

            low, high = ROOMY, 1.0
            if (allowed := pages(low)) > MAX_PAGES:
                if number < len(alternatives) - 1 or pages(0.0) > MAX_PAGES:
                    continue
                allowed, low = MAX_PAGES, 0.0
            if pages(high) > allowed:
                for _ in range(_STEPS):
                    middle = (low + high) / 2
                    low, high = (middle, high) if pages(middle) <= allowed else (low, middle)
            else:
                low = high
            count = pages(low)
            pdf = compiler.compile(format="pdf", timestamp=date)
            drawn = compiler.compile(format="png", ppi=dpi) if dpi else []
            return Printed(pdf, count, [drawn] if isinstance(drawn, bytes) else drawn, number, low)
    raise Hw3Error(
        f"the report needs more than {MAX_PAGES} pages however small its letters and pictures are; shorten the names "
        "of classes, attempts or methods, or the notes, or classify fewer classes"
    )


@contextmanager
def _prepared(
    title: str,
    questions: Sequence[Question],
    references: Sequence[Cited],
    closing: Sequence[str],
    plain: Callable[[str], str],
    language: str = ENGLISH,
    byline: str = "",
    author: str = "",
    references_title: str = "",
    own_words: str = "",
) -> Iterator[Path]:
    """A folder with the template, the texts and the pictures, for as long as Typst reads it."""
    with tempfile.TemporaryDirectory(prefix="hw3-report-") as name:
        folder = Path(name)

        def shown(words: str) -> str:
            # Long names may break after these; Typst breaks words only at spaces and hyphens.
            return plain(words).replace("_", "_\u200b").replace("/", "/\u200b")

        def ready(block: Block) -> Block:
            if block["kind"] != "figure":
                return block
            lines = [line | {"tiles": [written(tile) for tile in line["tiles"]]} for line in block["lines"]]
            return block | {"lines": lines, "alone": [len(line["tiles"]) for line in lines] == [1]}

        def written(tile: Block) -> Block:
            file = f"picture-{len(list(folder.glob('picture-*')))}.{tile['type']}"
            (folder / file).write_bytes(tile["content"])
            return {key: tile[key] for key in ("title", "below", "aspect")} | {"file": file}

        tag, _, region = language.partition("-")
        content = {
            "title": shown(title),
            "author": author,
            "byline": shown(byline),
            "language": tag,
            "region": region or None,
            "fonts": ["Libertinus Serif", *chinese_fonts()],
            "questions": [
                {"title": q.heading, "blocks": [ready(block) for block in q.blocks]}
                for q in (question.changed(shown) for question in questions)
            ],
            "references-title": references_title,
            "own-words": own_words,
            "references": [(number, words, shown(where), link) for number, words, where, link in references],
            "closing": [shown(words) for words in closing],
        }
        (folder / "report.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / "report.typ").write_text(TEMPLATE, encoding="utf-8")
        yield folder
