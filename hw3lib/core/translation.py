"""Texts in other languages: gettext catalogues in ``hw3lib/locale``, in which the English text itself is the key.

A key that is English makes a stale translation impossible: what was edited has another key, and none until somebody has
looked at it (``python -m hw3lib.course.translation``). Babel reads and writes the catalogues.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from hw3lib.errors import Hw3Error

LOCALE = Path(__file__).resolve().parents[1] / "locale"
ENGLISH = "en"
UNTRANSLATED = "【未譯】"  # before an English text that stands where a translation is missing


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


def message(text: str, language: str, name: str = "messages") -> str:
    """A sentence that a program has put together from f-strings, in a language; in English where none of them fits.

    The keys are the f-strings with their values numbered, ``"{0}: expected {1}"``. The text is taken apart by the one
    that accounts for most of it, and its values again by others. So nothing changes where sentences are written.
    """
    return text if language == ENGLISH else _taken_apart(text, language, name)[1]


@cache
def _patterns(language: str, name: str) -> list[tuple[re.Pattern[str], int, str]]:
    """For each f-string what it fits, by values as short and as long as may be; its own letters; its translation."""
    found = []
    for english, translation in texts(language, name).items():
        parts = re.split(r"\{\d+\}", english)
        if len(parts) > 1:
            fits = [value.join(map(re.escape, parts)) for value in ("(.*?)", "(.*)")]
            own = sum(character.isalpha() for part in parts for character in part)
            found += [(re.compile(fit, re.S), own, translation) for fit in dict.fromkeys(fits)]
    return sorted(found, key=lambda one: (-one[1], one[0].groups))


@cache
def _taken_apart(text: str, language: str, name: str) -> tuple[tuple[int, int], str]:
    """How good it is, and the text in the language.

    Good is to account for many letters, by few f-strings; of two that are equal the one without words is outside.
    """
    if text in texts(language, name):
        return (len(text), 0), texts(language, name)[text]
    best = (0, 0), text
    for pattern, own, translation in _patterns(language, name):
        if match := pattern.fullmatch(text):
            values = [_taken_apart(value, language, name) for value in match.groups()]
            good = own + sum(letters for (letters, _), _ in values), sum(few for (_, few), _ in values) - 1
            if good >= best[0]:
                best = good, re.sub(r"\{(\d+)\}", lambda place: values[int(place[1])][1], translation)  # noqa: B023
    return best
