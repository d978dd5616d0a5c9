"""Photographs that are no squares: grey plates, the defective ones with a red disc, and where it lies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter


def plate(size: tuple[int, int], seed: int) -> Image.Image:
    """A plate of width and height: a soft texture of its own brightness."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(100, 156, (max(2, size[1] // 8), max(2, size[0] // 8)), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.BoxBlur(1)).convert("RGB")


def discs(sizes: list[tuple[int, int]], seed: int, share: float = 0.12) -> list[tuple[int, int, int]]:
    """Centre and radius of the disc on each image, anywhere that it lies whole."""
    rng = np.random.default_rng(seed)
    found = []
    for width, height in sizes:
        radius = max(3, round(share * min(width, height)))
        x, y = (int(rng.integers(radius + 1, side - radius - 1)) for side in (width, height))
        found.append((x, y, radius))
    return found


def make_category(
    root: Path,
    size: tuple[int, int] = (100, 252),
    *,
    fit: str | None = None,
    good: int = 15,
    bad: int = 6,
    name: str = "plates",
) -> tuple[Path, dict[str, tuple[int, int, int]]]:
    """A category with masks: its folder, and the disc of each defective image by its file's name."""
    folder, places = root / name, {}
    for kind in ("good", "disc", "masks/disc"):
        (folder / kind).mkdir(parents=True)
    for i in range(good):
        plate(size, i).save(folder / f"good/{i:03d}.png")
    for i, (x, y, radius) in enumerate(discs([size] * bad, 1)):
        image, mask = plate(size, 100 + i), Image.new("L", size)
        box = (x - radius, y - radius, x + radius, y + radius)
        ImageDraw.Draw(image).ellipse(box, fill=(200, 30, 30))
        ImageDraw.Draw(mask).ellipse(box, fill=255)
        image.save(folder / f"disc/{i:03d}.png")
        mask.save(folder / f"masks/disc/{i:03d}.png")
        places[f"{i:03d}.png"] = (x, y, radius)
    if fit is not None:
        (folder / "category.json").write_text(json.dumps({"fit": fit}))
    return folder, places


def is_on_disc(peak: tuple[int, ...], place: tuple[int, int, int], slack: float = 1.5) -> bool:
    """Whether a pixel, as row and column, lies on a disc, up to ``slack`` radii from its border."""
    x, y, radius = place
    return float(np.hypot(peak[1] - x, peak[0] - y)) <= (1 + slack) * radius


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Good training images, and test images."""
    good = table[(table["split"] == "train") & ~table["is_defect"]].reset_index(drop=True)
    return good, table[table["split"] == "test"].reset_index(drop=True)
