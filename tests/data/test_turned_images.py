"""Photographs that a camera's mark turns, and masks that may have been drawn before."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.data import check_category, load_table
from hw3lib.errors import Hw3Error

TURNED = 0x0112  # tag of EXIF


def save(path: Path, size: tuple[int, int], orientation: int | None = None, kind: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[TURNED] = orientation
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(pixels).convert("RGB") if kind == "RGB" else Image.new("L", size, 255)
    image.save(path, exif=exif)


@pytest.fixture
def category(tmp_path) -> Path:
    """Square photographs, two of them with a mask."""
    for name, orientation in (("good/0.jpg", 6), ("good/1.jpg", None), ("bent/0.jpg", None), ("bent/1.jpg", None)):
        save(tmp_path / "bolts" / name, (40, 40), orientation)
    for name in ("0", "1"):
        save(tmp_path / f"bolts/masks/bent/{name}.png", (40, 40), kind="L")
    return tmp_path / "bolts"


def turned(category: Path) -> list[str]:
    problems = check_category(load_table(category.parent, category.name, strict=False)).problems
    return problems.loc[problems["kind"] == "turned image", "message"].tolist()


def test_a_turned_photograph_without_a_mask_is_no_matter(category):
    assert turned(category) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_table(category.parent, category.name)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tiff"])
def test_of_square_ones_with_masks_the_number_is_told_once(category, orientation, kind):
    for name in ("0", "1"):
        (category / f"bent/{name}.jpg").unlink()
        save(category / f"bent/{name}.{kind}", (40, 40), orientation)
    (message,) = turned(category)
    assert message.startswith("2 of 2 images with a mask are turned or mirrored")
    with pytest.warns(UserWarning, match="2 of 2 images with a mask") as caught:
        load_table(category.parent, category.name)
    assert len(caught) == 1


def test_an_ordinary_mark_turns_nothing(category):
    save(category / "bent/0.jpg", (40, 40), 1)
    assert turned(category) == []


def test_a_mask_that_is_marked_as_its_image_is_turned_with_it(category):
    save(category / "bent/0.jpg", (40, 40), 6)
    save(category / "masks/bent/0.png", (40, 40), 6, kind="L")
    assert turned(category) == []


@pytest.mark.parametrize(("orientation", "unsure"), [(3, 1), (2, 1), (6, 0)])
def test_of_others_only_a_half_turn_leaves_it_open(category, orientation, unsure):
    save(category / "bent/0.jpg", (40, 24), orientation)
    save(category / "masks/bent/0.png", (24, 40) if orientation == 6 else (40, 24), kind="L")  # as a person sees it
    assert len(turned(category)) == unsure


def test_of_others_the_size_tells_and_the_likely_reason_is_said(category):
    save(category / "bent/0.jpg", (40, 24), 6)
    save(category / "masks/bent/0.png", (40, 24), kind="L")
    with pytest.raises(
        Hw3Error, match="mask is 40x24 pixels, its image .* is 24x40.*orientation 6.*as they are stored"
    ):
        load_table(category.parent, category.name)


def test_another_size_is_not_put_down_to_turning(category):
    save(category / "bent/0.jpg", (40, 24), 6)
    save(category / "masks/bent/0.png", (30, 24), kind="L")
    with pytest.raises(Hw3Error) as raised:
        load_table(category.parent, category.name)
    assert "orientation" not in str(raised.value)
