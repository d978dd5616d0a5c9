"""A reader under test, and the small sound files that several of them begin with."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from tests.robustness.fuzzing.mutations import Files


@dataclass(frozen=True)
class Reader:
    """Something of hw3lib that reads what others wrote.

    Attributes:
        name: on the command line and in the table.
        make: writes sound inputs, each into a folder of its own below the given one.
        read: reads a folder; anything but a sane result or an ``Hw3Error`` is a finding.
        weight: share of the inputs, 1 for most.
        finish: mends what would stop a broken input at the door, such as checksums.
        pipes: whether its files may be replaced by pipes; not where the user names the file, who may mean one.
        names_file: whether the error must name the file or folder; not where the input is no file.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]
    weight: float = 1.0
    finish: Callable[[Files, Random], None] | None = None
    names_file: bool = True
    pipes: bool = True


def sane(holds: bool, what: str) -> None:
    """A result that is not as promised is a finding."""
    if not holds:
        raise AssertionError(what)


def only_file(folder: Path) -> Path:
    """The one file of a folder, whatever it is called by now and whatever it is."""
    found = sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return found[0] if found else folder / "gone"


def picture(size: tuple[int, int] = (12, 9), seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Noise; ``size`` is (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image file's bytes."""
    made = io.BytesIO()
    image.save(made, kind, **options)
    return made.getvalue()


def put(path: Path, content: bytes | str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
