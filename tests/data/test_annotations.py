"""A category's annotations.json: whose annotations they are, what is known of each image, what is refused."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from hw3lib.annotate.instances import read_instances
from hw3lib.data import check_category, digest, load_table
from hw3lib.data.regions.annotations import FILE, annotation_kinds, annotations_of, names_below
from hw3lib.errors import Hw3Error

IMAGE = {"width": 40, "height": 32}
SQUARE = [[4, 4, 14, 4, 14, 9, 4, 9]]
BESIDE = [[8, 4, 18, 4, 18, 9, 8, 9]]


@pytest.fixture
def annotated(category):
    """Regions on dent/000 that overlap, a box alone on dent/001, a point on dent/002; their masks are taken away."""
    for name in ("001", "002"):
        (category / f"ground_truth/dent/{name}_mask.png").unlink()
    content = {
        "images": [IMAGE | {"id": at, "file_name": f"test/dent/00{at}.png"} for at in range(3)],
        "categories": [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [4, 4, 10, 5], "segmentation": SQUARE},
            {"id": 2, "image_id": 0, "category_id": 2, "bbox": [8, 4, 10, 5], "segmentation": BESIDE},
            {"id": 3, "image_id": 1, "category_id": 2, "bbox": [2.4, 3, 5, 6]},
            {"id": 4, "image_id": 2, "category_id": 1, "keypoints": [7.5, 8, 2, 1, 1, 0], "num_keypoints": 1},
        ],
    }  # fmt: skip
    (category / FILE).write_text(json.dumps(content), encoding="utf-8")
    return category


def table_of(category):
    return load_table(category.parent, category.name, strict=False)


def change(category, **record):
    content = json.loads((category / FILE).read_text(encoding="utf-8"))
    content["annotations"][0].update(record)
    (category / FILE).write_text(json.dumps(content), encoding="utf-8")


def test_regions_boxes_and_points_are_told_apart(annotated):
    table = table_of(annotated)
    rows = {name: row for row, name in enumerate(names_below(table))}
    kinds = annotation_kinds(table)
    first, second, third, fourth = (kinds.iloc[rows[f"test/dent/00{at}.png"]].tolist() for at in range(4))
    assert first == [True, True, False]  # masks, boxes, points
    assert second == [False, True, False]
    assert third == [False, False, True]
    assert fourth == [True, True, False]  # a mask, of which the file says nothing
    assert kinds.index.equals(table.index) and not kinds[~table["is_defect"]].to_numpy().any()


def test_instances_are_the_regions_that_were_drawn_and_may_overlap(annotated):
    table = table_of(annotated)
    rows = {name: row for row, name in enumerate(names_below(table))}
    found = read_instances(table)
    first = found.of(rows["test/dent/000.png"])
    assert [(i.defect, i.xywh, i.area, i.kind) for i in first] == [
        ("dent", (4, 4, 10, 5), 50, "mask"),
        ("scratch", (8, 4, 10, 5), 50, "mask"),
    ]
    (box,) = found.of(rows["test/dent/001.png"])
    assert (box.defect, box.xyxy, box.kind) == ("scratch", (2, 3, 7, 9), "box") and box.crop.all()
    assert not found.of(rows["test/dent/002.png"])
    (mask,) = found.of(rows["test/dent/003.png"])
    assert mask.kind == "mask" and mask.xywh[2:] == (8, 6)
    assert [i.row for i in found] == sorted(i.row for i in found)
    (points,) = (found for found in annotations_of(table) if found.points)
    assert points.row == rows["test/dent/002.png"] and points.points == [(7.5, 8)]


def test_boxes_small_regions_and_wholes_are_left_out_or_joined_on_request(annotated):
    table = table_of(annotated)
    assert {i.kind for i in read_instances(table, boxes=False)} == {"mask"}
    small = read_instances(table, min_area=50)
    assert {d.area for d in small.dropped} == {48} and [i.kind for i in small if i.area < 50] == ["box"]
    change(annotated, category_id=2)
    row = names_below(table).index("test/dent/000.png")
    (whole,) = read_instances(table, whole=True).of(row)
    assert whole.xywh == (4, 4, 14, 5) and whole.area == 70


def test_a_mask_is_worth_more_than_a_box(annotated):
    mask = np.zeros((32, 40), bool)
    mask[10:12, 10:13] = True
    Image.fromarray(mask).save(annotated / "ground_truth/dent/001_mask.png")
    table = table_of(annotated)
    (found,) = read_instances(table).of(names_below(table).index("test/dent/001.png"))
    assert found.kind == "mask" and found.xywh == (10, 10, 3, 2) and found.defect == "dent"


def test_a_part_of_a_table_has_its_own_annotations(annotated):
    table = table_of(annotated)
    part = table[table["defect"] == "dent"].iloc[1:3]
    assert [i.row for i in read_instances(part)] == [0]
    assert annotation_kinds(part).index.equals(part.index)
    assert [found.row for found in annotations_of(part) if found.points] == [1]


def test_a_name_is_the_same_however_its_accents_are_written(annotated):
    (annotated / "test/dent/001.png").rename(annotated / "test/dent/e\u0301.png")
    text = (annotated / FILE).read_text(encoding="utf-8")
    (annotated / FILE).write_text(text.replace("dent/001.png", "dent/\u00e9.png"), encoding="utf-8")
    assert {i.kind for i in read_instances(table_of(annotated))} == {"mask", "box"}


def test_annotations_enter_the_digest(annotated):
    table = table_of(annotated)
    before = digest(table)
    change(annotated, category_id=2)
    changed = digest(table)
    (annotated / FILE).unlink()
    assert len({before, changed, digest(table)}) == 3


@pytest.mark.parametrize(
    "record, said",
    [
        ({"image_id": 77}, "annotation 1: image 77"),
        ({"category_id": [1]}, "annotation 1: category_id"),
        ({"segmentation": [[1, 1, float("nan"), 4, 5, 5]]}, "annotation 1: polygon: found 'nan'"),
        ({"segmentation": [[50, 50, 60, 50, 60, 60]]}, "annotation 1: its segmentation covers no pixel"),
        ({"segmentation": {"size": [40, 32], "counts": [1280]}}, "annotation 1: run lengths of size"),
        ({"segmentation": "x"}, "annotation 1: expected a segmentation"),
        ({"segmentation": [], "image_id": 1, "bbox": [1, 2, 3]}, "annotation 1: bbox"),
        ({"segmentation": [], "image_id": 1, "bbox": [90, 2, 3, 3]}, "annotation 1: its box .* outside"),
        ({"keypoints": [1, 2]}, "annotation 1: 2 numbers in keypoints"),
    ],
)
def test_a_wrong_annotation_is_refused_by_name_and_check_says_so(record, said, annotated):
    change(annotated, **record)
    table = table_of(annotated)
    with pytest.raises(Hw3Error, match=said) as caught:
        read_instances(table), [found.points for found in annotations_of(table)]
    assert str(annotated / FILE) in str(caught.value)
    assert "annotations" in list(check_category(table).problems["kind"])


def test_another_size_is_refused(annotated):
    Image.new("RGB", (41, 32)).save(annotated / "test/dent/001.png")
    with pytest.raises(Hw3Error, match="001.png is 40x32 pixels there, its image 41x32"):
        annotations_of(table_of(annotated))


def test_check_names_annotations_of_images_that_are_gone(annotated):
    assert "orphaned annotation" not in list(check_category(table_of(annotated)).problems["kind"])
    (annotated / "test/dent/001.png").unlink()
    problems = check_category(table_of(annotated)).problems
    assert list(problems.loc[problems["kind"] == "orphaned annotation", "severity"]) == ["warning"]


@pytest.mark.parametrize("content", ["{}", '{"a.png": {"regions": []}}', '{"images": 3}'])
def test_a_file_of_this_name_that_is_somebody_elses_is_passed_over(content, annotated):
    (annotated / FILE).write_text(content)
    assert annotations_of(table_of(annotated)) == []
    assert {i.kind for i in read_instances(table_of(annotated))} == {"mask"}


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes")
def test_a_pipe_of_this_name_is_not_waited_for(annotated):
    (annotated / FILE).unlink()
    os.mkfifo(annotated / FILE)
    assert annotations_of(table_of(annotated)) == []
