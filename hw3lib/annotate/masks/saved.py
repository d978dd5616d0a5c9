"""A fine-tuned SAM on disk: its mask decoder and what it began as; nothing in it is executed when it is loaded."""

from __future__ import annotations

from pathlib import Path

from hw3lib.core.saved import Saved
from hw3lib.errors import Hw3Error

from .finetune import FineTuningHistory
from .sam import Segmenter

SAVED = Saved("fine-tuned SAM", "sam.json", "decoder.safetensors", 2, "fine-tune it again")


def save(
    segmenter: Segmenter, folder: str | Path, history: FineTuningHistory | None = None, *, replace: bool = False
) -> Path:
    """Write a fine-tuned segmenter: ``decoder.safetensors``, 16 MB, and ``sam.json`` with what it began as.

    Raises:
        Hw3Error: the folder cannot be written, or something is in it.
    """
    said = {"model": segmenter.name, "encoder": segmenter.encoder_digest, "multimask": segmenter.multimask}
    if history is not None:
        ious = [None if v != v else round(v, 6) for v in history.epochs["iou"]]  # JSON has no NaN
        said["history"] = {"kept": history.kept, "iou": ious}
    SAVED.write(folder, said, segmenter.network.mask_decoder.state_dict(), replace)
    return Path(folder)


def load(folder: str | Path, base: Segmenter | None = None, *, device: str = "auto") -> Segmenter:
    """A segmenter that :func:`save` wrote.

    Args:
        base: the model that it began as, if it is at hand; None loads it.

    Raises:
        Hw3Error: no such folder, damaged files, or another base.
    """
    said, state = SAVED.read(folder)
    with SAVED.fitting(folder):
        name, encoder, multimask = said["model"], said["encoder"], bool(said["multimask"])
        base = base or Segmenter.load(name, device=device)
        if base.encoder_digest != encoder:
            raise Hw3Error(f"was fine-tuned from another {name} than {base.name}; expected the encoder {encoder[:8]}")
        network = base.network.with_own_decoder()
        network.mask_decoder.load_state_dict(state)
    return Segmenter(network, name, multimask=multimask, device=str(base.network.device))
