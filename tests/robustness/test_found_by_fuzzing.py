"""What the fuzzer found, one test a fault."""

import json
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.annotate.formats.voc import read_xml
from hw3lib.annotate.pictures import image_size
from hw3lib.anomaly import OnnxDetector
from hw3lib.core.provenance import file_record
from hw3lib.core.untrusted import parse, parse_value
from hw3lib.core.values import number
from hw3lib.course.grading import _read as read_submitted
from hw3lib.data import check_category, load_table, read_image
from hw3lib.data.fetch.archive import extract
from hw3lib.data.regions.shapes import run_lengths
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error
from hw3lib.report.runs import Run
from hw3lib.views.widgets.choices import Choices

BOMB = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])


@pytest.mark.parametrize(
    "text",
    [BOMB, "&a [*a]", "!!int ''", "!!timestamp x", "!!map x", "!!bool x", "2021-99-99", "{a: 1, a: 2}", "[" * 3000],
    ids=["aliases of aliases", "itself", "int", "timestamp", "map", "bool", "date", "twice", "deep"],
)
def test_a_hostile_yaml_is_one_value_error(text):
    with pytest.raises(ValueError):
        parse(text)


def test_yaml_keeps_anchors_merges_and_numbers_as_people_write_them():
    text = "a: &a {lr: 1e-3, epochs: 3}\nb: {<<: *a, epochs: 5}\nc: *a"
    assert parse(text) == {
        "a": {"lr": 1e-3, "epochs": 3},
        "b": {"lr": 1e-3, "epochs": 5},
        "c": {"lr": 1e-3, "epochs": 3},
    }


@pytest.mark.parametrize("text", ["[2021-99-99]", "[" * 3000, "{a: 2021-01-01}", "{? [a] : b}"])
def test_a_parameter_that_is_no_sound_yaml_is_a_text(text):
    assert parse_value(text) == text


def test_run_lengths_whose_sum_overflows_to_the_right_one_are_refused():
    counts = [2**53 - 1] * 2048 + [2048 + 600]
    assert int(np.array(counts, np.int64).sum()) == 600
    with pytest.raises(Hw3Error, match="a run length of"):
        run_lengths({"size": [20, 30], "counts": counts}, (20, 30), "here")


def test_an_integer_beyond_all_floats_is_no_finite_number():
    with pytest.raises(Hw3Error, match="finite"):
        number(10**400, "here")


def test_an_unknown_encoding_of_an_xml_is_one_error(tmp_path):
    (tmp_path / "a.xml").write_text('<?xml version="1.0" encoding="x-none"?><annotation/>')
    with pytest.raises(Hw3Error, match=r"a\.xml"):
        read_xml(tmp_path / "a.xml")


def test_choices_go_by_names_that_are_no_utf8(tmp_path):
    Choices(tmp_path / "a.json").set("test/dent/\udcff.png", "dent", "keep")
    assert Choices(tmp_path / "a.json").get("test/dent/\udcff.png") == "keep"


def test_a_figure_beyond_all_floats_is_refused_in_a_report(tmp_path):
    (tmp_path / "01").mkdir()
    (tmp_path / "01/metrics.json").write_text(json.dumps({"category": "a", "images": 10**400}))
    run = Run(tmp_path)
    with pytest.raises(Hw3Error, match="expected a number"):
        run.mark("01/metrics.json", "/images", ".1f", 100.0)


def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path):
    Image.new("1", (12_000, 9_000)).save(tmp_path / "large.png")
    with pytest.raises(Hw3Error, match="million"):
        image_size(tmp_path / "large.png")


