"""The report as one HTML file: pictures inside, light and dark, no script. Each value says where it came from."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Protocol

from hw3lib.core.translation import ENGLISH

from .document import Block, Question
from .references import Cited
from .runs import MARK, Traced

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --paper: #fff; --quiet: #5b6670; --tone: #14507a; --mark: #e3eef6;
  --line: #c9d1d8; --warn: #fff3dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --paper: #15191d; --quiet: #a3adb6; --tone: #8cc3ec;
  --mark: #1d3547; --line: #3b444c; --warn: #463a1d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 54rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 Georgia, "Liberation Serif", serif; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.2rem; color: var(--tone); border-bottom: 1px solid var(--line); margin: 2rem 0 .8rem; }
p { margin: .6rem 0; hyphens: auto; }
h3 { font-size: 1rem; color: var(--tone); margin: 1rem 0 .3rem; }
figure { margin: .8rem 0; overflow-x: auto; }
figcaption { color: var(--quiet); font-size: .85rem; margin: .3rem 0; }
.lines { display: grid; grid-template-columns: repeat(var(--across), minmax(0, 1fr)); gap: .6rem 1rem;
  max-width: 44rem; }
.tiles { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: .3rem; text-align: center;
  align-items: end; font-size: .8rem; line-height: 1.2; overflow-wrap: anywhere; }
.label { font-size: .8rem; color: var(--quiet); }
img { display: block; width: 100%; height: auto; border-radius: 3px; }
img.drawn { background: #fff; padding: 6px; max-width: 36rem; }
.wide td.left { min-width: 17rem; }
a { color: var(--tone); }
table { border-collapse: collapse; font-size: .88rem; line-height: 1.3; width: 100%; }
thead { border-block: 1px solid var(--ink); }
tbody { border-bottom: 1px solid var(--ink); }
th, td { padding: .22rem .45rem; text-align: right; vertical-align: middle; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.left { text-align: left; white-space: normal; }
.marked { background: var(--mark); font-weight: bold; }
.absent { background: var(--warn); padding: .5rem .8rem; border-radius: 4px; }
footer { margin-top: 2rem; border-top: 1px solid var(--line); color: var(--quiet); font-size: .85rem;
  overflow-wrap: anywhere; }
@media print { body { max-width: none; font-size: 9pt; padding: 0; } }
""".strip()


class Marks(Protocol):
    """What puts values in the place of marks, as :class:`.Run` does."""

    traced: list[Traced]

    def plain(self, words: str) -> str:
        """The text with its values."""


class Unmarked:
    """For texts without marks."""

    traced: list[Traced] = []

    def plain(self, words: str) -> str:
        """The text as it is."""
        return words


def page(
    title: str,
    questions: Sequence[Question],
    closing: Sequence[str],
    run: Marks,
    *,
    language: str = ENGLISH,
    byline: str = "",
    references: Sequence[Cited] = (),
    references_title: str = "",
) -> str:
    """The whole file. A value is ``<data value=... title="FILE POINTER">``; see :func:`hw3lib.report.pages.fit`."""
    body = "\n".join(
        f'<section>\n<h2 id="question-{q.number}">{escape(q.heading)}</h2>\n'
        + "\n".join(_block(block, run) for block in q.blocks)
        + "\n</section>"
        for q in questions
    )
    foot = "\n".join(f"<p>{_inline(words, run)}</p>" for words in closing)
    cited = "\n".join(
        f"<p>[{number}] {escape(words)}." + (f' <a href="{escape(link)}">{escape(shown)}</a></p>' if link else "</p>")
        for number, words, shown, link in references
    )
    cited = f"<h2>{escape(references_title)}</h2>\n{cited}\n" if cited else ""
    by = f'<p class="label">{_inline(byline, run)}</p>\n' if byline else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(run.plain(title))}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_inline(title, run)}</h1>\n{by}{body}\n</main>\n<footer>\n{cited}{foot}\n</footer>\n</body>\n</html>\n"
    )


def _inline(words: str, run: Marks) -> str:
    def value(number: str) -> str:
        traced = run.traced[int(number)]
        source = escape(f"{traced.file} {traced.pointer}")
        exact = escape("" if traced.value is None or traced.spec == "quoted" else str(traced.value))
        return f'<data value="{exact}" title="{source}">{_breakable(traced.printed)}</data>'

    parts = MARK.split(words)  # text, index, text, index, ...
    return "".join(value(part) if i % 2 else _breakable(part) for i, part in enumerate(parts))


def _breakable(words: str) -> str:
    return escape(words).replace("_", "_<wbr>")


def _block(block: Block, run: Marks) -> str:
    match block["kind"]:
        case "text":
            return f"<p>{_inline(block['text'], run)}</p>"
        case "heading":
            return f"<h3>{_inline(block['text'], run)}</h3>"
        case "absent":
            return f'<p class="absent">{_inline(block["text"], run)}</p>'
        case "figure":
            columns = max(len(line["tiles"]) for line in block["lines"])
            words = escape(run.plain(block["caption"]))
            lines = "\n".join(
                f'<div><span class="label">{_inline(line["label"], run)}</span>'
                f'<div class="tiles" style="--columns: {columns}">'
                + "".join(_tile(tile, words, run) for tile in line["tiles"])
                + "</div></div>"
                for line in block["lines"]
            )
            across = f'<div class="lines" style="--across: {block["across"]}">\n{lines}\n</div>'
            return f"<figure>{across}\n{_caption(block, run)}</figure>"
        case "table":
            return _table(block, run)
    raise ValueError(f"no block is a {block['kind']!r}")


def _tile(tile: Block, words: str, run: Marks) -> str:
    kind = "image/svg+xml" if tile["type"] == "svg" else "image/png"
    data = base64.b64encode(tile["content"]).decode()
    drawn = ' class="drawn"' if tile["type"] == "svg" else ""
    picture = f'<img src="data:{kind};base64,{data}" alt="{words}"{drawn}>'
    return f"<div>{_inline(tile['title'], run)}{picture}{_inline(tile['below'], run)}</div>"


def _caption(block: Block, run: Marks) -> str:
    label = f"<b>{escape(block['label'])}</b> " if block["label"] else ""
    return f"<figcaption>{label}{_inline(block['caption'], run)}</figcaption>"


def _table(block: Block, run: Marks) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        sides = [' class="left"' if i < block["left"] else "" for i in range(len(row))]
        return "".join(f"<{tag}{side}>{_inline(cell, run)}</{tag}>" for side, cell in zip(sides, row, strict=True))

    marked, wide = ' class="marked"', ' class="wide"' if block["wide"] else ""
    rows = "\n".join(
        f"<tr{marked if i == block['marked'] else ''}>{cells(row, 'td')}</tr>" for i, row in enumerate(block["rows"])
    )
    return (
        f"<figure><table{wide}><thead><tr>{cells(block['header'], 'th')}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table>"
        f"{_caption(block, run)}</figure>"
    )
