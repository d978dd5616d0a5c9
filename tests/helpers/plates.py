"""Green plates, some with a blot of one of two colours, and an inspector that learned from them."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.classify.guided.classifier import DefectGuided
from hw3lib.classify.guided.types import DefectTypes
from hw3lib.inspection.fit import fit

SIDE = 64
COLOURS = {"rust": (120, 0, 0), "ink": (0, 0, 120)}


def part(rng, defect="good", at=None):
    """A green plate of 96 x 80 pixels, and a blot on it."""
    pixels = np.full((80, 96, 3), (90, 140, 90)) + rng.normal(0, 4, (80, 96, 3))
    if defect in COLOURS:
        top, left = at or rng.integers(10, 50, 2)
        pixels[top : top + 20, left : left + 20] += COLOURS[defect]
    return pixels.clip(0, 255).astype(np.uint8)


def made_line(home: Path) -> Path:
    """A folder with the category ``plates`` and what learned from it, ``inspector``."""
    rng = np.random.default_rng(0)
    for place, count in {"train/good": 19, "test/good": 2, "test/rust": 3, "test/ink": 3}.items():
        (home / "plates" / place).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(part(rng, place.split("/")[1])).save(home / "plates" / place / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        small_types(patch)
        fit(home / "plates", home / "inspector", settings={"image_size": SIDE}, types=True, echo=lambda _: None)
    return home


def small_types(patch: pytest.MonkeyPatch) -> None:
    """Let classifiers of types be learned on a small network and small images."""
    method = DefectGuided(arch="tf_efficientnet_lite0", image_size=SIDE, region_size=64, memory=400, good_images=9)
    patch.setattr(DefectTypes, "learned", partial(DefectTypes.learned, method=method))
