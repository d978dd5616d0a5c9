"""hw3lib.data.regions.masks: which pixels are defective, alike for every kind of file; masks for some images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from hw3lib.annotate import from_masks
from hw3lib.annotate.export import export, summary_text
from hw3lib.anomaly.comparison import pixel_metrics
from hw3lib.data import (
    check_category,
    defect_statistics,
    digest,
    load_masks,
    load_table,
    mean_mask,
    read_mask,
)
from hw3lib.data.regions.masks import read_regions
from hw3lib.errors import Hw3Error

SIDE = np.ones((3, 3), bool)


def drawn() -> np.ndarray:
    """A bar of 6 x 20 and a disc, on 32 x 40: two instances, 169 pixels."""
    mask = np.zeros((32, 40), bool)
    mask[4:10, 3:23] = True
    y, x = np.mgrid[:32, :40]
    return mask | ((y - 21) ** 2 + (x - 28) ** 2 <= 16)


MASK = drawn()


def coloured(colour: tuple[int, int, int], ground: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    return Image.fromarray(np.where(MASK[..., None], colour, ground).astype(np.uint8))


def grey(on: int, dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.where(MASK, on, 0).astype(dtype))


def clear(colours: Image.Image, opaque: int = 255, ground: int = 0) -> Image.Image:
    colours = colours.copy()
    colours.putalpha(Image.fromarray(np.where(MASK, opaque, ground).astype(np.uint8)))
    return colours


def indexed(colours: list[int], values: np.ndarray | None = None) -> Image.Image:
    image = Image.fromarray(MASK.astype(np.uint8) if values is None else values)
    image.putpalette(colours)
    return image


def classes(*numbers: int) -> np.ndarray:
    """The bar's and the disc's number."""
    bar = np.arange(32)[:, None] < 12
    return np.where(MASK, np.where(bar, *numbers), 0).astype(np.uint8)


def photograph() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 40, 3), dtype=np.uint8))


def with_clear_corner() -> Image.Image:
    """White on black, both opaque; the lower left corner, where nothing is marked, transparent."""
    image = coloured((255,) * 3).convert("RGBA")
    image.paste((255, 255, 255, 0), (0, 25, 8, 32))
    return image


WHITE, BLACK = (255,) * 3, (0,) * 3
KINDS = {
    "white.png": grey(255),
    "ones.png": grey(1),
    "one_bit.png": Image.fromarray(MASK),
    "one_bit.tif": Image.fromarray(MASK),
    "white.bmp": grey(255),
    "ones_of_16_bits.png": grey(1, np.uint16),
    "white_of_16_bits.png": grey(65535, np.uint16),
    "deep.tif": grey(70_000, np.int32),
    "negative.tif": Image.fromarray(np.where(MASK, 1, -1).astype(np.int32)),
    "float.tif": grey(1, np.float32),
    "blue_1.png": coloured((0, 0, 1)),
    "blue_2.png": coloured((0, 0, 2)),
    "blue_4.bmp": coloured((0, 0, 4)),
    "dark_red.png": coloured((1, 0, 0)),
    "red.webp": coloured((255, 0, 0)),
    "cmyk.tif": coloured((255, 0, 0)).convert("CMYK"),
    "red_on_white.png": clear(coloured((255, 0, 0), WHITE)),
    "alpha_white.png": clear(Image.new("RGB", (40, 32), WHITE)),
    "alpha_black.png": clear(Image.new("RGB", (40, 32), BLACK)),
    "alpha_black_on_white.png": clear(coloured(BLACK, WHITE)),
    "alpha_white_on_black.png": clear(coloured(WHITE)),
    "alpha_grey_black.png": clear(Image.new("L", (40, 32), 0)),
    "alpha_grey_white.png": clear(Image.new("L", (40, 32), 255)),
    "alpha_half.png": clear(Image.new("RGB", (40, 32), (255, 0, 0)), 100),
    "alpha_of_half.png": clear(Image.new("RGB", (40, 32), WHITE), 255, 128),
    "cut_out.png": clear(photograph()),
    "alpha.tif": clear(Image.new("RGB", (40, 32), BLACK)),
    "opaque.png": coloured(WHITE).convert("RGBA"),
    "all_transparent.png": Image.merge("RGBA", (*coloured(WHITE).split(), Image.new("L", (40, 32), 0))),
    "corner.png": with_clear_corner(),
    "opaque_red_on_white.png": coloured((255, 0, 0), WHITE),
    "green_on_blue.png": coloured((0, 255, 0), (0, 0, 255)),
    "palette.png": indexed([*BLACK, *WHITE]),
    "palette_all_black.png": indexed([*BLACK, *BLACK]),
    "palette_dark.png": indexed([*BLACK, 0, 0, 1]),
    "palette_black_on_white.png": indexed([*WHITE, *BLACK]),
    "palette_of_colours.png": indexed([200, 30, 30, 30, 200, 30]),
    "palette_class_17.png": indexed([90, 7, 200] * 18, MASK.astype(np.uint8) * 17),
    "palette_from_1.png": indexed([0, 9, 0, 9, 0, 0, 0, 0, 9], MASK.astype(np.uint8) + 1),
    "palette_classes.png": indexed([*WHITE, 1, 1, 1, *BLACK], classes(1, 2)),
    "palette.bmp": indexed([7, 7, 90, 90, 7, 7]),
    "quantized.png": coloured(WHITE).quantize(4),
    "web_palette.png": coloured(WHITE).convert("P"),
    "class_numbers.png": Image.fromarray(classes(1, 2)),
    "many_classes.png": Image.fromarray(classes(3, 200)),
    "voc.png": Image.fromarray(classes(1, 255)),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_same_pixels_are_marked_in_every_kind_of_file(name, tmp_path):
    KINDS[name].save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    (region,) = read_regions(tmp_path / name)
    assert np.array_equal(region.marked, MASK) and region.between == 0
    assert read_mask(tmp_path / name).sum() == 169


def test_a_layer_on_which_nothing_is_drawn_marks_nothing(tmp_path):
    Image.new("RGBA", (40, 32), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert not read_mask(tmp_path / "a.png").any()


def test_red_on_white_is_read_from_jpeg_too(tmp_path):
    coloured((255, 0, 0), WHITE).save(tmp_path / "a.jpg", quality=90, subsampling=0)
    assert np.mean(read_mask(tmp_path / "a.jpg") != MASK) < 0.01


def test_a_second_mask_of_an_image_is_called_that(category):
    first = sorted((category / "ground_truth/dent").iterdir())[0]
    shutil.copy(first, first.with_name(first.name.replace("_mask", "")))
    kinds = check_category(load_table(category.parent, "widget", strict=False)).problems.set_index("kind")
    assert kinds.loc["orphaned mask", "message"].startswith("is a second mask of its image, which has 000_mask.png")


def test_masks_of_more_than_half_are_told_where_they_are_exported(category, tmp_path):
    def inverted(mask, path):
        Image.fromarray(~mask).save(f"{path}.png")

    replace_masks(category, inverted)
    done = export(load_table(category.parent, "widget"), ["coco"], tmp_path / "out")
    assert "7 images with more than half of it marked" in summary_text(done)


def test_a_transparent_index_is_background(tmp_path):
    indexed([*WHITE, *WHITE]).save(tmp_path / "white.png", transparency=0)
    assert np.array_equal(read_mask(tmp_path / "white.png"), MASK)
    indexed([*WHITE, *BLACK], (~MASK).astype(np.uint8)).save(tmp_path / "swapped.png", transparency=1)
    assert np.array_equal(read_mask(tmp_path / "swapped.png"), MASK)
    coloured((9, 9, 9), (7, 7, 7)).save(tmp_path / "colour.png", transparency=(7, 7, 7))
    assert np.array_equal(read_mask(tmp_path / "colour.png"), MASK)


def test_a_mask_is_turned_as_images_are(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    grey(255).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_mask(tmp_path / "turned.png"), np.rot90(MASK, -1))


def test_the_lowest_of_16_bits_is_a_mark_and_black_one_where_the_file_says_so(tmp_path):
    tifffile = pytest.importorskip("tifffile")  # writes what Pillow cannot
    tifffile.imwrite(tmp_path / "colour.tif", MASK[..., None] * np.array([0, 0, 1], np.uint16), photometric="rgb")
    tifffile.imwrite(tmp_path / "black.tif", np.where(MASK, 0, 4095).astype(np.uint16), photometric="miniswhite")
    for name in ("colour.tif", "black.tif"):
        assert np.array_equal(read_mask(tmp_path / name), MASK)


def smooth(radius: float) -> Image.Image:
    return grey(255).filter(ImageFilter.GaussianBlur(radius))


def resized(how: Image.Resampling) -> Image.Image:
    return grey(255).resize((80, 64), how).resize((40, 32), how)


def saved_again(image: Image.Image, path: Path, **options) -> Image.Image:
    image.save(path, **options)
    with Image.open(path) as found:
        found.load()
    return found


SMOOTHED = {
    **{f"q{q}.jpg": (lambda p: grey(255), {"quality": q}) for q in (30, 75, 90, 100)},
    "red.jpg": (lambda p: coloured((255, 0, 0)), {"quality": 90}),
    "ones_and_zeros_of_100.jpg": (lambda p: grey(100), {"quality": 90}),
    **{f"q{q}.webp": (lambda p: grey(255), {"quality": q}) for q in (50, 90)},
    **{f"jpeg{q}.png": (lambda p, q=q: saved_again(grey(255), p / "a.jpg", quality=q), {}) for q in (30, 47, 75, 95)},
    **{f"blurred{r}.png": (lambda p, r=r: smooth(r), {}) for r in (0.5, 1)},
    "blurred.tif": (lambda p: Image.fromarray(np.asarray(smooth(1), np.float32) / 255), {}),
    "blurred16.png": (lambda p: Image.fromarray(np.asarray(smooth(1), np.uint16) * 257), {}),
    "blurred_palette.png": (lambda p: smooth(1).convert("P"), {}),
    "blurred_alpha.png": (
        lambda p: Image.merge("RGBA", [Image.new("L", (40, 32), 0)] * 3 + [smooth(1)]),
        {},
    ),
    "bilinear.png": (lambda p: resized(Image.Resampling.BILINEAR), {}),
    "lanczos.png": (lambda p: resized(Image.Resampling.LANCZOS), {}),
}


@pytest.mark.parametrize("name", SMOOTHED)
def test_half_is_the_border_of_a_smoothed_mask(name, tmp_path):
    make, options = SMOOTHED[name]
    make(tmp_path).save(tmp_path / name, **options)
    (region,) = read_regions(tmp_path / name)
    border = ndimage.binary_dilation(MASK, SIDE) & ~ndimage.binary_erosion(MASK, SIDE)
    assert not ((region.marked ^ MASK) & ~border).any()
    assert ndimage.label(region.marked, SIDE)[1] == 2 and region.between > 0
    assert abs(int(region.marked.sum()) - 169) <= 10  # a blur rounds corners


def test_half_is_half_of_the_largest_value(tmp_path):
    values = np.repeat(np.arange(0, 256, 15, dtype=np.uint8)[None], 8, 0)
    Image.fromarray(values).save(tmp_path / "slope.png")
    (region,) = read_regions(tmp_path / "slope.png")
    assert np.array_equal(region.marked, values >= 128) and region.between == 8 * 16


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mask_that_is_no_number_is_refused(value, tmp_path):
    values = MASK.astype(np.float32)
    values[3, 3] = value
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(Hw3Error, match=r"a.tif: holds NaN or infinite values"):
        read_mask(tmp_path / "a.tif")


def replace_masks(category: Path, save) -> None:
    """Each mask of a category anew, by ``save(mask, path without suffix)``."""
    for path in sorted((category / "ground_truth").rglob("*.png")):
        with Image.open(path) as image:
            mask = np.asarray(image) > 0
        path.unlink()
        save(mask, path.with_suffix(""))


def found(category: Path) -> dict[str, tuple[str, str]]:
    """Severity and message of each kind of problem."""
    problems = check_category(load_table(category.parent, category.name, strict=False)).problems
    return {row.kind: (row.severity, row.message) for row in problems.itertuples()}


def alpha_of(mask: np.ndarray, path: Path) -> None:
    Image.merge("LA", (Image.new("L", mask.shape[::-1]), Image.fromarray(mask.astype(np.uint8) * 255))).save(
        f"{path}.png"
    )


def blue(mask: np.ndarray, path: Path) -> None:
    Image.fromarray(mask[..., None] * np.array([0, 0, 2], np.uint8)).save(f"{path}.png")


def jpeg(mask: np.ndarray, path: Path) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(f"{path}.jpg", quality=90)


@pytest.mark.parametrize("save", [alpha_of, blue, jpeg])
def test_a_category_is_the_same_whatever_its_masks_are_kept_in(save, category, tmp_path):
    before = load_table(category.parent, "widget")
    boxes = [(i.row, i.xywh, i.area) for i in from_masks(before)]
    counts, masks = defect_statistics(before), load_masks(before, 16)
    replace_masks(category, save)
    table = load_table(category.parent, "widget")
    assert [(i.row, i.xywh, i.area) for i in from_masks(table)] == boxes
    assert defect_statistics(table).equals(counts) and np.array_equal(load_masks(table, 16), masks)
    said = found(category)
    assert list(said) == (["smoothed mask"] if save is jpeg else [])
    done = export(table, ["coco"], tmp_path / "out")
    assert [row["instances"] for row in done.rows()] == [7] and done.to_draw == []


def test_smoothed_masks_are_told_with_their_number(category, tmp_path, capsys):
    path = category / "ground_truth/dent/001_mask.png"
    with Image.open(path) as image:
        image.filter(ImageFilter.GaussianBlur(1)).save(path)
    severity, said = found(category)["smoothed mask"]
    assert severity == "warning" and said.startswith("1 of 7 masks hold values between background and defect, ")
    assert "above half counts as defect: dent/001_mask.png" in said
    table = load_table(category.parent, "widget")
    instances = from_masks(table)
    assert instances.smoothed == [table.index[table["mask"] == str(path.resolve())][0]] and len(instances) == 7
    assert "1 mask with a smooth border" in instances.summary()


def test_inverted_masks_are_told(category):
    def inverted(mask, path):
        Image.fromarray(~mask).save(f"{path}.png")

    replace_masks(category, inverted)
    severity, said = found(category)["inverted mask"]
    # 48 of 1280 pixels are defective.
    assert severity == "warning" and said.startswith("7 of 7 masks mark more than half of their image, up to 96%")


def loco(mask: np.ndarray, path: Path) -> None:
    """MVTec LOCO's folder of masks: the left and the right half of a defect, which touch, one of them twice as dark."""
    folder = path.with_name(path.name.removesuffix("_mask"))
    folder.mkdir()
    middle = np.arange(mask.shape[1]) < np.flatnonzero(mask.any(0))[:4].max() + 1
    Image.fromarray((mask & middle).astype(np.uint8) * 255).save(folder / "000.png")
    Image.fromarray((mask & ~middle).astype(np.uint8) * 127).save(folder / "001.png")
    (folder / "notes.txt").write_text("not a mask")


