"""Fixtures that several test files share: a small category written to disk, and the real images where there are any."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from hw3lib.core.places import project_root
from tests.helpers.categories import write_category

# How long an example takes is a matter of what else the machine does.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Fixtures of several rooms.
pytest_plugins = ("tests.helpers.disks", "tests.helpers.rates", "tests.helpers.report_runs")


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
