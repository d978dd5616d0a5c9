"""hw3 annotate: from a category, or from a detector's maps, to folders that others read."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from hw3lib.annotate import FORMATS, from_masks
from hw3lib.annotate.export import by_detector, export, summary_text
from hw3lib.annotate.instances import union
from hw3lib.annotate.preview import COLOURS, sheet
from hw3lib.cli.main import main
from hw3lib.data import load_table
from hw3lib.errors import Hw3Error


def hw3(*arguments: str) -> int:
    """The command, its errors raised."""
    return main(["annotate", *arguments, "--debug"])


def test_every_format_is_written_read_again_and_summed_up(category, tmp_path, capsys):
    out = tmp_path / "out"
    assert hw3("widget", "--data", str(category.parent), "--format", *FORMATS, "--out", str(out), "--preview") == 0
    assert sorted(p.name for p in out.iterdir()) == sorted([*FORMATS, "summary.json", "preview.png"])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["category"] == "widget" and summary["origin"] == "ground-truth masks"
    # 4 good, 4 dents and 3 scratches of the test split: 11 images, a class of three in each part.
    assert sum(summary["images"].values()) == 11
    assert {name: sum(row.values()) for name, row in summary["instances"].items()} == {"dent": 4, "scratch": 3}
    assert summary["instances"]["scratch"] == {"train": 1, "val": 1, "test": 1}
    assert [row["format"] for row in summary["formats"]] == list(FORMATS)
    assert all(row["exact"] and row["round_trip"] == 1 and row["instances"] == 7 for row in summary["formats"])
    said = capsys.readouterr().out
    assert "from ground-truth masks; licence: unknown" in said
    assert "of 7 instances only the box is kept" in said and f"annotations: {out}" in said
    with Image.open(out / "preview.png") as image:
        assert image.size[0] > 800 and np.asarray(image.convert("L")).std() > 10


def test_good_images_of_the_training_split_come_on_request(category, tmp_path):
    table = load_table(category.parent, "widget")
    done = export(table, ["coco"], tmp_path / "out", train_good=True)
    assert len(done.data) == 16
    listed = [n for p in (tmp_path / "out/coco/annotations").iterdir() for n in json.loads(p.read_text())["images"]]
    names = {image["file_name"] for image in listed}
    assert len(names) == 16 and {"good_train_000.png", "good_test_000.png", "dent_000.png"} <= names


def test_dropped_components_and_left_out_images_are_reported(category, tmp_path, capsys):
    table = load_table(category.parent, "widget")
    mask = table.loc[table["defect"] == "dent", "mask"].iloc[0]
    pixels = np.zeros((32, 40), np.uint8)
    pixels[3, 3] = 255
    Image.fromarray(pixels).save(mask)
    options = ["widget", "--data", str(category.parent), "--format", "yolo", "--out", str(tmp_path / "out")]
    hw3(*options, "--min-area", "2")
    said = capsys.readouterr().out
    assert "1 components below 2 pixels dropped, 1 pixels in all" in said
    assert "left out, for they are defective and have no instance: dent 1" in said
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["left_out"] == {"dent": 1} and sum(summary["images"].values()) == 10
    assert [d["area"] for d in summary["dropped"]] == [1] and summary["dropped"][0]["image"].endswith("000.png")


def test_an_export_is_replaced_only_on_request_and_nothing_else_ever(category, tmp_path):
    table = load_table(category.parent, "widget")
    export(table, ["coco"], tmp_path / "out")
    with pytest.raises(Hw3Error, match="--force"):
        export(table, ["voc"], tmp_path / "out")
    export(table, ["voc"], tmp_path / "out", force=True)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["summary.json", "voc"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("keep")
    with pytest.raises(Hw3Error, match="is not a folder of annotations"):
        export(table, ["voc"], tmp_path / "mine", force=True)
    assert (tmp_path / "mine/a.txt").read_text() == "keep"


def test_a_mask_without_an_image_is_one_error(category, tmp_path):
    (category / "test/dent/001.png").unlink()
    with pytest.raises(Hw3Error, match=r"dent/001_mask.png: belongs to no image"):
        hw3("widget", "--data", str(category.parent), "--format", "coco", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_formats_do_not_need_pytorch():
    code = "import sys, hw3lib.annotate.export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mistakes_leave_nothing_behind(category, tmp_path):
    table = load_table(category.parent, "widget")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Hw3Error, match="unknown format 'csv'"):
        export(table, ["csv"], tmp_path / "out")
    with pytest.raises(Hw3Error, match="Lower --min-area"):
        export(table, ["coco"], tmp_path / "out", min_area=10_000)
    with pytest.raises(Hw3Error, match="widget has no masks; fit a detector"):
        bare = table.assign(mask=None)
        bare.attrs = table.attrs
        export(bare, ["coco"], tmp_path / "out")
    with pytest.raises(Hw3Error, match="shares of training"):
        export(table, ["coco"], tmp_path / "out", split=(1, 1, 1))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(scope="module")
def spotted(tmp_path_factory):
    """An own folder without masks: smooth grey products, defective ones with a bright square; and its detector."""
    from hw3lib.anomaly import PaDiM

    folder = tmp_path_factory.mktemp("own") / "bolts"
    rng = np.random.default_rng(0)
    corners = {}
    for name, count in (("good", 12), ("bright", 5)):
        (folder / name).mkdir(parents=True)
        for at in range(count):
            pixels = rng.normal(100, 2, (64, 64, 3))
            if name == "bright":
                x, y = rng.integers(8, 40, 2)
                pixels[y : y + 16, x : x + 16] = 250
                corners[f"{at}.png"] = (int(x), int(y))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{at}.png")
    table = load_table(folder.parent, "bolts")
    good = table.loc[~table["is_defect"], "image"]
    pixels = np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1) for path in good])
    detector = PaDiM(image_size=64, smoothing=1 / 64, device="cpu")
    detector.fit(pixels, held_out=0.5, false_alarm_rate=0.2)
    detector.save(folder.parent / "detector")
    return folder.parent, corners


def test_a_detector_annotates_a_category_without_masks(spotted, tmp_path, capsys):
    place, corners = spotted
    options = ["bolts", "--data", str(place), "--format", "coco", "--out", str(tmp_path / "out")]
    with pytest.raises(Hw3Error, match="bolts has no masks; fit a detector"):
        hw3(*options)
    hw3(*options, "--detector", str(place / "detector"), "--whole", "--split", "0.6", "0.4")
    said = capsys.readouterr().out
    assert "a first annotation, to be corrected" in said
    found = 0
    for path in (tmp_path / "out/coco/annotations").iterdir():
        coco = COCO(path)
        for annotation in coco.anns.values():
            name = coco.imgs[annotation["image_id"]]["file_name"]
            x, y = corners[name.removeprefix("bright_")]
            painted = np.zeros((64, 64), bool)
            painted[y : y + 16, x : x + 16] = True
            mask = coco.annToMask(annotation).astype(bool)
            assert (mask & painted).sum() >= 0.6 * painted.sum() and coco.cats[1]["name"] == "bright"
            found += 1
    assert found == 5


def test_good_images_get_no_instance_from_a_detector(spotted):
    place, _ = spotted
    table = load_table(place, "bolts")
    found, said = by_detector(table, place / "detector", echo=lambda _: None)
    assert {i.defect for i in found} == {"bright"} and all(table["is_defect"].iloc[i.row] for i in found)
    assert "anomaly maps" in said
    with pytest.raises(Hw3Error, match="no image of a defect"):
        by_detector(table[~table["is_defect"]], place / "detector", echo=lambda _: None)


def test_the_preview_has_a_row_a_class_and_colours_that_differ(category):
    from hw3lib.annotate import Dataset

    table = load_table(category.parent, "widget")
    figure = sheet(Dataset.of(table, from_masks(table)), columns=3, each=3)
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 6
    texts = [axes.texts[0].get_text() for axes in drawn]
    assert texts == ["dent"] * 3 + ["scratch"] * 3
    boxes = [axes.patches[0].get_edgecolor() for axes in drawn]
    assert len(set(boxes)) == 2 and len(set(COLOURS)) == 7


@pytest.fixture
def partly(spotted, tmp_path):
    """The category of ``spotted`` with masks of two of its five defects, and with a defect that cannot be seen."""
    place, corners = spotted
    folder = tmp_path / "partly/bolts"
    shutil.copytree(place / "bolts", folder)
    for name in ("0", "3"):
        x, y = corners[f"{name}.png"]
        mask = np.zeros((64, 64), np.uint8)
        mask[y : y + 16, x : x + 16] = 255
        (folder / "masks/bright").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(folder / f"masks/bright/{name}.png")
    shutil.copy(folder / "good/1.png", folder / "bright/900.png")
    return folder.parent


def drawn_later(out) -> list[list[str]]:
    """The rows of ``to_draw.csv``: name and reason, and the header's."""
    text = (out / "to_draw.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")  # Excel takes it for UTF-8 by this
    rows = list(csv.reader(text.decode("utf-8-sig").splitlines()))
    assert rows[0] == ["image", "defect", "reason"] and all(row[1] == "bright" for row in rows[1:])
    return [[Path(row[0]).name, row[2]] for row in rows[1:]]


