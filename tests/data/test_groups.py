"""hw3lib.data.groups and near: which photographs show one product, by names, a list, or what they look like."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.cli.main import main
from hw3lib.data import ImageStack, check_category, digest, load_table
from hw3lib.data.folders.settings import CategorySettings, write_settings
from hw3lib.data.groups import NEAR, file_twins, find_groups, grouped, joined_groups, products
from hw3lib.data.near import NearTwins, find_near_twins, view
from hw3lib.errors import Hw3Error
from tests.helpers.shots import plate, shot

NAMES = [f"p{product}_{shot}.png" for product in range(4) for shot in range(3)]


def write_shots(folder, number, shots, seed=0, name="p{}_{}.png"):
    """Plates, each photographed several times."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for product in range(number):
        made = plate(rng)
        for i in range(shots):
            shot(made, rng).save(folder / name.format(product, i))
    return folder


def test_the_first_group_of_an_expression_names_the_product(tmp_path):
    found = find_groups([tmp_path / name for name in NAMES], "^(p[0-9]+)_", tmp_path)
    assert found == [name.partition("_")[0] for name in NAMES]


def test_an_expression_with_a_slash_sees_the_folder(tmp_path):
    images = [tmp_path / "train/good/0_a.png", tmp_path / "test/good/0_b.png", tmp_path / "test/good/0_c.png"]
    assert find_groups(images, "^(.*/[0-9]+)_", tmp_path) == ["train/good/0", "test/good/0", "test/good/0"]
    assert len(set(find_groups(images, "^([0-9]+)_", tmp_path))) == 1


def test_names_without_a_product_are_counted_and_named(tmp_path):
    images = [tmp_path / name for name in [*NAMES, "odd.png", "p.png"]]
    with pytest.raises(Hw3Error, match=r"finds no product in 2 of 14 file names \(odd.png, p.png\)"):
        find_groups(images, r"^(p\d{1,3})_", tmp_path)
    with pytest.raises(Hw3Error, match=r"14 of 14 file names \(.* and 9 more\)"):
        find_groups(images, "^(x)?", tmp_path)


