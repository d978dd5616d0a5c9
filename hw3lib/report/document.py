"""The report before it is a page: questions made of blocks, which are plain data for Typst and HTML alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Block = dict[str, Any]


@dataclass
class Question:
    """A question of the assignment and its answer.

    Attributes:
        number: 1 to 5; 0 for what answers none.
        title: short.
        blocks: see the functions below; texts may hold marks of :class:`hw3lib.report.runs.Run`.
        limit: words that the paragraphs may have; None for no limit.
    """

    number: int
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    limit: int | None = None

    @property
    def heading(self) -> str:
        """The title behind its number."""
        return f"{self.number}. {self.title}" if self.number else self.title

    def paragraphs(self) -> Iterator[str]:
        """Texts that count as words of the answer."""
        return (block["text"] for block in self.blocks if block["kind"] == "text")

    def texts(self) -> Iterator[str]:
        """Every text, in the order of the page."""
        found: list[str] = []

        def keep(words: str) -> str:
            found.append(words)
            return words

        self.changed(keep)
        yield from found

    def changed(self, change: Callable[[str], str]) -> Question:
        """The same question with each text as ``change`` gives it."""
        return replace(self, blocks=[_changed(block, change) for block in self.blocks])


def text(words: str) -> Block:
    """A paragraph of the answer."""
    return {"kind": "text", "text": words}


def heading(words: str) -> Block:
    """A small heading within an answer."""
    return {"kind": "heading", "text": words}


def absent(words: str) -> Block:
    """A line in the place of what no run measured."""
    return {"kind": "absent", "text": words}


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    marked: int | None = None,
    left: int = 1,
    key: str = "",
    wide: bool = False,
) -> Block:
    """A table; the first ``left`` columns begin at the left, the others end at the right; row ``marked`` stands out.

    ``key``: it is numbered, and :meth:`hw3lib.report.runs.Run.see` refers to it. ``wide``: across both columns of a
    page.
    """
    made = {"kind": "table", "key": key, "header": list(header), "rows": [list(row) for row in rows]}
    return made | {"marked": marked, "left": left, "caption": caption, "label": "", "wide": wide}


def figure(
    lines: Sequence[Block], caption: str, key: str = "", grows: bool = True, across: int = 1, optional: int = 0
) -> Block:
    """Pictures in lines.

    Args:
        lines: ``label``, what stands above the line, and ``tiles``: each with ``title`` above and ``below`` under its
            ``content``, a file of ``type`` png or svg.
        caption: says what it shows and what to see in it.
        key: as for a table.
        grows: whether it may be as large as the page has room for; else it is as large as it was drawn.
        across: lines side by side.
        optional: 0, or how soon it is left out where three pages do not suffice; 1 first.
    """
    made = {"kind": "figure", "key": key, "lines": list(lines), "caption": caption, "label": ""}
    return made | {"grows": grows, "across": across, "optional": optional}


def _changed(block: Block, change: Callable[[str], str]) -> Block:
    """A block with each of its texts changed, in the order of the page."""
    made = dict(block)
    if block["kind"] == "table":
        made["header"] = [change(cell) for cell in block["header"]]
        made["rows"] = [[change(cell) for cell in row] for row in block["rows"]]
    elif block["kind"] == "figure":
        made["lines"] = [
            {
                "label": change(line["label"]),
                "tiles": [tile | {side: change(tile[side]) for side in ("title", "below")} for tile in line["tiles"]],
            }
            for line in block["lines"]
        ]
    return made | {key: change(block[key]) for key in ("text", "caption") if key in block}
