"""Folders compared: what is left over, missing or different."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

_MOMENTS = {"seconds", "started", "finished", "host", "resumed", "status", "files"}  # not of the result


def content(folder: Path) -> dict[str, Any]:
    """What is in a folder, comparable: times, hosts and the folder's own name taken out of files that hold them."""
    return {path.relative_to(folder).as_posix(): _comparable(path, folder) for path in sorted(folder.rglob("*"))}


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every name in a folder with its bytes; None for a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def _comparable(path: Path, folder: Path) -> Any:
    if path.is_dir() or path.name in (".lock", "lock"):
        return None
    if path.suffix == ".npz":
        import numpy as np

        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    raw = path.read_bytes()
    if path.suffix == ".parquet":
        import pandas as pd

        table = pd.read_parquet(io.BytesIO(raw))
        return table.drop(columns=[name for name in table if name in _MOMENTS]).to_json()
    raw = raw.replace(str(folder).encode(), b"FOLDER")
    if path.suffix == ".ipynb":
        cells = json.loads(raw)["cells"]
        return [(cell["source"], cell.get("outputs")) for cell in cells]
    if path.suffix == ".json":
        return _without_moments(json.loads(raw))
    if path.suffix == ".csv" and b"seconds" in raw:
        import pandas as pd

        table = pd.read_csv(io.BytesIO(raw))
        return table.drop(columns=[name for name in table if name in _MOMENTS]).to_csv()
    return hashlib.sha256(raw).hexdigest()


def _without_moments(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_moments(v) for key, v in value.items() if key not in _MOMENTS}
    return [_without_moments(v) for v in value] if isinstance(value, list) else value


def differences(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """In words, empty where there are none."""
    parts = {
        "left over": sorted(set(found) - set(expected)),
        "missing": sorted(set(expected) - set(found)),
        "different": sorted(name for name in set(expected) & set(found) if expected[name] != found[name]),
    }
    return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names)
