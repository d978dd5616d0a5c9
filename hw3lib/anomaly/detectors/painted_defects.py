"""Synthetic defects painted on good images: pasted patches, scars and blobs, drawn from a seeded generator."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

_VISIBLE = 10  # grey levels, of 0 to 255; a weaker change of a pixel is no defect


def paste_patch(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """CutPaste: a rectangle of the image, its colours jittered, put elsewhere.

    Li et al. 2021, arXiv 2104.04015, section 2.2 and appendix: 2 to 15 % of the image, sides of up to 1 : 3.3.

    Args:
        image: uint8 ``(3, H, W)``.
        rng: the source of the draw.

    Returns:
        The changed image, uint8 ``(3, H, W)``, and where it was changed, bool ``(H, W)``.
    """
    area = rng.uniform(0.02, 0.15) * image.shape[1] * image.shape[2]
    ratio = np.exp(rng.uniform(-1, 1) * np.log(3.3))
    return _paste(image, np.sqrt(area * ratio), np.sqrt(area / ratio), 0.0, rng)


def paste_scar(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """CutPaste-scar: a thin strip, turned by up to 45 degrees, its colours jittered; otherwise as :func:`paste_patch`.

    2 to 16 by 10 to 25 pixels in images of 256, as in the paper; larger or smaller with the image.
    """
    scale = image.shape[1] / 256
    height, width = rng.uniform(10, 25) * scale, rng.uniform(2, 16) * scale
    return _paste(image, max(height, 3), max(width, 1), np.radians(rng.uniform(-45, 45)), rng)


def paint_defect(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A defect of random shape (blob, patch, strip), filling (a good image elsewhere, noise, shade) and strength.

    In the manner of DRAEM (arXiv 2108.07610: noise for the shape, a texture blended in), NSA (arXiv 2109.15222: patches
    of other good images) and MemSeg, but simpler: no external textures, no Poisson blending.

    Args:
        image, other: uint8 ``(3, H, W)``, good images; ``other`` lends its texture.
        rng: the source of the draw.

    Returns:
        The changed image and its mask, bool ``(H, W)``: the pixels that changed by 10 grey levels or more. The mask is
        empty where the draw left nothing visible.
    """
    height, width = image.shape[1:]
    centre = rng.uniform(0, height), rng.uniform(0, width)
    size = height * np.exp(rng.uniform(np.log(0.03), np.log(0.3)))
    if rng.random() < 0.6:
        shape = _blob(height, width, centre, size, rng)
    else:
        narrow = rng.uniform(0.5, 1) if rng.random() < 0.5 else rng.uniform(0.05, 0.25)
        u, v = _turned(height, width, centre, rng.uniform(0, np.pi))
        shape = (np.abs(u) <= size / 2) & (np.abs(v) <= max(size * narrow / 2, 0.5))
    filling = rng.choice(["image", "noise", "shade"])
    if filling == "image":
        texture = _jitter(np.roll(other, (rng.integers(height), rng.integers(width)), (1, 2)).astype(np.float32), rng)
    elif filling == "noise":
        grain = _noise(height, width, max(2.0, size * rng.uniform(0.05, 0.5)), rng)
        texture = rng.uniform(0, 255, (3, 1, 1)) + rng.uniform(5, 50) * grain
    else:
        texture = image * rng.uniform(0.3, 1.7) + rng.uniform(-30, 30, (3, 1, 1))
    # A blurred rim, so that a sharp edge is not all there is to learn.
    opacity = rng.uniform(0.3, 1) * gaussian_filter(shape.astype(np.float32), rng.uniform(0.2, 1.5))
    changed = np.rint(image + opacity * (texture - image)).clip(0, 255).astype(np.uint8)
    mask = np.abs(changed.astype(np.int16) - image).max(0) >= _VISIBLE
    return changed, mask


def _paste(
    image: np.ndarray, height: float, width: float, angle: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Copy a rectangle to another place, turned by ``angle`` in radians."""
    rows, columns = image.shape[1:]
    height, width = min(height, rows), min(width, columns)
    source = rng.uniform(height / 2, rows - height / 2), rng.uniform(width / 2, columns - width / 2)
    target = rng.uniform(0, rows), rng.uniform(0, columns)
    u, v = _turned(rows, columns, target, angle)
    mask = (np.abs(u) <= height / 2) & (np.abs(v) <= width / 2)
    y = np.floor(source[0] + u[mask]).astype(int).clip(0, rows - 1)
    x = np.floor(source[1] + v[mask]).astype(int).clip(0, columns - 1)
    changed = image.copy()
    changed[:, mask] = np.rint(_jitter(image[:, y, x].astype(np.float32), rng)).clip(0, 255)
    return changed, mask


def _turned(height: int, width: int, centre: tuple[float, float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of each pixel's middle along two axes through ``centre``, turned by ``angle``, ``(H, W)`` each."""
    y, x = np.ogrid[:height, :width]
    y, x = y + 0.5 - centre[0], x + 0.5 - centre[1]
    return y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)


def _jitter(colours: np.ndarray, rng: np.random.Generator, by: float = 0.1) -> np.ndarray:
    """Brightness, contrast and the balance of the channels changed by factors of ``1 +- by``; channels first."""
    axes = tuple(range(1, colours.ndim))
    mean = colours.mean(axes, keepdims=True)
    contrast, brightness = rng.uniform(1 - by, 1 + by, 2)
    balance = rng.uniform(1 - by, 1 + by, (3,) + (1,) * len(axes))
    return (mean + (colours - mean) * contrast) * brightness * balance


def _blob(height: int, width: int, centre: tuple[float, float], size: float, rng: np.random.Generator) -> np.ndarray:
    """An irregular region of about ``size`` pixels across: a cone cut off at a level that noise raises and lowers."""
    u, v = _turned(height, width, centre, 0.0)
    cone = 1 - np.hypot(u, v) / (size / 2)
    return cone + rng.uniform(0.2, 0.6) * _noise(height, width, max(2.0, size / 4), rng) > 0


def _noise(height: int, width: int, cell: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of two octaves, mean 0 and standard deviation about 1: random values on lattices, interpolated."""
    total = np.zeros((height, width))
    for strength, step in ((0.9, cell), (0.45, cell / 2)):
        lattice = rng.normal(size=(int(height / step) + 4, int(width / step) + 4))
        values = zoom(lattice, max(step, 1.0), order=3, prefilter=False)
        total += strength * values[:height, :width] / values.std()
    return total
