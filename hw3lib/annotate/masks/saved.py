"""A fine-tuned SAM on disk: its mask decoder and what it began as; nothing in it is executed when it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from hw3lib.core.files import atomic_folder
from hw3lib.core.saved import save_tensors
from hw3lib.errors import Hw3Error

from .finetune import FineTuningHistory
from .sam import Segmenter

_SETTINGS, _STATE = "sam.json", "decoder.safetensors"
_FORMAT = 1


def save(segmenter: Segmenter, folder: str | Path, history: FineTuningHistory | None = None) -> None:
    """Write a fine-tuned segmenter: ``decoder.safetensors``, 16 MB, and ``sam.json`` with what it began as.

    Raises:
        Hw3Error: the folder cannot be written, or something is in it.
    """
    with atomic_folder(folder) as temporary:
        state = {n: t.detach().cpu().contiguous() for n, t in segmenter.network.mask_decoder.state_dict().items()}
        save_tensors(state, temporary / _STATE)
        said = {
            "format": _FORMAT,
            "model": segmenter.name,
            "encoder": segmenter.encoder_digest,
            "multimask": segmenter.multimask,
        }
        if history is not None:
            ious = [None if v != v else round(v, 6) for v in history.epochs["iou"]]  # JSON has no NaN
            said["history"] = {"kept": history.kept, "iou": ious}
        (temporary / _SETTINGS).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def load(folder: str | Path, base: Segmenter | None = None, *, device: str = "auto") -> Segmenter:
    """A segmenter that :func:`save` wrote.

    Args:
        base: the model that it began as, if it is at hand; None loads it.

    Raises:
        Hw3Error: no such folder, damaged files, or another base.
    """
    folder = Path(folder)
    try:
        said = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        state = load_file(folder / _STATE)
        name, encoder, multimask = said["model"], said["encoder"], bool(said["multimask"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise Hw3Error(
            f"{folder}: is no fine-tuned SAM ({type(error).__name__}: {error}); fine-tune it again"
        ) from None
    if said.get("format") != _FORMAT:
        raise Hw3Error(f"{folder}: has format {said.get('format')}, expected {_FORMAT}; fine-tune it again")
    base = base or Segmenter.load(name, device=device)
    if base.encoder_digest != encoder:
        raise Hw3Error(
            f"{folder}: was fine-tuned from another {name} than {base.name}; expected the encoder {encoder[:8]}"
        )
    network = base.network.with_own_decoder()
    try:
        network.mask_decoder.load_state_dict(state)
    except RuntimeError as error:
        raise Hw3Error(f"{folder / _STATE}: does not fit the decoder of {name}: {error}") from None
    return Segmenter(network, name, multimask=multimask, device=str(base.network.device))
