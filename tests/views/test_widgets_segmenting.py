"""Click to segment: what clicks do, and the COCO file that grows by one mask at a time."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from pycocotools.coco import COCO

from hw3lib.annotate.formats.coco_file import AnnotationsFile
from hw3lib.data import load_table
from hw3lib.data.regions.annotations import names_below
from hw3lib.errors import Hw3Error
from hw3lib.views import widgets
from hw3lib.views.widgets import segmenting


@pytest.fixture
def table(category):
    table = load_table(category.parent, "widget")
    return table[table["split"] == "test"].reset_index(drop=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "clicks.json"


def squares(image, points, labels):
    """A square of 5x5 pixels round each click on the defect, without those beside it; notes what it was given."""
    squares.given.append((image, points, labels))
    mask = np.zeros(image.shape[:2], bool)
    for (x, y), label in zip(points.astype(int), labels, strict=True):
        mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = bool(label)
    return mask, 0.75


@pytest.fixture
def state(table, path):
    squares.given = []
    return widgets.Segmentation(squares, table, path)


def test_clicks_are_given_to_the_model_as_documented(state):
    state.add(10, 12, 1)
    state.add(11, 12, 0)
    image, points, labels = squares.given[-1]
    assert image is squares.given[0][0] and image.dtype == np.uint8 and image.shape == (32, 40, 3)
    assert points.dtype == np.float32 and points.tolist() == [[10, 12], [11, 12]]
    assert labels.dtype == np.int64 and labels.tolist() == [1, 0]
    assert state.mask.sum() == 5 and state.iou == 0.75  # the square round 11 takes four of the five columns
    state.undo()
    assert state.mask.sum() == 25 and state.points == [(10.0, 12.0, 1)]
    state.undo()
    assert state.mask is None and state.points == []


def test_a_point_outside_and_a_refusal_of_the_model_change_nothing(state, monkeypatch):
    state.add(10, 12, 1)
    with pytest.raises(Hw3Error, match="point 40, 12: outside of the image, which has 40x32 pixels"):
        state.add(40, 12, 1)
    monkeypatch.setattr(state, "_propose", lambda *_: (np.ones((3, 3), bool), 1.0))
    with pytest.raises(Hw3Error, match=r"mask of \(3, 3\), expected \(32, 40\)"):
        state.add(1, 1, 1)
    assert state.points == [(10.0, 12.0, 1)] and state.mask.sum() == 25


def test_an_accepted_mask_is_a_coco_annotation_at_once(state, path, table):
    state.open(5)
    state.add(10, 12, 1)
    expected = state.mask
    state.accept("dent")
    assert state.mask is None and np.array_equal(state.accepted(), expected)
    coco = COCO(path)
    (found,) = coco.loadAnns(coco.getAnnIds())
    assert np.array_equal(coco.annToMask(found).astype(bool), expected)
    assert found["bbox"] == [8, 10, 5, 5] and found["area"] == 25 and found["iscrowd"] == 0
    assert isinstance(found["segmentation"]["counts"], str)
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("test/dent/001.png", 40, 32)
    assert coco.loadCats(found["category_id"])[0]["name"] == "dent"


def test_an_existing_file_is_continued_and_what_others_wrote_stays(state, path, table):
    state.add(10, 12, 1)
    state.accept("dent")
    content = json.loads(path.read_text())
    content["info"]["contributor"] = "a person"
    content["annotations"][0]["note"] = "checked"
    path.write_text(json.dumps(content))
    again = widgets.Segmentation(squares, table, path)
    again.add(20, 20, 1)
    again.accept("scratch")
    again.open(1)
    again.add(20, 20, 1)
    again.accept("dent")
    new = json.loads(path.read_text())
    assert new["info"] == content["info"] and new["annotations"][0] == content["annotations"][0]
    assert [a["id"] for a in new["annotations"]] == [1, 2, 3]
    assert [a["image_id"] for a in new["annotations"]] == [1, 1, 2]
    assert [a["category_id"] for a in new["annotations"]] == [1, 2, 1]
    assert again.take_back() and again.take_back() and not again.take_back()
    assert json.loads(path.read_text())["annotations"] == content["annotations"]


@pytest.mark.parametrize(
    "content", ["{", '{"images": 3}', '{"images": [], "annotations": [{"id": 1}], "categories": []}']
)
def test_a_file_that_is_not_sound_is_refused_and_not_touched(table, path, content):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(Hw3Error, match="clicks.json"):
        widgets.Segmentation(squares, table, path)
    assert path.read_text() == content


def test_an_empty_mask_and_an_image_of_another_size_are_refused(table, path):
    file = AnnotationsFile(path, table)
    with pytest.raises(Hw3Error, match="at least one pixel"):
        file.add(0, np.zeros((32, 40), bool), "dent")
    file.add(0, np.ones((32, 40), bool), "dent")
    content = json.loads(path.read_text())
    content["images"][0]["width"] = 41
    path.write_text(json.dumps(content))
    with pytest.raises(Hw3Error, match="has 41x32 pixels there and 40x32 here"):
        file.add(0, np.ones((32, 40), bool), "dent")


def test_images_are_named_by_their_path_in_the_category(table):
    assert names_below(table)[4] == "test/dent/000.png"
    table.attrs = {}
    assert names_below(table)[4] == "test/dent/000.png"


def test_the_picture_shows_outlines_and_clicks():
    image = np.full((20, 40, 3), 100, np.uint8)
    mask = np.zeros((20, 40), bool)
    mask[5:15, 5:15] = True
    drawn = segmenting.picture(image, mask, mask[:, ::-1], np.array([[10, 10], [20, 10]]), np.array([1, 0]), side=400)
    assert drawn.shape == (200, 400, 3) and drawn.dtype == np.uint8

    def has(colour, part):
        return bool((part == colour).all(-1).any())

    assert has((255, 230, 0), drawn[:, :200]) and not has((255, 230, 0), drawn[:, 200:])  # proposed
    assert has((0, 200, 255), drawn[:, 200:]) and not has((0, 200, 255), drawn[:, :200])  # accepted
    assert has((0, 158, 115), drawn[100:111, 98:113]) and has((213, 94, 0), drawn[100:111, 198:213])


def test_buttons_and_clicks_do_the_same_without_a_browser(table, path, monkeypatch):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    squares.given, shown = [], []
    monkeypatch.setattr("IPython.display.display", shown.append)
    widgets.segment(squares, table, path)
    top, below, picture, line = shown[0].children
    image, meaning, x, y, add, undo = top.children
    defect, accept, back = below.children
    assert image.label == "test/dent/000.png" and picture.clickable and picture.alt.startswith("test/dent/000.png.")
    before = picture.value

    def click(u, v, shift=False):
        picture._handle_custom_msg({"x": u, "y": v, "shift": shift}, [])

    click(10.5 / 40, 12.5 / 32)
    assert picture.value != before and (x.value, y.value) == (10, 12) and "1 point" in line.value
    click(11.5 / 40, 12.5 / 32, shift=True)
    assert squares.given[-1][2].tolist() == [1, 0]
    undo.click()
    x.value, y.value, meaning.value = 30, 20, 0
    add.click()
    assert squares.given[-1][1].tolist() == [[10, 12], [30, 20]] and squares.given[-1][2].tolist() == [1, 0]
    defect.value = "scratch"
    accept.click()
    assert "1 accepted in this image" in line.value
    accept.click()
    assert "there is no mask to accept" in line.value
    image.value = 0
    assert "0 accepted in this image, 1 in clicks.json" in line.value
    back.click()
    assert "0 in clicks.json" in line.value


def test_the_static_twin_clicks_into_the_defect(table, path, monkeypatch):
    monkeypatch.setenv("HW3_HEADLESS", "1")
    squares.given, shown = [], []
    monkeypatch.setattr("IPython.display.display", shown.append)
    widgets.segment(squares, table, path)
    assert isinstance(shown[0], Figure) and not path.exists()
    assert shown[0].axes[0].get_title() == "test/dent/000.png\n1 click, expected IoU 0.75"
    x, y = squares.given[0][1][0].astype(int)
    from hw3lib.data import read_mask

    assert read_mask(table["mask"].iloc[4])[y, x]


def test_a_failure_of_the_model_is_said(table, path, monkeypatch):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)

    def broken(*_):
        raise RuntimeError("no memory")

    widgets.segment(broken, table, path)
    add, line = shown[0].children[0].children[4], shown[0].children[3]
    add.click()
    assert "the model failed: RuntimeError: no memory" in line.value
