"""Photographs of one product taken several times: a picture a little shifted, turned, brighter, noisier, re-encoded."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def shot(product: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """One more photograph of a product, uint8 ``(H, W, 3)``, whose border is of one colour."""
    image = Image.fromarray(product)
    border = image.getpixel((0, 0))
    image = image.rotate(float(rng.uniform(-0.8, 0.8)), Image.Resampling.BILINEAR, fillcolor=border)
    right, down = rng.uniform(-3, 3, 2)
    moved = (1, 0, float(right), 0, 1, float(down))
    image = image.transform(image.size, Image.Transform.AFFINE, moved, Image.Resampling.BILINEAR, fillcolor=border)
    pixels = np.asarray(image).astype(np.float32) * rng.uniform(0.95, 1.05)
    pixels += rng.normal(0, rng.uniform(2, 5), pixels.shape)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(75, 96)))
        image = Image.open(file).convert("RGB")
    return image


def plate(rng: np.random.Generator, side: int = 160) -> np.ndarray:
    """A product of a line, uint8 ``(side, side, 3)``: the same grey plate each time, with stains of its own."""
    down, right = np.mgrid[:side, :side] - side / 2
    inside = np.hypot(down, right) < 0.42 * side
    pixels = np.where(inside, 120.0, 220.0) + np.where(np.hypot(down, right) < 0.2 * side, -40.0, 0.0)
    for _ in range(6):
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.36) * side
        far = np.hypot(down - radius * np.sin(angle), right - radius * np.cos(angle))
        pixels += rng.uniform(-60, 60) * np.exp(-((far / rng.uniform(0.03, 0.07) / side) ** 2))
    return np.repeat(pixels.clip(0, 255).astype(np.uint8)[..., None], 3, 2)
