"""The reader's own words, from a Markdown file: made once with headings, never written again."""

from __future__ import annotations

import re
from pathlib import Path

from hw3lib.core.files import atomic_path
from hw3lib.errors import Hw3Error

from .document import Block, Question, heading, text
from .runs import Run, clean
from .sentences import count

WORDS = 300  # or characters: half a page


def make(path: Path, run: Run) -> bool:
    """Write the file with headings alone, if there is none; whether it did."""
    if path.exists():
        return False
    headings = (
        run.say("What surprised me"),
        run.say("What I would do with another week"),
        run.say("What I do not believe yet"),
    )
    with atomic_path(path) as new:
        new.write_text("\n".join(f"## {words}\n\n" for words in headings), encoding="utf-8", newline="\n")
    return True


def read(path: Path, run: Run) -> list[Question]:
    """What the file says, as a last section; nothing where it has headings alone.

    Headings, paragraphs and items of lists are kept; a heading without words behind it is left out.

    Raises:
        Hw3Error: the file cannot be read as UTF-8.
    """
    try:
        written = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Hw3Error(f"{path}: cannot be read as text in UTF-8 ({error}); save it as such") from error
    blocks: list[Block] = []
    for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|#+) )|(?<=^)(?=#)", re.sub(r"<!--.*?-->", "", written, flags=re.S)):
        first, _, rest = part.strip().partition("\n")
        is_heading = first.startswith("#")
        if is_heading:
            if blocks and blocks[-1]["kind"] == "heading":
                blocks.pop()
            blocks.append(heading(clean(first.lstrip("#"))))
        words = clean(" ".join((rest if is_heading else part).split()))
        if words:
            blocks.append(text(re.sub(r"^[-*] ", "• ", words)))
    if blocks and blocks[-1]["kind"] == "heading":
        blocks.pop()
    total = sum(count(block["text"]) for block in blocks if block["kind"] == "text")
    if total > WORDS:
        run.asides.append(
            run.say("{file} has {n} words; half a page holds {most}.", file=path.name, n=total, most=WORDS)
        )
    return [Question(0, run.say("In my own words"), blocks)] if blocks else []
