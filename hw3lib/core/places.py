"""Where things are looked for: the project, the notebooks, categories."""

from __future__ import annotations

import os
from pathlib import Path

from hw3lib.core.files import expanded


def project_root() -> Path:
    """Folder of the checkout (it holds ``pyproject.toml``) this package runs from, otherwise the working directory."""
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def course_folder() -> Path:
    """Folder of the executed notebooks, with ``exercises/`` in it: the checkout's, or the installed package's."""
    checkout = project_root() / "notebooks"
    installed = Path(__file__).resolve().parents[1] / "course" / "notebooks"
    return installed if installed.is_dir() else checkout


def data_roots(data: str | Path | None = None) -> list[Path]:
    """Folders that may hold categories, in search order: ``data``, ``HW3_DATA``, ``data/`` of the project."""
    places = [data, os.environ.get("HW3_DATA"), project_root() / "data"]
    return list(dict.fromkeys(expanded(place) for place in places if place))
