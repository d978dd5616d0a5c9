"""What is written, small masks and the real bottle's, read by others: pycocotools, supervision, ultralytics."""

import json
import logging
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from hw3lib.annotate import FORMATS, Dataset
from hw3lib.annotate.export import export
from hw3lib.annotate.instances import components
from hw3lib.data import load_table

SIZE = (40, 60)


@pytest.fixture
def data(tmp_path) -> Dataset:
    """Nine images of three splits: a ring, two parts, a single pixel, a bar at the edge, and good ones."""
    ring, parts, pixel, bar = (np.zeros(SIZE, bool) for _ in range(4))
    ring[5:20, 10:30], ring[10:15, 15:25] = True, False
    parts[3:6, 3:6], parts[30:36, 50:58] = True, True
    pixel[17, 33] = True
    bar[:, 55:] = True
    masks = {0: ring, 1: ring, 2: ring, 3: parts, 4: pixel, 5: bar}
    rng = np.random.default_rng(0)
    for at in range(9):
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(tmp_path / f"{at}.png")
    kinds = {0: "hole", 1: "hole", 2: "hole", 3: "dent", 4: "dent", 5: "cut"}
    return Dataset(
        [f"image_{at}.png" for at in range(9)],
        [str(tmp_path / f"{at}.png") for at in range(9)],
        [SIZE] * 9,
        ["train", "val", "test"] * 3,
        components(((row, kinds[row], mask) for row, mask in masks.items()), whole=True),
        ["cut", "dent", "hole"],
    )


def coco_files(folder: Path) -> dict[str, Path]:
    return {path.stem.removeprefix("instances_"): path for path in (folder / "annotations").iterdir()}


def test_pycocotools_sees_the_same_masks_and_no_crowd(data, tmp_path, capsys):
    folder = FORMATS["coco"].write(tmp_path / "out", data).folder
    seen, ids, images = 0, Counter(), Counter()
    for split, path in coco_files(folder).items():
        coco = COCO(path)
        images.update(coco.imgs.keys())
        assert {coco.imgs[i]["file_name"] for i in coco.imgs} == {data.names[row] for row in data.rows(split)}
        for found in coco.imgs.values():
            assert (folder / split / found["file_name"]).is_file()
        for found in coco.anns.values():
            ids[found["id"]] += 1
            ours = data.instances[found["id"] - 1]
            assert np.array_equal(coco.annToMask(found).astype(bool), ours.mask)
            assert found["iscrowd"] == 0 and found["area"] == ours.mask.sum()
            down, across = np.nonzero(ours.mask)
            assert found["bbox"] == [across.min(), down.min(), np.ptp(across) + 1, np.ptp(down) + 1]
            assert coco.cats[found["category_id"]]["name"] == ours.defect
            seen += 1
    assert seen == len(data.instances) == 6
    assert set(ids) == set(range(1, 7)) and set(ids.values()) == {1}
    assert set(images) == set(range(1, 10)) and set(images.values()) == {1}


def test_coco_has_polygons_of_simple_shapes_and_run_lengths_of_holes_and_parts(data, tmp_path):
    folder = FORMATS["coco"].write(tmp_path / "out", data).folder
    kinds = {}
    for path in coco_files(folder).values():
        for found in json.loads(path.read_text())["annotations"]:
            kinds[found["id"]] = type(found["segmentation"])
    assert kinds == {1: dict, 2: dict, 3: dict, 4: dict, 5: list, 6: list}


def test_voc_corners_count_from_one_and_include_the_last_pixel(data, tmp_path):
    folder = FORMATS["voc"].write(tmp_path / "out", data).folder
    root = ElementTree.parse(folder / "Annotations/image_0.xml").getroot()
    # Rows 5 to 19 and columns 10 to 29, counted from zero.
    box = root.find("object/bndbox")
    assert [box.findtext(tag) for tag in ("xmin", "ymin", "xmax", "ymax")] == ["11", "6", "30", "20"]
    assert [root.findtext(f"object/{tag}") for tag in ("name", "pose", "truncated", "difficult")] == [
        "hole", "Unspecified", "0", "0",
    ]  # fmt: skip
    assert [root.findtext(f"size/{tag}") for tag in ("width", "height", "depth")] == ["60", "40", "3"]
    assert root.findtext("segmented") == "0" and root.findtext("filename") == "image_0.png"
    bar = ElementTree.parse(folder / "Annotations/image_5.xml").getroot()
    assert bar.findtext("object/truncated") == "1"
    good = ElementTree.parse(folder / "Annotations/image_8.xml").getroot()
    assert good.find("object") is None
    assert (folder / "ImageSets/Main/val.txt").read_text().split() == ["image_1", "image_4", "image_7"]


