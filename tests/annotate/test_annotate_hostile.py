"""Reading what others wrote: each mistake is one clear error, and nothing hostile gets further."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.annotate import FORMATS, Dataset
from hw3lib.annotate.formats.coco import read_coco
from hw3lib.annotate.formats.voc import read_xml
from hw3lib.annotate.instances import components
from hw3lib.core.untrusted import read_json
from hw3lib.core.values import number
from hw3lib.data.regions.shapes import run_lengths
from hw3lib.errors import Hw3Error


@pytest.fixture
def data(tmp_path) -> Dataset:
    mask = np.zeros((20, 30), bool)
    mask[4:9, 6:16] = True
    for at in range(3):
        Image.new("RGB", (30, 20)).save(tmp_path / f"{at}.png")
    return Dataset(
        [f"p{at}.png" for at in range(3)],
        [str(tmp_path / f"{at}.png") for at in range(3)],
        [(20, 30)] * 3,
        ["train", "val", "test"],
        components([(0, "dent", mask), (1, "hole", mask)]),
        ["dent", "hole"],
    )


@pytest.fixture
def written(data, tmp_path):
    return lambda name: FORMATS[name].write(tmp_path / name, data).folder


def refuses(name: str, folder: Path, said: str) -> None:
    with pytest.raises(Hw3Error, match=said) as caught:
        FORMATS[name].read(folder)
    assert str(folder) in str(caught.value) and caught.value.__suppress_context__ is not None


def changed(path: Path, change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def first(content: dict) -> dict:
    return content["annotations"][0]


RLE = {"size": [20, 30], "counts": [100, 500]}

COCO_MISTAKES = {
    "an unknown image": (lambda c: first(c).update(image_id=77), "annotation 1: image_id 77 is unknown"),
    "an unknown category": (lambda c: first(c).update(category_id=9), "annotation 1: category_id 9 is unknown"),
    "a category that is no number": (lambda c: first(c).update(category_id=[1]), "category_id .1. is unknown"),
    "an image given twice": (lambda c: c["images"].append(c["images"][0]), "image 1: its id is given twice"),
    "a file given twice": (lambda c: c["images"].append(c["images"][0] | {"id": 7}), "'p0.png' is another image's"),
    "an annotation given twice": (lambda c: c["annotations"].append(first(c)), "annotation 1: its id is given twice"),
    "a category given twice": (lambda c: c["categories"].append(c["categories"][0]), "given twice"),
    "no images": (lambda c: c.pop("images"), "list of objects under 'images'"),
    "annotations that are none": (lambda c: c.update(annotations=[3]), "list of objects under 'annotations'"),
    "a polygon outside": (
        lambda c: first(c).update(segmentation=[[1, 1, 40, 1, 40, 9]]), "lies outside its image of 30x20",
    ),
    "a polygon of two points": (lambda c: first(c).update(segmentation=[[1, 1, 4, 4]]), "polygon of 2 points"),
    "an odd polygon": (lambda c: first(c).update(segmentation=[[1, 1, 4, 4, 5]]), "polygon of 5 numbers"),
    "a polygon of NaN": (lambda c: first(c).update(segmentation=[[1, 1, 4, float("nan"), 5, 5]]), "found 'nan'"),
    "a polygon of texts": (lambda c: first(c).update(segmentation=[["1", 1, 4, 4, 5, 5]]), "found '1'"),
    "no segmentation": (lambda c: first(c).pop("segmentation"), "expected a segmentation"),
    "an empty mask": (lambda c: first(c).update(segmentation=RLE | {"counts": [600]}), "its mask is empty"),
    "run lengths of another image": (
        lambda c: first(c).update(segmentation=RLE | {"size": [30, 20]}), "expected .20, 30., height and width",
    ),
    "run lengths that are too many": (
        lambda c: first(c).update(segmentation=RLE | {"counts": [100, 501]}), "run lengths of 601 pixels .* has 600",
    ),
    "negative run lengths": (
        lambda c: first(c).update(segmentation=RLE | {"counts": [700, -100]}), "found '-100'",
    ),
    "packed run lengths that are too many": (
        lambda c: first(c).update(segmentation=RLE | {"counts": "PPPo3"}), "run length",
    ),
    "packed run lengths that are cut": (lambda c: first(c).update(segmentation=RLE | {"counts": "o"}), "in the middle"),
    "packed run lengths that are none": (
        lambda c: first(c).update(segmentation=RLE | {"counts": "ü"}), "'ü' in its run",
    ),
    "a path out of the folder": (lambda c: c["images"][0].update(file_name="../../p0.png"), "leads out of"),
    "an absolute path": (lambda c: c["images"][0].update(file_name="/etc/passwd"), "leads out of"),
    "a missing image": (lambda c: c["images"][0].update(file_name="gone.png"), "gone.png: no image that can be read"),
    "another size": (lambda c: c["images"][0].update(width=31), "says 31x20 pixels, .* has 30x20"),
    "a size of billions": (lambda c: c["images"][0].update(width=10**9, height=10**9), "at most 200,000,000"),
    "a size below one": (lambda c: c["images"][0].update(width=0), "width: found '0'"),
    "a category without name": (lambda c: c["categories"][0].update(name=None), "category 1: found 'None'"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", COCO_MISTAKES)
def test_a_coco_file_is_refused_for(mistake, written):
    folder = written("coco")
    change, said = COCO_MISTAKES[mistake]
    changed(folder / "annotations/instances_train.json", change)
    refuses("coco", folder, said)


def test_an_id_that_two_splits_share_is_refused(written):
    folder = written("coco")
    changed(folder / "annotations/instances_val.json", lambda c: c["images"][0].update(id=1))
    refuses("coco", folder, "instances_val.json: image 1: its id is given twice")


@pytest.mark.parametrize(
    "content, said",
    [
        ("[" * 100_000, "nested too deeply|is not JSON"),
        ('{"a":' * 100_000, "nested too deeply|is not JSON"),
        ('{"images": ' + "1" * 10_000 + "}", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "holds a list, expected a JSON object"),
        (b"\xff\xfe\x00", "cannot be read as UTF-8"),
    ],
)
def test_a_json_that_is_none_is_one_error(tmp_path, content, said):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Hw3Error, match=said) as caught:
        read_coco(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 500


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)
    start = time.monotonic()
    with pytest.raises(Hw3Error, match="2.0 GB, expected at most 500.0 MB"):
        read_json(path)
    assert time.monotonic() - start < 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Hw3Error, match="none.json: no such file"):
        read_coco(tmp_path / "none.json")


BOMB = (
    '<!DOCTYPE a [<!ENTITY x0 "ha">'
    + "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 10))
    + "]><annotation>&x9;</annotation>"
)
XML_ATTACKS = {
    "entities that expand": BOMB,
    "an external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
    "an external DTD": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><annotation/>',
    "a DTD alone": "<!DOCTYPE annotation><annotation/>",
}


@pytest.mark.parametrize("attack", XML_ATTACKS)
def test_an_xml_is_refused_for(attack, written):
    folder = written("voc")
    path = folder / "Annotations/p0.xml"
    path.write_text('<?xml version="1.0"?>' + XML_ATTACKS[attack], encoding="utf-8")
    refuses("voc", folder, "p0.xml: refused, for it holds a DTD or entities")


def test_a_broken_xml_is_one_error(tmp_path):
    for content in ("<a>", "", "<a>&unknown;</a>", "\x00"):
        (tmp_path / "a.xml").write_text(content, encoding="utf-8")
        with pytest.raises(Hw3Error, match="a.xml: is not XML"):
            read_xml(tmp_path / "a.xml")


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("<xmin>7<", "<xmin>nan<", "bndbox/xmin: found 'nan'"),
        ("<xmin>7<", "<xmin><", "bndbox/xmin: found"),
        ("<xmax>16<", "<xmax>6<", "is empty"),
        ("<xmax>16<", "<xmax>99<", "lies outside its image of 30x20"),
        ("<width>30<", "<width>31<", "says 31x20 pixels, .* has 30x20"),
        ("<width>30<", "<width>wide<", "size/width: found 'wide'"),
        ("<filename>p0.png<", "<filename>../p0.png<", "leads out of"),
        ("<filename>p0.png<", "<filename>gone.png<", "its image .*gone.png is missing"),
        ("<name>dent<", "<name> <", "found ' ', expected a name"),
    ],
)
def test_a_wrong_value_in_an_xml_is_named(old, new, said, written):
    folder = written("voc")
    path = folder / "Annotations/p0.xml"
    assert old in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    refuses("voc", folder, said)


@pytest.mark.parametrize("name", ["yolo", "yolo-seg"])
@pytest.mark.parametrize(
    "line, said",
    [
        ("2 0.5 0.5 0.1 0.1", r"line 1: class 2, expected one of 0 to 1 \(dent, hole\)"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("nan 0.5 0.5 0.1 0.1", "not finite"),
        ("0 0.5 nan 0.1 0.1", "not finite"),
        ("0 0.5 inf 0.1 0.1", "not finite"),
        ("dent 0.5 0.5 0.1 0.1", "expected numbers"),
        ("0 0.5 0.5 0.1 1.5", "1.5 lies outside the image"),
        ("0 0.5 -0.5 0.1 0.1", "-0.5 lies outside the image"),
        ("0 0.95 0.5 0.5 0.1", "lies outside its image"),
        ("0 0.5 0.5 0 0.1", "is empty"),
        ("0 0.5 0.5 0.1", "3 shares"),
        ("0 0.5 0.5", "polygon of 1 points"),
        ("0 0.5 0.5 0.1 0.1\n0 0.1 0.1 0.2 0.1 0.2 0.2", "line 2: a box and a polygon"),
    ],
)
def test_a_wrong_row_of_yolo_is_named(name, line, said, written):
    folder = written(name)
    (folder / "labels/train/p0.txt").write_text(line + "\n", encoding="utf-8")
    refuses(name, folder, said)


@pytest.mark.parametrize(
    "content, said",
    [
        ("names: [", "is not YAML"),
        ("3", "expected train, val and names"),
        ("train: a", "names: expected the classes"),
        ("names: {0: a, 2: b}", "names: expected the classes"),
        ("names: !!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_a_wrong_data_yaml_is_named(content, said, written):
    folder = written("yolo")
    (folder / "data.yaml").write_text(content, encoding="utf-8")
    refuses("yolo", folder, said)


@pytest.mark.parametrize(
    "name, gone",
    [("yolo", "images/train/p0.png"), ("indexed-png", "images/train/p0.png"), ("sam", "images/p0.png")],
)
def test_a_mask_or_label_without_an_image_is_refused(name, gone, written):
    folder = written(name)
    (folder / gone).unlink()
    refuses(name, folder, "a mask without an image|belongs to no image|no image that can be read")


def test_a_mask_that_is_missing_or_of_another_size_is_refused(written):
    folder = written("indexed-png")
    mask = folder / "masks/train/p0.png"
    Image.new("P", (31, 20)).save(mask)
    refuses("indexed-png", folder, "the mask is 31x20, its image is 30x20")
    Image.new("RGB", (30, 20)).save(mask)
    refuses("indexed-png", folder, "a mask of mode RGB")
    Image.fromarray(np.full((20, 30), 3, np.uint8)).save(mask)
    refuses("indexed-png", folder, "holds the value 3, expected 0 to 2")
    mask.unlink()
    refuses("indexed-png", folder, r"p0.png: the mask .*p0.png is missing")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda c: c["prompts"][0].update(image="gone.png"), "a mask without an image: 'gone.png'"),
        (lambda c: c["prompts"][0].update({"class": "x"}), "class 'x', expected one of dent, hole"),
        (lambda c: c["prompts"][0].update(box=[6, 4, 16, 10]), "its box is .*, that of its mask"),
        (lambda c: c["prompts"][0].update(box=[6, 4, 99, 9]), "lies outside its image"),
        (lambda c: c["prompts"][0].update(mask="../images/p0.png"), "leads out of"),
        (lambda c: c["prompts"].pop(), "a mask that no prompt names"),
        (lambda c: c["images"].append(c["images"][0]), "is listed twice"),
        (lambda c: c["images"][0].update(split="other"), "split 'other'"),
    ],
)
def test_wrong_prompts_are_refused(change, said, written):
    folder = written("sam")
    changed(folder / "prompts.json", change)
    refuses("sam", folder, said)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_folder_is_refused(name, tmp_path):
    with pytest.raises(Hw3Error, match=re.escape(str(tmp_path))):
        FORMATS[name].read(tmp_path)


def test_run_lengths_whose_sum_overflows_to_the_right_one_are_refused():
    counts = [2**53 - 1] * 2048 + [2048 + 600]
    assert int(np.array(counts, np.int64).sum()) == 600
    with pytest.raises(Hw3Error, match="a run length of"):
        run_lengths({"size": [20, 30], "counts": counts}, (20, 30), "here")


def test_an_integer_beyond_all_floats_is_no_finite_number():
    with pytest.raises(Hw3Error, match="finite"):
        number(10**400, "here")
