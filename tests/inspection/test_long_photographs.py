"""``hw3 detect`` and the app on photographs that are no squares: heat maps lie on the photographs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.anomaly.maps import upsample
from hw3lib.anomaly.onnx.detector import OnnxDetector
from hw3lib.anomaly.registry import load
from hw3lib.cli import main as cli
from hw3lib.inspection.app.inspection import Inspector
from tests.helpers.long_photographs import is_on_disc, make_category

FITS = ("stretch", "pad", "tile")
SIZE = (100, 252)
pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


def hw3(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return make_category(tmp_path_factory.mktemp("plates"), SIZE)


@pytest.fixture(scope="module", params=FITS)
def detector(request, plates, tmp_path_factory) -> Path:
    """Fitted on the folder of good photographs, which is no category."""
    out = tmp_path_factory.mktemp("fitted") / request.param
    command = ("detect", "fit", plates[0] / "good", "--out", out, "--image-size", 64, "--fit", request.param)
    assert hw3(*command, "-p", "smoothing", 0.01, "--false-alarm-rate", 0.3) == 0
    return out


def scored(detector: Path, folder: Path, out: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    assert hw3("detect", "score", detector, folder / "disc", "--out", out, "--overlays", "--tiff") == 0
    for path in sorted((out / "overlays").iterdir()):
        with Image.open(path) as picture:
            assert picture.size == SIZE
    maps = {path.with_suffix(".png").name: np.asarray(Image.open(path)) for path in (out / "maps").iterdir()}
    return pd.read_csv(out / "results.csv"), maps


def test_heat_maps_lie_on_the_photographs(detector, plates, tmp_path):
    folder, places = plates
    results, maps = scored(detector, folder, tmp_path / "results")
    assert results["anomalous"].all() and len(results) == len(places)
    assert set(maps) == set(places)
    for name, values in maps.items():
        assert values.shape == SIZE[::-1]
        assert is_on_disc(np.unravel_index(values.argmax(), values.shape), places[name])


def test_onnx_says_the_same(detector, plates, tmp_path):
    pytest.importorskip("onnxscript")
    assert hw3("detect", "export", detector, "--out", tmp_path / "d.onnx", "--check", plates[0] / "disc") == 0
    assert OnnxDetector(tmp_path / "d.onnx").reading_.fit == detector.name
    wanted, wanted_maps = scored(detector, plates[0], tmp_path / "torch")
    found, found_maps = scored(tmp_path / "d.onnx", plates[0], tmp_path / "onnx")
    assert np.allclose(found["score"], wanted["score"], rtol=1e-4)
    for name, values in wanted_maps.items():
        assert np.allclose(found_maps[name], values, rtol=1e-3, atol=1e-3 * values.max())


def test_the_page_shows_the_whole_photograph(detector, plates, tmp_path, monkeypatch):
    folder, places = plates
    seen, look = [], Inspector.look
    monkeypatch.setattr(Inspector, "look", lambda *args, **more: seen.extend(look(*args, **more)) or seen[-1:])
    inspector = Inspector(detector)
    results, maps = scored(detector, folder, tmp_path / "results")
    for name in places:
        file = folder / "disc" / name
        shown = inspector.inspect(file.read_bytes(), name)
        assert shown["score"] == pytest.approx(results.set_index("file")["score"][str(file)], rel=1e-5)
        with Image.open(io.BytesIO(shown["heat_map"])) as picture, Image.open(io.BytesIO(shown["photograph"])) as plain:
            assert picture.size == plain.size == SIZE
        values = seen.pop().anomaly_map
        assert np.allclose(upsample(values, SIZE[::-1]), maps[name], rtol=1e-4)


def test_the_fit_is_the_category_s_and_may_be_another(plates, tmp_path, capsys):
    folder, _ = make_category(tmp_path / "data", SIZE, fit="pad")
    assert hw3("detect", "fit", folder, "--out", tmp_path / "a", "--image-size", 64) == 0
    assert "each is padded to 64x64, its aspect ratio kept" in capsys.readouterr().out
    assert load(tmp_path / "a").reading_.fit == "pad"
    assert hw3("detect", "fit", folder, "--out", tmp_path / "b", "--image-size", 64, "--fit", "tile") == 0
    assert "each is cut into 3 tiles of 64x64" in capsys.readouterr().out
    assert load(tmp_path / "b").reading_.fit == "tile"
    assert json.loads((folder / "category.json").read_text()) == {"fit": "pad"}


def test_squeezing_is_told_with_the_remedy(plates, tmp_path, capsys):
    folder = plates[0] / "good"
    assert hw3("detect", "fit", folder, "--out", tmp_path / "a", "--image-size", 64, "--fit", "stretch") == 0
    text = capsys.readouterr().out
    assert "100x252 pixels are squeezed 2.5 times" in text and "--fit pad" in text
    assert hw3("detect", "fit", folder, "--out", tmp_path / "b", "--image-size", 64, "--fit", "pad") == 0
    assert "squeezed" not in capsys.readouterr().out


@pytest.mark.parametrize("where", ["folder", "category"])
def test_long_photographs_are_tiled_where_nobody_says_anything_else(where, tmp_path, capsys):
    folder, _ = make_category(tmp_path / "data", SIZE)
    source = folder if where == "category" else next(folder.rglob("good"))
    out = tmp_path / "a"
    assert hw3("detect", "fit", source, "--out", out, "--image-size", 64, "--held-out", 0) == 0
    said = capsys.readouterr().out
    assert "each is cut into 3 tiles of 64x64 that overlap" in said and "squeezed" not in said
    assert load(out).reading_.fit == "tile"


def test_too_long_a_photograph_is_named_and_not_scored(detector, tmp_path, capsys):
    if detector.name != "tile":
        pytest.skip("of no other fit is a photograph too long")
    folder = tmp_path / "long"
    folder.mkdir()
    Image.new("RGB", (8, 4000)).save(folder / "a.png")
    Image.new("RGB", (100, 252)).save(folder / "b.png")
    assert hw3("detect", "score", detector, folder, "--out", tmp_path / "results") == 1
    assert "a.png" in (shown := capsys.readouterr().err) and "tiles, at most 64" in shown