def test_yolo_rows_are_shares_of_the_image_and_good_images_have_no_file(data, tmp_path):
    folder = FORMATS["yolo"].write(tmp_path / "out", data).folder
    (row,) = (folder / "labels/train/image_0.txt").read_text().splitlines()
    # Centre (20, 12.5) and size 20x15 in an image of 60x40.
    assert [float(value) for value in row.split()] == pytest.approx([2, 20 / 60, 12.5 / 40, 20 / 60, 15 / 40], abs=1e-7)
    assert sorted(p.name for p in folder.rglob("labels/*/*.txt")) == [f"image_{at}.txt" for at in range(6)]
    assert len(list(folder.rglob("images/*/*.png"))) == 9
    content = yaml.safe_load((folder / "data.yaml").read_text())
    assert content["names"] == {0: "cut", 1: "dent", 2: "hole"}
    assert (content["train"], content["val"], content["test"]) == ("images/train", "images/val", "images/test")
    assert "path" not in content


def test_sam_prompts_lie_where_they_say(data, tmp_path):
    folder = FORMATS["sam"].write(tmp_path / "out", data).folder
    content = json.loads((folder / "prompts.json").read_text())
    assert len(content["images"]) == 9 and len(content["prompts"]) == 6
    for prompt, instance in zip(content["prompts"], data.instances, strict=True):
        with Image.open(folder / "masks" / prompt["mask"]) as image:
            mask = np.asarray(image.convert("L")) > 0
        assert np.array_equal(mask, instance.mask)
        ((x, y),) = prompt["positive"]
        assert mask[y, x]
        left, top, right, bottom = prompt["box"]
        down, across = np.nonzero(mask)
        assert [left, top, right, bottom] == [across.min(), down.min(), across.max() + 1, down.max() + 1]
        for x, y in prompt["negative"]:
            assert 0 <= x < 60 and 0 <= y < 40 and not mask[y, x] and not (left <= x < right and top <= y < bottom)
    # The bar reaches three edges: only its left side has a place beside it. The ring is free on all four.
    assert [len(p["negative"]) for p in content["prompts"]] == [4, 4, 4, 4, 4, 1]
    # Most interior in a bar of 5x40: its middle column, at the first of the rows that are as far from the ends.
    assert content["prompts"][5]["positive"] == [[57, 2]]


def test_an_indexed_png_shows_the_numbers_of_the_classes(data, tmp_path):
    folder = FORMATS["indexed-png"].write(tmp_path / "out", data).folder
    assert json.loads((folder / "classes.json").read_text())["classes"] == {"cut": 1, "dent": 2, "hole": 3}
    with Image.open(folder / "masks/train/image_0.png") as image:
        assert image.mode == "P"
        values = np.asarray(image)
        palette = image.getpalette()
    assert np.array_equal(values == 3, data.instances[0].mask) and set(np.unique(values)) == {0, 3}
    colours = [tuple(palette[3 * at : 3 * at + 3]) for at in range(4)]
    assert colours[0] == (0, 0, 0) and len(set(colours)) == 4
    with Image.open(folder / "masks/test/image_8.png") as image:
        assert not np.asarray(image).any()


