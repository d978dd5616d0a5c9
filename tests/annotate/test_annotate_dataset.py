"""hw3lib.annotate: names that do not collide, images as a person sees them, splits in proportion, a licence."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hw3lib.annotate import Dataset, Instances, from_masks, split_images
from hw3lib.annotate.dataset import GENERATED, MVTEC, UNKNOWN, file_names
from hw3lib.annotate.instances import Instance
from hw3lib.annotate.pictures import image_size, kept_suffix, save_image
from hw3lib.data import load_table, read_image
from hw3lib.errors import Hw3Error


def table_of(places: list[str], folder: Path) -> pd.DataFrame:
    """A table of images that all are one file; ``places`` are split/defect/name."""
    picture = folder / "picture.png"
    Image.new("RGB", (12, 10)).save(picture)
    rows = []
    for place in places:
        split, defect, name = place.split("/")
        path = folder / split / defect / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.read_bytes())
        rows.append({"image": str(path), "split": split, "defect": defect, "is_defect": defect != "good"})
    return pd.DataFrame(rows).assign(mask=None, width=12, height=10, mode="RGB")


def test_images_are_named_after_their_defect(tmp_path):
    table = table_of(["test/dent/000.png", "test/hole/000.png", "test/good/000.png"], tmp_path)
    assert file_names(table) == ["dent_000.png", "hole_000.png", "good_000.png"]


def test_colliding_names_say_their_split_and_a_number(tmp_path):
    places = ["train/good/000.png", "test/good/000.png", "test/a/b_1.png", "test/a_b/1.png", "test/A/B_1.png"]
    names = file_names(table_of(places, tmp_path))
    assert names[:2] == ["good_train_000.png", "good_test_000.png"]
    assert len({Path(name).stem.lower() for name in names}) == 5
    assert names == file_names(table_of(places, tmp_path))
    # One stem with two suffixes: labels are named after the stem.
    names = file_names(table_of(["test/a/1.png", "test/a/1.bmp", "test/a_test/1.png"], tmp_path))
    assert len({Path(name).stem for name in names}) == 3


def test_defective_images_without_an_instance_are_left_out_and_good_ones_stay(category):
    table = load_table(category.parent, "widget")
    found = from_masks(table)
    fewer = Instances([i for i in found if i.row != found[0].row])
    data = Dataset.of(table, fewer)
    assert len(data) == len(table) - 1 and len(data.instances) == 6
    assert table["image"].iloc[found[0].row] not in data.sources
    assert sum(name.startswith("good_") for name in data.names) == 9
    for instance in data.instances:
        assert data.names[instance.row].startswith(instance.defect)
    assert Counter(len(found) for found in data.by_image()) == {0: 9, 1: 6}
    assert [i.xywh for i in data.instances] == [i.xywh for i in fewer]


def test_the_licence_follows_the_category(category, tmp_path):
    table = load_table(category.parent, "widget")
    for name, licence in (("bottle", MVTEC), ("synthetic/bottle", GENERATED), ("widget", UNKNOWN)):
        table.attrs["category"] = name
        assert Dataset.of(table, from_masks(table)).licence == licence
    assert MVTEC.name == "CC BY-NC-SA 4.0"


def test_instances_of_another_table_are_refused(category):
    table = load_table(category.parent, "widget")
    mask = np.ones((10, 10), bool)
    for row, said in ((0, r"\(10, 10\) pixels"), (99, "positions in a table of 16 rows")):
        with pytest.raises(Hw3Error, match=said):
            Dataset.of(table, Instances([Instance.from_mask(row, "dent", mask)]))
    with pytest.raises(Hw3Error, match="3 splits for 16 images"):
        Dataset.of(table, from_masks(table), ["train"] * 3)
    with pytest.raises(Hw3Error, match="found .'tset'., expected train"):
        Dataset.of(table, from_masks(table), ["tset"] * 16)
    with pytest.raises(Hw3Error, match="class 'dent' of an instance: expected one of scratch"):
        Dataset.of(table, from_masks(table), classes=["scratch"])


def lying(path: Path, **options) -> Path:
    """A picture of 12x8 that its mark says to turn: 8x12 for a person."""
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, :4] = (250, 30, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_turned_pictures_are_exported_upright(name, tmp_path):
    source, target = lying(tmp_path / name), tmp_path / "out.png"
    assert kept_suffix(source) is None
    save_image(source, target, (12, 8))
    with Image.open(target) as image:
        assert image.getexif().get(0x0112) is None and image.size == (8, 12)
        assert np.array_equal(np.asarray(image), read_image(source))
    with pytest.raises(Hw3Error, match="is 8x12 pixels as a person sees it, its annotations are for 12x8"):
        save_image(source, target, (8, 12))


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_that_xmp_turns_are_exported_upright(packed, tmp_path):
    more = PngInfo()
    more.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>', zip=packed)
    Image.new("RGB", (12, 8)).save(tmp_path / "a.png", pnginfo=more)
    assert read_image(tmp_path / "a.png").shape == (12, 8, 3)
    assert kept_suffix(tmp_path / "a.png") is None


def test_plain_pictures_are_copied_byte_for_byte(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (10, 12, 3), dtype=np.uint8)
    for name in ("a.png", "a.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
        assert kept_suffix(tmp_path / name) == Path(name).suffix
        save_image(tmp_path / name, tmp_path / f"out{Path(name).suffix}", (10, 12))
        assert (tmp_path / name).read_bytes() == (tmp_path / f"out{Path(name).suffix}").read_bytes()
    # One byte too many: ultralytics would write the file anew, and say so.
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes() + b"\0")
    assert kept_suffix(tmp_path / "b.jpg") is None


def test_deep_and_transparent_pictures_are_exported_as_they_are_shown(tmp_path):
    deep = np.arange(120, dtype=np.uint16).reshape(10, 12) * 500
    Image.fromarray(deep).save(tmp_path / "deep.png")
    clear = np.zeros((10, 12, 4), np.uint8)
    Image.fromarray(clear, "RGBA").save(tmp_path / "clear.png")
    for name in ("deep.png", "clear.png"):
        save_image(tmp_path / name, tmp_path / "out.png", (10, 12))
        with Image.open(tmp_path / "out.png") as image:
            assert image.mode == "RGB" and np.array_equal(np.asarray(image), read_image(tmp_path / name))
    assert np.asarray(Image.open(tmp_path / "out.png")).min() == 255
    assert image_size(tmp_path / "out.png") == (10, 12)


def images(counts: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"defect": [name for name, count in counts.items() for _ in range(count)]})


def test_each_class_is_split_in_proportion():
    table = images({"good": 20, "dent": 10, "hole": 5})
    table["split"] = split_images(table, (0.6, 0.2, 0.2), seed=3)
    counts = table.groupby(["defect", "split"]).size().unstack()[["train", "val", "test"]]
    assert counts.loc["good"].tolist() == [12, 4, 4]
    assert counts.loc["dent"].tolist() == [6, 2, 2]
    assert counts.loc["hole"].tolist() == [3, 1, 1]


@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 30), min_size=1),
    st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.2), (0.98, 0.01, 0.01), (0.7, 0.3, 0.0), (1 / 3, 1 / 3, 1 / 3)]),
    st.integers(0, 5),
)
def test_every_class_of_three_images_is_in_every_part(counts, shares, seed):
    table = images(counts)
    found = split_images(table, shares, seed)
    assert found == split_images(table, shares, seed)
    parts = [name for name, share in zip(("train", "val", "test"), shares, strict=False) if share]
    assert set(found) <= set(parts)
    for name, count in counts.items():
        got = Counter(split for split, defect in zip(found, table["defect"], strict=True) if defect == name)
        assert got["train"] >= 1
        if count >= len(parts):
            assert all(got[part] >= 1 for part in parts)
        if count >= 10 and min(share for share in shares if share) >= 0.2:
            for part, share in zip(("train", "val", "test"), shares, strict=False):
                assert abs(got[part] - share * count) < 1


def test_another_seed_gives_another_split():
    table = images({"good": 30})
    assert split_images(table, seed=0) != split_images(table, seed=1)


@pytest.mark.parametrize(
    "shares", [(0.6, 0.2), (0.5, 0.6, -0.1), (1.0,), (0.0, 0.5, 0.5), (float("nan"), 0.5, 0.5), ()]
)
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(Hw3Error, match="expected the shares of training, validation and test"):
        split_images(images({"a": 5}), shares)


@given(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=9), min_size=1, max_size=3),
    st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.2), (0.7, 0.3, 0.0)]),
    st.integers(0, 5),
)
def test_no_product_is_in_two_parts_and_a_class_of_enough_products_is_in_each(sizes, shares, seed):
    rows = [
        (name, f"{name}{i}")
        for name, counts in zip("abc", sizes, strict=False)
        for i, n in enumerate(counts)
        for _ in range(n)
    ]
    table = pd.DataFrame(rows, columns=["defect", "group"])
    found = pd.Series(split_images(table, shares, seed))
    assert found.tolist() == split_images(table, shares, seed)
    if table["group"].is_unique:
        return  # images, as above
    assert (found.groupby(table["group"]).nunique() == 1).all()
    parts = {name for name, share in zip(("train", "val", "test"), shares, strict=False) if share}
    for name, counts in zip("abc", sizes, strict=False):
        got = set(found[table["defect"] == name])
        assert "train" in got and got <= parts
        if len(counts) >= len(parts):
            assert got == parts


def test_products_of_one_size_are_divided_as_the_shares_say():
    table = pd.DataFrame([("good", i // 4) for i in range(40)], columns=["defect", "group"])
    assert Counter(split_images(table)) == {"train": 24, "val": 8, "test": 8}
