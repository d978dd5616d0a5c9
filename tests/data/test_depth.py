"""Images of more than 8 bits look as 8 bits would, on one scale for a category, and what is not so is told."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.exposure import rescale_intensity

from hw3lib.data import ImageStack, Reading, check_category, digest, load_table, read_image, read_mask, read_row
from hw3lib.data.folders.settings import CategorySettings, write_settings
from hw3lib.data.pixels.decoding import MOST_PIXELS
from hw3lib.data.pixels.depth import Extremes, natural_range
from hw3lib.data.pixels.images import decode_image
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error

tifffile = pytest.importorskip("tifffile")  # writes what Pillow cannot
GREY = np.random.default_rng(0).integers(0, 256, (32, 40), dtype=np.uint8)
GREY[0, :2] = 0, 255
COLOUR = np.random.default_rng(1).integers(0, 256, (32, 40, 3), dtype=np.uint8)
COLOUR[0, 0], COLOUR[0, 1] = 0, 255


def write_png(path: Path, values: np.ndarray, side: tuple[int, int] | None = None, bits: int | None = None) -> None:
    """Any PNG: uint8 or uint16, ``(H, W)`` or ``(H, W, 2 to 4)``; or one that only says how large it is."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    height, width = side or values.shape[:2]
    kind = (bits or 8 * values.dtype.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(values.dtype.newbyteorder(">")).tobytes() for row in values)
    made = b"\x89PNG\r\n\x1a\n"
    parts = (b"IHDR", struct.pack(">II5B", width, height, *kind)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    for name, data in parts:
        made += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(made)


def deepened(pixels: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint16)


def with_alpha(values: np.ndarray) -> np.ndarray:
    return np.dstack([values, np.full(values.shape[:2], 65535, np.uint16)])


def tiff(values: np.ndarray, **options):
    return lambda path: tifffile.imwrite(path, values, **options)


def png(values: np.ndarray):
    return lambda path: write_png(path, values)


KINDS = {
    **{f"grey png {b}": (".png", png(deepened(GREY, b)), GREY) for b in (10, 12, 14, 16)},
    **{f"colour png {b}": (".png", png(deepened(COLOUR, b)), COLOUR) for b in (10, 12, 14, 16)},
    **{f"grey tiff {b}": (".tif", tiff(deepened(GREY, b)), GREY) for b in (10, 12, 14, 16)},
    **{f"colour tiff {b}": (".tif", tiff(deepened(COLOUR, b), photometric="rgb"), COLOUR) for b in (10, 12, 14, 16)},
    "8 bits in 16": (".png", png(GREY.astype(np.uint16)), GREY),
    "8 bits of colour in 16": (".png", png(COLOUR.astype(np.uint16)), COLOUR),
    "colour and alpha, png": (".png", png(with_alpha(deepened(COLOUR, 12))), COLOUR),
    "grey and alpha, png": (".png", png(with_alpha(deepened(GREY, 12))), GREY),
    "colour and alpha, tiff": (
        ".tif",
        tiff(with_alpha(deepened(COLOUR, 12)), photometric="rgb", extrasamples=["unassalpha"]),
        COLOUR,
    ),
    "grey tiff, big-endian": (".tif", tiff(deepened(GREY, 12), byteorder=">"), GREY),
    "colour tiff, big-endian": (".tif", tiff(deepened(COLOUR, 12), byteorder=">", photometric="rgb"), COLOUR),
    "colour tiff, packed": (".tif", tiff(deepened(COLOUR, 12), photometric="rgb", compression="zlib"), COLOUR),
    "colour tiff, packed, big-endian": (
        ".tif",
        tiff(deepened(COLOUR, 12), photometric="rgb", compression="zlib", byteorder=">"),
        COLOUR,
    ),
    "colour tiff, tiled": (".tif", tiff(deepened(COLOUR, 12), photometric="rgb", tile=(16, 16)), COLOUR),
    "white is 0": (".tif", tiff(4095 - deepened(GREY, 12), photometric="miniswhite"), GREY),
    "floats to 1": (".tif", tiff((GREY / 255).astype(np.float32)), GREY),
    "floats to 255": (".tif", tiff(GREY.astype(np.float32)), GREY),
    "floats to 65535": (".tif", tiff(GREY * np.float32(257)), GREY),
    "floats, big-endian": (".tif", tiff((GREY / 255).astype(np.float32), byteorder=">"), GREY),
    "floats from -1": (".tif", tiff((GREY / 127.5 - 1).astype(np.float32)), GREY),
    "signed 16 bits": (".tif", tiff(GREY.astype(np.int16) - 128), GREY),
    "32 bits": (".tif", tiff(GREY.astype(np.uint32) * (2**32 // 255)), GREY),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_deeper_looks_as_the_8_bits_that_it_was_made_of(kind, tmp_path):
    suffix, write, pixels = KINDS[kind]
    path = tmp_path / f"a{suffix}"
    write(path)
    wanted = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)
    assert np.array_equal(read_image(path), wanted)
    small = np.asarray(Image.fromarray(wanted).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.array_equal(read_image(path, 16), small)


@pytest.mark.parametrize("low, high", [(0, 4095), (0, 65535), (100, 3000), (-50.5, 2000)])
def test_a_range_scales_as_scikit_image_does(low, high, tmp_path):
    values = np.random.default_rng(2).integers(0, 4096, (32, 40), dtype=np.uint16)
    write_png(tmp_path / "a.png", values)
    found = read_image(tmp_path / "a.png", reading=Reading((low, high)))[..., 0]
    wanted = rescale_intensity(values.astype(np.float64), in_range=(low, high), out_range=(0, 255))
    assert np.array_equal(found, np.floor(wanted + 0.5))
    write_png(tmp_path / "b.png", np.dstack([values] * 3))
    assert np.array_equal(read_image(tmp_path / "b.png", reading=Reading((low, high)))[..., 2], found)


def test_an_8_bit_range_scales_files_of_8_bits_and_another_does_not(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png", reading=Reading((10, 200)))
    wanted = rescale_intensity(COLOUR.astype(np.float64), in_range=(10, 200), out_range=(0, 255))
    assert np.array_equal(found, np.floor(wanted + 0.5))
    for pixel_range in ((0, 4095), (0, 1), (0, 255)):
        assert np.array_equal(read_image(tmp_path / "a.png", reading=Reading(pixel_range)), COLOUR)


@pytest.mark.parametrize(
    "found, wanted",
    [
        (Extremes(0, 255, False), (0, 255)),
        (Extremes(3, 256, False), (0, 1023)),
        (Extremes(0, 1024, False), (0, 4095)),
        (Extremes(0, 4096, False), (0, 16383)),
        (Extremes(0, 16384, False), (0, 65535)),
        (Extremes(0, 65536, False), (0, 65536)),
        (Extremes(-5, 300, False), (-5, 300)),
        (Extremes(0, 0, False), (0, 255)),
        (Extremes(0.2, 0.9, True), (0, 1)),
        (Extremes(0, 1.02, True), (0, 1.02)),
        (Extremes(0, 200.5, True), (0, 255)),
        (Extremes(0, 65535.5, True), (0, 65535)),
        (Extremes(-2, -1, True), (-2, -1)),
        (Extremes(0, 70000, True), (0, 70000)),
    ],
)
def test_the_range_is_the_smallest_that_holds_everything(found, wanted):
    assert natural_range(found) == wanted


def deep_category(folder: Path, bits: int = 12) -> Path:
    """Good images of rising brightness, the last of which alone is as bright as ``bits`` allow."""
    values = deepened(GREY, bits)
    for place, shares in (("train/good", (0.1, 0.2, 0.3, 0.4)), ("test/good", (0.5, 1.0))):
        (folder / place).mkdir(parents=True)
        for i, share in enumerate(shares):
            write_png(folder / place / f"{i}.png", (values * share).astype(np.uint16))
    return folder


def test_a_category_has_one_scale_and_every_row_carries_it(tmp_path):
    category = deep_category(tmp_path / "bolts")
    table = load_table(tmp_path, "bolts")
    darkest = np.array(Image.open(category / "train/good/0.png"), float)
    wanted = np.floor(darkest * (255 / 4095) + 0.5)
    assert wanted.max() < 30
    assert np.array_equal(read_row(table.iloc[0])[..., 0], wanted)
    assert np.array_equal(read_row(next(table[["image", "reading"]].itertuples()))[..., 0], wanted)
    kept = pd.concat([table.iloc[[0]].reset_index(drop=True), table.iloc[[-1]]]).sort_values("image")  # attrs are lost
    assert np.array_equal(ImageStack.load(kept, 32).images[1, 0], read_row(table.iloc[0], 32)[..., 0])
    assert ImageStack.load(table, 16).reading == Reading((0, 4095))
    assert "12 bits: 0 to 4095" in check_category(table).summary()


def test_images_of_8_bits_leave_the_table_as_it_was(category):
    assert "reading" not in load_table(category.parent, category.name)


def test_what_category_json_says_goes_before_what_is_found(tmp_path):
    category = deep_category(tmp_path / "bolts")
    before = load_table(tmp_path, "bolts")
    write_settings(category, CategorySettings(pixel_range=(0, 1000)))
    table = load_table(tmp_path, "bolts")
    assert read_row(table.iloc[-1]).max() == 255 and read_row(table.iloc[0]).max() == round(409 * 255 / 1000)
    report = check_category(table)
    (problem,) = report.problems.itertuples()
    assert report.ok and problem.kind == "beyond the range"
    assert (
        "holds values of " in problem.message and "0 to 1000" in problem.message and "others do too" in problem.message
    )
    assert "category.json says" in report.summary()
    assert digest(before) != digest(table)


def test_the_digest_of_a_part_depends_on_the_scale_of_the_whole(tmp_path):
    category = deep_category(tmp_path / "bolts")
    before = load_table(tmp_path, "bolts")
    write_png(category / "test/good/1.png", deepened(GREY, 16))
    after = load_table(tmp_path, "bolts")
    assert digest(before[before["split"] == "train"]) != digest(after[after["split"] == "train"])


def test_a_cached_stack_of_another_scale_is_not_used(tmp_path):
    table = load_table(deep_category(tmp_path / "bolts").parent, "bolts")
    plain = ImageStack.load(table, 16, cache=tmp_path / "cache")
    other = ImageStack.load(table, 16, cache=tmp_path / "cache", reading=Reading((0, 1000)))
    assert plain.key != other.key and not np.array_equal(plain.images, other.images)
    assert [text for _, text in other.warnings if "beyond the range 0 to 1000" in text] and not plain.warnings


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused_by_name(value, tmp_path, category):
    values = (GREY / 255).astype(np.float32)
    values[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Hw3Error, match=r"a\.tif: holds NaN or infinite"):
            read_image(tmp_path / "a.tif")
        tifffile.imwrite(category / "train/good/900.tif", values)
        with pytest.raises(Hw3Error, match=r"900\.tif: holds NaN"):
            load_table(category.parent, category.name)
        found = check_category(load_table(category.parent, category.name, strict=False)).problems
    assert list(found.loc[found["severity"] == "error", "kind"]) == ["not finite"]


def test_values_beyond_a_range_and_other_depths_are_told(tmp_path):
    write_png(tmp_path / "a.png", deepened(GREY, 14))
    assert decode_image(tmp_path / "a.png", reading=Reading((0, 16383))).warning == ""
    assert (
        "values of 16383, beyond the range 12 bits: 0 to 4095"
        in decode_image(tmp_path / "a.png", reading=Reading((0, 4095))).warning
    )
    assert "of 0 and 16383" in decode_image(tmp_path / "a.png", reading=Reading((5, 4095))).warning
    assert "14 bits: 0 to 16383" in decode_image(tmp_path / "a.png").warning
    Image.fromarray(GREY).save(tmp_path / "b.png")
    assert decode_image(tmp_path / "b.png").warning == ""
    assert decode_image(tmp_path / "b.png", reading=Reading((0, 4095))).warning.startswith("8 bits")
    assert "values of 255, beyond" in decode_image(tmp_path / "b.png", reading=Reading((0, 100))).warning


def nearly_black(category: Path) -> str:
    for path in category.rglob("*.png"):
        if "ground_truth" not in path.parts:
            Image.fromarray(np.asarray(Image.open(path)) >> 4).save(path)
    return "nearly black"


def mixed_depth(category: Path) -> str:
    write_png(category / "test/dent/000.png", deepened(COLOUR, 12))
    return "mixed depth"


@pytest.mark.parametrize("plant", [nearly_black, mixed_depth])
def test_check_warns_of(plant, category):
    kind = plant(category)
    report = check_category(load_table(category.parent, category.name))
    assert report.ok and kind in list(report.problems["kind"])
    if kind == "nearly black":
        assert "--range 0 15" in report.summary()
        write_settings(category, CategorySettings(pixel_range=(0, 15)))
        assert check_category(load_table(category.parent, category.name)).problems.empty


@pytest.mark.parametrize(
    ("low", "high", "dtype", "suggested"),
    [(20_000, 24_000, np.uint16, "--range 197"), (293.0, 308.0, np.float32, "--range 28")],
)
def test_values_in_a_small_part_of_their_range_are_told(low, high, dtype, suggested, category):
    """Thermal cameras, in counts or in kelvin: what is read as by default has a dozen levels."""
    rng = np.random.default_rng(0)
    for path in category.rglob("*.png"):
        if "ground_truth" not in path.parts:
            tifffile.imwrite(path.with_suffix(".tif"), rng.uniform(low, high, (32, 40)).astype(dtype))
            path.unlink()
    report = check_category(load_table(category.parent, category.name))
    assert list(report.problems["kind"]) == ["narrow range"] and suggested in report.summary()
    said = report.summary().partition("--range ")[2].split()
    write_settings(category, CategorySettings(pixel_range=(float(said[0]), float(said[1]))))
    assert check_category(load_table(category.parent, category.name)).problems.empty
    assert len(np.unique(read_row(load_table(category.parent, category.name).iloc[0]))) > 100


def test_an_image_of_another_depth_is_told_when_it_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", (GREY / 255).astype(np.float32))
    assert "nearly black" in decode_image(tmp_path / "a.tif", reading=Reading((0, 1023))).warning


def test_signed_values_of_8_bits_are_refused(tmp_path):
    """Pillow would wrap them round."""
    tifffile.imwrite(tmp_path / "a.tif", np.arange(-40, 40, dtype=np.int8).reshape(8, 10))
    with pytest.raises(Hw3Error, match="signed values of 8 bits"):
        read_image(tmp_path / "a.tif")


def test_what_is_no_photograph_is_not_handed_to_an_interpreter(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("was started"))
    with pytest.raises(Hw3Error, match="cannot identify"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(Hw3Error, match=r"is empty \(0 bytes\)"):
        read_image(tmp_path / "b.png")


def test_colours_of_16_bits_in_separate_planes_are_refused(tmp_path):
    """Pillow would give noise."""
    planes = np.moveaxis(deepened(COLOUR, 12), -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    for read in (read_image, read_header):
        with pytest.raises(Hw3Error, match="separate planes"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "floats", "colours of 16 bits"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiffs_that_lie_on_their_side_are_turned_upright(kind, compression, tmp_path):
    """Those that Pillow maps into memory it would scramble."""
    values = {"8 bits": GREY, "floats": (GREY / 255).astype(np.float32), "16 bits": deepened(GREY, 16)}
    values["colours of 16 bits"] = deepened(np.repeat(GREY[..., None], 3, 2), 16)
    photometric = "rgb" if kind.startswith("colours") else "minisblack"
    options = {"photometric": photometric, "compression": compression, "extratags": [(274, "H", 1, 6, True)]}
    tifffile.imwrite(tmp_path / "a.tif", values[kind], **options)
    assert np.array_equal(read_image(tmp_path / "a.tif")[..., 0], np.rot90(GREY, -1))
    assert read_header(tmp_path / "a.tif")[:2] == (32, 40)


def test_a_tiff_of_an_unknown_kind_is_called_one(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", (COLOUR / 255).astype(np.float32), photometric="rgb")
    with pytest.raises(Hw3Error, match="TIFF of a kind that cannot be read"):
        read_header(tmp_path / "a.tif")


@pytest.mark.filterwarnings("error")
def test_large_images_are_read_without_a_warning_of_pillows_or_refused_in_our_words(tmp_path):
    row = np.zeros((9500, 9500 // 8 + 1), np.uint8)  # 90 million pixels, 11 MB
    write_png(tmp_path / "large.png", row, (9500, 9500), bits=1)
    assert read_header(tmp_path / "large.png")[:2] == (9500, 9500)
    assert not read_mask(tmp_path / "large.png", 8).any()
    for name, side in (("more.png", 10_001), ("many.png", 30_000)):  # Pillow would warn of the one, refuse the other
        write_png(tmp_path / name, row[:1, :1], (side, side), bits=1)
        for read in (read_header, read_image, read_mask):
            with pytest.raises(Hw3Error, match=f"{side}x{side} pixels; at most {MOST_PIXELS // 10**6} million"):
                read(tmp_path / name)
    write_png(tmp_path / "deep.png", deepened(COLOUR[:1, :1], 16), (8000, 8000))
    with pytest.raises(Hw3Error, match="8000x8000 pixels; at most 50 million"):
        read_header(tmp_path / "deep.png")
