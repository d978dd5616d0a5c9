"""The report as one HTML file: pictures inside, light and dark, no script. Each value says where it came from."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Protocol

from .document import Block, Question
from .pictures import png
from .runs import MARK, Traced

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --paper: #fff; --quiet: #5b6670; --tone: #14507a; --mark: #e3eef6;
  --line: #c9d1d8; --warn: #fff3dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --paper: #15191d; --quiet: #a3adb6; --tone: #8cc3ec;
  --mark: #1d3547; --line: #3b444c; --warn: #463a1d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 Georgia, "Liberation Serif", serif; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.2rem; color: var(--tone); border-bottom: 1px solid var(--line); margin: 2rem 0 .8rem; }
p { margin: .6rem 0; hyphens: auto; }
.beside { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, var(--share)); gap: 1.5rem; }
@media (max-width: 52rem) { .beside { display: block; } }
figure { margin: .8rem 0; overflow-x: auto; }
figcaption { color: var(--quiet); font-size: .85rem; margin-top: .3rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff; padding: 6px;
  border-radius: 4px; }
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


def page(title: str, questions: Sequence[Question], closing: Sequence[str], run: Marks) -> str:
    """The whole file. A value is ``<data value=... title="FILE POINTER">``."""
    body = "\n".join(
        f'<section>\n<h2 id="question-{q.number}">{q.number}. {escape(q.title)}</h2>\n'
        + "\n".join(_block(block, run) for block in q.blocks)
        + "\n</section>"
        for q in questions
    )
    foot = "\n".join(f"<p>{_inline(words, run)}</p>" for words in closing)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(run.plain(title))}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_inline(title, run)}</h1>\n{body}\n</main>\n<footer>\n{foot}\n</footer>\n</body>\n</html>\n"
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
        case "absent":
            return f'<p class="absent">{_inline(block["text"], run)}</p>'
        case "figure":
            width, height = block["box"]
            content, (pixels, _) = png(block["path"], width / height, block["rows"])
            data = base64.b64encode(content).decode()
            words = escape(run.plain(block["caption"]))
            return (
                f'<figure><img src="data:image/png;base64,{data}" alt="{words}" width="{pixels}">'
                f"<figcaption>{_inline(block['caption'], run)}</figcaption></figure>"
            )
        case "table":
            return _table(block, run)
        case "beside":
            if not block["right"]:
                return "\n".join(_block(b, run) for b in block["left"])
            left, right = ("\n".join(_block(b, run) for b in block[side]) for side in ("left", "right"))
            share = f"{100 * block['width'] / 180:.0f}%"
            return f'<div class="beside" style="--share: {share}">\n<div>{left}</div>\n<div>{right}</div>\n</div>'
    raise ValueError(f"no block is a {block['kind']!r}")


def _table(block: Block, run: Marks) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        sides = [' class="left"' if i < block["left"] else "" for i in range(len(row))]
        return "".join(f"<{tag}{side}>{_inline(cell, run)}</{tag}>" for side, cell in zip(sides, row, strict=True))

    marked = ' class="marked"'
    rows = "\n".join(
        f"<tr{marked if i == block['marked'] else ''}>{cells(row, 'td')}</tr>" for i, row in enumerate(block["rows"])
    )
    return (
        f"<figure><table><thead><tr>{cells(block['header'], 'th')}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
        f"<figcaption>{_inline(block['caption'], run)}</figcaption></figure>"
    )
