"""hw3lib.views.widgets.choices: written at once, merged with what others wrote, never lost."""

import json

import pytest

from hw3lib.data import load_table
from hw3lib.errors import Hw3Error
from hw3lib.views.widgets.choices import Choices, apply, image_keys


@pytest.fixture
def table(category):
    return load_table(category.parent, "widget")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "labels.json"


def test_a_choice_is_in_the_file_at_once_and_read_by_the_next(path):
    Choices(path).set("test/dent/000.png", "dent", "scratch")
    assert json.loads(path.read_text()) == {
        "format": 1,
        "choices": {"test/dent/000.png": {"was": "dent", "choice": "scratch"}},
    }
    assert Choices(path).get("test/dent/000.png") == "scratch" and Choices(path).get("test/dent/001.png") is None


def test_two_notebooks_that_write_the_same_file_keep_each_others_choices(path):
    one, other = Choices(path), Choices(path)
    one.set("a", "dent", "keep")
    other.set("b", "dent", "unsure")
    one.set("c", "dent", "good")
    assert {key: value["choice"] for key, value in Choices(path).items().items()} == {
        "a": "keep",
        "b": "unsure",
        "c": "good",
    }
    one.set("b", "dent", None)
    assert set(Choices(path).items()) == {"a", "c"}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 9, "choices": {}}', '{"format": 1, "choices": {"a": "keep"}}']
)
def test_a_damaged_file_is_kept_aside_and_said(path, content):
    path.parent.mkdir()
    path.with_name("labels.json.damaged-1").write_text("an older one")
    path.write_text(content)
    choices = Choices(path)
    assert "labels.json.damaged-2" in choices.said and str(path) in choices.said
    choices.set("a", "dent", "keep")
    assert path.with_name("labels.json.damaged-2").read_text() == content
    assert path.with_name("labels.json.damaged-1").read_text() == "an older one"
    assert len(Choices(path)) == 1


def test_a_file_that_is_damaged_meanwhile_loses_no_choice(path):
    choices = Choices(path)
    choices.set("a", "dent", "keep")
    path.write_text("half a fi")
    choices.set("b", "dent", "unsure")
    assert set(Choices(path).items()) == {"a", "b"}
    assert path.with_name("labels.json.damaged-1").read_text() == "half a fi"


def test_labels_follow_the_choices(table, path):
    keys = dict(zip(image_keys(table), table.index, strict=True))
    choices = Choices(path)
    choices.set("test/dent/000.png", "dent", "scratch")
    choices.set("test/dent/001.png", "dent", "good")
    choices.set("test/dent/002.png", "dent", "keep")
    choices.set("test/scratch/000.png", "scratch", "unsure")
    choices.set("test/good/000.png", "good", "dent")
    choices.set("test/rust/000.png", "rust", "good")  # of another table
    before = table.copy()
    new = apply(table, path)
    assert table.equals(before)
    changed = {row: new.loc[row, "defect"] for row in table.index if new.loc[row, "defect"] != table.loc[row, "defect"]}
    assert changed == {
        keys["test/dent/000.png"]: "scratch",
        keys["test/dent/001.png"]: "good",
        keys["test/good/000.png"]: "dent",
    }
    assert (new["is_defect"] == (new["defect"] != "good")).all() and new["is_defect"].dtype == bool
    assert new.loc[keys["test/dent/001.png"], "mask"] is None or new["mask"].isna()[keys["test/dent/001.png"]]
    assert new.loc[keys["test/dent/000.png"], "mask"] == table.loc[keys["test/dent/000.png"], "mask"]


def test_without_a_file_nothing_changes_and_a_damaged_one_is_refused(table, path):
    assert apply(table, path).equals(table)
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(Hw3Error, match="cannot be read"):
        apply(table, path)


def test_a_label_that_is_another_one_now_is_refused(table, path):
    Choices(path).set("test/dent/000.png", "rust", "good")
    with pytest.raises(Hw3Error, match="test/dent/000.png was 'rust' when it was looked at and is 'dent'"):
        apply(table, path)


def test_choices_go_by_names_that_are_no_utf8(tmp_path):
    Choices(tmp_path / "a.json").set("test/dent/\udcff.png", "dent", "keep")
    assert Choices(tmp_path / "a.json").get("test/dent/\udcff.png") == "keep"
