"""Texts in other languages: gettext catalogues in ``hw3lib/locale``, in which the English text itself is the key.

A key that is English makes a stale translation impossible: what was edited has another key, and none until somebody has
looked at it (``python -m hw3lib.course.translate``). Babel reads and writes the catalogues.

What is printed and drawn is put together in English and translated where it is shown: :func:`tell`, :func:`say`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from textwrap import fill

from hw3lib.errors import Hw3Error

LOCALE = Path(__file__).resolve().parents[1] / "locale"
ENGLISH = "en"
UNTRANSLATED = "【未譯】"  # before an English text that stands where a translation is missing
VARIABLE = "HW3_LANGUAGE"
CHAPTERS = "chapters"  # in a student's folder, below the exercises
MESSAGES = "messages"  # what checks and predictions print
SHOWN = ("shown", "report")  # what chapters print, draw and offer to click, and the names of what they compare
COMMANDS = ("commands", "shown")  # what commands print
PAGES = ("pages", "shown")  # the pages of the app, and what they say
MARKED = re.compile(r"\{\{_ (.*?)\}\}(?!\})", re.S)  # a text in a page's file
_GRAMMAR = re.compile(
    r"(?<!\S)(?:among|are|at|before|each|for|from|in|is|now|of|the|that|to|was|were|which|with)(?!\S)"
)
_SENTENCE = re.compile(r"(?<=[.!?]) |\n")


def languages() -> tuple[str, ...]:
    """English, and those that there are catalogues of, written as ``zh-TW``."""
    return ENGLISH, *sorted(folder.name.replace("_", "-") for folder in LOCALE.iterdir() if folder.is_dir())


def catalogue_path(language: str, name: str) -> Path:
    """The file that holds the texts of ``name``, a chapter, in a language."""
    return LOCALE / language.replace("-", "_") / "LC_MESSAGES" / f"{name}.po"


@cache
def texts(language: str, name: str) -> dict[str, str]:
    """Translations by English text; those marked as fuzzy, whose English has changed, are left out.

    Raises:
        Hw3Error: there are no translations into the language.
    """
    if language not in languages():
        raise Hw3Error(f"language is {language!r}; expected one of {', '.join(languages())}")
    path = catalogue_path(language, name)
    if not path.is_file():
        return {}
    from babel.messages.pofile import read_po  # English does without

    with path.open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file) if m.id and m.string and not m.fuzzy}


def told(text: str, language: str, name: str) -> str:
    """A text in a language; in English, behind :data:`UNTRANSLATED`, where it has no translation."""
    if language == ENGLISH:
        return text
    return texts(language, name).get(text) or UNTRANSLATED + text


def message(text: str, language: str, *names: str) -> str:
    """A sentence that a program has put together from f-strings, in a language; in English where none of them fits.

    The keys are the f-strings with their values numbered, ``"{0}: expected {1}"``. The text is taken apart by the one
    that accounts for most of it, and its values again by others. So nothing changes where sentences are written.

    Args:
        names: of catalogues, the first one first; none: :data:`MESSAGES`.
    """
    return text if language == ENGLISH else _taken_apart(text, language, names or (MESSAGES,))[1]


def preferred() -> str:
    """The language of ``HW3_LANGUAGE``, or else of the machine's locale; English where there is no such one."""
    if (language := os.environ.get(VARIABLE)) in languages():
        return str(language)
    spoken = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    spoken = spoken.partition(".")[0].replace("_", "-")
    return spoken if spoken in languages() else ENGLISH


def here() -> str:
    """That of ``HW3_LANGUAGE``, which commands set, or of the student's folder that this runs in."""
    if (language := os.environ.get(VARIABLE)) in languages():
        return str(language)
    place = Path.cwd()
    for path in sorted((place.parent if place.name == CHAPTERS else place).glob("ex[0-9][0-9]_*.ipynb")):
        try:
            language = json.loads(path.read_bytes())["metadata"]["hw3lib"].get("language")
        except Exception:  # a notebook that was damaged, in any way
            continue
        return str(language) if language in languages() else ENGLISH
    return ENGLISH


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Print and draw in a language as long as the block lasts, in the processes that it starts, too."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = language
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def pieces(text: str) -> list[str]:
    """The lines and sentences of a text, which are translated one by one."""
    return _SENTENCE.split(text)


