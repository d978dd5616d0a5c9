"""hw3lib.anomaly.maps: resolution, colours on one scale, contours, and files that read back."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hw3lib.anomaly.calibration import ColourScale
from hw3lib.anomaly.maps import contour, overlay, upsample
from hw3lib.errors import Hw3Error

GREY = np.full((12, 16, 3), 100, np.uint8)


def test_upsampling_by_hand():
    # Twice as wide: new pixels lie at -1/4, 1/4, 3/4 and 5/4 of the old ones; beyond the ends the end holds.
    assert upsample(np.array([[0.0, 4.0]]), (1, 4)).tolist() == [[0, 1, 3, 4]]
    assert upsample(np.array([[[0.0], [4.0]]] * 2), (4, 1))[1].ravel().tolist() == [0, 1, 3, 4]


def test_upsampling_is_that_of_pillow_and_keeps_size_and_type():
    maps = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    found = upsample(maps, (20, 33))
    assert found.shape == (3, 20, 33) and found.dtype == np.float32
    wanted = [np.asarray(Image.fromarray(m).resize((33, 20), Image.Resampling.BILINEAR)) for m in maps]
    assert found == pytest.approx(np.stack(wanted), abs=1e-5)
    assert np.array_equal(upsample(maps, (5, 7)), maps) and upsample(maps[0], 9).shape == (9, 9)


@pytest.mark.parametrize(("shape", "size"), [((4,), 8), ((0, 4, 4), 8), ((4, 4), 0), ((4, 4), (8, 8, 8))])
def test_what_cannot_be_upsampled_is_refused(shape, size):
    with pytest.raises(Hw3Error, match="maps"):
        upsample(np.zeros(shape), size)


def test_the_overlay_leaves_what_is_dark_and_colours_what_is_bright():
    values = np.zeros((12, 16), np.float32)
    values[:, 8:] = 1
    shown = overlay(GREY, values, ColourScale(0, 1))
    assert shown.dtype == np.uint8 and shown.shape == GREY.shape
    assert (shown[:, :8] == 100).all()
    brightest = np.array(matplotlib.colormaps["inferno"](1.0)[:3]) * 255
    assert shown[5, 12] == pytest.approx(0.2 * 100 + 0.8 * brightest, abs=1)


def test_the_same_value_has_the_same_colour_in_every_image():
    calm, wild = np.full((12, 16), 0.5, np.float32), np.full((12, 16), 0.5, np.float32)
    wild[0, 0] = 50
    scale = ColourScale(0, 1)
    assert np.array_equal(overlay(GREY, calm, scale)[6, 8], overlay(GREY, wild, scale)[6, 8])


def test_the_map_is_brought_to_the_image():
    values = np.array([[0.0, 1.0]], np.float32)
    assert np.array_equal(
        overlay(GREY, values, ColourScale(0, 1)), overlay(GREY, upsample(values, (12, 16)), ColourScale(0, 1))
    )


def test_the_contour_is_the_inner_border_and_ignores_the_edge_of_the_image():
    values = np.zeros((6, 6))
    values[1:5, 0:4] = 2
    wanted = np.zeros((6, 6), bool)
    wanted[1, 0:4] = wanted[4, 0:4] = wanted[1:5, 3] = True
    assert np.array_equal(contour(values, 1), wanted)
    assert not contour(values, 2).any()  # above means above
    assert not contour(np.ones((6, 6)), 0).any()


def test_the_overlay_draws_the_contour_in_yellow_on_black():
    values = np.zeros((12, 16), np.float32)
    values[4:8, 4:10] = 1
    shown = overlay(GREY, values, ColourScale(0, 100), threshold=0.5)
    line = contour(values, 0.5)
    assert (shown[line] == (255, 230, 0)).all()
    assert (shown[3, 5] == 0).all() and (shown[5, 5] == 0).all()
    assert shown[0, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": GREY.astype(float)}, "image: found float64"),
        ({"image": GREY[..., 0]}, "expected uint8"),
        ({"anomaly_map": np.full((4, 4), np.nan)}, "without NaN"),
        ({"anomaly_map": np.zeros((1, 4, 4))}, "expected"),
        ({"scale": ColourScale(1, 1)}, "low < high"),
    ],
)
def test_what_cannot_be_overlaid_is_refused(change, words):
    with pytest.raises(Hw3Error, match=words):
        overlay(**{"image": GREY, "anomaly_map": np.zeros((4, 4)), "scale": ColourScale(0, 1), **change})
