"""What the fuzzer found, one test a fault."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.annotate import coco
from hw3lib.annotate.pictures import image_size
from hw3lib.annotate.reading import number, read_text
from hw3lib.annotate.voc import read_xml
from hw3lib.annotations_file import AnnotationsFile
from hw3lib.choices import Choices, apply
from hw3lib.classify.kept import read_kept
from hw3lib.compared_runs import compare
from hw3lib.data.archive import extract
from hw3lib.errors import Hw3Error
from hw3lib.report.runs import Run
from hw3lib.runner import parse_value
from hw3lib.sweep.spec import read_spec
from hw3lib.yaml_text import parse

BOMB = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])


@pytest.mark.parametrize(
    "text",
    [BOMB, "&a [*a]", "!!int ''", "!!timestamp x", "!!map x", "!!bool x", "2021-99-99", "{a: 1, a: 2}", "[" * 3000],
    ids=["aliases of aliases", "itself", "int", "timestamp", "map", "bool", "date", "twice", "deep"],
)
def test_a_hostile_yaml_is_one_value_error(text):
    with pytest.raises(ValueError):
        parse(text)


def test_yaml_keeps_anchors_merges_and_numbers_as_people_write_them():
    text = "a: &a {lr: 1e-3, epochs: 3}\nb: {<<: *a, epochs: 5}\nc: *a"
    assert parse(text) == {
        "a": {"lr": 1e-3, "epochs": 3},
        "b": {"lr": 1e-3, "epochs": 5},
        "c": {"lr": 1e-3, "epochs": 3},
    }


@pytest.mark.parametrize("text", ["[2021-99-99]", "[" * 3000, "{a: 2021-01-01}", "{? [a] : b}"])
def test_a_parameter_that_is_no_sound_yaml_is_a_text(text):
    assert parse_value(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "categories: a\nseeds: 1000000000\ndetectors: [padim]",
        "categories: a\ndetectors: [{detector: [padim]}]",
        "categories: a\nimbalance: [{method: {a: 1}}]",
        "categories: a\nimbalance: [{method: SMOTE, ratio: .inf}]",
    ],
)
def test_a_sweep_with_values_of_another_kind_is_refused(text, tmp_path):
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(Hw3Error, match=r"sweep\.yaml"):
        read_spec(tmp_path / "sweep.yaml")


def test_run_lengths_whose_sum_overflows_to_the_right_one_are_refused():
    counts = [2**53 - 1] * 2048 + [2048 + 600]
    assert int(np.array(counts, np.int64).sum()) == 600
    with pytest.raises(Hw3Error, match="a run length of"):
        coco._run_lengths({"size": [20, 30], "counts": counts}, (20, 30), "here")


def test_an_integer_beyond_all_floats_is_no_finite_number():
    with pytest.raises(Hw3Error, match="finite"):
        number(10**400, "here")


def test_an_unknown_encoding_of_an_xml_is_one_error(tmp_path):
    (tmp_path / "a.xml").write_text('<?xml version="1.0" encoding="x-none"?><annotation/>')
    with pytest.raises(Hw3Error, match=r"a\.xml"):
        read_xml(tmp_path / "a.xml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("read", [image_size, read_text, lambda path: extract(path, path.parent / "out")])
def test_a_pipe_is_refused_and_not_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Hw3Error, match="regular file"):
        read(tmp_path / "pipe.png")


def _table() -> pd.DataFrame:
    row = {"image": "/c/w/test/dent/0.png", "split": "test", "defect": "dent", "is_defect": True, "mask": None}
    made = pd.DataFrame([row | {"width": 30, "height": 20, "mode": "RGB"}])
    made.attrs = {"root": "/c", "category": "w"}
    return made


@pytest.mark.parametrize("other", [{"licenses": "abc"}, {"licenses": [1]}, {"info": "\ud800"}])
def test_a_mask_is_added_to_a_coco_file_with_odd_but_unused_values(other, tmp_path):
    content = {"images": [], "annotations": [], "categories": []} | other
    (tmp_path / "a.json").write_text(json.dumps(content))
    AnnotationsFile(tmp_path / "a.json", _table()).add(0, np.ones((20, 30), bool), "dent")
    assert len(AnnotationsFile(tmp_path / "a.json", _table())) == 1


def test_choices_go_by_names_that_are_no_utf8(tmp_path):
    Choices(tmp_path / "a.json").set("test/dent/\udcff.png", "dent", "keep")
    assert Choices(tmp_path / "a.json").get("test/dent/\udcff.png") == "keep"


@pytest.mark.parametrize("choice", ['"\\ud800"', "[" * 100_000])
def test_choices_that_are_nested_too_deeply_or_hold_half_characters_are_damaged(choice, tmp_path):
    content = '{"format": 1, "choices": {"test/dent/0.png": {"was": "dent", "choice": CHOICE}}}'
    (tmp_path / "a.json").write_text(content.replace("CHOICE", choice))
    with pytest.raises(Hw3Error, match=r"a\.json"):
        apply(_table(), tmp_path / "a.json")


@pytest.mark.parametrize("content", ["[1]", "3", "[" * 100_000])
def test_an_outcome_that_is_no_object_is_computed_again(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    assert read_kept(tmp_path / "a.json") is None


def _chapter(folder, **metrics):
    (folder / "01").mkdir(parents=True)
    (folder / "01/metrics.json").write_text(json.dumps({"category": "a"} | metrics))
    return folder


def test_a_table_with_more_fields_than_columns_is_read_without_them(tmp_path):
    (_chapter(tmp_path) / "01/classes.csv").write_text("defect,total\ngood,3,4,5\n")
    assert Run(tmp_path).content("01/classes.csv") == [{"defect": "good", "total": 3.0}]


def test_a_figure_beyond_all_floats_is_refused_in_a_report(tmp_path):
    run = Run(_chapter(tmp_path, images=10**400))
    with pytest.raises(Hw3Error, match="expected a number"):
        run.mark("01/metrics.json", "/images", ".1f", 100.0)


def test_runs_with_integers_beyond_all_floats_or_odd_records_are_compared(tmp_path):
    for name, images in (("a", 10**400), ("b", 3)):
        (_chapter(tmp_path / name, images=images) / "01/run.json").write_text('{"fingerprint": "x"}')
    found = compare(tmp_path / "a", tmp_path / "b")
    assert [row.verdict for row in found.rows if row.figure == "images"] == ["differs"]


def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path):
    Image.new("1", (12_000, 9_000)).save(tmp_path / "large.png")
    with pytest.raises(Hw3Error, match="million"):
        image_size(tmp_path / "large.png")
