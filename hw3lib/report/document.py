"""The report before it is a page: questions made of blocks, which are plain data for Typst and HTML alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Block = dict[str, Any]


@dataclass
class Question:
    """A question of the assignment and its answer.

    Attributes:
        number: 1 to 5.
        title: short.
        blocks: see the functions below; texts may hold marks of :class:`hw3lib.report.runs.Run`.
        limit: words that the paragraphs may have; None for no limit.
    """

    number: int
    title: str
    blocks: list[Block] = field(default_factory=list)
    limit: int | None = None

    def paragraphs(self) -> Iterator[str]:
        """Texts that count as words of the answer."""
        for block in walk(self.blocks):
            if block["kind"] == "text":
                yield block["text"]

    def texts(self) -> Iterator[str]:
        """Every text, in the order of the page."""
        for block in walk(self.blocks):
            if block["kind"] == "table":
                yield from block["header"]
                yield from (cell for row in block["rows"] for cell in row)
            yield from (block[key] for key in ("text", "caption") if key in block)


def text(words: str) -> Block:
    """A paragraph of the answer."""
    return {"kind": "text", "text": words}


def absent(words: str) -> Block:
    """A line in the place of what no run measured."""
    return {"kind": "absent", "text": words}


def table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], marked: int | None = None, left: int = 1
) -> Block:
    """A table; the first ``left`` columns begin at the left, the others end at the right; row ``marked`` stands out."""
    rows = [list(row) for row in rows]
    return {"kind": "table", "caption": caption, "header": list(header), "rows": rows, "marked": marked, "left": left}


def figure(path: Path, caption: str, width: float, height: float, rows: bool = False) -> Block:
    """A picture that fits into ``width`` x ``height`` mm; if it is ``rows`` of pictures, they may be laid out anew."""
    return {"kind": "figure", "path": path, "caption": caption, "box": (width, height), "rows": rows}


def beside(left: Sequence[Block | None], right: Sequence[Block | None], width: float) -> Block:
    """Blocks at the left, and at the right in a column of ``width`` mm (0 if there are none); None is left out."""
    sides = [[block for block in side if block] for side in (left, right)]
    width = width if sides[1] else 0
    return {"kind": "beside", "left": sides[0], "right": sides[1], "width": width}


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """All blocks, those at the left and right of others included."""
    for block in blocks:
        yield block
        if block["kind"] == "beside":
            yield from walk(block["left"])
            yield from walk(block["right"])
