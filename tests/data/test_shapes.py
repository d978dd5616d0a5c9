"""Photographs that are no squares in stacks, and what ``hw3 data check`` says of them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.cli import main as cli
from hw3lib.data import ImageStack, check_category, digest, load_table, read_image
from hw3lib.data.pixels.geometry import Geometry, natural_fit
from hw3lib.data.pixels.images import read_row
from hw3lib.data.pixels.reading import Reading
from hw3lib.errors import Hw3Error
from tests.helpers.long_photographs import make_category, plate

FITS = ("stretch", "pad", "tile")


def problems(folder) -> dict[str, str]:
    found = check_category(load_table(folder.parent, folder.name, strict=False)).problems
    return {row.kind: f"{row.severity}: {row.message}" for row in found.itertuples()}


def test_check_says_how_much_is_squeezed_and_what_to_do(tmp_path, capsys):
    folder, _ = make_category(tmp_path)
    said = "warning: images of 100x252 pixels are squeezed 2.5 times to fit into a square"
    remedy = "`hw3 data settings plates --fit pad` keeps their shape"
    assert (
        problems(folder)["squeezed"] == f"{said} for a classifier, and cut into tiles for an anomaly detector; {remedy}"
    )
    assert cli.main(["data", "settings", "plates", "--data", str(tmp_path), "--fit", "stretch"]) == 0
    assert problems(folder)["squeezed"] == f"{said}; {remedy}"
    assert cli.main(["data", "settings", "plates", "--data", str(tmp_path), "--fit", "pad"]) == 0
    assert problems(folder) == {}


def test_check_is_silent_on_nearly_square_images(tmp_path):
    assert problems(make_category(tmp_path, (148, 100))[0]) == {}


@pytest.mark.parametrize(
    ("fit", "said"),
    [
        ("stretch", "each is resized to one size"),
        ("pad", "each is padded to one size, its aspect ratio kept"),
        ("tile", "each is cut into 1 to 2 tiles of one size that overlap"),
    ],
)
def test_check_says_what_is_done_with_mixed_sizes(fit, said, tmp_path):
    folder, _ = make_category(tmp_path, (100, 140), fit=fit)
    plate((100, 100), 77).save(folder / "good/900.png")
    assert said in problems(folder)["mixed sizes"]


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [
        ([], "stretch"),
        ([(150, 100)] * 3, "stretch"),
        ([(151, 100), (100, 151), (100, 100)], "auto"),
        ([(100, 300), (100, 100), (100, 100)], "stretch"),  # one of another shape
        ([(100, 5100)] * 2, "auto"),
        ([(100, 5200)] * 2, "stretch"),  # more tiles than are cut
    ],
)
def test_most_images_say_how_they_come_to_squares(sizes, fit):
    assert natural_fit(iter(sizes)) == fit


def test_long_images_are_tiled_for_those_who_can_do_with_tiles_and_stretched_for_others(tmp_path):
    folder, _ = make_category(tmp_path)
    table = load_table(folder.parent, folder.name)
    tiled, stretched = (ImageStack.load(table, 64, tiles=tiles) for tiles in (True, False))
    assert tiled.reading == Reading(fit="tile") and len(tiled.images) == 3 * len(table)
    assert stretched.reading == Reading() and stretched.geometries is None
    assert np.array_equal(stretched.images[0].transpose(1, 2, 0), read_image(table["image"][0], 64))
    assert np.array_equal(read_row(table.iloc[0], 64), read_image(table["image"][0], 64))


def test_check_names_an_image_too_long_for_tiles(tmp_path):
    folder, _ = make_category(tmp_path, fit="tile")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 8, 3), np.uint8)).save(folder / "good/900.png")
    assert "error: an image of 8x900 pixels takes" in problems(folder)["too long"]


@pytest.mark.parametrize("fit", FITS)
def test_a_stack_is_what_single_images_are(fit, tmp_path):
    folder, _ = make_category(tmp_path, fit=fit)
    table = load_table(folder.parent, folder.name)
    stack = ImageStack.load(table, 64, tiles=True)
    count = 3 if fit == "tile" else 1
    assert len(stack) == len(table) and stack.images.shape == (count * len(table), 3, 64, 64)
    geometry = Geometry(100, 252, 64, fit)
    for row in (0, 5):
        with Image.open(table["image"][row]) as image:
            wanted = geometry.squares(image.convert("RGB")).transpose(0, 3, 1, 2)
        assert np.array_equal(stack.images[stack.squares_of(np.array([row]))], wanted)
        assert np.array_equal(stack[np.array([row])], wanted) and np.array_equal(
            stack.part(np.array([row])).images, wanted
        )
    assert len(stack[:2]) == 2 * count and len(stack.part(table["is_defect"].to_numpy())) == 6
    assert stack.reading == Reading(fit=fit) and (stack.geometries is None) == (fit == "stretch")


def test_sizes_that_no_table_tells_are_read(tmp_path):
    folder, _ = make_category(tmp_path)
    files = sorted(map(str, (folder / "good").iterdir()))
    told = ImageStack.load(pd.DataFrame({"image": files}), 64, reading=Reading(fit="pad"))
    assert told.geometries == [Geometry(100, 252, 64, "pad")] * len(files)


def test_an_image_that_is_no_longer_as_the_table_says_is_an_error(tmp_path):
    folder, _ = make_category(tmp_path, fit="pad")
    table = load_table(folder.parent, folder.name)
    plate((100, 100), 1).save(table["image"][3])
    with pytest.raises(Hw3Error, match="has 100x100 pixels, and the table says 100x252"):
        ImageStack.load(table, 64)


def test_the_cache_and_the_digest_know_the_fit(tmp_path):
    keys, digests = set(), set()
    for fit in FITS:
        folder, _ = make_category(tmp_path / fit, fit=fit)
        table = load_table(folder.parent, folder.name)
        for _ in range(2):
            stack = ImageStack.load(table, 32, tiles=True, cache=tmp_path / "cache")
            assert np.array_equal(stack.images, ImageStack.load(table, 32, tiles=True).images)
        keys.add(stack.key)
        digests.add(digest(table))
    assert len(keys) == len(digests) == 3 and len(list((tmp_path / "cache").iterdir())) == 3


def test_one_picture_an_image_is_refused_of_tiles_alone(tmp_path):
    folder, _ = make_category(tmp_path)
    path = folder / "good/000.png"
    assert read_image(path, 64, Reading(fit="pad")).shape == (64, 64, 3)
    with pytest.raises(Hw3Error, match=r"000\.png: fit=tile cuts it into 3 squares"):
        read_image(path, 64, Reading(fit="tile"))
    assert read_image(path, reading=Reading(fit="tile")).shape == (252, 100, 3)


@pytest.mark.parametrize("fit", FITS)
def test_pictures_for_people_are_the_same_whatever_the_fit(fit, tmp_path):
    folder, _ = make_category(tmp_path, fit=fit)
    row = load_table(folder.parent, folder.name).iloc[0]
    assert np.array_equal(read_row(row, 64), read_image(row["image"], 64))


@pytest.mark.parametrize("fit", FITS)
def test_changing_images_leaves_padding_alone(fit, tmp_path):
    folder, _ = make_category(tmp_path, fit=fit)
    stack = ImageStack.load(load_table(folder.parent, folder.name), 64, tiles=True)
    assert np.array_equal(stack.changed(lambda image: image).images, stack.images)
    turned = stack.changed(np.rot90)
    for geometry, before, own, after in zip(
        turned.geometries or [Geometry(64, 64, 64)],
        stack.images[:: len(stack.images) // len(stack)],
        stack.geometries or [Geometry(64, 64, 64)],
        turned.images[:: len(stack.images) // len(stack)],
        strict=False,
    ):
        assert geometry.frame == own.frame[::-1]
        if fit != "tile":
            inside = own.join(before.transpose(1, 2, 0)[None])
            assert np.array_equal(geometry.join(after.transpose(1, 2, 0)[None]), np.rot90(inside))
    dark = stack.changed(lambda image: image // 2)
    if fit == "pad":
        assert np.array_equal(dark.images[..., :19], stack.images[..., :19])
        assert np.array_equal(dark.images[..., 20:44], stack.images[..., 20:44] // 2)


def test_a_wrong_fit_is_refused(tmp_path):
    folder, _ = make_category(tmp_path)
    (folder / "category.json").write_text(json.dumps({"fit": "squeeze"}))
    with pytest.raises(Hw3Error, match="fit='squeeze': expected one of stretch, pad, tile"):
        load_table(folder.parent, folder.name)
    shutil.rmtree(folder)