@pytest.mark.parametrize("reader", [read_header, read_image])
def test_a_small_webp_with_a_canvas_that_takes_over_a_gigabyte_is_refused(reader, tmp_path):
    frames = [Image.new("RGB", (12, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    whole = bytearray((tmp_path / "a.webp").read_bytes())
    where = whole.index(b"VP8X") + 12  # of the canvas's width less one
    whole[where : where + 3] = (8_000_000).to_bytes(3, "little")
    (tmp_path / "a.webp").write_bytes(whole)
    with pytest.raises(Hw3Error, match="8000001x9 pixels; at most 50 million"):
        reader(tmp_path / "a.webp")


@pytest.mark.parametrize("kind", ["png", "tiff", "webp", "jpg"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (12, 9)), (3, (12, 9)), (6, (9, 12)), (9, (12, 9))])
def test_a_turned_image_has_its_upright_size_in_the_table(kind, orientation, size, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (12, 9)).save(tmp_path / f"a.{kind}", exif=exif)
    assert read_header(tmp_path / f"a.{kind}")[:2] == size
    assert read_image(tmp_path / f"a.{kind}").shape[1::-1] == size


@pytest.mark.parametrize("marks", [(6, None), (None, 6), (6, 1), (1, 6), (6, 0), (0, 6)])
def test_a_png_with_marks_before_and_after_its_pixels_has_one_upright_size(marks, tmp_path):
    """Orientation in the chunk before the pixels and in that behind them; 0: an empty chunk, None: none."""

    def chunk(orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = b"eXIf" + (exif.tobytes().removeprefix(b"Exif\0\0") if orientation else b"")
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    Image.new("RGB", (12, 9)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for at, orientation in zip((b"IDAT", b"IEND"), marks, strict=True):
        if orientation is not None:
            where = whole.index(at) - 4
            whole = whole[:where] + chunk(orientation) + whole[where:]
    (tmp_path / "a.png").write_bytes(whole)
    size = (9, 12) if (marks[0] if marks[1] is None else marks[1]) == 6 else (12, 9)
    assert read_header(tmp_path / "a.png")[:2] == size
    assert read_image(tmp_path / "a.png").shape[1::-1] == size


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_values_of_16_bits_are_scaled_the_same_wherever_they_stand_in_a_large_image(kind, tmp_path):
    values = np.zeros((1500, 1200), kind)
    values[0, 0], values[700, 3], values[-1, -1] = 200, 65535, 32896
    Image.fromarray(values).save(tmp_path / "a.tiff")
    found = read_image(tmp_path / "a.tiff")[..., 0]
    assert (found[0, 0], found[700, 3], found[-1, -1], found.max()) == (1, 255, 128, 255)


@pytest.mark.parametrize("name", ["/nowhere", "x" * 300, "**x", "[a", "a\0b", "", "..", "\udcff"])
def test_a_category_of_an_impossible_name_is_refused(name, tmp_path):
    with pytest.raises(Hw3Error, match=re.escape(str(tmp_path))):
        load_table(tmp_path, name)


def test_a_tar_with_an_impossible_number_in_an_extension_is_damaged(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as file:
        for name in ("a", "b"):
            made = tarfile.TarInfo(name)
            made.pax_headers = {"GNU.sparse.map": "../x"} if name == "b" else {}
            file.addfile(made)
    with pytest.raises(Hw3Error, match=r"a\.tar"):
        extract(tmp_path / "a.tar", tmp_path / "out", progress=False)


def test_an_entry_without_a_name_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(zipfile.ZipInfo(""), b"x")
    with pytest.raises(Hw3Error, match=r"a\.zip"):
        extract(tmp_path / "a.zip", tmp_path / "out", progress=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not take such names")
def test_a_name_that_is_no_utf8_is_a_problem_of_its_category_and_not_its_end(tmp_path):
    for i, name in enumerate(("good/0.png", "good/1.png", "dent/0.png", "dent/\udcff.png", "\udcfe/0.png")):
        (tmp_path / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (i, i, i)).save(tmp_path / "w" / name)
    (tmp_path / "w" / "\udcfd").mkdir()
    with pytest.raises(Hw3Error, match="no UTF-8"):
        load_table(tmp_path, "w")
    table = load_table(tmp_path, "w", strict=False)
    assert [Path(file).name for file in table["image"]] == ["1.png", "0.png", "0.png"]
    report = check_category(table)
    assert (report.problems["kind"] == "odd name").sum() == 2 and "\\udcff" in report.summary()


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


def test_no_record_of_a_file_whose_name_is_too_long(tmp_path):
    assert file_record(tmp_path / ("a" * 5000)) is None


def test_a_submitted_notebook_with_half_a_character_is_refused(tmp_path):
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "\ud800"}
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "a.ipynb").write_text(json.dumps(content))
    with pytest.raises(Hw3Error, match="not a notebook"):
        read_submitted(tmp_path / "a.ipynb")


def test_a_library_that_says_nothing_of_its_error_is_named(monkeypatch, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(Hw3Error, match=r"cannot be read as an ONNX model \(RuntimeError\)"):
        OnnxDetector(tmp_path / "a.onnx")
