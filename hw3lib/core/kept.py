"""Results looked up by what they depend on: code, packages, settings, data, device and precision."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hw3lib.core.files import atomic_path
from hw3lib.core.provenance import versions

_PACKAGE = Path(__file__).parents[1]
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _room(name: str) -> tuple[str, frozenset[str]]:
    """SHA-256 of a room's code as syntax trees, without comments and docstrings; and the rooms that it imports."""
    total = hashlib.sha256()
    imported: set[str] = set()
    for path in sorted((_PACKAGE / name).rglob("*.py")) or [_PACKAGE / f"{name}.py"]:
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
            elif isinstance(node, ast.Import | ast.ImportFrom):
                within = f"{node.module}." if isinstance(node, ast.ImportFrom) and not node.level else ""
                places = [f"{within}{alias.name}".split(".") for alias in node.names]
                known = {place[1] for place in places if place[0] == "hw3lib" and len(place) > 1}
                imported.update(known - {"__version__"})  # which is no module, and changes no result
        total.update(f"{path.relative_to(_PACKAGE).as_posix()} {ast.dump(tree)}\n".encode())
    return total.hexdigest(), frozenset(imported)


@cache
def code_digest(room: str) -> str:
    """Hash of the code of a room, such as ``classify``, and of all rooms below that it imports."""
    rooms, new = {room}, {room}
    while new := {name for each in new for name in _room(each)[1]} - rooms:
        rooms |= new
    return hashlib.sha256("".join(_room(each)[0] for each in sorted(rooms)).encode()).hexdigest()


class Kept:
    """A result in a file whose name depends on everything that would give another result.

    Args:
        folder: where results are kept; None keeps nothing.
        name: how the file's name begins and ends; ``tail.json`` becomes ``tail-0123456789abcdef.json``. It holds a JSON
            object, or arrays by name if it ends in ``.npz``.
        room: whose code the result comes from.
        device, precision: what it is computed on and in; machines that share a folder need not have the same.
        what: everything else that it depends on, as JSON: settings, data, splits, seeds.
    """

    def __init__(self, folder: str | Path | None, name: str, room: str, device: str, precision: str, **what: Any):
        self.file: Path | None = None
        if folder is not None:
            known = {"code": code_digest(room), "versions": versions(), "machine": platform.machine()}
            known |= {"device": device, "precision": precision, "what": what}
            key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
            self.file = Path(folder) / f"{Path(name).stem}-{key}{Path(name).suffix}"

    def read(self) -> dict[str, Any] | None:
        """What is kept; None where there is none, or a damaged one."""
        return read(self.file) if self.file is not None else None

    def write(self, result: Mapping[str, Any]) -> None:
        """Keep a result, whole or not at all."""
        if self.file is None:
            return
        with atomic_path(self.file) as temporary:
            if self.file.suffix == ".npz":
                np.savez(temporary, **result)
            else:
                temporary.write_text(json.dumps(result), encoding="utf-8")


def read(file: Path) -> dict[str, Any] | None:
    """A kept JSON object or, of ``.npz``, arrays by name; None where there is none, or a damaged one."""
    if not file.is_file():
        return None
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            return found if all(isinstance(array, np.ndarray) for array in found.values()) else None
        found = json.loads(file.read_text(encoding="utf-8"))
    except Exception:  # of many kinds: NumPy trusts a header with the right mark
        return None
    return found if isinstance(found, dict) else None
