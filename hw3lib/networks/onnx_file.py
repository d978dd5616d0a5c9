"""Modules as ONNX files, written by ``torch.onnx.export(dynamo=True)``."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hw3lib.core.files import human_bytes
from hw3lib.core.onnx import PREFIX
from hw3lib.core.text import first_line
from hw3lib.errors import Hw3Error

OPSET = 20  # the first whose operators torch needs no detour for
_LARGEST = 2**31 - 2**24  # bytes; a protobuf message, and so an ONNX file in one piece, stays below 2 GiB


def write(
    module: nn.Module,
    example: torch.Tensor,
    file: str | Path,
    outputs: Sequence[str],
    metadata: Mapping[str, Any],
    what: str,
) -> int:
    """Write a module whose input is ``images``, any number of them; gives the opset.

    Args:
        module: in evaluation mode.
        example: of its input, two images.
        file: is replaced.
        outputs: their names.
        metadata: values of JSON.
        what: it is, in errors.

    Raises:
        Hw3Error: what it learned takes too much for one file, or it holds what torch cannot write.
    """
    if (size := sum(value.nbytes for value in module.state_dict().values())) > _LARGEST:
        raise Hw3Error(
            f"{what}: what it learned takes {human_bytes(size)}, and an ONNX file holds less than 2.1 GB; fit it with "
            "a lower ratio or a smaller image_size"
        )
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=list(outputs),
                dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = first_line(error.__cause__ or error)
        raise Hw3Error(
            f"{what} cannot be exported to ONNX: torch cannot write its network as a graph ({reason}); take another "
            "architecture, or use the folder"
        ) from error
    assert program is not None
    program.model.metadata_props.update({PREFIX + key: json.dumps(value) for key, value in metadata.items()})
    with quiet():
        program.save(str(file), external_data=False)
    return program.model.opset_imports[""]


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch and onnxscript tell about each step of a conversion; what goes wrong they raise."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