def test_a_folder_of_masks_is_their_union_and_its_files_are_instances(category, tmp_path):
    before = load_table(category.parent, "widget")
    masks, counts = load_masks(before, 16), defect_statistics(before)
    replace_masks(category, loco)
    table = load_table(category.parent, "widget")
    assert table["mask"].dropna().map(lambda mask: Path(mask).is_dir()).all() and table["mask"].notna().sum() == 7
    assert Path(table["mask"].dropna().iloc[0]).name == "000"
    assert np.array_equal(load_masks(table, 16), masks) and found(category) == {}
    instances = from_masks(table)
    assert [i.xywh[2:] for i in instances] == [(4, 6)] * 14 and [i.area for i in instances] == [24] * 14
    after = defect_statistics(table)
    assert (after["regions"] == 2).all() and after["area"].equals(counts["area"]) and after["x"].equals(counts["x"])
    maps = np.random.default_rng(0).random((len(table), 8, 8)).astype(np.float32)
    assert pixel_metrics(table, maps) == pixel_metrics(before.assign(mask=table["mask"]), maps)
    done = export(table, ["coco", "yolo", "sam", "indexed-png"], tmp_path / "out")
    assert [row["instances"] for row in done.rows()] == [14] * 4
    assert [row["exact"] for row in done.rows()] == [True, True, True, False]
    assert len(from_masks(table, whole=True)) == 14
    assert not list((category / "test").rglob("*_mask*"))


