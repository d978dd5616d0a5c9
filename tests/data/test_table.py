"""hw3lib.data.table: both layouts, and one clear message for each thing that can be wrong."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.data import digest, list_categories, load_table
from hw3lib.data.table import COLUMNS
from hw3lib.errors import Hw3Error


def test_mvtec_layout(category):
    table = load_table(category.parent, "widget")
    assert list(table.columns) == COLUMNS
    assert table.groupby(["split", "defect"]).size().to_dict() == {
        ("test", "dent"): 4,
        ("test", "good"): 4,
        ("test", "scratch"): 3,
        ("train", "good"): 5,
    }
    assert list(dict.fromkeys(table["defect"])) == ["good", "dent", "scratch"]
    assert (table["is_defect"] == (table["defect"] != "good")).all()
    assert table["mask"].notna().equals(table["is_defect"])
    assert (table["width"] == 40).all() and (table["height"] == 32).all() and (table["mode"] == "RGB").all()
    for row in table[table["is_defect"]].itertuples():
        assert os.path.basename(row.mask) == os.path.basename(row.image).replace(".png", "_mask.png")
        assert f"/{row.defect}/" in row.mask


@pytest.fixture
def own_folder(tmp_path, category):
    folder = tmp_path / "own"
    shutil.copytree(category / "train/good", folder / "good")
    shutil.copytree(category / "test/dent", folder / "dent")
    shutil.copytree(category / "test/scratch", folder / "scratch")
    return folder


def test_own_folder_without_masks(own_folder):
    table = load_table(own_folder.parent, "own")
    assert table["mask"].isna().all()
    assert table.groupby(["split", "defect"]).size().to_dict() == {
        ("test", "dent"): 4,
        ("test", "good"): 1,
        ("test", "scratch"): 3,
        ("train", "good"): 4,
    }


def test_own_folder_with_masks_for_one_class(own_folder, category):
    shutil.copytree(category / "ground_truth/dent", own_folder / "masks/dent")
    for path in (own_folder / "masks/dent").iterdir():
        path.rename(path.with_name(path.name.replace("_mask", "")))
    table = load_table(own_folder.parent, "own")
    assert table.groupby("defect")["mask"].count().to_dict() == {"dent": 4, "good": 0, "scratch": 0}


def test_mask_is_matched_by_its_exact_stem(category):
    """``1`` must not take the mask of ``10``, nor ``010``."""
    for folder, suffix in (("test/dent", ""), ("ground_truth/dent", "_mask")):
        for old, new in (("000", "1"), ("001", "10"), ("002", "010")):
            (category / folder / f"{old}{suffix}.png").rename(category / folder / f"{new}{suffix}.png")
    table = load_table(category.parent, "widget")
    for row in table[table["defect"] == "dent"].itertuples():
        assert os.path.basename(row.mask) == os.path.basename(row.image).replace(".png", "_mask.png")


def error(root, category="widget"):
    with pytest.raises(Hw3Error) as caught:
        load_table(root, category)
    return str(caught.value)


def test_a_defective_image_without_a_mask_is_not_annotated(category):
    """No error: whoever draws masks begins with some, and ``hw3 annotate --detector`` fills in the others."""
    (category / "ground_truth/dent/002_mask.png").unlink()
    table = load_table(category.parent, "widget")
    assert [Path(image).name for image in table.loc[table["is_defect"] & table["mask"].isna(), "image"]] == ["002.png"]
    shutil.rmtree(category / "ground_truth/scratch")
    assert load_table(category.parent, "widget")["mask"].notna().sum() == 3


def test_orphaned_mask(category):
    (category / "test/dent/002.png").unlink()
    message = error(category.parent)
    assert "ground_truth/dent/002_mask.png" in message and "belongs to no image" in message


def test_mask_of_another_size(category):
    Image.fromarray(np.full((32, 41), 255, np.uint8)).save(category / "ground_truth/dent/001_mask.png")
    message = error(category.parent)
    assert "001_mask.png" in message and "41x32" in message and "40x32" in message


def test_truncated_png(category):
    path = category / "test/good/001.png"
    path.write_bytes(path.read_bytes()[:-40])
    message = error(category.parent)
    assert "test/good/001.png" in message and "truncated" in message


def test_text_named_png(category):
    (category / "train/good/002.png").write_text("this is not a picture")
    message = error(category.parent)
    assert "train/good/002.png" in message and "is not an image" in message and "this is not" in message


def test_empty_file(category):
    (category / "train/good/002.png").write_bytes(b"")
    assert "0 bytes" in error(category.parent)


def test_empty_class(category):
    (category / "test/crack").mkdir()
    message = error(category.parent)
    assert "test/crack" in message and "no image in this class" in message


def test_two_images_of_one_stem(category):
    shutil.copy(category / "test/dent/000.png", category / "test/dent/000.bmp")
    assert "same stem" in error(category.parent)


def test_several_problems_are_all_reported(category):
    (category / "test/dent/002.png").unlink()
    (category / "train/good/002.png").write_bytes(b"")
    message = error(category.parent)
    assert message.startswith("2 problems") and "002_mask" in message and "0 bytes" in message


def test_not_strict_keeps_what_can_be_read(category):
    (category / "train/good/002.png").write_bytes(b"")
    table = load_table(category.parent, "widget", strict=False)
    assert len(table) == 15
    assert [p["kind"] for p in table.attrs["problems"]] == ["unreadable"]


def test_unknown_category_suggests_the_nearest(category):
    message = error(category.parent, "wigdet")
    assert "'wigdet'" in message and "did you mean 'widget'" in message


def test_folder_one_level_too_low(category):
    message = error(category)
    assert "one level too low" in message and str(category.parent) in message


def test_folder_one_level_too_high(tmp_path, category):
    shutil.move(category, tmp_path / "deep/er/widget")
    for root in (tmp_path / "deep", tmp_path):
        message = error(root)
        assert "a level too high" in message and str(tmp_path / "deep/er") in message


def test_category_inside_itself(tmp_path, category):
    """An archive unpacked into a folder of its own name."""
    shutil.move(category, tmp_path / "widget2/widget")
    (tmp_path / "widget2").rename(tmp_path / "widget")
    message = error(tmp_path)
    assert "too high" in message and str(tmp_path / "widget") in message


def test_folder_that_is_no_category(tmp_path):
    (tmp_path / "widget/pictures").mkdir(parents=True)
    message = error(tmp_path)
    assert "not a category" in message and "pictures" in message and "CATEGORY/good" in message


def test_no_such_folder(tmp_path):
    assert "no such folder" in error(tmp_path / "nowhere")


def test_sideways_photograph_is_measured_upright(category):
    image = Image.fromarray(np.zeros((32, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(category / "train/good/900.jpg", exif=exif)
    table = load_table(category.parent, "widget")
    row = table[table["image"].str.endswith("900.jpg")].iloc[0]
    assert (row["width"], row["height"]) == (32, 40)


def test_categories_are_listed(category, tmp_path):
    shutil.copytree(category, tmp_path / "synthetic/other")
    shutil.copytree(category, tmp_path / ".downloads")
    assert list_categories(tmp_path) == ["synthetic/other", "widget"]


def test_digest_is_of_the_content(category, tmp_path):
    before = digest(load_table(tmp_path, "widget"))
    shutil.copytree(category, tmp_path / "elsewhere/widget")
    assert digest(load_table(tmp_path / "elsewhere", "widget")) == before
    Image.fromarray(np.full((32, 40), 255, np.uint8)).save(category / "ground_truth/dent/001_mask.png")
    assert digest(load_table(tmp_path, "widget")) != before


def test_real_bottle_has_its_official_counts(real_data):
    table = load_table(real_data, "bottle")
    assert table.groupby(["split", "defect"]).size().to_dict() == {
        ("test", "broken_large"): 20,
        ("test", "broken_small"): 22,
        ("test", "contamination"): 21,
        ("test", "good"): 20,
        ("train", "good"): 209,
    }
    assert set(zip(table["width"], table["height"], table["mode"], strict=True)) == {(900, 900, "RGB")}
    assert table["mask"].notna().sum() == 63


@pytest.mark.parametrize("goal", ["nowhere.png", "000_mask.png"])
def test_no_digest_of_a_mask_whose_link_leads_nowhere(category, tmp_path, goal):
    table = load_table(tmp_path, "widget")
    mask = Path(table["mask"].dropna().iloc[0])
    mask.unlink()
    mask.symlink_to(mask.with_name(goal))
    with pytest.raises(Hw3Error, match=f"{mask}: cannot be read"):
        digest(table)
