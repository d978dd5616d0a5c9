"""What a format cannot hold of an instance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Lost:
    """What was lost in writing.

    Attributes:
        shapes: instances of which only the box is kept.
        holes: holes that were filled.
        pixels: pixels that now belong to another instance, to none, or wrongly to one.
        parts: parts of instances that are instances of their own now.
        merged: instances that are one with another now.
        iou: mean over the instances of the IoU between what is kept of the mask and the mask; None of box formats.
        lowest_iou: the lowest of them.
        boxes: instances left out, for they are boxes without a mask.
    """

    shapes: int = 0
    holes: int = 0
    pixels: int = 0
    parts: int = 0
    merged: int = 0
    iou: float | None = 1.0
    lowest_iou: float | None = 1.0
    boxes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is zero is left out."""
        return {key: value for key, value in asdict(self).items() if value}

    def __str__(self) -> str:
        said = {
            "boxes": "{} boxes without a mask left out",
            "shapes": "of {} instances only the box is kept",
            "holes": "{} holes filled",
            "parts": "{} parts became instances of their own",
            "merged": "{} instances became one with another",
            "pixels": "{} pixels differ",
        }
        texts = [text.format(getattr(self, key)) for key, text in said.items() if getattr(self, key)]
        if self.iou is not None and self.lowest_iou is not None and self.lowest_iou < 0.99995:
            texts.append(f"mean IoU {self.iou:.4f}, lowest {self.lowest_iou:.4f}")
        return "; ".join(texts) or "nothing"
