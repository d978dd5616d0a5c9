"""hw3lib.data.folders.layouts: folders as people name them and as data sets come, read right or told of."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.cli.main import main
from hw3lib.data import check_category, list_categories, load_table
from hw3lib.data.folders.find import category_folder, find_root, is_category
from hw3lib.data.folders.names import good_names
from hw3lib.data.folders.settings import CategorySettings, write_settings
from hw3lib.errors import Hw3Error


def put(place: Path, *names: str, mask: bool = False, seed: int = 0) -> None:
    """Different images in a folder."""
    place.mkdir(parents=True, exist_ok=True)
    for at, name in enumerate(names):
        pixels = np.random.default_rng([seed, at, *str(place).encode()]).integers(0, 255, (32, 40, 3), np.uint8)
        if mask:
            pixels = np.zeros((32, 40), np.uint8)
            pixels[2:5, 3:8] = 255
        Image.fromarray(pixels).save(place / name)


def found(root: Path, category: str = "widget", strict: bool = True) -> dict:
    """Images by split and class."""
    return load_table(root, category, strict=strict).groupby(["split", "defect"]).size().to_dict()


def said(root: Path, category: str = "widget") -> list[tuple[str, str]]:
    """Severity and kind of what check finds."""
    problems = check_category(load_table(root, category, strict=False)).problems
    return list(zip(problems["severity"], problems["kind"], strict=True))


def message(root: Path, kind: str, category: str = "widget") -> str:
    """The one problem of a kind: its file and what is said of it."""
    problems = check_category(load_table(root, category, strict=False)).problems
    (row,) = problems[problems["kind"] == kind].itertuples()
    return f"{row.file}: {row.message}"


THREE = ("000.png", "001.png", "002.png")


@pytest.mark.parametrize(
    "name",
    ["good", "Good", "OK", "ok", "normal", "Normal", "NORMAL", "良品", "正常", "Defect-Free", "no defects", "ＯＫ"],
)
def test_good_products_by_their_folder_s_name(tmp_path, name):
    put(tmp_path / "widget" / name, *(f"{i}.png" for i in range(6)))
    put(tmp_path / "widget/dent", *THREE)
    put(tmp_path / "split/train" / name, *THREE)
    put(tmp_path / "split/test" / name, *THREE)
    put(tmp_path / "split/test/dent", *THREE)
    assert found(tmp_path) == {("train", "good"): 4, ("test", "good"): 2, ("test", "dent"): 3}
    assert found(tmp_path, "split") == {("train", "good"): 3, ("test", "good"): 3, ("test", "dent"): 3}
    assert list_categories(tmp_path) == ["split", "widget"]
    assert [kind for kind in said(tmp_path) if kind[0] != "note"] == []


@pytest.mark.parametrize(
    "names, good, guessed",
    [
        (["ok_front", "def_front"], {"ok_front"}, True),
        (["good", "good_but_dusty"], {"good"}, False),
        (["not_ok", "nok", "ng", "defective"], set(), False),
        (["negative", "positive"], set(), False),
        (["okra", "normalised"], set(), False),
        (["Good", "good"], {"Good", "good"}, False),
    ],
)
def test_which_names_mean_good_products(names, good, guessed):
    assert good_names(names) == (good, guessed)


@pytest.mark.parametrize("names", [["good", "ok"], ["ok_front", "ok_back"]])
def test_two_names_that_mean_good_products_are_asked_for(tmp_path, names):
    for name in (*names, "dent"):
        put(tmp_path / "widget" / name, *THREE)
    with pytest.raises(Hw3Error, match=r"may all hold good products.*--good"):
        load_table(tmp_path, "widget")
    assert ("error", "two good classes") in said(tmp_path)


def test_a_person_says_which_folder_holds_good_products(tmp_path):
    for name in ("negative", "positive"):
        put(tmp_path / "widget" / name, *(f"{i}.png" for i in range(5)))
    assert ("warning", "no good class") in said(tmp_path)
    assert "--good NAME" in message(tmp_path, "no good class") and "negative, positive" in message(
        tmp_path, "no good class"
    )
    write_settings(tmp_path / "widget", CategorySettings(good="negative"))
    assert found(tmp_path) == {("train", "good"): 4, ("test", "good"): 1, ("test", "positive"): 5}
    assert is_category(tmp_path / "widget")


def test_a_pattern_says_it_of_several(tmp_path):
    for name in ("ok_front", "ok_back", "bad_front"):
        put(tmp_path / "widget" / name, *(f"{i}.png" for i in range(5)))
    write_settings(tmp_path / "widget", CategorySettings(good="ok_*"))
    assert found(tmp_path) == {("train", "good"): 8, ("test", "good"): 2, ("test", "bad_front"): 5}


def test_what_was_said_and_is_not_there_is_an_error(tmp_path):
    put(tmp_path / "widget/fine", *THREE)
    write_settings(tmp_path / "widget", CategorySettings(good="fein"))
    with pytest.raises(Hw3Error, match=r"'fein' holds good products; found fine"):
        load_table(tmp_path, "widget")


def test_a_defect_cannot_be_called_good(tmp_path):
    put(tmp_path / "widget/fine", *THREE)
    put(tmp_path / "widget/good", *THREE)
    write_settings(tmp_path / "widget", CategorySettings(good="fine"))
    with pytest.raises(Hw3Error, match=r"'good' is there as well"):
        load_table(tmp_path, "widget")


@pytest.mark.parametrize("masks", ["Masks", "mask", "Ground_Truth", "GroundTruth", "ground-truth", "gt", "MASK"])
def test_masks_by_their_folder_s_name(tmp_path, masks):
    put(tmp_path / "widget/Good", *THREE)
    put(tmp_path / "widget/Dent", *THREE)
    put(tmp_path / "widget" / masks / "dent", *THREE, mask=True)
    assert found(tmp_path) == {("train", "good"): 2, ("test", "good"): 1, ("test", "Dent"): 3}
    table = load_table(tmp_path, "widget")
    assert table["mask"].notna().sum() == 3
    put(tmp_path / "widget" / masks / "dent", "900.png", mask=True)
    assert ("error", "orphaned mask") in said(tmp_path)


def test_capitals_in_the_layout_of_mvtec(tmp_path):
    put(tmp_path / "widget/Train/Good", *THREE)
    put(tmp_path / "widget/Test/OK", *THREE)
    put(tmp_path / "widget/Test/Dent", *THREE)
    put(tmp_path / "widget/Ground_Truth/Dent", *(f"00{i}_mask.png" for i in range(3)), mask=True)
    assert found(tmp_path) == {("train", "good"): 3, ("test", "good"): 3, ("test", "Dent"): 3}
    assert load_table(tmp_path, "widget")["mask"].notna().sum() == 3


def test_masks_of_good_products_are_passed_over(category):
    put(category / "ground_truth/good", *THREE, mask=True)
    assert said(category.parent) == [("note", "passed over")]


def test_masks_without_a_class_folder_are_told(category):
    put(category / "ground_truth", "000_mask.png", mask=True)
    assert said(category.parent) == [("warning", "masks beside the class folders")]


def junk(category):
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", ".git", "#recycle"):
        put(category / name, "000.png")
        put(category / "test" / name, "000.png")
    (category / "test/good/Thumbs.db").write_bytes(b"x")
    (category / "test/good/._000.png").write_bytes(b"x")
    (category / "test/good/.DS_Store").write_bytes(b"x")
    (category / "desktop.ini").write_bytes(b"x")


def notes(category):
    (category / "notes").mkdir()
    (category / "notes/readme.txt").write_text("seen on Monday")


def detector(category):
    (category / "widget-detector").mkdir()
    (category / "widget-detector/detector.json").write_text('{"sha256": "0"}')


def results(category):
    put(category / "results/overlays/test/good", *THREE)
    (category / "results/results.csv").write_text("file,score,p_value\n")


def annotations(category):
    put(category / "for-labels", "preview.png")
    (category / "for-labels/summary.json").write_text('{"formats": []}')


def runs(category):
    put(category / "runs/widget-quick/01/figures", *THREE)
    (category / "runs/widget-quick/01/metrics.json").write_text('{"data_digest": "0"}')


@pytest.mark.parametrize("layout", ["mvtec", "own"])
@pytest.mark.parametrize(
    "plant, severity",
    [(junk, "note"), (notes, "warning"), (detector, "note"), (results, "note"), (annotations, "note"), (runs, "note")],
)
def test_folders_that_are_no_class_are_passed_over_with_a_word(category, tmp_path, plant, severity, layout):
    if layout == "own":
        (category / "test/good").rename(tmp_path / "good")
        (category / "test").rename(tmp_path / "test")
        for path in (tmp_path / "test/dent", tmp_path / "good"):
            (tmp_path / "own").mkdir(exist_ok=True)
            path.rename(tmp_path / "own" / path.name)
        category = tmp_path / "own"
    before = found(tmp_path, category.name)
    if plant is junk and layout == "own":
        put(category / "__MACOSX", "000.png")
    else:
        plant(category)
    assert found(tmp_path, category.name) == before
    assert set(said(tmp_path, category.name)) == {(severity, "passed over")}


def test_an_empty_class_beside_full_ones_is_passed_over_in_one_s_own_folder(tmp_path):
    put(tmp_path / "widget/good", *THREE)
    put(tmp_path / "widget/dent", *THREE)
    (tmp_path / "widget/scratch").mkdir()
    assert said(tmp_path) == [("warning", "passed over")]
    (tmp_path / "widget/good").rename(tmp_path / "elsewhere")
    (tmp_path / "widget/good").mkdir()
    assert ("error", "empty class") in said(tmp_path)


def test_a_class_of_photographs_of_another_kind_is_no_empty_folder(category):
    (category / "test/crack").mkdir()
    (category / "test/crack/1.DNG").write_bytes(b"x")
    assert "found .dng (1): convert them" in message(category.parent, "empty class")


def beside(category):
    put(category / "test", "900.png")
    return "images beside the class folders", "1 image (900.png)"


def beside_the_splits(category):
    put(category, "900.png", "901.png")
    return "images beside the class folders", "2 images (900.png, 901.png)"


def below(category):
    put(category / "test/good/monday/early", "900.png", "901.png")
    return "images in sub-folders", "2 images in monday"


def another_split(category):
    put(category / "extra/good", "900.png")
    return "images in sub-folders", "1 image not looked at"


def of_another_kind(category):
    for name in ("1.dng", "2.DNG", "3.cr2", "4.raw", "5"):
        (category / "train/good" / name).write_bytes(b"x")
    return "not looked at", ".cr2 (1), .dng (2), .raw (1), no suffix (1)"


def no_training(category):
    for path in (category / "train/good").iterdir():
        path.unlink()
    (category / "train/good").rmdir()
    return "no train/good", "no detector"


def defects_in_train(category):
    put(category / "train/dent", "900.png", "901.png")
    return "defects in train", "2 images of dent"


@pytest.mark.parametrize(
    "plant", [beside, beside_the_splits, below, another_split, of_another_kind, no_training, defects_in_train]
)
def test_what_is_not_looked_at_is_told(category, plant):
    kind, text = plant(category)
    assert said(category.parent) == [("warning", kind)]
    assert text in message(category.parent, kind)


def test_texts_beside_images_are_a_note(category):
    (category / "test/good/000.json").write_text("{}")
    assert said(category.parent) == [("note", "not looked at")]


def test_defects_of_train_stay_out_of_the_test(category):
    put(category / "train/dent", "900.png", "901.png")
    assert found(category.parent)[("train", "dent")] == 2 and found(category.parent)[("test", "dent")] == 4


def test_defects_of_train_are_the_test_where_there_are_no_others(tmp_path):
    put(tmp_path / "widget/train/good", *THREE)
    put(tmp_path / "widget/train/dent", *THREE)
    put(tmp_path / "widget/test/good", *THREE)
    put(tmp_path / "widget/ground_truth/dent", *THREE, mask=True)
    assert found(tmp_path) == {("train", "good"): 3, ("test", "good"): 3, ("test", "dent"): 3}
    assert load_table(tmp_path, "widget")["mask"].notna().sum() == 3
    assert said(tmp_path) == [("warning", "defects in train")]


def test_defects_alone_are_a_category(tmp_path):
    put(tmp_path / "widget/dent", *THREE)
    put(tmp_path / "widget/scratch", *THREE)
    for name in ("dent", "scratch"):
        put(tmp_path / "widget/masks" / name, *THREE, mask=True)
    assert found(tmp_path) == {("test", "dent"): 3, ("test", "scratch"): 3}
    assert said(tmp_path) == [("warning", "no good class")]
    put(tmp_path / "split/test/dent", *THREE)
    put(tmp_path / "split/ground_truth/dent", *THREE, mask=True)
    assert found(tmp_path, "split") == {("test", "dent"): 3}


def test_btad(tmp_path):
    put(tmp_path / "01/train/ok", *(f"000{i}.bmp" for i in range(4)))
    put(tmp_path / "01/test/ok", "0000.bmp", "0001.png")
    put(tmp_path / "01/test/ko", "0000.bmp", "0001.bmp")
    put(tmp_path / "01/ground_truth/ko", "0000.png", "0001.bmp", mask=True)
    assert found(tmp_path, "01") == {("train", "good"): 4, ("test", "good"): 2, ("test", "ko"): 2}
    table = load_table(tmp_path, "01")
    assert table["mask"].notna().equals(table["is_defect"])
    assert said(tmp_path, "01") == [("note", "good class")]


def test_mvtec_loco(tmp_path):
    box = tmp_path / "breakfast_box"
    put(box / "train/good", *THREE)
    put(box / "validation/good", *THREE)
    put(box / "test/good", *THREE)
    put(box / "test/logical_anomalies", *THREE)
    put(box / "test/structural_anomalies", *THREE)
    for stem in ("000", "001", "002"):
        put(box / "ground_truth/logical_anomalies" / stem, "000.png", "001.png", mask=True)
        put(box / "ground_truth/structural_anomalies" / stem, "000.png", mask=True)
    table = load_table(tmp_path, "breakfast_box")
    assert table.groupby(["split", "defect"]).size().to_dict() == {
        ("train", "good"): 6,
        ("test", "good"): 3,
        ("test", "logical_anomalies"): 3,
        ("test", "structural_anomalies"): 3,
    }
    assert table["mask"].notna().equals(table["is_defect"])
    assert said(tmp_path, "breakfast_box") == [("note", "validation")]


def test_mvtec_3d_ad(tmp_path):
    bagel = tmp_path / "bagel"
    for place in ("train/good", "validation/good", "test/good", "test/crack"):
        put(bagel / place / "rgb", *THREE)
        put(bagel / place / "xyz", "000.tiff", "001.tiff", "002.tiff")
        if place.startswith("test"):
            put(bagel / place / "gt", *THREE, mask=True)
    (bagel / "calibration").mkdir()
    (bagel / "calibration/camera_parameters.json").write_text("{}")
    table = load_table(tmp_path, "bagel")
    assert table.groupby(["split", "defect"]).size().to_dict() == {
        ("train", "good"): 6,
        ("test", "good"): 3,
        ("test", "crack"): 3,
    }
    assert table["image"].str.contains("/rgb/").all()
    assert table["mask"].notna().equals(table["is_defect"])
    assert not [kind for kind in said(tmp_path, "bagel") if kind[0] == "error"]


@pytest.fixture
def visa(tmp_path):
    put(tmp_path / "candle/Data/Images/Normal", *(f"000{i}.JPG" for i in range(6)))
    put(tmp_path / "candle/Data/Images/Anomaly", "000.JPG", "001.JPG")
    put(tmp_path / "candle/Data/Masks/Anomaly", "000.png", "001.png", mask=True)
    (tmp_path / "candle/image_anno.csv").write_text("image,label,mask\n")
    rows = [
        ("candle", "train" if i < 4 else "test", "normal", f"candle/Data/Images/Normal/000{i}.JPG", "")
        for i in range(6)
    ]
    for i in range(2):
        place = f"candle/Data/%s/Anomaly/00{i}.%s"
        rows.append(("candle", "test", "anomaly", place % ("Images", "JPG"), place % ("Masks", "png")))
    rows.append(("pcb1", "train", "normal", "pcb1/Data/Images/Normal/0005.JPG", ""))
    (tmp_path / "split_csv").mkdir()
    pd.DataFrame(rows, columns=["object", "split", "label", "image", "mask"]).to_csv(
        tmp_path / "split_csv/1cls.csv", index=False
    )
    return tmp_path


def test_visa(visa):
    assert found(visa, "candle") == {("train", "good"): 4, ("test", "good"): 2, ("test", "Anomaly"): 2}
    table = load_table(visa, "candle")
    assert table["mask"].notna().equals(table["is_defect"])
    assert [Path(image).name for image in table.loc[table["split"] == "train", "image"]] == [
        f"000{i}.JPG" for i in range(4)
    ]
    assert {kind[0] for kind in said(visa, "candle")} == {"note"}
    assert list_categories(visa) == ["candle"]


def test_visa_without_its_split(visa):
    (visa / "split_csv/1cls.csv").unlink()
    assert found(visa, "candle") == {("train", "good"): 4, ("test", "good"): 2, ("test", "Anomaly"): 2}


@pytest.mark.parametrize(
    "content, text",
    [
        ("object,split,image\ncandle,dev,candle/Data/Images/Normal/0000.JPG\n", "line 2: split is 'dev'"),
        ("a,b\n1,2\n", "found no column 'image'"),
        ('object,split,image\n"candle', "is no CSV table"),
        ("", "found no column 'image'"),
    ],
)
def test_a_split_of_visa_that_cannot_be_read_is_an_error(visa, content, text):
    (visa / "split_csv/1cls.csv").write_text(content)
    with pytest.raises(Hw3Error, match="1cls.csv") as caught:
        load_table(visa, "candle")
    assert text in str(caught.value)


def test_what_visa_s_split_does_not_name_is_told(visa):
    put(visa / "candle/Data/Images/Normal", "0009.JPG")
    (visa / "candle/Data/Images/Normal/0000.JPG").unlink()
    problems = check_category(load_table(visa, "candle", strict=False)).problems
    texts = " ".join(problems.loc[problems["severity"] == "warning", "message"])
    assert "1 image of candle not named" in texts and "0009.jpg" in texts
    assert "1 image of candle named and not there: 0000.jpg" in texts
    (visa / "split_csv/1cls.csv").write_text("object,split,image\npcb1,train,pcb1/Data/Images/Normal/0000.JPG\n")
    assert ("warning", "split") in said(visa, "candle")


def test_the_casting_set(tmp_path):
    casting = tmp_path / "casting_data/casting_data"
    for split in ("train", "test"):
        put(casting / split / "ok_front", *(f"cast_ok_{i}.jpeg" for i in range(3)))
        put(casting / split / "def_front", *(f"cast_def_{i}.jpeg" for i in range(3)))
    assert (
        found(tmp_path / "casting_data", "casting_data")
        == found(tmp_path, "casting_data/casting_data")
        == {
            ("train", "good"): 3,
            ("train", "def_front"): 3,
            ("test", "good"): 3,
            ("test", "def_front"): 3,
        }
    )
    assert said(tmp_path, "casting_data/casting_data") == [("warning", "defects in train"), ("warning", "good class")]
    with pytest.raises(Hw3Error, match="a level too high"):
        load_table(tmp_path, "casting_data")


@pytest.mark.parametrize("image, mask", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_composed_or_apart_are_the_same_name(tmp_path, image, mask):
    name, category = "rayé", "pièce"
    folder = tmp_path / unicodedata.normalize("NFD", category)
    put(folder / "good", *THREE)
    put(folder / unicodedata.normalize(image, name), unicodedata.normalize(image, "é1.png"))
    put(folder / "masks" / unicodedata.normalize(mask, name), unicodedata.normalize(mask, "é1_mask.png"), mask=True)
    for form in ("NFC", "NFD"):
        table = load_table(tmp_path, unicodedata.normalize(form, category))
        assert table.attrs["category"] == category and list(table["defect"].unique()) == ["good", name]
        assert table["mask"].notna().sum() == 1


def test_what_is_linked_is_told_of_under_the_path_that_was_given(category, tmp_path):
    store = tmp_path / "store"
    category.rename(store)
    given = tmp_path / "given"
    given.mkdir()
    (given / "widget").symlink_to(store)
    (store / "test/bent").symlink_to(store / "test/dent")
    (store / "test/good/900.png").symlink_to(store / "test/dent/000.png")
    (tmp_path / "link").symlink_to(given)
    table = load_table(tmp_path / "link", "widget", strict=False)
    assert table["image"].str.startswith(f"{tmp_path / 'link'}/widget/").all()
    assert (table["defect"] == "bent").sum() == 4
    assert table["image"].str.endswith("/good/900.png").any()


def test_of_a_folder_that_cannot_be_read_nothing_else_is_said(category, monkeypatch):
    scan = os.scandir

    def refuse(path="."):
        if Path(path) == category / "test/scratch":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert said(category.parent) == [("error", "unreadable folder")]
    assert message(category.parent, "unreadable folder") == (
        f"{category}/test/scratch: this folder cannot be read (Permission denied)"
    )


def test_nor_does_one_of_masks_stop_the_others(category, monkeypatch):
    scan = os.scandir

    def refuse(path="."):
        if Path(path) == category / "ground_truth/scratch":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert ("error", "unreadable folder") in said(category.parent)


def test_links_to_where_they_lie_are_no_classes_and_nothing_is_counted_through_them(tmp_path):
    widget = tmp_path / "widget"
    put(widget / "good", *(f"{i}.png" for i in range(5)))
    put(widget / "dent", *THREE)
    (widget / "good" / "loop").symlink_to("..")
    (widget / "again").symlink_to(".")
    assert found(tmp_path) == {("train", "good"): 4, ("test", "good"): 1, ("test", "dent"): 3}
    assert said(tmp_path) == [("note", "passed over")] * 2
    texts = check_category(load_table(tmp_path, "widget")).problems["message"]
    assert sorted(texts) == ["again: a link to where it lies", "loop: a link to where it lies"]


def test_categories_without_a_good_class_are_listed_with_a_remark(tmp_path, capsys):
    put(tmp_path / "defonly" / "bent", *THREE)
    put(tmp_path / "widget" / "good", *THREE)
    put(tmp_path / "widget" / "dent", *THREE)
    put(tmp_path / "photographs", *THREE)
    assert list_categories(tmp_path) == ["defonly", "widget"]
    assert main(["data", "list", "--data", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["defonly"].split(maxsplit=2)[1:] == ["3", f"{tmp_path}; no good class"]
    assert lines["widget"].split(maxsplit=2)[1:] == ["6", str(tmp_path)] and "photographs" not in lines


def test_a_category_is_found_from_the_working_directory(tmp_path, monkeypatch, capsys):
    put(tmp_path / "here/bolts/good", *THREE)
    put(tmp_path / "here/bolts/dent", *THREE)
    put(tmp_path / "here/d/sound/bent", *THREE)
    put(tmp_path / "data/bolts/good", *THREE, "003.png")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HW3_DATA", str(tmp_path / "data"))
    here = Path.cwd()
    for name in ("./bolts", "./bolts/", "../here/bolts"):
        assert find_root(name) == here and category_folder(name).samefile(here / "bolts")
        assert main(["data", "check", name]) == 0
        assert capsys.readouterr().out.startswith("bolts: 6 images")
    assert find_root("bolts") == tmp_path / "data", "data folders come first for a name"
    assert find_root("d/sound") == here and category_folder("d/sound") == here / "d/sound"
    monkeypatch.chdir(here / "bolts")
    assert main(["data", "check", "."]) == 0 and capsys.readouterr().out.startswith("bolts: 6 images")
    assert main(["data", "check", "./nothing"]) == 2
    assert "unknown category './nothing'" in capsys.readouterr().err
