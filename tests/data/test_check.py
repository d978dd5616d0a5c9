"""hw3lib.data.check: silent on sound data, and each planted fault found."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.data import check_category, load_table
from hw3lib.errors import Hw3Error


def report(category: Path):
    return check_category(load_table(category.parent, category.name, strict=False))


def kinds(category: Path) -> dict[str, str]:
    """Kind of each problem found, with the file's name."""
    found = report(category).problems
    return {row.kind: Path(row.file).name for row in found.itertuples()}


def test_sound_category(category):
    result = report(category)
    assert result.ok and result.problems.empty
    assert "16 images (5 train, 11 test), 3 classes" in result.summary()
    assert "nothing wrong" in result.summary()


def truncate(category):
    path = category / "test/good/001.png"
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    return "unreadable", "001.png"


def cut_the_middle_out(category):
    """Whole at both ends, so that only decoding finds it."""
    path = category / "test/good/001.png"
    data = path.read_bytes()
    path.write_bytes(data[:200] + data[900:])
    return "unreadable", "001.png"


def text_as_png(category):
    (category / "train/good/003.png").write_text("hello")
    return "unreadable", "003.png"


def orphaned_mask(category):
    shutil.copy(category / "ground_truth/dent/002_mask.png", category / "ground_truth/dent/099_mask.png")
    return "orphaned mask", "099_mask.png"


def size_mismatch(category):
    Image.new("L", (10, 10), 255).save(category / "ground_truth/dent/002_mask.png")
    return "size mismatch", "002_mask.png"


def empty_mask(category):
    Image.new("L", (40, 32), 0).save(category / "ground_truth/dent/002_mask.png")
    return "empty mask", "002_mask.png"


def across_splits(category):
    # Stored as BMP: other bytes, the same pixels.
    with Image.open(category / "train/good/000.png") as image:
        image.save(category / "test/good/900.bmp")
    return "duplicate across splits", "000.png"


def across_classes(category):
    shutil.copy(category / "test/dent/000.png", category / "test/good/900.png")
    return "duplicate across classes", "900.png"


def within_a_class_that_is_split_again(category):
    # Stored as BMP: other bytes, the same pixels.
    with Image.open(category / "test/dent/000.png") as image:
        image.save(category / "test/dent/900.bmp")
    shutil.copy(category / "ground_truth/dent/000_mask.png", category / "ground_truth/dent/900_mask.png")
    return "duplicate within split", "000.png"


def within_the_good_images_that_are_held_out_from(category):
    shutil.copy(category / "train/good/000.png", category / "train/good/900.png")
    return "duplicate within split", "000.png"


def empty_class(category):
    (category / "test/crack").mkdir()
    return "empty class", "crack"


@pytest.mark.parametrize(
    "plant",
    [
        truncate,
        within_a_class_that_is_split_again,
        within_the_good_images_that_are_held_out_from,
        cut_the_middle_out,
        text_as_png,
        orphaned_mask,
        size_mismatch,
        empty_mask,
        across_splits,
        across_classes,
        empty_class,
    ],
)
def test_planted_fault_is_found(category, plant):
    kind, name = plant(category)
    result = report(category)
    assert not result.ok
    assert kinds(category).get(kind) == name
    assert f"ERROR   {kind}" in result.summary()


def missing_mask(category):
    (category / "ground_truth/dent/002_mask.png").unlink()
    return "missing mask"


def grey_mask(category):
    values = np.tile(np.arange(40, dtype=np.uint8), (32, 1))
    Image.fromarray(values).save(category / "ground_truth/dent/002_mask.png")
    return "smoothed mask"


def inverted_mask(category):
    path = category / "ground_truth/dent/002_mask.png"
    with Image.open(path) as image:
        image.point(lambda value: 255 - value).save(path)
    return "inverted mask"


def other_size(category):
    Image.new("RGB", (20, 20)).save(category / "train/good/900.png")
    return "mixed sizes"


def other_mode(category):
    Image.new("L", (40, 32)).save(category / "train/good/900.png")
    return "mixed modes"


@pytest.mark.parametrize("plant", [missing_mask, grey_mask, inverted_mask, other_size, other_mode])
def test_what_may_be_meant_is_a_warning(category, plant):
    kind = plant(category)
    result = report(category)
    assert result.ok
    assert list(result.problems["kind"]) == [kind]
    assert "0 errors, 1 warnings" in result.summary()


def test_counts_are_compared_with_the_published_ones(category):
    bottle = category.rename(category.parent / "bottle")
    result = report(bottle)
    assert not result.ok
    differences = dict(zip(result.problems["file"], result.problems["message"], strict=True))
    assert differences["bottle/train/good"] == "found 5 images, MVTec AD has 209"
    assert differences["bottle/test/broken_small"] == "found 0 images, MVTec AD has 22"
    assert "bottle/test/dent" in differences


def test_real_bottle_has_nothing_wrong(real_data):
    result = check_category(load_table(real_data, "bottle"))
    assert result.ok and result.problems.empty
    assert "counts agree" in result.summary()


def test_faults_planted_in_the_real_bottle_are_found(real_data, tmp_path):
    bottle = tmp_path / "bottle"
    shutil.copytree(real_data / "bottle", bottle, ignore=shutil.ignore_patterns("train"))
    (bottle / "train/good").mkdir(parents=True)
    for path in sorted((real_data / "bottle/train/good").iterdir())[:3]:
        shutil.copy(path, bottle / "train/good")
    for path in bottle.rglob("*"):
        path.chmod(0o755)
    truncated = bottle / "test/broken_large/003.png"
    truncated.write_bytes(truncated.read_bytes()[:-5000])
    (bottle / "ground_truth/contamination/004_mask.png").unlink()
    Image.new("L", (900, 900)).save(bottle / "ground_truth/broken_small/005_mask.png")
    shutil.copy(bottle / "train/good/001.png", bottle / "test/good/700.png")
    found = kinds(bottle)
    assert found.pop("count differs")
    assert found == {
        "unreadable": "003.png",
        "missing mask": "004.png",
        "empty mask": "005_mask.png",
        "duplicate across splits": "001.png",
    }


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
