"""hw3lib.data.parts: what a category lacks, and what each chapter therefore leaves out."""

import shutil

import pytest

from hw3lib.data import digest, load_table
from hw3lib.data.parts import WHOLE, left_out, parts_of

FULL = {"train/good": 10, "test/good": 5, "test/dent": 5, "test/hole": 5}


@pytest.fixture
def said(tmp_path, make_category):
    """What each chapter says of a category with these images, by chapter; ``spoil`` takes something away first."""

    def make(counts, spoil=lambda folder: None, **splits):
        shutil.rmtree(tmp_path / "widget", ignore_errors=True)
        spoil(make_category(tmp_path / "widget", counts))
        parts = parts_of(load_table(tmp_path, "widget"), **splits)
        return {chapter: left_out(parts, chapter) for chapter in ("01", "02", "03", "04", "05", "06", "07")}

    return make


def without_masks(folder):
    shutil.rmtree(folder / "ground_truth")


def without_masks_of_dents(folder):
    """As a folder of one's own, where each type may have masks."""
    for name in ("good", "dent", "hole"):
        (folder / "test" / name).rename(folder / name)
    (folder / "ground_truth").rename(folder / "masks")
    for part in ("test", "train", "masks/dent"):
        shutil.rmtree(folder / part)


GOOD_ONLY = {"02": {"leaderboard"}, "03": {"methods"}, "05": {"formats"}, "07": {"types"}}
NO_FIT = {"02": {"second_look"}, "04": {"detectors"}, "05": {"prompts"}, "07": {"line"}}


@pytest.mark.parametrize(
    ("counts", "spoil", "expected"),
    [
        (FULL, lambda _: None, {}),
        (
            {"train/good": 10},
            lambda _: None,
            GOOD_ONLY
            | {"01": {"test_good", "defects"}, "04": {"test_good", "image_auroc"}, "07": {"test_good", "types"}},
        ),
        ({"train/good": 10, "test/good": 3}, lambda _: None, GOOD_ONLY | {"01": {"defects"}, "04": {"image_auroc"}}),
        ({**FULL, "train/good": 0}, lambda _: None, NO_FIT),
        ({**FULL, "train/good": 3}, lambda _: None, NO_FIT),
        ({**FULL, "train/good": 4}, lambda _: None, {"02": {"second_look"}}),
        (
            {**FULL, "train/good": 20, "test/good": 0},
            lambda _: None,
            {"01": {"test_good"}, "04": {"test_good"}, "07": {"test_good"}},
        ),
        ({"train/good": 10, "test/good": 5, "test/dent": 5}, lambda _: None, {"07": {"unseen"}}),
        ({**FULL, "test/hole": 1}, lambda _: None, {"02": {"classes"}, "03": {"classes"}}),
        (
            {**FULL, "test/hole": 0, "test/dent": 1},
            lambda _: None,
            {"02": {"leaderboard"}, "03": {"methods"}, "07": {"unseen"}},
        ),
        (FULL, without_masks, {"01": {"masks"}, "02": {"pointing"}, "03": {"copy_paste"}, "04": {"aupro"}}),
        (
            {**FULL, "test/good": 30},
            without_masks_of_dents,
            {"01": {"masks"}, "02": {"pointing"}, "03": {"copy_paste"}, "04": {"aupro"}, "05": {"drawn"}},
        ),
        (
            {**FULL, "train/good": 0},
            without_masks,
            {
                "01": {"masks"},
                "02": {"second_look", "pointing"},
                "03": {"copy_paste"},
                "04": {"detectors"},
                "05": {"formats"},
                "07": {"line"},
            },
        ),
    ],
)  # fmt: skip
def test_each_chapter_says_what_it_leaves_out_and_no_more(said, counts, spoil, expected):
    found = said({place: count for place, count in counts.items() if count}, spoil)
    assert {chapter: set(why) for chapter, why in found.items() if why} == expected
    for why in (why for chapter in found.values() for why in chapter.values()):
        assert why[0].islower() or why[0].isdigit() and not why.endswith(".")


