"""The eight symmetries of the square, in the two orders in which results count them."""

from __future__ import annotations

import torch

# Quarter turns, and quarter turns of the mirror image: the order of :func:`mirrored_then_turned`.
SYMMETRIES = (
    "as it is",
    "turned 90",
    "turned 180",
    "turned 270",
    "mirrored",
    *(f"mirrored, turned {a}" for a in (90, 180, 270)),
)


def mirrored_then_turned(images: torch.Tensor, symmetry: int) -> torch.Tensor:
    """Images ``(..., H, W)`` moved by one of :data:`SYMMETRIES`: mirrored left to right first, then turned."""
    if symmetry >= 4:
        images = images.flip(-1)
    return torch.rot90(images, symmetry % 4, (-2, -1))


def mirrored_by_bits(image: torch.Tensor, symmetry: int) -> torch.Tensor:
    """A square image ``(..., s, s)`` under the symmetry whose bits say what is mirrored.

    1 mirrors left and right, 2 up and down, 4 at the diagonal, in this order; sums of them do several.
    """
    if symmetry & 1:
        image = image.flip(-1)
    if symmetry & 2:
        image = image.flip(-2)
    return image.transpose(-1, -2) if symmetry & 4 else image


def boxes_mirrored_by_bits(boxes: torch.Tensor, symmetry: int, size: int) -> torch.Tensor:
    """Boxes ``(n, 4)``, as two corners, of an image of ``size`` pixels that :func:`mirrored_by_bits` moves."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    if symmetry & 1:
        x0, x1 = size - x1, size - x0
    if symmetry & 2:
        y0, y1 = size - y1, size - y0
    return torch.stack((y0, x0, y1, x1) if symmetry & 4 else (x0, y0, x1, y1), -1)
