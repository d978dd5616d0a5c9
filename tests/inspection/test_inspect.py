"""``hw3 inspect fit`` and ``score``: one folder, rows of photographs and of regions, and what is not to be judged."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from hw3lib.anomaly.registry import load
from hw3lib.cli.main import main
from hw3lib.data import read_image
from hw3lib.data.pixels.reading import Reading
from hw3lib.errors import Hw3Error
from hw3lib.inspection import inspector as module
from hw3lib.inspection.fit import region_of_interest
from hw3lib.inspection.inspector import Inspector
from hw3lib.inspection.plausibility import Look, Plausible, doubt, doubt_batch
from tests.helpers.plates import SIDE, part

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


def hw3(*arguments: object) -> int:
    return main(["inspect", *map(str, arguments)])


def test_a_row_a_photograph_and_a_row_a_region_say_what_and_where(home, today, tmp_path, capsys):
    assert hw3("score", home / "inspector", today, "--out", tmp_path / "r", "--overlays") == 1
    table = pd.read_csv(tmp_path / "r/results.csv").set_axis(list("abcdefg"))
    assert table["verdict"].tolist()[:6] == ["good", "anomalous", "anomalous", *["implausible"] * 3]
    assert np.isnan(table["score"]["g"]) and "truncated" in table["reason"]["g"]
    assert table["types"]["b"].split("|")[0] == "rust" and table["types"]["c"].split("|")[0] == "ink"
    assert "all but black" in table["warning"]["d"] and "96x40 pixels, another shape" in table["warning"]["e"]
    assert "the photograph is grey, and the good ones have colours" in table["warning"]["f"]
    regions = pd.read_csv(tmp_path / "r/regions.csv")
    first = regions[regions["file"].str.contains("b_rust")].iloc[0]
    marked = decoded(json.loads(first["segmentation"]))
    assert first["area"] == marked.sum() and marked[40, 50] and first["region"] == 1
    x, y, width, height = first[["x", "y", "width", "height"]].astype(int)
    assert x <= 50 < x + width and y <= 40 < y + height and marked[y : y + height, x : x + width].sum() == first["area"]
    assert first["peak"] == pytest.approx(table["score"]["b"], rel=0.05)  # the score is the map's maximum, or near it
    assert not regions["file"].str.contains("a_good|d_black").any()
    assert (tmp_path / "r/overlays/b_rust.png").is_file()
    assert "3 cannot be judged" in capsys.readouterr().out


def decoded(segmentation, size=(80, 96)):
    found = coco_mask.frPyObjects(segmentation, *size) if isinstance(segmentation, list) else [segmentation]
    return coco_mask.decode(coco_mask.merge(found)).astype(bool)


@pytest.mark.parametrize(("names", "code"), [(["a_good"], 0), (["a_good", "c_ink"], 3), (["d_black"], 3),
                                             (["c_ink", "g_damaged"], 1)])  # fmt: skip
def test_the_exit_code_tells_a_script(home, today, tmp_path, names, code):
    files = [today / f"{name}.png" for name in names]
    assert hw3("score", home / "inspector", *files, "--out", tmp_path / "r") == code


def test_lines_and_coco_go_to_standard_output_and_messages_do_not(home, today, tmp_path, capsys):
    assert hw3("score", home / "inspector", today, "--out", "-", "--format", "jsonl") == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"] for row in found[:3]] == ["good", "anomalous", "anomalous"] and found[6]["score"] is None
    assert found[0]["regions"] == [] and found[1]["regions"][0]["types"] == found[1]["types"]
    assert sum(found[1]["probabilities"].values()) == pytest.approx(1)
    assert hw3("score", home / "inspector", today, "--out", "-", "--format", "coco") == 1
    coco = json.loads(capsys.readouterr().out)
    assert len(coco["images"]) == 6 and [c["name"] for c in coco["categories"]] == ["ink", "rust", "new"]
    assert {a["image_id"] for a in coco["annotations"]} == {2, 3}
    assert hw3("score", home / "inspector", today / "a_good.png", "--out", "-") == 0
    assert pd.read_csv(io.StringIO(capsys.readouterr().out))["verdict"].tolist() == ["good"]
    assert hw3("score", home / "inspector", today, "--out", tmp_path / "c", "--format", "coco") == 1
    assert json.loads((tmp_path / "c/regions.json").read_text()) == coco
    assert hw3("score", home / "inspector", today, "--out", tmp_path / "l", "--format", "jsonl") == 1
    lines = [json.loads(line) for line in (tmp_path / "l/regions.jsonl").read_text().splitlines()]
    assert lines == [region for row in found for region in row["regions"]]
    assert hw3("score", home / "inspector", today, "--out", "-", "--overlays") == 2


def test_the_folder_is_a_detector_and_an_old_detector_is_an_inspector_without_types(home, today, tmp_path):
    whole, bare = Inspector(home / "inspector"), Inspector(home / "inspector", types=False)
    assert whole.types is not None and bare.types is None and whole.known is not None
    assert load(home / "inspector").threshold_ == whole.threshold
    shutil.copytree(home / "inspector", tmp_path / "old")
    shutil.rmtree(tmp_path / "old/types")
    (tmp_path / "old/inspector.json").unlink()
    assert hw3("score", tmp_path / "old", today / "c_ink.png", "--out", tmp_path / "r") == 3
    assert pd.read_csv(tmp_path / "r/results.csv")["types"].isna().all()
    (tmp_path / "old/inspector.json").write_text('{"sizes": 3}')
    with pytest.raises(Hw3Error, match="inspector.json: is damaged; fit the inspector again"):
        Inspector(tmp_path / "old")


def test_types_come_from_where_they_are_said_or_from_nowhere(home, tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("hw3lib.inspection.fit.learn_types", lambda place, *_: asked.append(place) or _none(place))
    quick = ("--image-size", 32, "--detector", "padim")
    assert hw3("fit", home / "plates/train/good", "--out", tmp_path / "a", *quick) == 0
    assert "no labelled defects, so no type" in capsys.readouterr().out and not asked
    assert (
        hw3("fit", home / "plates", "--out", tmp_path / "b", *quick) == 0
    )  # they are looked for, and none is no error
    assert asked == [home / "plates"] and "no type of a defect will be named: none" in capsys.readouterr().out
    assert hw3("fit", home / "plates", "--out", tmp_path / "c", *quick, "--types", "none") == 0 and len(asked) == 1
    assert hw3("fit", home / "plates", "--out", tmp_path / "d", *quick, "--types", home / "other") == 2
    assert not (tmp_path / "d").exists() and (tmp_path / "c/inspector.json").is_file()


def _none(place):
    raise Hw3Error(f"none in {place}")


def test_alarms_come_from_the_region_of_interest_alone(home, tmp_path):
    """Read so, a blot outside of it is not there: whoever computes scores, and in the app."""
    mask = Image.new("L", (96, 80))
    ImageDraw.Draw(mask).rectangle((0, 0, 47, 79), fill=255)
    mask.save(tmp_path / "roi.png")
    arguments = ("fit", home / "plates", "--out", tmp_path / "left", "--image-size", SIDE, "--types", "none")
    assert hw3(*arguments, "--roi", tmp_path / "roi.png") == 0
    rng = np.random.default_rng(3)
    for name, at in (("inside", (30, 10)), ("outside", (30, 62))):
        Image.fromarray(part(rng, "rust", at)).save(tmp_path / f"{name}.png")
    reading = load(tmp_path / "left").reading_
    plain = part(np.random.default_rng(4))
    blotted = plain.copy()
    blotted[30:50, 62:82] = 255
    shown = []
    for pixels in (plain, blotted):
        Image.fromarray(pixels).save(tmp_path / "x.png")
        shown.append(read_image(tmp_path / "x.png", reading=reading))
    assert np.array_equal(*shown) and len(np.unique(shown[0][:, 60:].reshape(-1, 3), axis=0)) == 1
    assert np.array_equal(shown[0][:, :40], plain[:, :40])
    assert hw3("score", tmp_path / "left", tmp_path / "outside.png", "--out", tmp_path / "o") == 0
    assert hw3("score", tmp_path / "left", tmp_path / "inside.png", "--out", tmp_path / "i") == 3


def test_a_region_is_said_in_pixels_or_shares_or_as_a_mask(tmp_path):
    shares = region_of_interest("0,0 0.5,0 0.5,1", [(200, 100)])
    assert shares == region_of_interest("0,0 100,0 100,100", [(200, 100)]) == (((0, 0), (0.5, 0), (0.5, 1)),)
    with pytest.raises(Hw3Error, match="--roi 0,0 9,0 9,9: pixels of photographs of 2 sizes"):
        region_of_interest("0,0 9,0 9,9", [(20, 10), (30, 10)])
    for wrong in ("0,0 1,1", "1,2,3 4", "0,0 500,0 0,500"):
        with pytest.raises(Hw3Error, match="--roi .*expected"):
            region_of_interest(wrong, [(20, 10)])
    Image.new("L", (9, 9)).save(tmp_path / "empty.png")
    with pytest.raises(Hw3Error, match="nothing is marked"):
        region_of_interest(str(tmp_path / "empty.png"), [(9, 9)])
    with pytest.raises(Hw3Error, match="roi=.*expected polygons"):
        Reading(roi=(((0, 0), (2, 0), (0, 2)),))


def test_what_is_said_of_light_and_of_another_product():
    good = Plausible([(96, 80)], Look(100, 40, 30), Look(110, 60, 50))
    rng = np.random.default_rng(0)
    plain = part(rng).transpose(2, 0, 1)
    assert doubt(good, plain, (96, 80), 0.1) == "" == doubt(good, plain, (192, 160), None)
    assert "light: 80% of the picture" in doubt(good, plain // 3 + rng.integers(0, 30, plain.shape), (96, 80), 0.8)
    assert doubt(good, plain, (96, 80), 0.8).startswith("wrong product, or another view or light: 80%")
    assert doubt(None, plain, (1, 1), 0.8).startswith("wrong product") and doubt(None, plain, (1, 1), 0.2) == ""
    assert "another size" in doubt(good, plain, (960, 800), None) and "all but white" in doubt(
        None, plain * 0 + 255, (1, 1), None
    )


def test_a_batch_of_nothing_but_anomalies_is_another_lamp_first():
    assert doubt_batch(4, 4) == doubt_batch(8, 10) == ""
    assert doubt_batch(9, 10).startswith("9 of 10 photographs are anomalous: so many defects at once are rarer")


def test_types_in_the_folder_are_loaded_and_not_learned(home, today, monkeypatch):
    monkeypatch.setattr(module, "learn_types", None)
    assert Inspector(home / "inspector").types.classes == ["ink", "rust"]