def test_the_digest_is_of_each_file_of_a_folder(category):
    replace_masks(category, loco)
    before = digest(load_table(category.parent, "widget"))
    path = category / "ground_truth/dent/002/001.png"
    with Image.open(path) as image:
        image.point(lambda value: 2 * value).save(path)
    assert digest(load_table(category.parent, "widget")) != before


def test_faults_of_a_folder_of_masks_are_named(category):
    replace_masks(category, loco)
    place = category / "ground_truth/dent"
    shutil.copytree(place / "000", place / "099")
    Image.new("L", (41, 32), 255).save(place / "001/000.png")
    (place / "002/001.png").write_bytes(b"")
    Image.new("L", (40, 32)).save(place / "003/001.png")
    problems = check_category(load_table(category.parent, "widget", strict=False)).problems
    assert sorted((row.kind, "/".join(Path(row.file).parts[-2:])) for row in problems.itertuples()) == [
        ("empty mask", "003/001.png"),
        ("orphaned mask", "dent/099"),
        ("size mismatch", "001/000.png"),
        ("unreadable", "002/001.png"),
    ]
    with pytest.raises(Hw3Error, match=r"001/001.png: the mask is 40x32 pixels, the others of its folder are 41x32"):
        read_mask(place / "001")
    shutil.rmtree(place / "000")
    (place / "000").mkdir()
    with pytest.raises(Hw3Error, match="no mask in this folder"):
        read_mask(place / "000")


