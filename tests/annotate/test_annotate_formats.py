"""hw3lib.annotate.formats: one contract for all formats. What is written reads back, and what is lost is told."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from hw3lib.annotate import FORMATS, Dataset, Instances, Licence, round_trip
from hw3lib.annotate.formats.registry import find_format
from hw3lib.annotate.instances import components
from hw3lib.errors import Hw3Error

CLASSES = ["a dent", "Kratzer_ä"]
EXACT = ["coco", "sam"]
ONE_BY_ONE = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def dataset(folder: Path, masks: list[np.ndarray], whole: bool = False, licence: Licence | None = None) -> Dataset:
    """An image for each mask and a good one, in three splits; classes in turn."""
    sizes = [mask.shape for mask in masks] + [(12, 14)]
    for at, size in enumerate(sizes):
        Image.fromarray(np.full((*size, 3), 40 * at, np.uint8)).save(folder / f"{at}.png")
    named = ((row, CLASSES[row % 2], mask) for row, mask in enumerate(masks) if mask.any())
    return Dataset(
        [f"picture {at}.png" for at in range(len(sizes))],
        [str(folder / f"{at}.png") for at in range(len(sizes))],
        sizes,
        [("train", "val", "test")[at % 3] for at in range(len(sizes))],
        components(named, whole=whole),
        CLASSES,
        *([licence] if licence else []),
    )


def masks():
    shape = st.tuples(st.integers(10, 16), st.integers(10, 16))
    sparse = shape.flatmap(lambda s: arrays(bool, s, elements=st.booleans(), fill=st.just(False)))
    dense = shape.flatmap(lambda s: arrays(bool, s, elements=st.booleans(), fill=st.just(True)))
    noise = st.tuples(shape, st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.8])).map(
        lambda drawn: np.random.default_rng(drawn[1]).random(drawn[0]) < drawn[2]
    )
    return st.lists(sparse | dense | noise, min_size=2, max_size=3)


def hard_cases(test):
    """What random masks seldom are: single pixels in the corners, all of an image, nested rings, a chessboard."""
    corners, full = np.zeros((10, 13), bool), np.ones((10, 13), bool)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    y, x = np.mgrid[:13, :13] - 6
    rings, board = np.maximum(abs(y), abs(x)) % 2 == 0, (y + x) % 2 == 0
    for whole in (False, True):
        test = example([corners, full], whole)(example([rings, board], whole)(test))
    return test


def written_and_read(name: str, given_masks, whole: bool):
    with TemporaryDirectory() as place:
        data = dataset(Path(place), given_masks, whole)
        done = FORMATS[name].write(Path(place) / "out", data)
        return data, done, FORMATS[name].read(done.folder)


def boxes(data: Dataset) -> list:
    return sorted((data.names[i.row], i.defect, i.xywh) for i in data.instances)


def shapes(data: Dataset) -> list:
    return sorted((data.names[i.row], i.defect, i.xywh, i.crop.tobytes()) for i in data.instances)


def unions(data: Dataset) -> dict:
    found = {}
    for i in data.instances:
        key = data.names[i.row], i.defect
        found[key] = found.get(key, False) | i.mask
    return found


@pytest.mark.parametrize("name", EXACT)
@ONE_BY_ONE
@hard_cases
@given(masks(), st.booleans())
def test_masks_come_back_pixel_by_pixel(name, given_masks, whole):
    data, done, read = written_and_read(name, given_masks, whole)
    assert shapes(read) == shapes(data)
    assert done.lost.as_dict() == {"iou": 1.0, "lowest_iou": 1.0}
    assert round_trip(data, read).exact


@ONE_BY_ONE
@hard_cases
@given(masks(), st.booleans())
def test_voc_boxes_come_back_to_the_pixel(given_masks, whole):
    data, done, read = written_and_read("voc", given_masks, whole)
    assert boxes(read) == boxes(data)
    assert done.lost.shapes == len(data.instances) and done.lost.iou is None


@ONE_BY_ONE
@hard_cases
@given(masks(), st.booleans())
def test_yolo_boxes_come_back_to_the_pixel_and_repeated_ones_are_counted(given_masks, whole):
    data, done, read = written_and_read("yolo", given_masks, whole)
    assert boxes(read) == sorted(set(boxes(data)))
    assert done.lost.merged == len(data.instances) - len(read.instances)


@ONE_BY_ONE
@hard_cases
@given(masks(), st.booleans())
def test_yolo_polygons_fill_the_mask_and_its_holes_and_say_so(given_masks, whole):
    data, done, read = written_and_read("yolo-seg", given_masks, whole)
    expected, holes, pixels, ious = {}, 0, 0, []
    for i in data.instances:
        filled = np.zeros(i.size, bool)
        labels, count = ndimage.label(i.mask, np.ones((3, 3)))
        for part in range(1, count + 1):
            filled |= ndimage.binary_fill_holes(labels == part)
        holes += ndimage.label(ndimage.binary_fill_holes(i.mask) & ~i.mask)[1]
        pixels += int((filled ^ i.mask).sum())
        ious.append(i.area / filled.sum())
        key = data.names[i.row], i.defect
        expected[key] = expected.get(key, False) | filled
    found = unions(read)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert (done.lost.holes, done.lost.pixels) == (holes, pixels)
    if ious:
        assert (done.lost.iou, done.lost.lowest_iou) == pytest.approx((np.mean(ious), min(ious)))


@ONE_BY_ONE
@hard_cases
@given(masks(), st.booleans())
def test_indexed_png_keeps_every_pixels_class(given_masks, whole):
    data, done, read = written_and_read("indexed-png", given_masks, whole)
    found, expected = unions(read), unions(data)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert done.lost.pixels == 0 and done.lost.iou == 1
    if not whole:
        assert shapes(read) == shapes(data)
    assert len(read.instances) == len(data.instances) - done.lost.merged + done.lost.parts


@pytest.mark.parametrize("name", FORMATS)
def test_images_splits_classes_and_licence_come_back(name, tmp_path):
    blob = np.zeros((12, 14), bool)
    blob[3:6, 2:9] = True
    data = dataset(tmp_path, [blob, blob.T], licence=Licence("CC BY-NC-SA 4.0", "https://example.org"))
    done = FORMATS[name].write(tmp_path / "out", data)
    read = FORMATS[name].read(done.folder)
    listed = [sorted(zip(d.names, d.sizes, d.splits, strict=True)) for d in (data, read)]
    assert listed[0] == listed[1]
    assert read.classes == CLASSES
    if name != "voc":
        assert read.licence == data.licence
    assert (done.images, done.instances) == (3, 2)
    assert done.files == sum(path.is_file() for path in done.folder.rglob("*"))
    for source, copy in zip(data.sources, sorted(zip(read.names, read.sources, strict=True)), strict=True):
        assert Path(source).read_bytes() == Path(copy[1]).read_bytes()
    found = round_trip(data, read, FORMATS[name].keeps)
    assert found.exact and found.iou == 1 and found.instances == 2


@pytest.mark.parametrize("name", FORMATS)
def test_an_existing_folder_is_replaced_only_on_request(name, tmp_path):
    data = dataset(tmp_path, [np.eye(12, dtype=bool)] * 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("keep")
    with pytest.raises(Hw3Error, match="exists already"):
        FORMATS[name].write(tmp_path / "out", data)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]
    FORMATS[name].write(tmp_path / "out", data, force=True)
    assert not (tmp_path / "out/mine.txt").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_left_of_an_export_whose_image_cannot_be_read(name, tmp_path):
    data = dataset(tmp_path, [np.eye(12, dtype=bool)] * 2)
    Path(data.sources[1]).write_bytes(b"no image")
    with pytest.raises(Hw3Error, match=r"1.png: cannot be decoded"):
        FORMATS[name].write(tmp_path / "out", data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png", "2.png"]


def test_overlapping_classes_cost_the_larger_one_its_pixels(tmp_path):
    large, small = np.zeros((12, 14), bool), np.zeros((12, 14), bool)
    large[2:10, 2:10], small[4:6, 4:6] = True, True
    data = dataset(tmp_path, [large, small])
    both = components([(0, CLASSES[0], large), (0, CLASSES[1], small)])
    data = Dataset(data.names, data.sources, data.sizes, data.splits, both, CLASSES)
    done = FORMATS["indexed-png"].write(tmp_path / "out", data)
    # 64 pixels less 4; the other instance is whole.
    assert done.lost.pixels == 4 and done.lost.lowest_iou == 60 / 64 and done.lost.iou == (1 + 60 / 64) / 2
    assert "4 pixels differ; mean IoU 0.9688, lowest 0.9375" in str(done.lost)


def test_a_comparison_sees_what_differs(tmp_path):
    mask = np.zeros((12, 14), bool)
    mask[2:6, 2:6] = True
    other = mask.copy()
    other[2, 2] = False
    left, right = dataset(tmp_path, [mask, mask]), dataset(tmp_path, [mask, other])
    found = round_trip(left, right)
    assert not found.exact and found.lowest_iou == 15 / 16 and found.iou == (1 + 15 / 16) / 2
    assert round_trip(left, right, "boxes").exact
    none = Dataset(left.names, left.sources, left.sizes, left.splits, Instances([]), CLASSES)
    assert round_trip(left, none).iou == 0 and not round_trip(left, none, "boxes").exact
    moved = Dataset(left.names, left.sources, left.sizes, ["test"] * 3, left.instances, CLASSES)
    assert not round_trip(left, moved).exact


def test_unknown_formats_are_refused_with_those_known():
    with pytest.raises(Hw3Error, match="unknown format 'csv'; known: coco, voc"):
        find_format("csv")


def test_yolo_needs_images_to_train_and_to_validate_on(tmp_path):
    data = dataset(tmp_path, [np.eye(12, dtype=bool)] * 2)
    for splits, missing in ((["train"] * 3, "val"), (["val"] * 3, "train")):
        with pytest.raises(Hw3Error, match=f"no image in the split '{missing}'"):
            FORMATS["yolo"].write(
                tmp_path / "out", Dataset(data.names, data.sources, data.sizes, splits, data.instances, CLASSES)
            )


def test_images_too_small_for_ultralytics_are_refused(tmp_path):
    with pytest.raises(Hw3Error, match="picture 1.png: 9x12 pixels"):
        FORMATS["yolo-seg"].write(tmp_path / "out", dataset(tmp_path, [np.eye(12, dtype=bool), np.ones((12, 9), bool)]))


def test_more_classes_than_a_byte_can_tell_are_refused(tmp_path):
    data = dataset(tmp_path, [np.eye(12, dtype=bool)])
    many = CLASSES + [str(at) for at in range(254)]
    with pytest.raises(Hw3Error, match="256 classes, expected at most 255"):
        FORMATS["indexed-png"].write(
            tmp_path / "out", Dataset(data.names, data.sources, data.sizes, data.splits, data.instances, many)
        )
