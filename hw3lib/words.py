"""Words for generated sentences."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; one name or more."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def plural(number: int, what: str) -> str:
    """``image`` for 1, ``images`` otherwise; ``defect classes``."""
    return what if number == 1 else what + ("es" if what.endswith("s") else "s")


def counted(number: int, what: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {plural(number, what)}"
