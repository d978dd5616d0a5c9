"""hw3lib.data.pixels.images: what is decoded is what a person sees, and a cache never serves other images."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.data import ImageStack, load_masks, load_table, read_image, read_mask
from hw3lib.errors import Hw3Error


def test_stack_holds_every_image_in_order(category):
    table = load_table(category.parent, "widget")
    stack = ImageStack.load(table, 24)
    assert stack.images.shape == (16, 3, 24, 24) and stack.images.dtype == np.uint8
    for i in (0, 7, 15):
        with Image.open(table["image"].iloc[i]) as image:
            expected = np.asarray(image.convert("RGB").resize((24, 24), Image.Resampling.BILINEAR))
        assert np.array_equal(stack[i], expected.transpose(2, 0, 1))
    assert len(stack) == 16 and stack[[1, 2]].shape == (2, 3, 24, 24)


def test_cache_is_used_again_and_read_only(category, tmp_path, monkeypatch):
    table = load_table(category.parent, "widget")
    plain = ImageStack.load(table, 24)
    first = ImageStack.load(table, 24, cache=tmp_path / "cache")
    assert np.array_equal(first.images, plain.images)

    def never(*_):
        raise AssertionError("decoded although cached")

    monkeypatch.setattr("hw3lib.data.pixels.images.decode_image", never)
    second = ImageStack.load(table, 24, cache=tmp_path / "cache")
    assert np.array_equal(second.images, plain.images)
    assert isinstance(second.images, np.memmap)
    with pytest.raises(ValueError):
        second.images[0] = 0


def test_cache_of_other_content_is_not_used(category, tmp_path):
    table = load_table(category.parent, "widget")
    cache = tmp_path / "cache"
    ImageStack.load(table, 24, cache=cache)
    # Same path and size in bytes do not make the same picture.
    Image.new("RGB", (40, 32), "red").save(table["image"].iloc[3])
    stack = ImageStack.load(table, 24, cache=cache)
    assert (stack[3][0] == 255).all() and (stack[3][1] == 0).all()
    ImageStack.load(table, 12, cache=cache)
    ImageStack.load(table.iloc[::-1], 24, cache=cache)
    assert len(list(cache.glob("*.npy"))) == 4


def test_damaged_cache_is_made_again(category, tmp_path):
    table = load_table(category.parent, "widget")
    good = ImageStack.load(table, 24, cache=tmp_path / "cache").images.copy()
    path = next((tmp_path / "cache").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:-100])
    assert np.array_equal(ImageStack.load(table, 24, cache=tmp_path / "cache").images, good)


def test_stack_of_another_shape_under_the_same_name_is_made_again(category, tmp_path):
    table = load_table(category.parent, "widget")
    good = ImageStack.load(table, 24, cache=tmp_path / "cache").images.copy()
    path = next((tmp_path / "cache").glob("*.npy"))
    np.save(path, good[:5])
    assert np.array_equal(ImageStack.load(table, 24, cache=tmp_path / "cache").images, good)


def test_full_disk_leaves_nothing(category, tmp_path, monkeypatch):
    table = load_table(category.parent, "widget")

    def full(file, header):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(Hw3Error, match="disk is full"):
        ImageStack.load(table, 24, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_unreadable_image_is_named_and_nothing_is_cached(category, tmp_path):
    table = load_table(category.parent, "widget")
    path = category / "test/good/001.png"
    data = path.read_bytes()
    path.write_bytes(data[:200] + data[900:])
    with pytest.raises(Hw3Error, match=r"good/001\.png.*cannot be decoded"):
        ImageStack.load(table, 24, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("size", [0, -3, 2.5, "24"])
def test_size_is_checked(category, size):
    with pytest.raises(Hw3Error, match="size="):
        ImageStack.load(load_table(category.parent, "widget"), size)


def test_sixteen_bit_grey_becomes_eight(tmp_path):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png")
    assert image.shape == (16, 16, 3)
    assert np.abs(image[..., 0].astype(int).ravel() - np.arange(256)).max() <= 1


def test_sideways_photograph_is_turned_upright(tmp_path):
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, :24] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees: left becomes top
    Image.fromarray(pixels).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    image = read_image(tmp_path / "phone.jpg")
    assert image.shape == (48, 32, 3)
    assert image[:20].mean() > 240 and image[-20:].mean() < 15


def test_transparency_lies_over_white_and_cmyk_and_grey_become_rgb(tmp_path):
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "print.jpg").astype(int) - [255, 0, 0]).max() < 12
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png") == 77).all()


def test_masks(category):
    table = load_table(category.parent, "widget")
    masks = load_masks(table, 16)
    assert masks.shape == (16, 16, 16) and masks.dtype == bool
    assert (masks.any((1, 2)) == table["is_defect"].to_numpy()).all()


def test_thin_defect_survives_in_a_small_mask(tmp_path):
    mask = np.zeros((256, 256), np.uint8)
    mask[:, 101] = 255
    Image.fromarray(mask).save(tmp_path / "line.png")
    small = read_mask(tmp_path / "line.png", 32)
    assert small[:, 12].all() and small.sum() == 32


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_values_of_16_bits_are_scaled_the_same_wherever_they_stand_in_a_large_image(kind, tmp_path):
    values = np.zeros((1500, 1200), kind)
    values[0, 0], values[700, 3], values[-1, -1] = 200, 65535, 32896
    Image.fromarray(values).save(tmp_path / "a.tiff")
    found = read_image(tmp_path / "a.tiff")[..., 0]
    assert (found[0, 0], found[700, 3], found[-1, -1], found.max()) == (1, 255, 128, 255)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_large_transparent_picture_of_few_bytes_takes_no_gigabyte(tmp_path):
    # Not ru_maxrss, which begins at the most that the process had which started this one.
    program_text = (
        "import sys; from hw3lib.data import read_image;"
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]);"
        "before = peak(); found = read_image(sys.argv[1]); assert (found == 255).all(), found;"
        "print((peak() - before) / 1e6)"
    )
    Image.new("LA", (100, 900_000), (7, 0)).save(tmp_path / "a.png")
    program = [sys.executable, "-c", program_text, str(tmp_path / "a.png")]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.0


def test_an_image_of_several_strips_is_read_as_one(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1100, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    white = Image.new("RGBA", (1100, 1500), "white")
    expected = np.asarray(Image.alpha_composite(white, Image.fromarray(pixels)).convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)
