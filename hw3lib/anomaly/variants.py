"""Good images under another light or moved a little: what a detector is told to tolerate, and is tested with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

from hw3lib.data.stack import ImageStack
from hw3lib.errors import Hw3Error

Change = Callable[[np.ndarray], np.ndarray]  # of images, uint8 (N, 3, H, W), to others of that shape

TOLERABLE = {
    "light": "up to 20 % brighter or darker, and brighter by up to 20 % on any one side",
    "colour": "up to 10 % more or less of each of red, green and blue",
    "shift": "moved by up to 5 % of the image to any side",
    "rotation": "turned by up to 5 degrees",
}
_ENOUGH = 120  # variants in all: many images show between them what one alone would take many variants for


def light(red: float = 1.0, green: float = 1.0, blue: float = 1.0) -> Change:
    """Images times a factor for each channel, clipped; equal factors make them brighter or darker."""
    factors = np.array([red, green, blue], np.float32).reshape(3, 1, 1)
    return lambda images: _to_uint8(images * factors)


def light_from(degrees: float, strength: float) -> Change:
    """Brighter by a share of ``strength`` at the side that light comes from, darker by as much at the opposite one.

    Args:
        degrees: of that side, anticlockwise from the right: 90 is the top.
        strength: 0 to 1; a straight ramp, whose ends lie on the edges, or in the corners.
    """
    across, up = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))

    def change(images: np.ndarray) -> np.ndarray:
        height, width = images.shape[2:]
        ramp = np.linspace(1, -1, height)[:, None] * up + np.linspace(-1, 1, width) * across
        return _to_uint8(images * (1 + strength * ramp / (abs(across) + abs(up))).astype(np.float32))

    return change


def moved(right: float = 0.0, down: float = 0.0, degrees: float = 0.0) -> Change:
    """Images turned anticlockwise around their centre by ``degrees`` and moved by shares of their sides; what comes in
    mirrors the inside."""
    angle = np.deg2rad(degrees)
    matrix = torch.tensor(
        [[np.cos(angle), -np.sin(angle), -2 * right], [np.sin(angle), np.cos(angle), -2 * down]]
    ).float()
    return lambda images: _sample(images, matrix)


def drawn(tolerated: Sequence[str], generator: np.random.Generator) -> Change:
    """A change of each tolerated kind, of a strength drawn evenly from what :data:`TOLERABLE` says."""
    gain, ramp, side = generator.uniform(0.8, 1.2), generator.uniform(0, 0.2), generator.uniform(0, 360)
    colours, (right, down) = generator.uniform(0.9, 1.1, 3), generator.uniform(-0.05, 0.05, 2)
    changes: list[Change] = []
    if place := {"shift", "rotation"} & set(tolerated):
        right, down = (right, down) if "shift" in place else (0, 0)
        changes.append(moved(right, down, generator.uniform(-5, 5) if "rotation" in place else 0.0))
    if "light" in tolerated:
        changes += [light(gain, gain, gain), light_from(side, ramp)]
    if "colour" in tolerated:
        changes.append(light(*colours))

    def change(images: np.ndarray) -> np.ndarray:
        for each in changes:
            images = each(images)
        return images

    return change


def with_variants(images: ImageStack, tolerated: Sequence[str], seed: int) -> tuple[ImageStack, np.ndarray]:
    """Images and, of each, 2 to 8 variants, so that there are about 200 of these; and the image that each shows.

    Args:
        images: ``n`` good images.
        tolerated: of :data:`TOLERABLE`.
        seed: of the variants.

    Returns:
        The images, then their variants, ``m`` in all; and positions among the ``n``, int64 ``(m,)``.
    """
    n = len(images)
    generator = np.random.default_rng(seed)
    parts = [images]
    for _ in range(int(np.clip(-(-_ENOUGH // n), 2, 8))):
        parts.append(changed(images, lambda image: drawn(tolerated, generator)(image)))
    return ImageStack.joined(parts), np.tile(np.arange(n), len(parts))


def changed(images: ImageStack, change: Change) -> ImageStack:
    """Each image changed, and not the padding around it."""
    return images.changed(lambda image: change(image.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0))


def check_tolerated(tolerated: Sequence[str], name: str) -> None:
    """Refuse what is none of :data:`TOLERABLE`.

    Raises:
        Hw3Error: unknown, or twice.
    """
    if not set(tolerated) <= set(TOLERABLE) or len(set(tolerated)) < len(tolerated):
        raise Hw3Error(f"{name}: tolerate={tolerated!r}, expected some of {', '.join(TOLERABLE)}, each once")


def _to_uint8(images: np.ndarray) -> np.ndarray:
    return np.rint(images).clip(0, 255).astype(np.uint8)


def _sample(images: np.ndarray, matrix: torch.Tensor) -> np.ndarray:
    """Images ``(N, 3, H, W)`` resampled: ``matrix`` takes target to source places in units of half a square's side."""
    height, width = images.shape[2:]
    matrix = matrix * torch.tensor([[1, height / width, 1], [width / height, 1, 1]])  # the sides are 2 units each
    parts = []
    for part in np.array_split(images, max(1, len(images) // 16)):
        batch = torch.from_numpy(np.ascontiguousarray(part)).float()
        grid = affine_grid(matrix.expand(len(batch), 2, 3), list(batch.shape), align_corners=False)
        parts.append(_to_uint8(grid_sample(batch, grid, "bilinear", "reflection", align_corners=False).numpy()))
    return np.concatenate(parts)
