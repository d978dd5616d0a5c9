"""How a category is read where its folders cannot say it themselves: ``category.json`` beside its class folders."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hw3lib.core.files import atomic_path
from hw3lib.core.untrusted import read_json
from hw3lib.data.groups import check_groups
from hw3lib.data.pixels.reading import FITS, Fit, checked_range
from hw3lib.errors import Hw3Error

FILE = "category.json"


@dataclass(frozen=True, kw_only=True)
class CategorySettings:
    """What a person has said of a category; the defaults stand for "not said".

    Attributes:
        good: name of the class folder that holds good products, where it is none of the names that are understood, or a
            pattern of several, ``ok_*``.
        pixel_range: values that are black and white, such as ``(0, 4095)``; None finds them from the images.
        fit: how a photograph comes to a network's square: ``stretch``, ``pad`` or ``tile``; None: see
            :func:`hw3lib.data.pixels.geometry.natural_fit`.
        groups: regular expression whose first group, found in a file's name, names the product that it shows; or the
            path of a CSV file, relative to the category, with the columns ``image`` and ``group``; or ``near``:
            photographs that look like shots of one product; None: every photograph shows another product. See
            :func:`hw3lib.data.groups.find_groups`.
    """

    good: str | None = None
    pixel_range: tuple[float, float] | None = None
    fit: Fit | None = None
    groups: str | None = None

    def __post_init__(self) -> None:
        if self.good is not None and (
            not isinstance(self.good, str) or not self.good or Path(self.good).name != self.good
        ):
            raise Hw3Error(f"good={self.good!r}: expected the name of a folder of the category")
        object.__setattr__(self, "pixel_range", checked_range(self.pixel_range))
        if self.fit is not None and self.fit not in FITS:
            raise Hw3Error(f"fit={self.fit!r}: expected one of {', '.join(FITS)}")
        if self.groups is not None:
            check_groups(self.groups)

    def said(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


def read_settings(folder: Path) -> CategorySettings:
    """The settings of a category's folder; the defaults where it has no ``category.json``.

    Raises:
        Hw3Error: the file is no JSON object, or holds an unknown key or a wrong value.
    """
    path = folder / FILE
    if not path.is_file():
        return CategorySettings()
    found = read_json(path)
    known = [f.name for f in fields(CategorySettings)]
    if unknown := sorted(set(found) - set(known)):
        raise Hw3Error(f"{path}: unknown key {unknown[0]!r}, expected {', '.join(known)}")
    try:
        return CategorySettings(**found)
    except Hw3Error as error:
        raise Hw3Error(f"{path}: {error}") from None


def write_settings(folder: Path, settings: CategorySettings) -> Path:
    """Write ``category.json`` into a category's folder, whole or not at all.

    Raises:
        Hw3Error: the folder cannot be written.
    """
    path = folder / FILE
    with atomic_path(path) as temporary:
        said = {name: value for name, value in asdict(settings).items() if value is not None}
        temporary.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return path
