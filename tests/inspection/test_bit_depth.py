"""Photographs of more than 8 bits through ``hw3 detect`` and the app: one scale, kept with the detector, and told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.anomaly import OnnxDetector
from hw3lib.anomaly.registry import load
from hw3lib.cli import main as cli
from hw3lib.data import ImageStack, Reading, load_table
from hw3lib.inspection.app.inspection import Inspector
from hw3lib.inspection.score import RESULTS

QUICK = ("--image-size", 32, "--detector", "autoencoder", "-p", "num_steps", 2, "-p", "batch_size", 2)
HELD = ("--held-out", 0.4, "--false-alarm-rate", 0.3)
pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


def hw3(*arguments: object) -> int:
    return cli.main(["detect", *map(str, arguments)])


def write(folder: Path, bits: int, seed: int = 0, count: int = 7) -> Path:
    """The same photographs in 8 bits or more; none is as bright as its bits allow."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels = rng.integers(40, 200, (32, 32), dtype=np.uint8)
        values = np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint16)
        Image.fromarray(values if bits > 8 else pixels).save(folder / f"{i}.png")
    return folder


def scores(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / RESULTS, keep_default_na=False)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """The same good photographs in 8 and in 12 bits, and a detector of each."""
    home = tmp_path_factory.mktemp("depth")
    for bits in (8, 12):
        assert hw3("fit", write(home / f"good{bits}", bits), "--out", home / f"detector{bits}", *QUICK, *HELD) == 0
        write(home / f"today{bits}", bits, seed=1, count=3)
    return home


def test_twelve_bits_are_scored_as_the_eight_that_they_were_made_of(fitted, tmp_path):
    for bits in (8, 12):
        assert hw3("score", fitted / f"detector{bits}", fitted / f"today{bits}", "--out", tmp_path / str(bits)) == 0
    wanted, found = scores(tmp_path / "8"), scores(tmp_path / "12")
    assert np.array_equal(found["score"], wanted["score"]) and not any(found["warning"])


def test_the_range_is_said_and_kept_with_the_detector(fitted, tmp_path, capsys):
    assert hw3("fit", fitted / "good12", "--out", tmp_path / "a", *QUICK) == 0
    assert "\n12 bits: 0 to 4095 are black and white" in capsys.readouterr().out
    kept = json.loads((tmp_path / "a/detector.json").read_text(encoding="utf-8"))
    assert kept["reading"] == {"pixel_range": [0, 4095], "fit": "stretch", "roi": None}
    assert load(tmp_path / "a").reading_ == Reading((0, 4095))
    assert hw3("fit", fitted / "good8", "--out", tmp_path / "b", *QUICK) == 0
    assert "black and white" not in capsys.readouterr().out


def test_a_given_range_goes_before_the_one_that_is_found_and_what_it_cuts_off_is_said(fitted, tmp_path, capsys):
    assert hw3("fit", fitted / "good12", "--out", tmp_path / "a", *QUICK, "--range", 0, 2000) == 0
    out = capsys.readouterr().out
    assert "\n0 to 2000 are black and white" in out and "warning: 7 good images of 7, first " in out
    assert load(tmp_path / "a").reading_.pixel_range == (0, 2000)
    assert hw3("fit", fitted / "good12", "--out", tmp_path / "b", *QUICK, "--range", 5, 5) == 2
    assert "expected two numbers, black and white" in capsys.readouterr().err


def test_of_a_category_its_own_scale_is_taken(tmp_path, capsys):
    write(tmp_path / "bolts/train/good", 10)
    write(tmp_path / "bolts/test/good", 12, seed=1, count=2)
    assert hw3("fit", tmp_path / "bolts", "--out", tmp_path / "a", *QUICK) == 0
    assert "12 bits: 0 to 4095" in capsys.readouterr().out
    table = load_table(tmp_path, "bolts")
    stack = ImageStack.load(table[table["split"] == "train"], 32)
    assert stack.images.max() <= 200 // 4 and stack.reading == load(tmp_path / "a").reading_


@pytest.mark.parametrize("exported", [False, True])
def test_what_is_beyond_the_range_is_warned_of_with_file_and_value(exported, fitted, tmp_path, capsys):
    detector = fitted / "detector12"
    if exported:
        pytest.importorskip("onnxscript")
        assert hw3("export", detector, "--out", tmp_path / "a.onnx") == 0
        detector = tmp_path / "a.onnx"
        assert OnnxDetector(detector).reading_ == Reading((0, 4095))
    photograph = np.full((32, 32), 900, np.uint16)
    photograph[4, 5] = 5000
    (tmp_path / "today").mkdir()
    Image.fromarray(photograph).save(tmp_path / "today/bright.png")
    Image.fromarray(np.minimum(photograph, 4095)).save(tmp_path / "today/fine.png")
    Image.fromarray(np.full((32, 32), 99, np.uint8)).save(tmp_path / "today/shallow.png")
    assert hw3("score", detector, tmp_path / "today", "--out", tmp_path / "results") == 0
    err = capsys.readouterr().err
    bright = "holds values of 5000, beyond the range 12 bits: 0 to 4095; they are cut off"
    shallow = "8 bits a pixel, read as they are and not by the range 12 bits: 0 to 4095"
    assert f"warning: {tmp_path / 'today/bright.png'}: " in err and f"{bright}\n" in err
    found = scores(tmp_path / "results")
    of_depth = [said.rpartition("one shade")[2].removeprefix("; ") for said in found["warning"]]
    assert of_depth == [bright, "", shallow]
    assert found["score"][0] == found["score"][1]  # cut off, as told


def test_a_detector_of_8_bits_says_that_other_photographs_are_deeper(fitted, tmp_path):
    assert hw3("score", fitted / "detector8", fitted / "today12", "--out", tmp_path / "results") == 0
    assert all(text.startswith("more than 8 bits a pixel") for text in scores(tmp_path / "results")["warning"])


def test_a_stack_on_another_scale_is_scored_with_a_warning(fitted):
    files = pd.DataFrame({"image": sorted(map(str, (fitted / "today12").iterdir()))})
    detector = load(fitted / "detector12")
    with pytest.warns(match="reading=detector.reading_"):
        detector.score(ImageStack.load(files, 32))
    detector.score(ImageStack.load(files, 32, reading=detector.reading_))


def test_good_photographs_with_nan_are_refused_by_name(tmp_path, capsys):
    folder = write(tmp_path / "good", 8)
    values = np.full((32, 32), 0.5, np.float32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(folder / "9.tif")
    assert hw3("fit", folder, "--out", tmp_path / "a", *QUICK) == 2
    err = capsys.readouterr().err
    assert "1 good image of 8 cannot be read" in err and "9.tif: holds NaN" in err


def test_the_app_reads_an_upload_as_its_detector_does_and_shows_what_is_beyond(fitted):
    inspectors = {bits: Inspector(fitted / f"detector{bits}") for bits in (8, 12)}
    found = {}
    for bits, inspector in inspectors.items():
        photograph = fitted / f"today{bits}/0.png"
        found[bits] = inspector.inspect(photograph.read_bytes(), "a.png")
        assert found[bits]["warning"] == ""
    assert found[8]["score"] == found[12]["score"] and found[8]["photograph"] == found[12]["photograph"]
    odd = inspectors[12].inspect((fitted / "today8/0.png").read_bytes(), "a.png")
    assert odd["warning"].startswith("a.png: 8 bits a pixel")
