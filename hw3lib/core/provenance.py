"""What a result came from: the version of this package's code, and those of the packages under it."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

# Packages that numbers depend on; Pillow decodes and resizes the images.
PACKAGES = (
    *("torch", "torchvision", "timm", "transformers", "numpy", "scipy", "pandas", "scikit-learn", "imbalanced-learn"),
    "pillow",
)


@cache
def code_version() -> str:
    """SHA-256, in hexadecimal, of all Python files of hw3lib; read once a process, which runs what it has loaded."""
    package, total = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        total.update(f"{path.relative_to(package).as_posix()} {file_record(path)}\n".encode())
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on; ``missing`` where one is not installed."""
    return {"python": platform.python_version()} | {name: package_version(name) for name in PACKAGES}


def package_version(name: str) -> str:
    """Version of an installed package, or ``missing``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def file_record(path: Path) -> dict[str, Any] | None:
    """Size and hash of a file, None if there is none."""
    if not os.path.isfile(path):  # Path.is_file raises where the name is too long to exist
        return None
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
