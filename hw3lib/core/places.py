"""Where things are looked for, and where they are written if nobody says: checkout, notebooks, runs, categories."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hw3lib.core.files import expanded

OWN = "student.json"  # in the folder of a student's own data: ``student``, ``term`` and ``seed``
_OURS = re.compile(r'^name\s*=\s*"hw3lib"', re.M)


def checkout() -> Path | None:
    """Folder of the checkout that this package runs from; None where it is installed as a package.

    A ``pyproject.toml`` alone says nothing: some packages leave theirs in ``site-packages``.
    """
    folder = Path(__file__).resolve().parents[2]
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return folder if _OURS.search(text) and "site-packages" not in folder.parts else None


def project_root() -> Path:
    """Folder that ``runs/`` and ``data/`` are in: the checkout, or else the working directory.

    Nothing is ever written beside an installed package, nor into a checkout of somebody else's: where the working
    directory may not be written either, it is ``hw3lib`` in the user's home.
    """
    for place in (checkout(), Path.cwd()):
        if place is not None and _is_writable(place):
            return place
    return expanded("~/hw3lib")


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def course_folder() -> Path:
    """Folder of the executed notebooks, with ``exercises/`` in it: the checkout's, or the installed package's."""
    installed = Path(__file__).resolve().parents[1] / "course" / "notebooks"
    return installed if installed.is_dir() else (checkout() or project_root()) / "notebooks"


def weights_folder() -> Path | None:
    """The folder ``HW3_WEIGHTS``, where published weights are looked for first; None where none is named."""
    named = os.environ.get("HW3_WEIGHTS")
    return expanded(named) if named else None


def own_data() -> Path | None:
    """``data/`` of the student's folder that this runs in, or in a folder of which; None elsewhere."""
    return next((place.resolve() for place in (Path("data"), Path("../data")) if (place / OWN).is_file()), None)


def data_roots(data: str | Path | None = None) -> list[Path]:
    """Folders that may hold categories: ``data``, :func:`own_data`, ``HW3_DATA``, ``data/`` of the project.

    They are in search order. A checkout of somebody else's, which may not be written, is searched last.
    """
    places = [data, own_data(), os.environ.get("HW3_DATA"), project_root() / "data"]
    if (ours := checkout()) and not _is_writable(ours):
        places.append(ours / "data")
    return list(dict.fromkeys(expanded(place) for place in places if place))
