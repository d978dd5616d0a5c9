"""Texts in other languages: gettext catalogues in ``hw3lib/locale``, in which the English text itself is the key.

A key that is English makes a stale translation impossible: what was edited has another key, and none until somebody has
looked at it (``python -m hw3lib.course.translation``). Babel reads and writes the catalogues.
"""

from __future__ import annotations

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
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file) if m.id and m.string and not m.fuzzy}


def told(text: str, language: str, name: str) -> str:
    """A text in a language; in English, behind :data:`UNTRANSLATED`, where it has no translation."""
    if language == ENGLISH:
        return text
    return texts(language, name).get(text) or UNTRANSLATED + text
