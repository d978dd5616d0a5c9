"""Values of a file that is not trusted: each is checked before it is used, and a mistake is one clear error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hw3lib.errors import Hw3Error


def records(found: dict[str, Any], key: str, where: str | Path) -> list[dict[str, Any]]:
    """The list of objects that a JSON object has under a key."""
    value = found.get(key)
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise Hw3Error(f"{where}: expected a list of objects under {key!r}")
    return value


def number(value: Any, where: str) -> float:
    """A finite number; ``where`` says what it is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise Hw3Error(f"{where}: found {str(value)[:40]!r}, expected a finite number")
    return float(value)


def numbers(value: Any, count: int | None, where: str) -> list[float]:
    """A list of finite numbers, ``count`` of them."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise Hw3Error(f"{where}: found {str(value)[:60]}, expected a list of {count or ''} numbers".replace("  ", " "))
    return [number(item, where) for item in value]


def whole(value: Any, low: int, where: str) -> int:
    """An integer of ``low`` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**53:
        raise Hw3Error(f"{where}: found {str(value)[:40]!r}, expected an integer of {low} or more")
    return value


def text(value: Any, where: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise Hw3Error(f"{where}: found {str(value)[:40]!r}, expected a name")
    return value
