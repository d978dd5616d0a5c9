"""Independent sets of a generated category, and which categories have some."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw3lib.data import list_categories, load_table, redraw, synthetic
from hw3lib.data.labels import by_set, crossed_sets
from hw3lib.data.synthetic import generated, make


@pytest.fixture
def small(monkeypatch):
    """A quick profile of two small pictures a class to test on, painted here and at once."""

    def picture(product, defect, size, seed):
        rng = np.random.default_rng(seed)
        return rng.integers(0, 256, (size, size, 3), np.uint8), np.full((size, size), defect != "good")

    monkeypatch.setattr(synthetic, "PROFILES", {"quick": {"size": 32, "train_good": 1, "test": 2}, "full": None})
    monkeypatch.setattr(synthetic, "picture", picture)
    monkeypatch.setattr(synthetic, "usable_cores", lambda: 1)


def bottle(root):
    """The table of a bottle, and what classifiers of it are compared on."""
    make("bottle", root)
    table = load_table(root, "synthetic/bottle")
    return table, *redraw(table, 2, 0.5, n_sets=4, per_class=1, keep=root / "kept")


def test_sets_of_a_generated_category_share_no_image_and_come_again(small, tmp_path):
    table, images, sets = bottle(tmp_path)
    assert (
        len(images) == 16 and images["image"].nunique() == 16 and (images["mask"].notna() == images["is_defect"]).all()
    )
    assert set(table.loc[table["split"] == "test", "image"]) < set(images["image"])
    for learn, test in sets:
        assert images["defect"].iloc[learn].value_counts().to_dict() == dict.fromkeys(images["defect"].unique(), 1)
        assert sorted([*learn, *test]) == list(range(16))
    assert len(np.unique(np.concatenate([learn for learn, _ in sets]))) == 16
    pictures = {Path(image).read_bytes() for image in images["image"]}
    assert len(pictures) == 16
    stamps = [Path(image).stat().st_mtime_ns for image in images["image"]]
    _, again, _ = bottle(tmp_path)
    assert [Path(image).stat().st_mtime_ns for image in again["image"]] == stamps
    assert list_categories(tmp_path) == ["synthetic/bottle"]


def test_images_are_painted_elsewhere_where_the_data_cannot_be_written(small, tmp_path, monkeypatch):
    monkeypatch.setattr("hw3lib.data.synthetic.draws.os.access", lambda *_: False)
    _, images, _ = bottle(tmp_path)
    assert (tmp_path / "kept/.draws").is_dir() and not (tmp_path / ".draws").exists() and len(images) == 16


def relabel(folder):
    (folder / "test/good/000.png").rename(folder / "test/good/good.png")


def retouch(folder):
    Image.new("RGB", (32, 32)).save(folder / "test/good/000.png")


def settle(folder):
    (folder / "category.json").write_text('{"groups": "(.+/.+)"}')


def leave_no_mark(folder):
    (folder / "manifest.json").write_text("[]")


@pytest.mark.parametrize("change", [relabel, retouch, settle, leave_no_mark])
def test_a_category_that_was_changed_by_hand_is_split_as_a_real_one(small, tmp_path, change):
    make("bottle", tmp_path)
    assert generated(load_table(tmp_path, "synthetic/bottle"))["seed"] == 0
    change(tmp_path / "synthetic/bottle")
    table = load_table(tmp_path, "synthetic/bottle")
    images, splits = redraw(table, 2, 0.5, n_sets=4, per_class=1, keep=tmp_path)
    assert generated(table) is None and len(images) == 8 and len(splits) == 2
    assert not (tmp_path / ".draws").exists()


def test_a_folder_of_ones_own_is_split(tmp_path, make_category):
    make_category(tmp_path / "bolts", {"train/good": 1, "test/good": 4, "test/bent": 4})
    images, splits = redraw(load_table(tmp_path, "bolts"), 3, 0.5, n_sets=4, per_class=1, keep=tmp_path)
    assert len(splits) == 3 and all(len(images) == len(train) + len(test) for train, test in splits)


def test_splits_of_another_design_have_no_sets():
    crossed = [(np.array([2 * i, 2 * i + 1]), np.delete(np.arange(6), [2 * i, 2 * i + 1])) for i in range(3)]
    assert crossed_sets(crossed).tolist() == [0, 0, 1, 1, 2, 2]
    folds = [(test, train) for train, test in crossed]
    fewer = [crossed[0], crossed[1], (crossed[2][0], crossed[2][1][:-1])]
    for other in (folds, crossed[:2], fewer):
        assert crossed_sets(other) is None


def test_figures_by_set_by_hand():
    tests = [np.array([2, 3]), np.array([0, 1]), np.array([0, 1, 2, 3])]
    values = [np.array([1.0, 0]), np.array([1.0, 1]), np.array([0.0, 0, 1, 1])]
    found = by_set(values, tests, np.array([0, 0, 1, 1, 2]))
    assert found.tolist() == [[0, 0.5, 0], [1, 0, 0], [0, 1, 0]]
