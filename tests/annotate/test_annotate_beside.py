"""One file of annotations, without splits, of images that stay where they are under their own names."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from pycocotools.coco import COCO

from hw3lib.annotate import FORMATS
from hw3lib.annotate.export import export
from hw3lib.annotate.formats.coco import read_coco
from hw3lib.cli.main import main
from hw3lib.data import load_table
from hw3lib.errors import Hw3Error

BESIDE = [name for name, format_ in FORMATS.items() if format_.beside]


def files(folder) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def table(category):
    Image.open(category / "test/dent/000.png").save(category / "test/dent/000.jpg")  # another suffix, kept
    (category / "test/dent/000.png").unlink()
    return load_table(category.parent, "widget")


def test_every_format_that_can_comes_back_with_the_images_own_names(table, tmp_path):
    done = export(table, BESIDE, tmp_path / "out", no_split=True)
    assert BESIDE == ["coco", "voc", "yolo", "yolo-seg"] and all(trip.exact for trip in done.trips)
    assert "test/dent/000.jpg" in done.data.names and len(done.data) == 11
    assert not [name for name in files(tmp_path / "out") if name.endswith((".png", ".jpg"))], "no image is copied"
    assert json.loads((tmp_path / "out/summary.json").read_text())["split"] == []


def test_coco_is_one_file_that_others_read(category, table, tmp_path):
    export(table, ["coco"], tmp_path / "out", no_split=True)
    assert files(tmp_path / "out") == ["coco/annotations.json", "summary.json"]
    coco = COCO(tmp_path / "out/coco/annotations.json")
    for image in coco.imgs.values():
        with Image.open(category / image["file_name"]) as found:
            assert found.size == (image["width"], image["height"])
    corrected = read_coco(tmp_path / "out/coco/annotations.json", category)
    assert [i.defect for i in corrected.instances] == ["dent"] * 4 + ["scratch"] * 3


def test_voc_and_yolo_are_named_after_the_images(table, tmp_path):
    export(table, ["voc", "yolo"], tmp_path / "out", no_split=True)
    voc = files(tmp_path / "out/voc")
    assert "Annotations/test/dent/000.xml" in voc and "Annotations/test/good/003.xml" in voc and "classes.txt" in voc
    text = (tmp_path / "out/voc/Annotations/test/dent/000.xml").read_text()
    assert "<folder>test/dent</folder>" in text and "<filename>000.jpg</filename>" in text
    yolo = files(tmp_path / "out/yolo")
    assert "labels/test/dent/000.txt" in yolo and "labels/test/good/003.txt" not in yolo
    assert "test/good/003.png" in (tmp_path / "out/yolo/images.txt").read_text().splitlines()
    assert "train" not in (tmp_path / "out/yolo/data.yaml").read_text()


def test_formats_with_images_of_their_own_are_refused(category, tmp_path, capsys):
    options = ["annotate", "widget", "--data", str(category.parent), "--out", str(tmp_path / "out"), "--no-split"]
    assert main([*options, "--format", "coco", "sam"]) == 2
    assert "--no-split: sam has images of its own" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*options, "--format", "coco", "voc"]) == 0


def test_a_list_that_leads_out_of_the_folder_and_a_label_without_image_are_refused(category, table, tmp_path):
    folder = export(table, ["yolo"], tmp_path / "out", no_split=True).folder / "yolo"
    (folder / "labels/test/dent/900.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(Hw3Error, match=r"900.txt: belongs to no image in .*images.txt"):
        FORMATS["yolo"].read(folder, category)
    (folder / "labels/test/dent/900.txt").unlink()
    (folder / "images.txt").write_text("../widget/test/dent/001.png\n")
    with pytest.raises(Hw3Error, match="leads out of"):
        FORMATS["yolo"].read(folder, category)
