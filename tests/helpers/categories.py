"""A small category in MVTec AD's layout, written to disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_category(folder: Path, counts: dict[str, int], size: tuple[int, int] = (40, 32), seed: int = 0) -> Path:
    """Write a category in MVTec AD's layout.

    ``counts`` maps ``"train/good"``, ``"test/good"`` and ``"test/<defect>"`` to numbers of images; ``size`` is (width,
    height). Every image is different noise; a defect is a square whose mask is exact.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    for place, count in counts.items():
        split, defect = place.split("/")
        (folder / place).mkdir(parents=True, exist_ok=True)
        if defect != "good":
            (folder / "ground_truth" / defect).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = rng.integers(90, 150, (height, width, 3), dtype=np.uint8)
            if defect != "good":
                mask = np.zeros((height, width), np.uint8)
                y, x = rng.integers(0, height - 8), rng.integers(0, width - 8)
                mask[y : y + 6, x : x + 8] = 255
                pixels[mask > 0] = 255 - pixels[mask > 0] // 3
                Image.fromarray(mask).save(folder / "ground_truth" / defect / f"{i:03d}_mask.png")
            Image.fromarray(pixels).save(folder / place / f"{i:03d}.png")
    return folder
