"""What tests of detection and segmentation share: published weights where there are any, and a small SAM without."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from hw3lib.core.places import project_root


@pytest.fixture(scope="session")
def published_weights() -> Path:
    """Folder that holds the published ``mobile_sam.pt``, ``yolov8n.pt`` and others; skips where there is none."""
    for place in (os.environ.get("HW3_WEIGHTS"), project_root().parent / "shared/weights"):
        if place and (Path(place) / "mobile_sam.pt").is_file():
            return Path(place)
    pytest.skip("no published weights: set HW3_WEIGHTS to a folder that holds mobile_sam.pt")


@pytest.fixture(scope="session")
def ultralytics():
    """A module of ultralytics by its name, imported as hw3lib does: else its import changes the whole test process."""
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip('no ultralytics: pip install -e ".[yolo]"')
    from hw3lib.annotate.boxes.ultralytics import module

    return module


@pytest.fixture
def small_network():
    from tests.helpers import small_sam

    return small_sam.small_network()


@pytest.fixture
def small_segmenter(small_network):
    from hw3lib.annotate.masks.sam import Segmenter

    return Segmenter(small_network, "small", device="cpu")


@pytest.fixture
def squares():
    """Six grey images of 48x64 pixels with a bright rectangle each, and the rectangles as instances of two classes."""
    from hw3lib.annotate.instances import Instance

    rng = np.random.default_rng(0)
    images, instances = [], []
    for row in range(6):
        image = rng.integers(60, 90, (48, 64, 3), dtype=np.uint8)
        x, y, width, height = (int(v) for v in rng.integers([2, 2, 12, 12], [30, 20, 30, 24]))
        mask = np.zeros((48, 64), bool)
        mask[y : y + height, x : x + width] = True
        image[mask] = 230
        images.append(image)
        instances.append(Instance.from_mask(row, "dent" if row % 2 else "hole", mask))
    return images, instances
