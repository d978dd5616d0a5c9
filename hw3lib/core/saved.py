"""A model saved as a folder: settings in JSON, tensors in safetensors, both checked; nothing in it is executed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from hw3lib.core.files import atomic_folder, file_digest, is_no_regular_file
from hw3lib.errors import Hw3Error

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Saved:
    """How models of a kind lie in a folder.

    Attributes:
        what: the kind, such as ``detector``.
        settings: name of the JSON file, which holds the SHA-256 of itself and of the other one.
        tensors: name of the safetensors file.
        format: number of the format that is written; others are refused.
        again: what to do where a folder cannot be read.
    """

    what: str
    settings: str
    tensors: str
    format: int
    again: str

    def write(
        self, folder: str | Path, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], replace: bool = True
    ) -> None:
        """Write a model, whole or not at all; one that is there is replaced if asked for.

        Raises:
            Hw3Error: the folder holds something else, or a model that is not to be replaced, or it cannot be written.
        """
        folder = Path(folder)
        ours = any((folder / file).exists() for file in (self.settings, self.tensors))
        if replace and folder.is_dir() and any(folder.iterdir()) and not ours:
            raise Hw3Error(f"{folder}: holds other files and no {self.what}; choose a folder that is new or empty")
        with atomic_folder(folder, replace) as temporary:
            self.fill(temporary, settings, tensors)

    def fill(self, folder: Path, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """Write a model into a folder that is there, which somebody else makes appear whole or not at all."""
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_tensors(plain, folder / self.tensors)
        told = {"format": self.format, **settings, "sha256": file_digest(folder / self.tensors)}
        told["settings_sha256"] = settings_digest(told)
        (folder / self.settings).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    def read(self, folder: str | Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Settings and tensors, checked.

        Raises:
            Hw3Error: no such folder, a file that is missing, damaged, or of another format.
        """
        from safetensors.torch import load_file  # brings PyTorch, which this room does without

        return self._read(folder, load_file)

    def read_arrays(self, folder: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As :meth:`read`, without PyTorch."""
        from safetensors.numpy import load_file  # beside the other

        return self._read(folder, load_file)

    def _read(self, folder: str | Path, load_file: Callable[[Path], dict[str, Any]]) -> tuple[dict[str, Any], dict]:
        settings, tensors = (Path(folder) / file for file in (self.settings, self.tensors))
        for file in (settings, tensors):
            if not file.is_file():
                raise Hw3Error(f"{folder}: no saved {self.what}, {file.name} is missing; {self.again}")
        try:
            told = json.loads(settings.read_text(encoding="utf-8"))
            version, digest = told["format"], told.pop("settings_sha256", None)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
            raise Hw3Error(f"{settings}: is damaged, expected settings in JSON; {self.again}") from None
        if version != self.format:
            raise Hw3Error(f"{settings}: found format {str(version)[:60]}, expected {self.format}; {self.again}")
        if digest != settings_digest(told):
            raise Hw3Error(f"{settings}: is damaged or was changed by hand, by its checksum; {self.again}")
        if told.get("sha256") != file_digest(tensors):
            raise Hw3Error(f"{tensors}: is damaged, its SHA-256 is not the one in {settings.name}; {self.again}")
        try:
            return told, load_file(tensors)
        except (SafetensorError, OSError, ValueError) as error:
            raise Hw3Error(f"{tensors}: cannot be read ({error}); {self.again}") from None

    @contextmanager
    def fitting(self, folder: str | Path) -> Iterator[None]:
        """Turn what a model raises of settings and tensors that are not its own into an ``Hw3Error``."""
        try:
            yield
        except Hw3Error as error:
            raise Hw3Error(f"{folder}: {str(error).removeprefix(f'{folder}: ')}") from None
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            MemoryError,
            RuntimeError,
        ) as error:
            said = f"{type(error).__name__}: {str(error)[:300]}"
            raise Hw3Error(f"{folder}: its settings and tensors do not fit together ({said}); {self.again}") from None


def settings_digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of what settings say, whatever the layout of the file."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def save_tensors(tensors: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Write tensors by name, each contiguous and on the CPU, to a file that ``safetensors.torch.load_file`` reads.

    Raises:
        OSError: the file cannot be written. The library itself raises another error, which hides the reason in its
            text, so that :func:`hw3lib.core.files.clear_write_errors` would not know it.
    """
    from safetensors.torch import save_file  # brings PyTorch, which this room does without

    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        raise


def load_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """What ``torch.save`` wrote, on the CPU; nothing in the file is executed.

    Raises:
        OSError: the file is not there, or is a pipe or a device, which would never end.
        Exception: torch raises many kinds for a damaged file.
    """
    if is_no_regular_file(path):
        raise OSError(f"{path} is no regular file")
    import torch  # as above

    return torch.load(path, map_location="cpu", weights_only=True)
