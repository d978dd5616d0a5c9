"""Images of any shape in a network's square, and what is found there back on the image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from hw3lib.anomaly.maps import upsample
from hw3lib.data.pixels.geometry import FILL, MOST_TILES, OVERLAP, Geometry
from hw3lib.errors import Hw3Error

SHAPES = [(500, 1260), (1260, 500), (37, 900), (900, 37), (300, 300), (301, 299), (433, 577), (3, 2), (1, 1)]
FITS = ("stretch", "pad", "tile")
sides = st.integers(1, 2000)


def geometries(fits=FITS) -> st.SearchStrategy[Geometry]:
    def made(width: int, height: int, size: int, fit: str, centred: bool) -> Geometry:
        if fit == "tile":  # of longer ones there are too many tiles
            width, height = min(width, 40 * height), min(height, 40 * width)
        return Geometry(width, height, size, fit, centred)

    return st.builds(made, sides, sides, st.integers(16, 512), st.sampled_from(fits), st.booleans())


@given(geometries(), st.data())
def test_points_and_boxes_go_there_and_back(geometry, data):
    x = st.floats(0, geometry.width)
    y = st.floats(0, geometry.height)
    places = np.array([data.draw(st.tuples(x, y, x, y)) for _ in range(3)])
    for square in range(len(geometry)):
        assert np.allclose(geometry.to_image(geometry.to_square(places, square), square), places, atol=1e-6)
        assert np.allclose(geometry.to_square(places, square)[:, :2], geometry.to_square(places[:, :2], square))


@given(geometries(("stretch", "pad")), st.data())
def test_every_point_of_an_image_lies_in_its_one_square(geometry, data):
    point = data.draw(st.tuples(st.floats(0, geometry.width), st.floats(0, geometry.height)))
    assert len(geometry) == 1
    assert (geometry.to_square(np.array(point)) >= -1e-6).all()
    assert (geometry.to_square(np.array(point)) <= geometry.size + 1e-6).all()


@given(geometries(("tile",)))
def test_tiles_begin_and_end_with_the_image_and_overlap(geometry):
    width, height = geometry.frame
    assert min(width, height) == geometry.size
    starts = sorted(max(corner) for corner in geometry.corners)
    assert starts[0] == 0 and starts[-1] + geometry.size == max(width, height)
    assert all(b - a <= (1 - OVERLAP) * geometry.size + 1 for a, b in zip(starts, starts[1:], strict=False))


@given(geometries())
@settings(max_examples=50)
def test_what_lies_on_the_frame_comes_back_from_the_squares(geometry):
    width, height = geometry.frame
    frame = np.random.default_rng(0).random((height, width)).astype(np.float32)
    assert np.allclose(geometry.join(geometry.cut(frame, np.inf)), frame, atol=1e-5)


@given(geometries(), st.data())
@settings(max_examples=50)
def test_the_peak_of_a_map_comes_back_to_its_place(geometry, data):
    """To the pixel of the image or of the frame, whichever is larger."""
    place = np.array([data.draw(st.floats(0, side)) for side in (geometry.width, geometry.height)])
    pixel = np.array([geometry.width, geometry.height]) / geometry.frame
    spread = np.maximum(2, 1 / pixel)  # as maps are smoothed
    at = np.arange(geometry.size) + 0.5
    maps = []
    for square in range(len(geometry)):
        x, y = geometry.to_square(place, square)
        maps.append(np.exp(-(((at - x) / spread[0]) ** 2) - (((at - y) / spread[1]) ** 2)[:, None]))
    found = upsample(geometry.join(np.array(maps, np.float32)), (geometry.height, geometry.width))
    assert found.shape == (geometry.height, geometry.width)
    peak = np.array(np.unravel_index(found.argmax(), found.shape))[::-1] + 0.5
    assert (np.abs(peak - place) <= np.maximum(pixel, 1) + 1e-3).all()


@pytest.mark.parametrize(("width", "height"), [s for s in SHAPES if min(s) > 30])
@pytest.mark.parametrize("fit", ["pad", "tile"])
def test_a_disc_stays_round(width, height, fit):
    image = Image.new("RGB", (width, height), "white")
    x, y, radius = round(0.42 * width), round(0.58 * height), int(0.09 * min(width, height))
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(0, 0, 200))
    geometry = Geometry(width, height, 224, fit)
    whole = 0
    for square, pixels in enumerate(geometry.squares(image)):
        blue = np.argwhere(pixels[..., 2].astype(int) - pixels[..., 0] > 100)
        wanted = geometry.to_square(np.array([x - radius, y - radius, x + radius + 1, y + radius + 1]), square)
        if (wanted >= 0).all() and (wanted <= 224).all():
            whole += 1
            down, across = blue.max(0) - blue.min(0) + 1
            assert abs(int(down) - int(across)) <= 1
            assert np.abs(np.append(blue.min(0)[::-1], blue.max(0)[::-1] + 1) - wanted).max() <= 1.5
    assert whole >= 1  # it is smaller than what tiles share


def test_stretch_squeezes_a_disc():
    image = Image.new("L", (500, 1260))
    ImageDraw.Draw(image).ellipse((150, 530, 350, 730), fill=255)
    seen = np.argwhere(Geometry(500, 1260, 224).squares(image.convert("RGB"))[0, ..., 0] > 127)
    down, across = seen.max(0) - seen.min(0) + 1
    assert across / down == pytest.approx(2.52, abs=0.1)


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_stretch_is_what_resizing_to_a_square_gives(width, height):
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    image, mask = Image.fromarray(pixels), pixels[..., 0] > 200
    geometry = Geometry(width, height, 64)
    assert np.array_equal(geometry.squares(image)[0], image.resize((64, 64), Image.Resampling.BILINEAR))
    box = Image.fromarray(mask.astype(np.float32)).resize((64, 64), Image.Resampling.BOX)
    assert np.array_equal(geometry.mask_squares(mask)[0], np.asarray(box) > 1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_of_a_square_image_every_fit_is_the_same(fit):
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 90, 3), np.uint8))
    assert np.array_equal(Geometry(90, 90, 64, fit).squares(image), Geometry(90, 90, 64).squares(image))


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("width", "height"), [(500, 1260), (1260, 500)])
def test_padding_is_one_colour_and_no_defect(width, height, centred):
    geometry = Geometry(width, height, 224, "pad", centred)
    pixels = geometry.squares(Image.new("RGB", (width, height), "red"))[0]
    mask = geometry.mask_squares(np.ones((height, width), bool))[0]
    assert mask.sum() == 224 * 89 and (pixels[mask] == (255, 0, 0)).all() and (pixels[~mask] == FILL).all()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    before, after = (r[0] for r in (rows, columns)), (224 - 1 - r[-1] for r in (rows, columns))
    assert [abs(a - b) for a, b in zip(before, after, strict=True)] == (
        [0, 1] if centred and width < height else [1, 0] if centred else [0, 135] if width < height else [135, 0]
    )


def test_a_long_image_is_covered_by_tiles():
    assert [len(Geometry(w, h, 224, "tile")) for w, h in ((500, 1260), (1260, 500), (432, 576), (300, 300))] == [
        3,
        3,
        2,
        1,
    ]


def test_tiles_merge_without_a_seam():
    """One of two tiles sees something all over: it fades in, and no pixel differs much from the next."""
    geometry = Geometry(432, 576, 100, "tile")
    maps = np.zeros((2, 100, 100), np.float32)
    maps[1] = 1
    steps = np.diff(geometry.join(maps)[:, 50])
    assert geometry.join(maps)[0, 50] == 0 and geometry.join(maps)[-1, 50] == 1
    assert steps.min() >= 0 and steps.max() < 0.03


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 5, 8), "sides of 1"),
        ((5, 5, 0), "sides of 1"),
        ((5, 5, 8, "squeeze"), "expected one of stretch, pad, tile"),
        ((10, 10000, 224, "tile"), f"at most {MOST_TILES}"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises(Hw3Error, match=said):
        Geometry(*arguments)


def test_maps_of_another_shape_are_refused():
    with pytest.raises(Hw3Error, match=r"expected \(3, 224, 224\)"):
        Geometry(500, 1260, 224, "tile").join(np.zeros((1, 224, 224)))