@pytest.fixture
def partly(category):
    """``widget`` with masks for two of its four dents and for all of its scratches."""
    for number in (1, 3):
        (category / f"ground_truth/dent/00{number}_mask.png").unlink()
    return category


def test_defective_images_without_a_mask_are_told_and_no_error(partly):
    table = load_table(partly.parent, "widget")
    missing = table[table["is_defect"] & table["mask"].isna()]
    assert [Path(p).name for p in missing["image"]] == ["001.png", "003.png"] and set(missing["defect"]) == {"dent"}
    severity, said = found(partly)["missing mask"]
    assert severity == "warning" and said.startswith("2 of 4 images of dent have no mask")
    assert "dent/001.png, dent/003.png" in said and len(found(partly)) == 1


def test_a_class_without_a_mask_folder_is_told(partly):
    shutil.rmtree(partly / "ground_truth/scratch")
    problems = check_category(load_table(partly.parent, "widget")).problems
    assert problems["message"].str[:18].tolist() == ["2 of 4 images of d", "3 of 3 images of s"]


def test_images_without_a_mask_count_as_nothing_where_masks_are_measured(partly):
    table = load_table(partly.parent, "widget")
    masked = table[~table["is_defect"] | table["mask"].notna()].reset_index(drop=True)
    assert len(defect_statistics(table)) == 5 and len(table) == len(masked) + 2
    for name, values in mean_mask(masked).items():
        assert np.array_equal(values, mean_mask(table)[name])
    # The maps are right everywhere, so that a defect counted as background would cost.
    maps = np.zeros((len(table), 32, 40), np.float32)
    for row, mask in enumerate(table["mask"]):
        maps[row] = read_mask(mask) if isinstance(mask, str) else 5 * table["is_defect"].iloc[row]
    assert pixel_metrics(table, maps)["pixel_auroc"] == 1 and pixel_metrics(table, maps)["aupro"] > 0.999999


