"""Words for generated sentences."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

from .translation import COMMANDS, tell


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; one name or more."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def plural(number: int, what: str) -> str:
    """``image`` for 1, ``images`` otherwise; ``defect classes``."""
    return what if number == 1 else what + ("es" if what.endswith("s") else "s")


def first_line(error: BaseException) -> str:
    """What an error of another library says, in a line; the name of its class where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def counted(number: int, what: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {plural(number, what)}"


def percent(share: float) -> str:
    """A share in three digits: 1 of 8 is ``12.5 %``."""
    return f"{100 * share:.3g} %"


def sentence(words: str) -> str:
    """What stands in the middle of a text as a sentence of its own: a capital letter, and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def short_paths(paths: Iterable[str], most: int = 20) -> str:
    """``dent/002.png, dent/003.png and 5 more``: the ends of some paths."""
    names = ["/".join(PurePath(path).parts[-2:]) for path in paths]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def did_you_mean(name: Any, known: Iterable[str], most: int = 1, shown: Callable[[str], str] = repr) -> str:
    """``; did you mean 'bottle'?``, the end of a half sentence; nothing where no known name is like this one.

    Args:
        name: what was found; a text, or what YAML has at its place.
        known: names to choose from.
        most: names that are offered, the nearest first.
        shown: how one of them is written.
    """
    near = get_close_matches(str(name), list(known), most)
    return f"; did you mean {' or '.join(map(shown, near))}?" if near else ""


def json_text(content: Any, indent: int | None = None) -> str:
    """JSON as people read it, or with escapes where it holds half characters, which no UTF-8 file can."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, indent=indent)
    return text


def printable(text: str) -> str:
    """The text with half characters, which JSON can hold and no UTF-8 can, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def composed(text: str) -> str:
    """The text with accents composed (NFC): ``é`` is one character, also where a Mac wrote ``e`` and an accent."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def class_name(folder: str) -> str:
    """The name of a class from that of its folder: composed, in one line, without spaces around it."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", composed(folder)).split()) or "_"


def file_name(text: str) -> str:
    """A text as the name of a file on any system, with ``_`` for what some cannot have; different texts may meet."""
    return re.sub(r'[\\/:*?"<>|]', "_", class_name(text)).strip(" .") or "_"


def slug(text: str, most: int = 120) -> str:
    """A text as a part of a folder's name: letters and digits of any script, spaces, ``. _ - +``; others become ``-``.

    What loses something gets a mark of the whole text behind it, so that different texts stay different.

    Args:
        text: such as a category's name.
        most: bytes that are kept.
    """
    whole = composed(text).replace("/", "-")
    kept = re.sub(r"[^\w.+ -]+", "-", whole).strip(" .-+").encode()[:most].decode("utf-8", "ignore")
    if kept == whole:
        return kept
    mark = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{kept}-{mark}" if kept else mark


def one_line(text: str) -> str:
    """The text with escapes for line breaks and other control characters, which a file's name can hold."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: found[0].encode("unicode_escape").decode(), text)


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned columns in the language here, the first row underlined."""
    told = [[tell(cell, *COMMANDS) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*told, strict=True)]
    lines = aligned(told)
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, whose cells begin below each other."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    """Columns that a terminal takes for a text: two for a Chinese character."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)
