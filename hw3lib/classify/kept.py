"""Outcomes of splits that were trained before: which file holds one, and whether it is still right."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import torch

from .attempts import Attempt
from .result import Split

# What a trained network depends on. Kept outcomes of older code are not taken for new, so only what matters is here.
_CODE = (
    "classify/adapters.py",
    "classify/augment.py",
    "classify/callbacks.py",
    "classify/experiment.py",
    "classify/inputs.py",
    "classify/models.py",
    "classify/trainer.py",
    "backbones.py",
    "data/images.py",
    "data/splits.py",
)


def kept_file(
    keep: str | Path, attempt: Attempt, data: str, split: Split, seed: int, number: int, precision: str
) -> Path:
    """Where the outcome of a split is kept; another file for anything that would give another outcome."""
    what = json.dumps([code_digest(_CODE), data, seed, number, precision, split[0].tolist(), split[1].tolist()])
    return Path(keep) / f"{attempt.key}-{hashlib.sha256(what.encode()).hexdigest()[:12]}.json"


@cache
def code_digest(files: tuple[str, ...]) -> str:
    """Hash of files of this package, named from its root, and of torch's version."""
    package = Path(__file__).parents[1]
    code = b"".join((package / file).read_bytes() for file in files)
    return hashlib.sha256(code + torch.__version__.encode()).hexdigest()


def read_kept(file: Path | None) -> dict | None:
    """What is kept in a file; None where there is none, or a damaged one."""
    if file is None or not file.is_file():
        return None
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
