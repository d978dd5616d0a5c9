"""Photographs of a run's figures are laid out anew, with their texts; others are shown as they are."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hw3lib.report.pictures import lines, stacked
from hw3lib.runs import RunFolder

SHADES = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200), (200, 0, 200)]


@pytest.fixture
def drawn(category, tmp_path):
    """Two lines of three photographs of one colour each, as a notebook saves them."""
    from hw3lib.data import load_table

    figure = Figure(figsize=(4, 3), layout="constrained")
    grid = figure.subplots(2, 3)
    for axes, shade in zip(grid.flat, SHADES, strict=True):
        axes.imshow(np.full((20, 20, 3), shade, np.uint8))
        axes.set(xticks=[], yticks=[])
    for axes, name in zip(grid[0], ("image", "mask", "heat map"), strict=True):
        axes.set_title(name)
    grid[0][0].set_ylabel("bent\nscore 5.1")
    grid[1][0].set_ylabel(r"a \$")
    grid[1][1].set_xlabel("no mask")
    RunFolder("01", load_table(category.parent, "widget"), "quick", str(tmp_path / "01")).figure(figure, "photographs")
    return tmp_path / "01/figures/photographs.png"


def shades(line):
    opened = [np.asarray(Image.open(io.BytesIO(tile["content"]))) for tile in line["tiles"]]
    assert all(len(np.unique(pixels.reshape(-1, 3), axis=0)) == 1 for pixels in opened)  # no frame, no letter
    return [tuple(pixels[0, 0]) for pixels in opened]


def test_photographs_are_cut_out_with_what_stands_around_them(drawn):
    first, second = lines(drawn, str.upper)
    assert [shades(line) for line in (first, second)] == [SHADES[:3], SHADES[3:]]
    assert [line["label"] for line in (first, second)] == ["BENT SCORE 5.1", "A $"]
    assert [tile["title"] for tile in first["tiles"]] == ["IMAGE", "MASK", "HEAT MAP"]
    assert [tile["below"] for tile in second["tiles"]] == ["", "NO MASK", ""]
    assert {tile["title"] for tile in second["tiles"]} == {""}


def test_as_many_are_taken_as_are_asked_for_and_titles_stand_over_each_that_begins_a_column(drawn):
    assert [shades(line) for line in lines(drawn, str, most=1, columns=2)] == [SHADES[:2]]
    assert [tile["title"] for tile in lines(drawn, str, across=2)[1]["tiles"]] == ["image", "mask", "heat map"]


def test_other_figures_are_shown_whole(tmp_path):
    Image.new("RGB", (90, 60), "grey").save(tmp_path / "plain.png")
    (line,) = lines(tmp_path / "plain.png", str)
    (tile,) = line["tiles"]
    assert tile["content"] == (tmp_path / "plain.png").read_bytes() and tile["aspect"] == 1.5


def test_pages_are_stacked():
    pages = []
    for shade in SHADES[:2]:
        buffer = io.BytesIO()
        Image.new("RGB", (30, 50), shade).save(buffer, "PNG")
        pages.append(buffer.getvalue())
    made = Image.open(io.BytesIO(stacked(pages))).convert("RGB")
    assert made.size == (30, 108)
    assert made.getpixel((15, 25)) == SHADES[0] and made.getpixel((15, 90)) == SHADES[1]
