"""Results of a sweep as one table, and the table as a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hw3lib.core.files import atomic_path, expanded
from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error

from .store import RESULTS, Cell, Store

ABOUT = ("category", "kind", "name", "seed", "profile")
_ORIGIN = ("seconds", "device", "host", "data_digest", "code", "settings", "hash")


def table(cells: Sequence[Cell], folder: str | Path) -> pd.DataFrame:
    """One row a finished cell, in the order of the cells.

    Returns:
        ``category, kind, name, seed, profile``, the metrics (missing where a kind does not have one), ``seconds,
        device, host, data_digest, code``, ``settings`` (JSON) and ``hash``, which is also the cell's folder.

    Raises:
        Hw3Error: a damaged result.
    """
    store, rows = Store(folder), []
    for cell in cells:
        if store.finished(cell.key):
            about = {name: getattr(cell, name) for name in ABOUT}
            origin = {"data_digest": cell.data_digest, "code": cell.code, "hash": cell.key}
            settings = {"settings": json.dumps(cell.settings, sort_keys=True)}
            figures = store.metrics(cell.key)
            if nested := [name for name, value in figures.items() if _nested(value)]:
                raise Hw3Error(
                    f"{store.cell(cell.key)}: {nested[0]!r} in its metrics.json is no figure, text or list of them; "
                    "delete that folder and sweep again"
                )
            rows.append({**about, **figures, **origin, **settings})
    try:
        made = pd.DataFrame(rows, columns=None if rows else [*ABOUT, *_ORIGIN])
    except UnicodeEncodeError as error:  # a half character, which JSON can hold
        raise Hw3Error(
            f"{folder}: a name in a cell's metrics.json is no text ({error}); delete that cell's folder and sweep again"
        ) from None
    metrics = [name for name in made.columns if name not in (*ABOUT, *_ORIGIN)]
    return made[[*ABOUT, *metrics, *(name for name in _ORIGIN if name in made.columns)]]


def _nested(value: object) -> bool:
    """Whether a column of such values would be as deep as somebody likes, which takes Parquet gigabytes."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(isinstance(item, dict | list) for item in inner)


def gather(cells: Sequence[Cell], folder: str | Path) -> Path:
    """Write :func:`table` to ``results.parquet`` of a sweep's folder.

    Raises:
        Hw3Error: a damaged result, or the folder cannot be written.
    """
    path = Path(folder) / RESULTS
    made = table(cells, folder)
    with atomic_path(path) as temporary:
        try:
            made.to_parquet(temporary, engine="pyarrow", index=False)
        except (ValueError, TypeError, OverflowError, NotImplementedError) as error:
            raise Hw3Error(
                f"{path}: the cells' figures make no table ({error}); the metrics.json of one is damaged: delete its "
                "folder and sweep again"
            ) from None
    return path


def load(path: str | Path) -> pd.DataFrame:
    """Results of a sweep; see :func:`table` for the columns.

    Args:
        path: ``results.parquet``, the folder that holds it, or a sweep's name (in ``runs/sweeps`` of the project).

    Raises:
        Hw3Error: no such sweep, or a damaged file.
    """
    places = [expanded(path), project_root() / "runs" / "sweeps" / Path(path)]
    files = [place / RESULTS if place.is_dir() else place for place in places]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise Hw3Error(f"{path}: no results of a sweep there or in {places[1]}; make them with `hw3 sweep SPEC.yaml`")
    try:
        return pd.read_parquet(file, engine="pyarrow")
    except Exception as error:  # pyarrow trusts the schema and the metadata of a file that has the right mark
        raise Hw3Error(f"{file}: cannot be read as Parquet ({error}); sweep again, finished cells are kept") from None