def tell(text: str, *names: str, language: str | None = None) -> str:
    """A text of several lines and sentences in a language, see :func:`message`.

    Args:
        names: of catalogues; none: :data:`SHOWN`.
        language: None: that of :func:`here`.
    """
    language, names = language or here(), names or SHOWN
    if language == ENGLISH:
        return text
    found = ""
    for piece in re.split(f"({_SENTENCE.pattern})", text):
        if found.endswith("。") and piece == " ":  # a full stop of Chinese has its room with it
            continue
        told = message(piece, language, *names)
        found += piece if told != piece and _GRAMMAR.search(told) else told  # half told reads worse than English
    return found


def tell_known(text: str) -> str:
    """A text in the language here if all of its words are known, as it is otherwise: half told reads worse."""
    letters, told = _taken_apart(text, here(), SHOWN) if here() != ENGLISH else ((0, 0), text)
    return told if letters[0] >= sum(map(str.isalpha, text)) else text


def tell_label(text: str, language: str) -> str:
    """A text of a figure; lines that were broken for English are told as one where it is not known otherwise."""
    lines, letters = text.split("\n"), sum(map(str.isalpha, text))
    one = " ".join(lines)
    known = [_taken_apart(line, language, SHOWN)[0][0] >= sum(map(str.isalpha, line)) for line in lines]
    if len(lines) > 1 and not all(known) and _taken_apart(one, language, SHOWN)[0][0] >= letters:
        return message(one, language, *SHOWN)
    return tell(text, language=language)


def say(*values: object, width: int = 0) -> None:
    """Print as :func:`print` does, in the language here; in English a paragraph in lines of ``width`` characters."""
    text = " ".join(map(str, values))
    told = tell(text)
    print(fill(told, width) if width and told == text else told)


@cache
def _patterns(language: str, names: tuple[str, ...]) -> list[tuple[list[str], re.Pattern[str], int, str]]:
    """For each f-string its own parts; what it fits, by values as short and as long as may be; how many letters are its
    own; its translation."""
    found = []
    for english, translation in _all(language, names).items():
        parts = re.split(r"\{\d+\}", english)
        if len(parts) > 1:
            fits = [value.join(map(re.escape, parts)) for value in ("(.*)", "(.*?)")]
            own = sum(character.isalpha() for part in parts for character in part)
            found += [(parts, re.compile(fit, re.S), own, translation) for fit in dict.fromkeys(fits)]
    return sorted(found, key=lambda one: (-one[2], -one[1].groups))


@cache
def _all(language: str, names: tuple[str, ...]) -> dict[str, str]:
    """The texts of several catalogues."""
    return {english: text for name in reversed(names) for english, text in texts(language, name).items()}


@cache
def _taken_apart(text: str, language: str, names: tuple[str, ...]) -> tuple[tuple[int, int], str]:
    """How good it is, and the text in the language.

    Good is to account for many letters, by few f-strings; of two that are equal the one without words is outside.
    """
    if re.match(r"[/~]|[A-Za-z]:[\\/]", text):  # a path
        return (0, 0), text
    if text in _all(language, names):
        return (len(text), 0), _all(language, names)[text]
    best = (0, 0), text
    for parts, pattern, own, translation in _patterns(language, names):
        if all(part in text for part in parts) and (match := pattern.fullmatch(text)):
            values = [_taken_apart(value, language, names) for value in match.groups()]
            good = own + sum(letters for (letters, _), _ in values), sum(few for (_, few), _ in values) - 1
            joins = not own and any(part.strip() for part in parts)  # and is no space between two values
            if good > best[0] or good == best[0] and joins:
                best = good, re.sub(r"\{(\d+)\}", lambda place: values[int(place[1])][1], translation)  # noqa: B023
    return best
