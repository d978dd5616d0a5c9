"""The report as PDF, and its pages as PNG, by Typst. Texts reach it as JSON, so nothing in them is markup."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw3lib.errors import Hw3Error

from .document import Block, Question
from .pictures import png

MAX_PAGES = 3
SCALES = (1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # of the figures' height, until the report fits

TEMPLATE = r"""
#let report = json("report.json")
#let tone = rgb("#14507a")
#set document(title: report.title, date: auto)
#set page(paper: "a4", margin: (x: 15mm, top: 12mm, bottom: 14mm), footer: context align(center,
  text(7.5pt, luma(90))[#counter(page).display() / #counter(page).final().first()]))
#set text(10pt, font: "Libertinus Serif", lang: "en", hyphenate: false)
#set par(leading: 0.52em, spacing: 0.85em)
#show heading.where(level: 1): it => block(above: 0pt, below: 6pt, text(15pt, it.body))
#show heading.where(level: 2): it => block(above: 11pt, below: 7pt, sticky: true, width: 100%,
  stroke: (bottom: 0.6pt + tone), inset: (bottom: 2.5pt), text(11pt, tone, it.body))

#let caption(words) = text(8pt, luma(70), par(words))
#let draw(b) = {
  if b.kind == "text" { par(b.text) }
  else if b.kind == "absent" {
    block(fill: rgb("#fff3dc"), inset: 4pt, radius: 2pt, width: 100%, par(b.text))
  } else if b.kind == "figure" {
    block(breakable: false, above: 5pt, below: 5pt, width: 100%, align(center, {
      image(b.file, width: b.width * 1mm, alt: b.caption)
      v(3pt, weak: true)
      caption(b.caption)
    }))
  } else if b.kind == "table" {
    block(breakable: false, above: 5pt, below: 6pt, width: 100%, {
      set text(8.6pt)
      set par(leading: 0.42em)
      table(
        columns: b.header.len(),
        align: (x, y) => (if x < b.left { left } else { right }) + horizon,
        inset: (x: 2.6pt, y: 2pt),
        stroke: (x, y) => (top: if y == 1 { 0.5pt } else if y == 0 { 0.8pt } else { 0pt },
          bottom: if y == b.rows.len() { 0.8pt } else { 0pt }),
        fill: (x, y) => if b.marked != none and y == b.marked + 1 { rgb("#e3eef6") },
        table.header(..b.header.map(strong)),
        ..b.rows.enumerate().map(((i, row)) => row.map(cell => if b.marked == i { strong(cell) } else { cell }))
          .flatten(),
      )
      v(3pt, weak: true)
      caption(b.caption)
    })
  } else if b.kind == "beside" {
    if b.right.len() == 0 { for inner in b.left { draw(inner) } }
    else {
      block(breakable: false, above: 6pt, below: 9pt, grid(columns: (1fr, b.width * 1mm), column-gutter: 5mm,
        b.left.map(draw).join(), b.right.map(draw).join()))
    }
  }
}

#heading(level: 1, report.title)
#for question in report.questions {
  heading(level: 2, str(question.number) + ". " + question.title)
  for b in question.blocks { draw(b) }
}
#v(4pt)
#line(length: 100%, stroke: 0.4pt + luma(160))
#set text(8pt, luma(70))
#for words in report.closing { par(words) }
#context [#metadata(counter(page).final().first()) <pages>]
"""


@dataclass(frozen=True)
class Printed:
    """A report that fits: as PDF, its number of pages, the pages as PNG if asked for, and the scale of its figures."""

    pdf: bytes
    pages: int
    pictures: list[bytes]
    scale: float


def fit(
    title: str, questions: Sequence[Question], closing: Sequence[str], plain: Callable[[str], str], date: int, dpi: int
) -> Printed:
    """The report on at most three pages, with figures as large as they allow.

    Args:
        title, questions, closing: what stands on the pages.
        plain: puts values in the place of marks.
        date: of the document, seconds since 1970.
        dpi: of the PNG pages; none are drawn at 0.

    Raises:
        Hw3Error: it needs more than three pages however small the figures are.
    """
    import typst  # 30 MB, which the report as a web page does without

    for scale in SCALES:
        with _prepared(title, questions, closing, plain, scale) as source:
            pages = int(json.loads(typst.query(source, "<pages>", field="value", one=True)))
            if pages <= MAX_PAGES:
                pdf = typst.compile(source, format="pdf", timestamp=date)
                drawn: bytes | list[bytes] = typst.compile(source, format="png", ppi=dpi) if dpi else []
                return Printed(pdf, pages, [drawn] if isinstance(drawn, bytes) else drawn, scale)
    raise Hw3Error(
        f"the report needs {pages} pages with figures at {SCALES[-1]:.0%} of their size, and may have {MAX_PAGES}; "
        "shorten the names of classes, attempts or methods, or classify fewer classes"
    )


@contextmanager
def _prepared(
    title: str, questions: Sequence[Question], closing: Sequence[str], plain: Callable[[str], str], scale: float
) -> Iterator[Path]:
    """A folder with the template, the texts and the pictures, for as long as Typst reads it."""
    with tempfile.TemporaryDirectory(prefix="hw3-report-") as name:
        folder = Path(name)

        def shown(words: str) -> str:
            # Long names may break after these; Typst breaks words only at spaces and hyphens.
            return plain(words).replace("_", "_\u200b").replace("/", "/\u200b")

        def ready(block: Block) -> dict[str, Any]:
            made = {key: value for key, value in block.items() if key not in ("path", "box")}
            for key in ("text", "caption"):
                if key in block:
                    made[key] = shown(block[key])
            if block["kind"] == "table":
                made["header"] = [shown(cell) for cell in block["header"]]
                made["rows"] = [[shown(cell) for cell in row] for row in block["rows"]]
            elif block["kind"] == "beside":
                made["left"], made["right"] = ([ready(b) for b in block[side]] for side in ("left", "right"))
            elif block["kind"] == "figure":
                width, height = block["box"][0], block["box"][1] * scale
                content, (pixels_x, pixels_y) = png(block["path"], width / height, block["rows"])
                file = f"picture-{len(list(folder.glob('*.png')))}.png"
                (folder / file).write_bytes(content)
                made |= {"file": file, "width": min(width, height * pixels_x / pixels_y)}
            return made

        content = {
            "title": shown(title),
            "questions": [
                {"number": q.number, "title": shown(q.title), "blocks": [ready(b) for b in q.blocks]} for q in questions
            ],
            "closing": [shown(words) for words in closing],
        }
        (folder / "report.json").write_text(json.dumps(content), encoding="utf-8")
        source = folder / "report.typ"
        source.write_text(TEMPLATE, encoding="utf-8")
        yield source