def test_supervision_reads_coco_voc_and_yolo_alike(data, tmp_path):
    sv = pytest.importorskip("supervision")
    coco, voc, yolo = (FORMATS[name].write(tmp_path / name, data).folder for name in ("coco", "voc", "yolo"))
    read = {
        "coco": sv.DetectionDataset.from_coco(
            str(coco / "train"), str(coco / "annotations/instances_train.json"), force_masks=True
        ),
        "yolo": sv.DetectionDataset.from_yolo(
            str(yolo / "images/train"), str(yolo / "labels/train"), str(yolo / "data.yaml")
        ),
        "voc": sv.DetectionDataset.from_pascal_voc(str(voc / "JPEGImages"), str(voc / "Annotations")),
    }
    for name, dataset in read.items():
        found = {Path(path).name: detections for path, _, detections in dataset}
        for row in data.rows("train"):
            (detections,) = [d for path, d in found.items() if path == data.names[row]]
            ours = [i for i in data.instances if i.row == row]
            assert len(detections) == len(ours)
            for at, instance in enumerate(ours):
                assert dataset.classes[detections.class_id[at]] == instance.defect
                # supervision leaves VOC's corners as they are or takes one off, by version.
                slack = 1 if name == "voc" else 1e-3
                assert np.abs(detections.xyxy[at] - instance.xyxy).max() <= slack
                if name == "coco":
                    assert np.array_equal(detections.mask[at], instance.mask)


def test_supervisions_coco_writer_makes_a_crowd_of_a_mask_with_a_hole(data, tmp_path):
    """Why COCO is written here: pycocotools leaves crowds out of its evaluation."""
    sv = pytest.importorskip("supervision")
    image, ring = data.sources[0], data.instances[0]
    found = sv.Detections(np.array([ring.xyxy], float), mask=ring.mask[None], class_id=np.array([0]))
    sv.DetectionDataset(["hole"], [image], {image: found}).as_coco(annotations_path=str(tmp_path / "theirs.json"))
    theirs = json.loads((tmp_path / "theirs.json").read_text())
    assert [a["iscrowd"] for a in theirs["annotations"]] == [1]
    assert "creativecommons.org/licenses/by/4.0" in theirs["licenses"][0]["url"]


def test_supervision_refuses_the_file_names_of_mvtec_ad(data, tmp_path):
    """Why images are renamed: every folder of MVTec AD has a 000.png."""
    sv = pytest.importorskip("supervision")
    paths = []
    for defect in ("dent", "hole"):
        (tmp_path / defect).mkdir()
        paths.append(str(tmp_path / defect / "000.png"))
        Image.new("RGB", (60, 40)).save(paths[-1])
    empty = {path: sv.Detections.empty() for path in paths}
    with pytest.raises(ValueError, match="(?i)duplicate|same|unique"):
        sv.DetectionDataset(["dent", "hole"], paths, empty).as_coco(
            images_directory_path=str(tmp_path / "images"), annotations_path=str(tmp_path / "theirs.json")
        )


@pytest.fixture
def loader(tmp_path, monkeypatch, ultralytics):
    """ultralytics' loader of one split: the labels, with everything that it warned of."""
    utils, dataset = ultralytics("data.utils"), ultralytics("data.dataset")
    monkeypatch.setattr(utils, "check_font", lambda *_: None)  # looks for a font on the network

    def load(folder: Path, split: str, task: str):
        messages: list[str] = []
        handler = logging.Handler()
        handler.setLevel(logging.WARNING)
        handler.emit = lambda record: messages.append(record.getMessage())
        ultralytics("utils").LOGGER.addHandler(handler)
        try:
            settings = utils.check_det_dataset(str(folder / "data.yaml"), autodownload=False)
            found = dataset.YOLODataset(settings[split], data=settings, task=task, augment=False, imgsz=64)
        finally:
            ultralytics("utils").LOGGER.removeHandler(handler)
        cache = np.load(folder / "labels" / f"{split}.cache", allow_pickle=True).item()
        return found.labels, cache, messages + cache["msgs"]

    return load


