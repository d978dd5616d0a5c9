"""Words for generated sentences."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; one name or more."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