VARIANTS = {
    "jpeg": jpeg,
    "alpha": alpha_of,
    "blue": blue,
    "blurred": lambda mask, path: (
        Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1)).save(f"{path}.png")
    ),
    "palette": lambda mask, path: Image.fromarray(mask.astype(np.uint8) * 255).quantize(2).save(f"{path}.png"),
}


def _split(mask: np.ndarray, path: Path) -> None:
    folder = path.with_name(path.name.removesuffix("_mask"))
    folder.mkdir()
    labels, count = ndimage.label(mask, SIDE)
    for number in range(count):
        Image.fromarray(labels == number + 1).save(folder / f"{number:03d}.png")


@pytest.mark.parametrize("name", [*VARIANTS, "folders"])
def test_real_masks_are_the_same_in_every_kind_of_file(name, real_data, tmp_path):
    masks, made = real_data / "bottle/ground_truth", tmp_path / "made/ground_truth"
    chosen = sorted(masks.rglob("*.png"))[::7]
    for path in chosen:
        (made / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, made / path.parent.name / path.name)
    replace_masks(tmp_path / "made", _split if name == "folders" else VARIANTS[name])
    for path in chosen:
        stem = made / path.parent.name / path.stem
        (new,) = [p for p in (*stem.parent.glob(f"{stem.name}.*"), stem.with_name(path.stem[:3])) if p.exists()]
        before, regions = read_mask(path), read_regions(new)
        after = np.logical_or.reduce([region.marked for region in regions])
        border = ndimage.binary_dilation(before, SIDE) & ~ndimage.binary_erosion(before, SIDE, border_value=1)
        assert not ((before ^ after) & ~border).any(), path
        count = sum(ndimage.label(region.marked, SIDE)[1] for region in regions)
        assert count == ndimage.label(before, SIDE)[1], path
