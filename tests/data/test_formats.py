"""Photographs in formats that cameras and telephones write: read like others, or refused by what would read them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from hw3lib.core import optional
from hw3lib.data import load_table, read_image
from hw3lib.data.pixels.decoding import FORMATS, NoPlugIn, open_image
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error
from hw3lib.inspection.app.inspection import decode
from tests.helpers.heic import HEIC


def scene() -> np.ndarray:
    """What ``HEIC`` shows: red on the left, blue on the right, white on top."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :12], pixels[:, 12:], pixels[:4] = (200, 30, 30), (30, 30, 200), 255
    return pixels


def alike(found: np.ndarray, error: int = 30) -> bool:
    return found.shape == (16, 24, 3) and int(np.abs(found.astype(int) - scene())[6:, [2, 21]].max()) <= error


@pytest.fixture
def without_plug_in(monkeypatch):
    """As on a machine without the extra."""
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    monkeypatch.setitem(sys.modules, "pi_heif", None)


@pytest.mark.parametrize("suffix", ["gif", "jfif", "jp2", "pgm", "ppm", "pnm", "avif", "webp", "bmp", "tiff"])
def test_formats_that_pillow_reads_are_read_alike(tmp_path, suffix):
    needs = {"jp2": "jpg_2000", "avif": "avif"}
    if suffix in needs and not features.check(needs[suffix]):
        pytest.skip(f"this Pillow was built without {suffix}")
    kind = {"jfif": "JPEG", "pgm": "PPM", "pnm": "PPM", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
    path, image = tmp_path / f"a.{suffix}", Image.fromarray(scene())
    (image.convert("L") if suffix == "pgm" else image).save(path, kind)
    assert read_header(path)[:2] == (24, 16)
    found = read_image(path)
    if suffix == "pgm":
        assert np.array_equal(found[..., 0], np.asarray(image.convert("L")))
    else:
        assert alike(found)
        with open_image(path) as opened:
            assert opened.format in FORMATS
        assert alike(decode(path.read_bytes(), path.name).pixels)


def test_heic_is_read_where_its_package_is(tmp_path):
    pytest.importorskip("pi_heif")
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(HEIC)
    assert read_header(path)[:2] == (24, 16) and alike(read_image(path))
    assert alike(decode(HEIC, "IMG_0001.HEIC").pixels)
    assert "pi_heif" in optional.require("heic")


def test_heic_without_its_package_is_a_sentence_that_names_the_extra(tmp_path, category, without_plug_in):
    path = category / "test" / "dent" / "000.heic"
    path.write_bytes(HEIC)
    said = "is HEIC. Reading HEIC needs the package pi-heif, which is not installed. "
    with pytest.raises(NoPlugIn, match=said):
        open_image(path)
    for read in (read_image, read_header):
        with pytest.raises(Hw3Error, match=said) as caught:
            read(path)
        assert "EXTRAS=heic" in str(caught.value) and "LGPL-3.0" in str(caught.value)
    with pytest.raises(Hw3Error, match=f"^000.heic {said}"):
        decode(HEIC, "000.heic")
    table = load_table(category.parent, category.name, strict=False)
    (problem,) = (p for p in table.attrs["problems"] if p["kind"] == "unreadable")
    assert problem["file"] == str(path) and "EXTRAS=heic" in problem["message"]


def test_avif_without_pillow_s_own_decoder_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k not in ("AVIF", "HEIF")})
    with pytest.raises(NoPlugIn, match="is AVIF, and Pillow was built without it"):
        open_image(io.BytesIO(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf"))


def test_other_files_of_that_family_are_no_images(tmp_path, without_plug_in):
    path = Path(tmp_path / "a.heic")
    path.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(64))  # a film
    with pytest.raises(Hw3Error, match="is not an image, whatever its name says"):
        read_header(path)