def test_images_without_a_mask_are_left_out_and_named(partly, tmp_path, capsys):
    out = tmp_path / "out"
    hw3("bolts", "--data", str(partly), "--format", "yolo", "--out", str(out), "--split", "0.5", "0.5")
    missing = ["1.png", "2.png", "4.png", "900.png"]
    assert drawn_later(out) == [[name, "no mask"] for name in missing]
    said, summary = capsys.readouterr().out, json.loads((out / "summary.json").read_text())
    for name, image in zip(missing, summary["to_draw"], strict=True):
        assert f"  bright/{name}: no mask" in said and image["image"].endswith(f"/bright/{name}")
    assert summary["left_out"] == {"bright": 4} and summary["instances"] == {"bright": {"train": 1, "val": 1}}
    # An image without a label is background to YOLO: it must be none with a defect.
    images = {p.stem for p in (out / "yolo/images").rglob("*.png")}
    labels = {p.stem for p in (out / "yolo/labels").rglob("*.txt")}
    assert labels == {"bright_0", "bright_3"} and all(name.startswith("good_") for name in images - labels)


def test_a_detector_fills_in_the_images_without_a_mask(partly, spotted, tmp_path, capsys):
    place, corners = spotted
    table = load_table(partly, "bolts")
    masks = from_masks(table)
    done = export(table, ["coco", "yolo"], tmp_path / "out", detector=place / "detector", echo=lambda _: None)
    instances = {Path(name).stem: found for name, found in zip(done.data.names, done.data.by_image(), strict=True)}
    for name, mask in zip(("bright_0", "bright_3"), masks, strict=True):
        assert [(i.xywh, i.area) for i in instances[name]] == [(mask.xywh, 256)]
    for name in ("bright_1", "bright_2", "bright_4"):
        x, y = corners[f"{name[-1]}.png"]
        painted = np.zeros((64, 64), bool)
        painted[y : y + 16, x : x + 16] = True
        assert (union(instances[name]) & painted).sum() >= 0.6 * 256
    assert drawn_later(tmp_path / "out") == [["900.png", "the detector found nothing"]]
    assert "bright/900.png: the detector found nothing" in summary_text(done)
    assert done.origin.startswith("ground-truth masks of 2 images; of 4 without a mask, anomaly maps of PaDiM above")
    assert not any(name.startswith("bright_900") for name in done.data.names)


def test_a_detector_draws_nothing_where_every_defect_has_a_mask(category, tmp_path):
    said: list[str] = []
    table = load_table(category.parent, "widget")
    done = export(table, ["coco"], tmp_path / "out", detector=tmp_path / "unread", echo=said.append)
    assert done.origin == "ground-truth masks" and len(done.data.instances) == 7 and not done.to_draw
    assert said == ["every defective image has a mask; the detector has nothing to draw"]
    assert not (tmp_path / "out/to_draw.csv").exists()


def test_nothing_is_written_where_a_detector_finds_nothing(spotted, tmp_path):
    place, _ = spotted
    folder = tmp_path / "bolts"
    shutil.copytree(place / "bolts/good", folder / "good")
    (folder / "bright").mkdir()
    shutil.copy(folder / "good/1.png", folder / "bright/900.png")
    with pytest.raises(Hw3Error, match="no instance.*nothing is written. A person must draw every defect"):
        export(load_table(tmp_path, "bolts"), ["coco"], tmp_path / "out", detector=place / "detector")
    assert not (tmp_path / "out").exists()