@pytest.mark.parametrize("name, task", [("yolo", "detect"), ("yolo-seg", "segment")])
def test_ultralytics_loads_both_sets_without_a_warning(data, tmp_path, loader, ultralytics, name, task):
    polygon2mask = ultralytics("data.utils").polygon2mask
    folder = FORMATS[name].write(tmp_path / "out", data).folder
    for split in ("train", "val", "test"):
        labels, cache, said = loader(folder, split, task)
        assert said == []
        found, missing, empty, corrupt, total = cache["results"]
        assert (found, missing, empty, corrupt, total) == (2, 1, 0, 0, 3)
        for label in labels:
            row = data.names.index(Path(label["im_file"]).name)
            ours = [i for i in data.instances if i.row == row]
            if name == "yolo":
                assert len(label["cls"]) == len(ours)
            for instance in ours:
                assert set(label["cls"].ravel()) == {data.classes.index(instance.defect)}
                if name == "yolo":
                    x, y, w, h = label["bboxes"][0] * [60, 40, 60, 40]
                    assert [x - w / 2, y - h / 2, x + w / 2, y + h / 2] == pytest.approx(instance.xyxy, abs=1e-4)
                else:
                    # As ultralytics fills its polygons: exactly the mask, but for the hole of the ring.
                    shapes = [polygon2mask(SIZE, [(s * [60, 40]).ravel()]) > 0 for s in label["segments"]]
                    filled = instance.mask
                    filled[5:20, 10:30] |= instance.defect == "hole"
                    assert np.array_equal(np.logical_or.reduce(shapes), filled)
                    assert len(shapes) == (2 if row == 3 else 1)


def test_run_lengths_of_pycocotools_are_unpacked_alike():
    from hw3lib.data.regions.shapes import unpack

    rng = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.5, 1.0):
        mask = rng.random((37, 53)) < density
        packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        flat = mask.ravel(order="F")
        turns = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(np.concatenate([[0], turns, [flat.size]])).tolist()
        assert unpack(packed, "here") == ([0, *counts] if flat[0] else counts)


@pytest.fixture(scope="module")
def exported(real_data, tmp_path_factory):
    return export(load_table(real_data, "bottle"), list(FORMATS), tmp_path_factory.mktemp("bottle") / "out")


def test_every_format_of_the_real_bottle_reads_back_with_equal_counts(exported):
    assert len(exported.data) == 83 and len({i.row for i in exported.data.instances}) == 63
    counts = Counter(instance.defect for instance in exported.data.instances)
    assert counts == {"broken_large": 20, "broken_small": 26, "contamination": 22}
    for row, trip in zip(exported.rows(), exported.trips, strict=True):
        assert (row["images"], row["instances"], trip.instances) == (83, 68, 68)
        if row["format"] == "yolo-seg":  # one hole of one pixel is filled
            assert row["lost"]["holes"] == row["lost"]["pixels"] == 1 and trip.lowest_iou > 0.9999
        else:
            assert trip.exact and trip.lowest_iou == 1
    assert exported.data.licence.name == "CC BY-NC-SA 4.0"
    assert exported.left_out == {} and not exported.data.instances.dropped


def test_pycocotools_masks_of_the_real_bottle_are_its_png_masks(exported, real_data):
    masks = Counter()
    for split in ("train", "val", "test"):
        coco = COCO(exported.folder / f"coco/annotations/instances_{split}.json")
        for image in coco.imgs.values():
            found = coco.loadAnns(coco.getAnnIds(image["id"]))
            defect, _, stem = Path(image["file_name"]).stem.rpartition("_")
            if defect == "good":
                assert not found
                continue
            union = np.logical_or.reduce([coco.annToMask(annotation) for annotation in found])
            with Image.open(real_data / f"bottle/ground_truth/{defect}/{stem}_mask.png") as mask:
                assert np.array_equal(union, np.asarray(mask.convert("L")) > 0)
            assert {coco.cats[annotation["category_id"]]["name"] for annotation in found} == {defect}
            masks[defect] += 1
    assert masks == {"broken_large": 20, "broken_small": 22, "contamination": 21}


@pytest.mark.parametrize("name, task", [("yolo", "detect"), ("yolo-seg", "segment")])
def test_ultralytics_loads_the_real_bottle_without_a_warning(exported, loader, name, task):
    seen, instances = Counter(), 0
    for split in ("train", "val", "test"):
        labels, cache, said = loader(exported.folder / name, split, task)
        assert said == []
        found, missing, empty, corrupt, total = cache["results"]
        assert found + missing == total and empty == corrupt == 0
        seen.update(found=found, missing=missing)
        instances += sum(len(label["cls"]) for label in labels)
    assert seen == {"found": 63, "missing": 20} and instances == 68
