"""Small images whose classes differ in something simple, for everything that trains."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.data import load_table, repeated_splits


@pytest.fixture(scope="session")
def bars(tmp_path_factory) -> pd.DataFrame:
    """30 images of 32x32 pixels in three classes: noise, noise with an upright bar, noise with a lying bar."""
    root, rng = tmp_path_factory.mktemp("bars"), np.random.default_rng(0)
    for name in ("good", "upright", "lying"):
        (root / "bars" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(80, 120, (32, 32, 3), dtype=np.uint8)
            at = rng.integers(6, 24)
            if name == "upright":
                pixels[:, at : at + 4] = 220
            if name == "lying":
                pixels[at : at + 4] = 220
            Image.fromarray(pixels).save(root / "bars" / name / f"{i}.png")
    return load_table(root, "bars")


@pytest.fixture(scope="session")
def bar_splits(bars):
    """Three splits, 21 images to train on and 9 to test."""
    return repeated_splits(bars, 3, 0.3, 0)
