"""Figures made of rows are laid out in columns; others stay as they are."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hw3lib.report.pictures import arrange, bands, stacked

SHADES = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]


def of_rows(n, height=40, headed=True, gap=12):
    image = Image.new("RGB", (100, 20 + n * (height + gap)), "white")
    draw = ImageDraw.Draw(image)
    if headed:
        draw.rectangle((10, 2, 90, 9), fill="black")
    for i in range(n):
        draw.rectangle((5, 20 + i * (height + gap), 95, 19 + i * (height + gap) + height), fill=SHADES[i % 5])
    return image


def colours(image):
    return {tuple(c) for c in np.asarray(image).reshape(-1, 3)}


def test_bands_lie_between_white_stripes():
    assert bands(of_rows(2)) == [(2, 10), (20, 60), (72, 112)]


def test_rows_go_down_the_first_column_then_the_next_under_the_same_headings():
    made = arrange(of_rows(4), aspect=2.0)
    assert made.width == 2 * 100 + 24
    left, right = made.crop((0, 0, 100, made.height)), made.crop((124, 0, 224, made.height))
    black = (0, 0, 0)
    assert {*SHADES[:2], black} <= colours(left) and not {*SHADES[2:4]} & colours(left)
    assert {*SHADES[2:4], black} <= colours(right) and not {*SHADES[:2]} & colours(right)
    counts = [(np.asarray(of_rows(4)) == s).all(2).sum() for s in SHADES[:4]]
    assert [(np.asarray(made) == s).all(2).sum() for s in SHADES[:4]] == counts  # nothing cut off


def test_the_number_of_columns_follows_the_box():
    tall, flat = arrange(of_rows(9), aspect=0.3), arrange(of_rows(9), aspect=12)
    assert tall.width == 100
    assert flat.width == 9 * 100 + 8 * 24


@pytest.mark.parametrize(("aspect", "deep"), [(0.35, 6), (0.93, 3), (1.17, 3), (3.4, 2)])
def test_columns_are_filled_evenly(aspect, deep):
    made = arrange(of_rows(6, headed=False), aspect)
    assert made.height == deep * 48


def test_a_title_above_each_row_stays_with_it():
    rows = of_rows(4, headed=False, gap=24)
    draw = ImageDraw.Draw(rows)
    for i in range(4):
        draw.rectangle((10, 8 + i * 64, 20 + 10 * i, 15 + i * 64), fill="black")
    made = arrange(rows, aspect=2.0)
    assert made.width == 2 * 100 + 24
    pixels = np.asarray(made)
    for column, first in ((0, 0), (124, 2)):
        for at in range(2):
            title = (pixels[at * 60 : at * 60 + 8, column : column + 100] == 0).all(2)
            assert title.any(0).sum() == 11 + 10 * (first + at)
            assert (pixels[at * 60 + 12, column + 50] == SHADES[first + at]).all()


def test_other_figures_are_left_alone():
    plain = Image.new("RGB", (90, 60), "grey")
    assert arrange(plain, 4) is plain
    uneven = of_rows(2)
    ImageDraw.Draw(uneven).rectangle((0, 75, 99, uneven.height), fill="white")
    assert arrange(uneven, 4) is uneven


def test_pages_are_stacked():
    pages = []
    for shade in SHADES[:2]:
        buffer = io.BytesIO()
        Image.new("RGB", (30, 50), shade).save(buffer, "PNG")
        pages.append(buffer.getvalue())
    made = Image.open(io.BytesIO(stacked(pages))).convert("RGB")
    assert made.size == (30, 108)
    assert made.getpixel((15, 25)) == SHADES[0] and made.getpixel((15, 90)) == SHADES[1]
