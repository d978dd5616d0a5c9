"""Find a category in the folders that may hold it."""

from __future__ import annotations

from pathlib import Path

from hw3lib.core.places import data_roots


def find_root(category: str, data: str | None) -> Path:
    """The first folder that holds the category, or else the first one: ``load_table`` says what is wrong."""
    from hw3lib.data.table import is_category  # pandas: `hw3 --help` does without

    roots = data_roots(data)
    return next((root for root in roots if is_category(root / category)), roots[0])
