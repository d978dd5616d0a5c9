"""Tensors written with the system's own errors where a disk is full or may not be written, and read with care."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from hw3lib.core.files import is_no_regular_file

if TYPE_CHECKING:
    import torch


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