def test_what_is_said_names_the_images(said):
    found = said({"train/good": 10, "test/good": 20, "test/dent": 20, "test/hole": 1, "test/chip": 1})
    assert found["02"]["classes"] == "too few images to learn from some and test on others: chip (1) and hole (1)"
    alone = said({"train/good": 10, "test/good": 6, "test/dent": 1})
    assert "dent 1 and good 6" in alone["02"]["leaderboard"]


def test_a_single_class_of_defects_is_nothing_to_classify(tmp_path, make_category):
    make_category(tmp_path / "widget", {"test/good": 1, "test/dent": 5})
    table = load_table(tmp_path, "widget")
    alone = table[table["is_defect"]].reset_index(drop=True)
    parts = parts_of(alone)
    assert left_out(parts, "02") == {"leaderboard": "there is a single class (dent 5), so there is nothing to classify"}
    assert "no image of a good product" in left_out(parts, "04")["detectors"]
    assert set(left_out(parts, "01")) == {"good"}


def test_two_types_without_any_good_image_are_classified_and_balanced(tmp_path, make_category):
    make_category(tmp_path / "widget", {"test/good": 1, "test/dent": 5, "test/hole": 6})
    table = load_table(tmp_path, "widget")
    parts = parts_of(table[table["is_defect"]].reset_index(drop=True))
    assert parts.classes == {"dent": 5, "hole": 6}
    assert not {"02", "03"} & {chapter for chapter in WHOLE if WHOLE[chapter] in left_out(parts, chapter)}
    assert "onto which copy-paste would put defects" in left_out(parts, "03")["copy_paste"]


def test_the_splits_that_are_asked_for_decide_which_classes_are_too_small(said):
    counts = {"train/good": 10, "test/good": 30, "test/dent": 30, "test/hole": 2}
    assert "classes" not in said(counts, test_size=0.5)["02"]
    assert "classes" in said(counts, test_size=0.1)["02"]
    # A share that no category could be split by is a wrong parameter, and not for want of images.
    assert "leaderboard" not in said(FULL, test_size=3.5)["02"]


def test_train_good_lends_every_fifth_image_where_there_is_no_test_good(tmp_path, make_category):
    folder = make_category(tmp_path / "widget", {"train/good": 11, "test/dent": 3})
    table = load_table(tmp_path, "widget")
    good = table[~table["is_defect"]]
    assert good.loc[good["split"] == "test", "image"].str[-7:].tolist() == ["000.png", "005.png", "010.png"]
    assert (good["split"] == "train").sum() == 8 and good["image"].is_unique
    assert list(dict.fromkeys(table["split"] + "/" + table["defect"])) == ["train/good", "test/good", "test/dent"]
    (problem,) = table.attrs["problems"]
    assert (problem["severity"], problem["kind"]) == ("warning", "no test/good")
    assert "3 of 11 images of train/good" in problem["message"]
    before = digest(table)
    shutil.copytree(folder, tmp_path / "elsewhere" / "widget")
    assert digest(load_table(tmp_path / "elsewhere", "widget")) == before
    (folder / "test" / "good").mkdir()
    for name in ("000.png", "005.png", "010.png"):  # the same split, said by folders: the same data
        (folder / "train/good" / name).rename(folder / "test/good" / name)
    moved = load_table(tmp_path, "widget")
    assert digest(moved) == before and not moved.attrs["problems"]


def test_a_single_good_image_is_not_lent(tmp_path, make_category):
    make_category(tmp_path / "widget", {"train/good": 1, "test/dent": 3})
    table = load_table(tmp_path, "widget")
    assert table.groupby(["split", "defect"]).size().to_dict() == {("train", "good"): 1, ("test", "dent"): 3}
