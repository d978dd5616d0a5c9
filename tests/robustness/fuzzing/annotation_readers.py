"""Annotations in all formats, and what a person chose."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools import mask as coco_mask

from hw3lib.annotate import FORMATS, Dataset
from hw3lib.annotate.export import export
from hw3lib.annotate.formats.coco import read_coco
from hw3lib.annotate.formats.coco_file import AnnotationsFile
from hw3lib.annotate.imports import SOURCES, import_category
from hw3lib.annotate.instances import components, read_instances
from hw3lib.data import load_table
from hw3lib.views.widgets.choices import Choices, apply
from tests.helpers.annotated import (
    HEIGHT,
    SQUARE,
    WIDTH,
    brush_rle,
    coco,
    cvat,
    cvat_image,
    cvat_points,
    labelme,
    photograph,
    png,
    region,
    square,
    task,
    voc,
    voc_object,
    yolo,
)
from tests.helpers.annotated import put as put_json
from tests.robustness.fuzzing.data_readers import category
from tests.robustness.fuzzing.reader import Reader, encoded, picture, put, sane

SIZE = 20, 30  # height and width


def _dataset(folder: Path) -> Dataset:
    square, ring = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    square[4:9, 6:16] = True
    ring[2:18, 3:25] = True
    ring[6:12, 8:18] = False
    for at in range(3):
        put(folder / f"{at}.png", encoded(picture(SIZE[::-1], at), "PNG"))
    files = [str(folder / f"{at}.png") for at in range(3)]
    found = components([(0, "dent", square), (1, "hole", ring), (2, "dent", square)])
    return Dataset(
        [f"p{at}.png" for at in range(3)], files, [SIZE] * 3, ["train", "val", "test"], found, ["dent", "hole"]
    )


def _format(name: str) -> Reader:
    def make(folder: Path) -> None:
        FORMATS[name].write(folder / "0", _dataset(folder.parent / f"{name}-images"))

    def read(folder: Path) -> None:
        found = FORMATS[name].read(folder)
        sane(len(found) > 0, "no image and no error")
        for instance in found.instances:
            height, width = found.sizes[instance.row]
            left, top, right, bottom = instance.xyxy
            sane(0 <= left < right <= width and 0 <= top < bottom <= height, "an instance outside of its image")
            sane(instance.defect in found.classes and instance.area > 0, "an instance of no class or no pixel")
            sane(instance.mask.shape == (height, width), "a mask of another size")

    return Reader(name, make, read, 2)


def _table() -> pd.DataFrame:
    rows = [{"image": f"/c/w/test/dent/{i}.png", "split": "test", "defect": "dent", "mask": None} for i in range(2)]
    made = pd.DataFrame(rows).assign(is_defect=True, width=SIZE[1], height=SIZE[0], mode="RGB")
    made.attrs = {"root": "/c", "category": "w"}
    return made


def _coco_files(folder: Path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[3:9, 4:20] = True
    for number in range(2):
        path = folder / str(number) / "annotations.json"
        path.parent.mkdir(parents=True)
        kept = AnnotationsFile(path, _table())
        for row in range(number + 1):
            kept.add(row, mask, "dent")


def _continue_coco(folder: Path) -> None:
    path = folder / "annotations.json"
    kept = AnnotationsFile(path, _table())
    kept.classes()
    mask = np.zeros(SIZE, bool)
    mask[:4] = True
    count = len(kept)
    number = kept.add(0, mask, "scratch")
    sane(len(kept) == count + 1 and number in [found["id"] for found in kept.of_image(0)], "an annotation was lost")
    kept.remove(number)
    sane(len(kept) == count, "an annotation was not removed")
    read_coco(path)


def _choice_files(folder: Path) -> None:
    chosen = {
        f"test/dent/{i}.png": {"was": "dent", "choice": name} for i, name in enumerate(("good", "unsure", "hole"))
    }
    put(folder / "0" / "choices.json", json.dumps({"format": 1, "choices": chosen}))


def _continue_choices(folder: Path) -> None:
    path = folder / "choices.json"
    kept = Choices(path)
    kept.set("test/dent/1.png", "dent", "keep")
    sane(Choices(path).get("test/dent/1.png") == "keep", "a choice was lost")


def _apply_choices(folder: Path) -> None:
    found = apply(_table(), folder / "choices.json")
    sane(len(found) == 2 and bool(found["defect"].map(lambda name: isinstance(name, str)).all()), "a label is no text")


def _corrected(folder: Path) -> None:
    category(folder / "0/widget")
    table = load_table(folder / "0", "widget")
    mask = np.asarray(Image.new("1", (12, 9), 1))
    AnnotationsFile(folder / "0/widget/annotations.json", table).add(0, mask, "dent")


def _beside(name: str) -> Reader:
    """Annotations without splits, of images that stayed in their category."""

    def make(folder: Path) -> None:
        category(folder / "0/widget")
        export(load_table(folder / "0", "widget"), [name], folder / "0/made", no_split=True, echo=lambda text: None)

    return Reader(f"{name} beside images", make, lambda f: FORMATS[name].read(f / "made" / name, f / "widget"), 0.3)


def _annotated_elsewhere(name: str) -> Callable[[Path], None]:
    """Sound inputs of a format that annotations are taken from, of every kind of shape that it has."""

    def make(folder: Path) -> None:
        place = folder / "0/in"
        photograph(place / "a.png")
        photograph(place / "b.png")
        percent = [(x * 100 / WIDTH, y * 100 / HEIGHT) for x, y in SQUARE]
        if name == "labelme":
            shapes = [{"shape_type": kind, "points": SQUARE[:2]} for kind in ("rectangle", "circle", "line", "point")]
            mask = {"shape_type": "mask", "points": [[10, 8], [29, 19]], "mask": png(square()[8:20, 10:30])}
            labelme(place / "a.json", {"points": SQUARE, "group_id": 1}, *shapes, mask)
            data = base64.b64encode((place / "b.png").read_bytes()).decode()
            labelme(place / "c.json", {"points": SQUARE, "label": "hole"}, image="d\\e.png", imageData=data)
        elif name == "cvat":
            drawn = (
                f'<polygon label="dent" points="{cvat_points(SQUARE)}" z_order="1" group_id="1"/>',
                '<box label="dent" xtl="1" ytl="2" xbr="30" ybr="20.5" rotation="12" z_order="0"/>',
                '<ellipse label="hole" cx="30" cy="20" rx="8" ry="4" rotation="30"/>',
                '<points label="dent" points="1,2"/>',
                '<mask label="dent" rle="3, 4, 1, 5, 2" left="40" top="30" width="5" height="3"/><tag label="bad"/>',
            )
            cvat(place / "annotations.xml", cvat_image("a.png", *drawn), cvat_image("b.png"))
        elif name == "labelstudio":
            drawn = (
                region("brush", format="rle", rle=brush_rle(square())),
                region("polygon", "hole", points=percent),
                region("ellipse", x=50, y=50, radiusX=10, radiusY=20, rotation=5),
                region("rectangle", x=10, y=10, width=30, height=30, rotation=45),
                region("keypoint", x=10, y=10, width=1),
            )
            put_json(place / "p.json", [task("/data/upload/1/1a2b3c4d-a.png", *drawn), task("b.png", predictions=[])])
        elif name == "coco":
            rle = {"size": [HEIGHT, WIDTH], "counts": [400, 1000, 1000]}
            packed = coco_mask.encode(np.asfortranarray(square(), np.uint8))["counts"].decode()
            ring = [value for point in SQUARE for value in point]
            drawn = (
                {"segmentation": [ring]},
                {"segmentation": rle, "iscrowd": 1},
                {"segmentation": rle | {"counts": packed}},
                {"bbox": [1, 2, 3, 4], "keypoints": [1, 2, 2]},
            )
            coco(place / "a.json", ["a.png", "b.png"], *drawn)
        elif name == "voc":
            voc(place / "Annotations/a.xml", voc_object(11, 9, 30, 20), voc_object(1, 1, 4, 4, "hole"))
            values = Image.fromarray(square().astype(np.uint8))
            values.putpalette([0, 0, 0, 9, 8, 7])
            for kind in ("SegmentationObject", "SegmentationClass"):
                put(place / kind / "a.png", encoded(values, "PNG"))
            put(place / "labelmap.txt", "background:0,0,0::\ndent:9,8,7::\n")
        else:
            yolo(place, {"c": "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.9 0.1 0.5 0.9\n", "d": ""}, ["dent", "hole"])

    return make


def _import(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        done = import_category(folder / "in", folder / "out", format=name)
        sane(bool(done.counts), "nothing was imported and no error")
        put(folder / "out/good/good.png", encoded(picture((WIDTH, HEIGHT)), "PNG"))
        table = load_table(folder, "out", strict=False)
        for instance in read_instances(table):
            left, top, right, bottom = instance.xyxy
            height, width = instance.size
            sane(0 <= left < right <= width and 0 <= top < bottom <= height, "an instance outside of its image")
        sane(bool(done.summary()), "no summary")

    return read


READERS = (
    *(_format(name) for name in FORMATS),
    *(_beside(name) for name in ("voc", "yolo", "yolo-seg")),
    *(Reader(f"import of {name}", _annotated_elsewhere(name), _import(name)) for name in SOURCES),
    Reader("COCO that is continued", _coco_files, _continue_coco, 2),
    Reader("COCO beside images", _corrected, lambda f: read_coco(f / "widget/annotations.json", f / "widget"), 0.3),
    Reader("choices that are continued", _choice_files, _continue_choices),
    Reader("choices that are applied", _choice_files, _apply_choices),
)
