"""Outcomes of splits that were trained before: which file holds one, and whether it is still right."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hw3lib.core.kept import code_digest
from hw3lib.data.labels import Split

from .attempts import Attempt

# What a trained network depends on. Kept outcomes of older code are not taken for new, so only what matters is here.
_CODE = (
    "classify/adapters.py",
    "networks/augment.py",
    "networks/callbacks.py",
    "classify/experiment.py",
    "classify/inputs.py",
    "classify/models.py",
    "networks/devices.py",
    "networks/trainer.py",
    "networks/backbones.py",
    "data/pixels/images.py",
    "data/pixels/decoding.py",
    "data/pixels/depth.py",
    "data/stack.py",
    "data/pixels/geometry.py",
    "data/labels.py",
    "data/splits.py",
)


def kept_file(
    keep: str | Path, attempt: Attempt, data: str, split: Split, seed: int, number: int, precision: str
) -> Path:
    """Where the outcome of a split is kept; another file for anything that would give another outcome."""
    what = json.dumps([code_digest(_CODE), data, seed, number, precision, split[0].tolist(), split[1].tolist()])
    return Path(keep) / f"{attempt.key}-{hashlib.sha256(what.encode()).hexdigest()[:12]}.json"
