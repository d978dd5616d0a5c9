"""An ONNX file as what runs it, and what it says of itself; without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hw3lib.errors import Hw3Error

from . import optional
from .text import first_line

PREFIX = "hw3."  # of the keys of its metadata, whose values are JSON


def session(file: str | Path, again: str, threads: int | None = None) -> tuple[Any, dict[str, Any]]:
    """What runs an ONNX file on the CPU, an ``onnxruntime.InferenceSession``, and its metadata.

    Args:
        file: it.
        again: what to do where it cannot be read.
        threads: of onnxruntime; None leaves the choice to it.

    Raises:
        Hw3Error: onnxruntime is missing, or the file is missing or damaged.
    """
    onnxruntime = optional.load("onnxruntime", "onnxruntime")
    if not Path(file).is_file():
        raise Hw3Error(f"{file}: no such file; {again}")
    options = onnxruntime.SessionOptions()
    # Threads that wait spinning take a fifth of the processor time, and the cores of whatever else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; they are raised as well
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        made = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each kind of damage
        raise Hw3Error(f"{file}: cannot be read as an ONNX model ({first_line(error)}); {again}") from None
    try:
        found = made.get_modelmeta().custom_metadata_map
        return made, {k.removeprefix(PREFIX): json.loads(text) for k, text in found.items() if k.startswith(PREFIX)}
    except (ValueError, RecursionError) as error:
        raise Hw3Error(f"{file}: its metadata are no JSON ({error}); {again}") from None
