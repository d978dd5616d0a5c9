"""Fixtures that several test files share: a small category written to disk, and the real images where there are any."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from hw3lib.core.places import project_root

# How long an example takes is a matter of what else the machine does.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Fixtures of several rooms.
pytest_plugins = ("tests.helpers.disks", "tests.helpers.report_runs")


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


@pytest.fixture(autouse=True)
def close_figures():
    """Close what a test drew; matplotlib is not imported for those that draw nothing."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def category(tmp_path: Path) -> Path:
    """``tmp_path/widget`` with 5 + 4 good images, 4 dents and 3 scratches, 40x32 pixels."""
    counts = {"train/good": 5, "test/good": 4, "test/dent": 4, "test/scratch": 3}
    return write_category(tmp_path / "widget", counts)


@pytest.fixture(scope="session")
def make_category():
    """The function that writes a category, for other counts and sizes."""
    return write_category


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder that holds the real MVTec AD category bottle; skips where there is none."""
    places = [os.environ.get("HW3_REAL_DATA"), project_root().parent / "shared/datasets/mvtec_ad"]
    for place in places:
        if place and (Path(place) / "bottle/train/good").is_dir():
            return Path(place)
    pytest.skip("no real images: set HW3_REAL_DATA to a folder that holds MVTec AD's bottle/")