@pytest.mark.parametrize("head", ["image,group", "\ufeffimage;group", "Group\tIMAGE"])
def test_a_list_says_it_by_name_or_path(tmp_path, head):
    mark = next(c for c in ",;\t" if c in head)
    swap = head.startswith("G")
    rows = [("a.png", "1"), ("./test/b.png", "1"), ("test\\c.png", "2")]
    lines = [head, *(mark.join(row[::-1] if swap else row) for row in rows)]
    (tmp_path / "products.csv").write_text("\n".join(lines), encoding="utf-8")
    images = [tmp_path / name for name in ("train/a.png", "test/b.png", "test/c.png")]
    assert find_groups(images, "products.csv", tmp_path) == ["1", "1", "2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,group\na.png,1\n", r"lacks 2 of 3 images \(x/b.png, y/b.png\)"),
        ("image,group\na.png,1\nb.png,2\n", r"has 1 name \(b.png\) of several files; .* such as x/b.png"),
        ("image,group\na.png,1\nx/b.png,1\ny/b.png,2\nz.png,2\n", r"names 1 image \(z.png\) that is not there"),
        ("image,group\na.png,1\na.png,2\n", "says two groups of a.png"),
        ("image,group\na.png\n", "line 2 lacks an image or a group"),
        ("image,product\na.png,1\n", "has no column 'group'"),
        ("", "has no column 'image'"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    images = [tmp_path / name for name in ("a.png", "x/b.png", "y/b.png")]
    with pytest.raises(Hw3Error, match=said):
        find_groups(images, "list.csv", tmp_path)
    with pytest.raises(Hw3Error, match="none.csv: no such file"):
        find_groups(images, "none.csv", tmp_path)


def test_files_with_the_same_bytes_are_found_among_files_of_one_size(tmp_path):
    contents = {"a": b"x" * 9000, "b": b"y" * 9000, "c": b"x" * 9000, "d": b"x" * 8999 + b"z", "e": b"", "f": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    images = [str(tmp_path / name) for name in [*contents, "missing"]]
    assert file_twins(images).tolist() == [[0, 2]]


def test_groups_and_pairs_are_joined():
    assert joined_groups(None, np.zeros((0, 2), int), 3) is None
    assert joined_groups(np.array([0, 0, 1, 2]), np.array([[1, 3]]), 4).tolist() == [0, 0, 1, 0]


def test_shots_of_one_product_are_found_and_products_of_a_line_are_not_mixed_up():
    rng = np.random.default_rng(1)
    for number, shots in [(8, 5), (30, 1), (12, 2)]:
        views = [
            view(np.asarray(shot(made, rng))) for made in (plate(rng) for _ in range(number)) for _ in range(shots)
        ]
        own, pairs = np.repeat(np.arange(number), shots), find_near_twins(views)
        assert (own[pairs[:, 0]] == own[pairs[:, 1]]).all()
        assert len(np.unique(pairs)) == (0 if shots == 1 else number * shots)


def test_light_that_drifts_makes_no_twins():
    rng = np.random.default_rng(2)
    down, right = np.mgrid[:96, :96] / 48 - 1
    made = plate(rng, 96).astype(float)
    light = [1 + 0.15 * (a * down + b * right) for a, b in rng.normal(size=(40, 2))]
    shots = [(made * each[..., None] + rng.normal(0, 3, made.shape)).clip(0, 255).astype(np.uint8) for each in light]
    assert not len(find_near_twins([view(image) for image in shots]))


def test_near_twins_are_found_across_windows(monkeypatch):
    monkeypatch.setattr("hw3lib.data.near._WINDOW", 8)
    rng = np.random.default_rng(3)
    made = [plate(rng) for _ in range(14)]
    rows = [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 9, 10, 11, 12, 13]  # the first pair lies in the second window alone
    pairs = find_near_twins([view(np.asarray(shot(made[row], rng))) for row in rows])
    assert sorted(map(tuple, pairs.tolist())) and {tuple(pair) for pair in pairs.tolist()} == {(7, 8), (10, 11)}


def test_a_table_says_its_products_and_its_digest_depends_on_them(tmp_path):
    write_shots(tmp_path / "plates/train/good", 4, 2)
    write_shots(tmp_path / "plates/test/good", 2, 2, seed=1, name="q{}_{}.png")
    before = load_table(tmp_path, "plates")
    assert "group" not in before and products(before) is None
    write_settings(tmp_path / "plates", CategorySettings(groups="^([pq][0-9])_"))
    after = load_table(tmp_path, "plates")
    assert after["group"].tolist() == [f"p{i // 2}" for i in range(8)] + ["q0", "q0", "q1", "q1"]
    (tmp_path / "plates/list.csv").write_text(
        "image,group\n"
        + "".join(f"{name}_{i}.png,one\n" for name in ("p0", "p1", "p2", "p3", "q0", "q1") for i in "01")
    )
    write_settings(tmp_path / "plates", CategorySettings(groups="list.csv"))
    digests = {digest(before), digest(after), digest(load_table(tmp_path, "plates"))}
    lines = (tmp_path / "plates/list.csv").read_text().replace("p0_0.png,one", "p0_0.png,two")
    (tmp_path / "plates/list.csv").write_text(lines)
    assert len(digests | {digest(load_table(tmp_path, "plates"))}) == 4


def test_products_that_do_not_fit_the_images_are_a_problem_of_the_category(category):
    write_settings(category, CategorySettings(groups="^(x)"))
    with pytest.raises(Hw3Error, match="category.json: groups='.*finds no product in"):
        load_table(category.parent, category.name)
    report = check_category(load_table(category.parent, category.name, strict=False))
    assert "groups" in set(report.problems["kind"])


def test_a_folder_of_ones_own_lends_whole_products_to_its_test(tmp_path):
    write_shots(tmp_path / "plates/good", 10, 3)
    write_shots(tmp_path / "plates/bent", 2, 2, seed=1)
    write_settings(tmp_path / "plates", CategorySettings(groups="^(.*/p[0-9])_"))
    table = load_table(tmp_path, "plates")
    good = table[~table["is_defect"]]
    assert set(good.loc[good["split"] == "test", "group"]) == {"good/p0", "good/p5"}
    assert (good.groupby("group")["split"].nunique() == 1).all() and len(good) == 30
    order = [(row.split == "test", row.is_defect, row.image) for row in table.itertuples()]
    assert order == sorted(order)


def test_a_list_of_splits_goes_before_products(tmp_path):
    write_shots(tmp_path / "plates/Data/Images/Normal", 2, 3)
    (tmp_path / "split_csv").mkdir()
    splits = ["train", "test", "train", "test", "train", "train"]
    rows = [f"plates,{split},normal,plates/Data/Images/Normal/p{i // 3}_{i % 3}.png," for i, split in enumerate(splits)]
    (tmp_path / "split_csv/1cls.csv").write_text("\n".join(["object,split,label,image,mask", *rows]), encoding="utf-8")
    write_settings(tmp_path / "plates", CategorySettings(groups="^(p[0-9])_"))
    table = load_table(tmp_path, "plates", strict=False)
    assert table.sort_values("image")["split"].tolist() == splits and table["group"].nunique() == 2


def test_copies_of_one_file_are_one_product(category):
    shutil.copy(category / "train/good/000.png", category / "train/good/900.png")
    table = load_table(category.parent, category.name)
    numbers = products(table)
    assert len(set(numbers)) == len(table) - 1
    copies = table["image"].str.contains("train/good/[09]00.png")
    assert table.loc[copies, "group"].tolist() == ["train/good/000.png"] * 2


def test_near_groups_a_category_by_what_it_looks_like(tmp_path):
    write_shots(tmp_path / "plates/train/good", 8, 3)
    write_settings(tmp_path / "plates", CategorySettings(groups=NEAR))
    table = load_table(tmp_path, "plates")
    own = [name.rpartition("/")[2].partition("_")[0] for name in table["image"]]
    assert products(table).tolist() == pd.factorize(np.array(own))[0].tolist()


def test_a_stack_carries_the_products_and_tells_of_those_that_nobody_said(tmp_path):
    folder = write_shots(tmp_path / "good", 8, 3)
    table = pd.DataFrame({"image": sorted(map(str, folder.iterdir()))})
    with pytest.warns(NearTwins, match="24 of 24 photographs have a near twin.*--groups"):
        stack = ImageStack.load(table, 96, cache=tmp_path / "cache")
    assert stack.groups is None
    stack = ImageStack.load(grouped(table, "^(p[0-9])_", folder), 96, cache=tmp_path / "cache")
    assert stack.groups.tolist() == [i // 3 for i in range(24)]


def test_a_stack_joins_images_of_the_same_pixels(tmp_path):
    folder = write_shots(tmp_path / "good", 6, 1)
    with Image.open(folder / "p1_0.png") as image:
        image.save(folder / "p9_0.bmp")
    table = pd.DataFrame({"image": sorted(map(str, folder.iterdir()))})
    assert ImageStack.load(table, 32).groups.tolist() == [0, 1, 2, 3, 4, 5, 1]


def test_check_tells_of_near_twins_within_a_class_and_across_splits(tmp_path):
    write_shots(tmp_path / "plates/train/good", 12, 1)
    write_shots(tmp_path / "plates/test/good", 8, 1, seed=1, name="q{}_{}.png")

    def problems():
        report = check_category(load_table(tmp_path, "plates", strict=False))
        return report.ok, dict(zip(report.problems["kind"], report.problems["message"], strict=True))

    assert problems() == (True, {})
    rng = np.random.default_rng(4)
    made = np.asarray(Image.open(tmp_path / "plates/train/good/p3_0.png"))
    shot(made, rng).save(tmp_path / "plates/train/good/p3_1.png")
    ok, found = problems()
    assert ok and list(found) == ["near twins"] and found["near twins"].startswith("2 of 13 images of good have")
    shot(made, rng).save(tmp_path / "plates/test/good/x.png")
    ok, found = problems()
    assert ok and found["near twins across splits"].startswith("1 of 9 test images have a near twin in train")
    write_settings(tmp_path / "plates", CategorySettings(groups="^([a-z0-9]+)"))
    ok, found = problems()
    assert ok and set(found) == {"near twins across splits"}


def test_check_refuses_a_product_on_both_sides(tmp_path):
    write_shots(tmp_path / "plates/train/good", 4, 2)
    write_shots(tmp_path / "plates/test/good", 3, 1, seed=1)
    write_settings(tmp_path / "plates", CategorySettings(groups="^(p[0-9])_"))
    report = check_category(load_table(tmp_path, "plates", strict=False))
    found = report.problems.set_index("kind")["message"]
    assert not report.ok and "3 products (p0, p1, p2) in train and in test, 9 images" in found["product across splits"]
    write_settings(tmp_path / "plates", CategorySettings(groups="^(.*/p[0-9])_"))
    assert check_category(load_table(tmp_path, "plates", strict=False)).ok


def test_copies_that_are_said_to_show_one_product_are_a_warning(tmp_path):
    folder = write_shots(tmp_path / "plates/train/good", 4, 2)
    shutil.copy(folder / "p0_0.png", folder / "p0_2.png")
    assert not check_category(load_table(tmp_path, "plates", strict=False)).ok
    write_settings(tmp_path / "plates", CategorySettings(groups="^(p[0-9])_"))
    report = check_category(load_table(tmp_path, "plates", strict=False))
    assert report.ok and list(report.problems["kind"]) == ["duplicate within split", "no test/good"]


def test_the_command_counts_products_and_keeps_nothing_that_does_not_fit(tmp_path, capsys):
    write_shots(tmp_path / "plates/train/good", 4, 2)
    given = ["data", "settings", "plates", "--data", str(tmp_path), "--groups"]
    assert main([*given, "^(x)"]) == 2
    assert "finds no product in 8 of 8 file names" in capsys.readouterr().err
    assert not (tmp_path / "plates/category.json").exists()
    assert main([*given, "^(p[0-9])_"]) == 0
    assert "8 images of 4 products" in capsys.readouterr().out
    assert json.loads((tmp_path / "plates/category.json").read_text())["groups"] == "^(p[0-9])_"
