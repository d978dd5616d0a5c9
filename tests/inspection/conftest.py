"""What the tests of inspectors share: a line that makes plates, and a day's photographs of it."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.plates import made_line, part


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A category of plates, and an inspector that learned from it."""
    return made_line(tmp_path_factory.mktemp("line"))


@pytest.fixture
def today(tmp_path):
    """A good photograph, one of each type of defect, a black one, a grey one, one of another shape, a damaged one."""
    rng, folder = np.random.default_rng(9), tmp_path / "today"
    folder.mkdir()
    pictures = {"a_good": part(rng), "b_rust": part(rng, "rust", (30, 40)), "c_ink": part(rng, "ink")}
    pictures |= {"d_black": np.zeros((80, 96, 3), np.uint8), "e_shape": part(rng)[:40]}
    pictures["f_grey"] = np.repeat(part(rng, "rust").mean(2, keepdims=True).astype(np.uint8), 3, 2)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "g_damaged.png").write_bytes((folder / "a_good.png").read_bytes()[:200])
    return folder
