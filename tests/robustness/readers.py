"""The table of readers: what of hw3lib reads files of others, its sound inputs, and what a sane result is."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import nbformat
import numpy as np
import onnx
import pandas as pd
import torch
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from hw3lib.annotate import FORMATS, Dataset
from hw3lib.annotate.boxes.base import SAVED, BoxDetector
from hw3lib.annotate.boxes.fcos import Fcos
from hw3lib.annotate.formats.coco import read_coco
from hw3lib.annotate.formats.coco_file import AnnotationsFile
from hw3lib.annotate.formats.reading import read_indexed
from hw3lib.annotate.imports import SOURCES, import_category
from hw3lib.annotate.instances import components, from_masks, read_instances
from hw3lib.annotate.masks.sam_network import SamNetwork, mobile_sam
from hw3lib.annotate.pictures import image_size, kept_suffix
from hw3lib.annotate.weights import places
from hw3lib.anomaly import Autoencoder, DeepSVDD
from hw3lib.anomaly.onnx.detector import OnnxDetector
from hw3lib.anomaly.registry import load as load_detector
from hw3lib.core.files import read_json
from hw3lib.core.kept import read as read_kept
from hw3lib.core.places import data_roots
from hw3lib.core.saved import settings_digest
from hw3lib.core.untrusted import parse_value
from hw3lib.course.grading import _chapter, _read
from hw3lib.course.grading import answers as graded_answers
from hw3lib.data import Reading, check_category, digest, load_masks, load_table, read_image, read_mask
from hw3lib.data.fetch.archive import extract
from hw3lib.data.folders.find import find_root, list_categories
from hw3lib.data.groups import _listed
from hw3lib.data.pixels.images import decode_image
from hw3lib.data.regions.masks import read_regions
from hw3lib.data.stack import _map
from hw3lib.data.table import read_header
from hw3lib.errors import Hw3Error
from hw3lib.inspection.app.inspection import decode
from hw3lib.networks.backbones import _read_weights
from hw3lib.networks.callbacks import Checkpoint, EarlyStopping, Training
from hw3lib.report.compose import answers
from hw3lib.report.runs import Run
from hw3lib.runs.compare import compare_runs, text
from hw3lib.runs.run import read_notebook
from hw3lib.runs.step import METRICS, RECORD, changed_files, changes
from hw3lib.runs.summary import key_figures
from hw3lib.sweep.results import gather, load, table
from hw3lib.sweep.spec import read_spec
from hw3lib.sweep.store import Cell
from hw3lib.views.widgets.choices import Choices, apply
from tests.helpers import annotated as drawn
from tests.helpers.categories import write_category
from tests.helpers.heic import HEIC
from tests.helpers.report_runs import make_run
from tests.robustness.damage import Draw, Files, change, png

SIZE, SIDE = (20, 30), 32  # height and width of annotated images; side of those that detectors see


@dataclass(frozen=True)
class Reader:
    """Something of hw3lib that reads what others wrote.

    Attributes:
        name: on the command line and in the table.
        make: writes sound inputs, each into a folder of its own below the given one.
        read: reads a folder; anything but a sane result or an ``Hw3Error`` is a finding.
        weight: share of the inputs, 1 for most.
        finish: mends what would stop a broken input at the door, such as checksums.
        pipes: whether its files may be replaced by pipes; not where the user names the file, who may mean one.
        names_file: whether the error must name the file or folder; not where the input is no file.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    weight: float = 1.0
    finish: Callable[[Draw, Files], None] | None = None
    names_file: bool = True
    pipes: bool = True


def sane(holds: bool, what: str) -> None:
    """A result that is not as promised is a finding."""
    if not holds:
        raise AssertionError(what)


def only_file(folder: Path) -> Path:
    """The one file of a folder, whatever it is called by now and whatever it is."""
    found = sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return found[0] if found else folder / "gone"


def put(path: Path, content: bytes | str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _files(*contents: dict[str, bytes | str]) -> Callable[[Path], None]:
    """Sound inputs that are texts: a folder for each, of files by name."""

    def make(folder: Path) -> None:
        for number, files in enumerate(contents):
            for name, content in files.items():
                put(folder / str(number) / name, content)

    return make


def _again(folder: Path, found: object) -> None:
    if found is None:
        raise Hw3Error(f"{folder}: computed again")


def picture(size: tuple[int, int] = (12, 9), seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Noise; ``size`` is (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image file's bytes."""
    made = io.BytesIO()
    image.save(made, kind, **options)
    return made.getvalue()


def _black(width: int, height: int, depth: int, colour: int, row: bytes) -> bytes:
    """A PNG of equal rows, which may be large when it is decoded."""
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(b"\0" + row) for _ in range(height)) + packer.flush()
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return png(("IHDR", size + bytes((depth, colour, 0, 0, 0))), ("IDAT", pixels), ("IEND", b""))


def _images(folder: Path) -> None:
    exif, grey, noise = Image.Exif(), np.arange(96, dtype=np.uint16).reshape(8, 12), np.random.default_rng(0)
    exif[0x0112] = 6
    made = {
        f"deep{kind}.png": _black(12, 9, 16, kind, noise.bytes(24 * count)) for kind, count in ((2, 3), (4, 2), (6, 4))
    }
    made |= {"deep.pgm": b"P5 12 8 4095\n" + (grey * 40).astype(">u2").tobytes(), "telephone.heic": HEIC}
    turned, two, jpeg = {"exif": exif}, {"append_images": [picture(seed=1)], "save_all": True}, {"compression": "jpeg"}
    kinds = {
        "png": (("RGB", turned), ("RGBA", {}), ("P", {"transparency": 3}), ("1", {}), ("LA", {}), ("RGB", two)),
        "jpeg": (("RGB", turned), ("CMYK", {}), ("RGB", {"progressive": True, "comment": b"x"})),
        "tiff": (("RGB", turned), ("RGB", {"compression": "tiff_lzw"}), ("CMYK", {}), ("RGB", two | jpeg)),
        "webp": (("RGB", turned), ("RGBA", two)),
        "gif": (("P", two),),
        "bmp": (("RGB", {}), ("P", {})),
        **dict.fromkeys(("ppm", "jpeg2000"), (("RGB", {}),)),
        "avif": (("RGB", turned),),
    }
    for kind, mode, options in ((kind, *each) for kind, several in kinds.items() for each in several):
        made[f"{len(made)}.{kind.replace('jpeg2000', 'jp2')}"] = encoded(picture(mode=mode), kind, **options)
    for pixels in (grey * 600, grey.astype(np.int32) - 48, np.linspace(0, 1, 96, dtype=np.float32).reshape(8, 12)):
        made[f"{len(made)}.tiff"] = encoded(Image.fromarray(pixels), "TIFF")
    made["deep grey.png"] = encoded(Image.fromarray(grey * 600), "PNG")
    _files(*({name: content} for name, content in made.items()))(folder)
    cv2.imwrite(str(put(folder / "deep/colour.tiff", b"")), np.stack([grey * 600] * 3, -1))


def _read_image(folder: Path) -> None:
    path, header = only_file(folder), None
    with contextlib.suppress(Hw3Error):
        header = read_header(path)
        kept_suffix(path)
        image_size(path)
    for reading in (Reading((0, 4095)), Reading((0, 100))):
        image, warning = decode_image(path, 16, reading)
        sane(image.shape == (16, 16, 3) and isinstance(warning, str), "an image of another shape than asked for")
    small = read_image(path, 16)
    sane(small.shape == (16, 16, 3) and small.dtype == np.uint8, "an image of another shape than asked for")
    large = read_image(path)
    if header is not None:
        sane(large.shape[:2] == header[1::-1], f"its header says {header}, it is decoded as {large.shape}")


def _read_upload(folder: Path) -> None:
    path = only_file(folder)
    content = path.read_bytes() if path.is_file() and path.resolve().is_relative_to(folder) else b""
    image = decode(content, path.name).pixels
    sane(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, "a photograph of another shape")


def _bombs(folder: Path) -> None:
    kinds = ((13_000, 1, 0, 1 / 8), (13_000, 8, 0, 1), (9_000, 16, 0, 2), (7_000, 16, 2, 6), (20_000, 8, 0, 1))
    for number, (side, depth, colour, bytes_each) in enumerate((*kinds, (65_000, 1, 0, 1 / 8))):
        put(folder / f"{number}/bomb.png", _black(side, side, depth, colour, bytes(int(side * bytes_each))))


def _masks(folder: Path) -> None:
    marked = np.zeros((9, 12), np.uint8)
    marked[2:5, 3:8] = 255
    mask = Image.fromarray(marked)
    kinds = {f"{mode}.png": mask.convert(mode) for mode in ("L", "1", "RGB", "P")}
    kinds |= {"deep.png": Image.fromarray(marked.astype(np.uint16) * 257), "alpha.png": Image.merge("LA", (mask,) * 2)}
    kinds |= {"clear.png": Image.merge("RGBA", (mask,) * 4), "lossy.jpeg": mask, "lossy.webp": mask.convert("RGBA")}
    kinds |= {"share.tiff": Image.fromarray(marked.astype(np.float32) / 255)}
    _files(*({name: encoded(image, name.split(".")[1])} for name, image in kinds.items()))(folder)
    put(folder / "half/half.png", encoded(mask.convert("P"), "PNG", transparency=0))


def _read_mask(folder: Path) -> None:
    path = only_file(folder)
    mask, small = read_mask(path), read_mask(path, 16)
    sane(mask.dtype == bool and mask.ndim == 2 and small.shape == (16, 16), "a mask of another shape")
    sane(bool(mask.any()) == bool(small.any()), "a defect was lost when its mask was reduced")
    with contextlib.suppress(Hw3Error):  # not every mask holds an index
        read_indexed(path, mask.shape, path)


_COUNTS = {"train/good": 2, "test/good": 2, "test/dent": 2}


def _folders_of_masks(folder: Path) -> None:
    """A category in which one image has a mask for each of its defects, as in MVTec LOCO."""
    place = write_category(folder / "0/widget", _COUNTS, (12, 9)) / "ground_truth/dent"
    content = (place / "000_mask.png").read_bytes()
    (place / "000_mask.png").unlink()
    for name in ("000.png", "001.png"):
        put(place / "000" / name, content)


def _read_folder_of_masks(folder: Path) -> None:
    found = _read_category(folder)
    for mask in found["mask"].dropna():
        union = np.logical_or.reduce([region.marked for region in read_regions(mask)])
        sane(np.array_equal(read_mask(mask), union), "regions that are not the mask")
    sane(all(0 <= i.row < len(found) and i.area > 0 for i in from_masks(found)), "an instance of nothing")


def _categories(folder: Path) -> None:
    """MVTec AD's layout, the simple one, one of 16 bits, VisA's, and one with settings."""
    write_category(folder / "0/widget", _COUNTS, (12, 9))
    write_category(folder / "1/made", _COUNTS, (12, 9))
    for old, new in (("train/good", "good"), ("test/dent", "dent"), ("ground_truth/dent", "masks/dent")):
        shutil.copytree(folder / "1/made" / old, folder / "1/widget" / new)
    shutil.rmtree(folder / "1/made")
    shutil.copytree(folder / "0/widget", folder / "2/widget")
    for at, path in enumerate(sorted((folder / "2/widget").glob("t*/*/*.png"))):
        put(path, _black(12, 9, 16, 2, np.random.default_rng(at).bytes(72)))
    rows = "".join(f"widget,{split},,widget/Data/Images/{place},\n" for split, place in _VISA)
    put(folder / "3/split_csv/1cls.csv", f"object,split,label,image,mask\n{rows}")
    for seed, (_, place) in enumerate(_VISA):
        put(folder / "3/widget/Data/Images" / place, encoded(picture(seed=seed), "JPEG"))
    put(folder / "4/widget/category.json", '{"good": "fine", "groups": "^(.)"}')
    for seed, place in enumerate(("train/fine", "validation/fine", "test/fine", "test/dent")):
        put(folder / "4/widget" / place / "rgb/0.png", encoded(picture(seed=seed), "PNG"))
    put(folder / "4/widget/runs/widget-quick/01/metrics.json", '{"data_digest": ""}')


_VISA = (("train", "Normal/0.JPG"), ("test", "Normal/1.JPG"), ("test", "Anomaly/0.JPG"))


def _read_category(folder: Path) -> pd.DataFrame:
    list_categories(folder)
    found = load_table(folder, "widget", strict=False)
    check_category(found).summary().encode()
    digest(found)
    with contextlib.suppress(Hw3Error):
        load_masks(found, 8)
    sane(found[["width", "height"]].gt(0).all(axis=None), "an image without a size is in the table")
    return load_table(folder, "widget")


def _read_product_list(folder: Path) -> None:
    found = _listed(["0.png", "1.png", "2.png"], only_file(folder))
    sane(len(found) == 3 and all(found), "an image without a product")


def _archives(folder: Path) -> None:
    content = folder.parent / "content"
    for i, size in enumerate((0, 1, 80)):
        put(content / f"widget/{i}.txt", bytes(range(9)) * size)
    for number, kind in enumerate(("tar", "gztar", "bztar", "xztar", "zip")):
        (folder / str(number)).mkdir(parents=True)
        shutil.make_archive(str(folder / str(number) / "a"), kind, content)


def _repack(draw: Draw, files: Files) -> None:
    """Break what is in a compressed archive too, which stays a sound one of its kind."""
    for name, content in files.items():
        packer = {".gz": gzip, ".bz2": bz2, ".xz": lzma}.get(Path(name).suffix)
        if packer and isinstance(content, bytes) and draw(st.booleans()):
            with contextlib.suppress(Exception):  # it may be broken already
                files[name] = packer.compress(change(draw, "a.tar", packer.decompress(content)))


def _extract(folder: Path) -> None:
    extract(only_file(folder), folder / "unpacked", progress=False)
    for path in (folder / "unpacked").rglob("*"):
        sane(not path.is_symlink() and (path.is_file() or path.is_dir()), f"{path} is neither a file nor a folder")


def _stacks(folder: Path) -> None:
    np.save(put(folder / "0/stack.npy", b""), np.zeros((2, 3, 4, 4), np.uint8))


def _read_stack(folder: Path) -> None:
    found = _map(folder / "stack.npy", (2, 3, 4, 4))
    _again(folder, found)
    np.asarray(found).sum()


def _dataset(folder: Path) -> Dataset:
    square, ring = np.zeros((2, *SIZE), bool)
    square[4:9, 6:16], ring[2:18, 3:25], ring[6:12, 8:18] = True, True, False
    files = [str(put(folder / f"{at}.png", encoded(picture(SIZE[::-1], at), "PNG"))) for at in range(3)]
    found = components([(0, "dent", square), (1, "hole", ring), (2, "dent", square)])
    names = [Path(file).name for file in files]
    return Dataset(names, files, [SIZE] * 3, ["train", "val", "test"], found, ["dent", "hole"])


def _sane_instance(instance, size: tuple[int, int], classes) -> None:
    left, top, right, bottom = instance.xyxy
    sane(0 <= left < right <= size[1] and 0 <= top < bottom <= size[0], "an instance outside of its image")
    sane(instance.defect in classes and instance.area > 0, "an instance of no class or no pixel")
    sane(instance.mask.shape == tuple(size), "a mask of another size")


def _format(name: str) -> Reader:
    def make(folder: Path) -> None:
        FORMATS[name].write(folder / "0", _dataset(folder.parent / f"{name}-images"))

    def read(folder: Path) -> None:
        found = FORMATS[name].read(folder)
        sane(len(found) > 0, "no image and no error")
        for instance in found.instances:
            _sane_instance(instance, found.sizes[instance.row], found.classes)

    return Reader(name, make, read, 2)


def _beside(name: str) -> Reader:
    """Annotations without splits, of images that stayed where they were."""

    def make(folder: Path) -> None:
        data = _dataset(folder / "0/images")
        FORMATS[name].write(folder / "0/made", data.with_own_names(folder / "0/images"), beside=True)

    return Reader(f"{name} beside images", make, lambda f: FORMATS[name].read(f / "made", f / "images"), 0.3)


def table_of_two() -> pd.DataFrame:
    """Two images that need not exist."""
    made = pd.DataFrame({"image": [f"/c/w/test/dent/{i}.png" for i in range(2)], "defect": "dent", "mask": None})
    made = made.assign(split="test", is_defect=True, width=SIZE[1], height=SIZE[0], mode="RGB")
    made.attrs = {"root": "/c", "category": "w"}
    return made


def _marked() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[3:9, 4:20] = True
    return mask


def _coco_files(folder: Path) -> None:
    for number in range(2):
        path = folder / str(number) / "annotations.json"
        path.parent.mkdir(parents=True)
        for row in range(number + 1):
            AnnotationsFile(path, table_of_two()).add(row, _marked(), "dent")


def _continue_coco(folder: Path) -> None:
    kept = AnnotationsFile(folder / "annotations.json", table_of_two())
    kept.classes()
    count, number = len(kept), kept.add(0, _marked(), "scratch")
    sane(len(kept) == count + 1 and number in [found["id"] for found in kept.of_image(0)], "an annotation was lost")
    kept.remove(number)
    sane(len(kept) == count, "an annotation was not removed")
    read_coco(folder / "annotations.json")


def _corrected(folder: Path) -> None:
    found = load_table(write_category(folder / "0/widget", _COUNTS, (12, 9)).parent, "widget")
    AnnotationsFile(folder / "0/widget/annotations.json", found).add(0, np.ones((9, 12), bool), "dent")


def _annotated_elsewhere(name: str) -> Callable[[Path], None]:
    """A sound input of a format that annotations are taken from, with every kind of shape that it has."""

    def make(folder: Path) -> None:
        place, square = folder / "0/in", drawn.SQUARE
        a, b = (drawn.photograph(place / f"{stem}.png") for stem in "ab")
        ring, marked = [value for point in square for value in point], drawn.square()
        if name == "labelme":
            shapes = [{"shape_type": kind, "points": square[:2]} for kind in ("rectangle", "circle", "line", "point")]
            mask = {"shape_type": "mask", "points": [[10, 8], [29, 19]], "mask": drawn.png(marked[8:20, 10:30])}
            drawn.labelme(place / "a.json", {"points": square, "group_id": 1}, *shapes, mask)
            data = base64.b64encode(b.read_bytes()).decode()
            drawn.labelme(place / "c.json", {"points": square, "label": "hole"}, image="d\\e.png", imageData=data)
        elif name == "cvat":
            shapes = (
                f'<polygon label="dent" points="{drawn.cvat_points(square)}" z_order="1" group_id="1"/>',
                '<box label="dent" xtl="1" ytl="2" xbr="30" ybr="20.5" rotation="12" z_order="0"/>',
                '<ellipse label="hole" cx="30" cy="20" rx="8" ry="4" rotation="30"/>',
                '<points label="dent" points="1,2"/>',
                '<mask label="dent" rle="3, 4, 1, 5, 2" left="40" top="30" width="5" height="3"/><tag label="bad"/>',
            )
            drawn.cvat(place / "annotations.xml", drawn.cvat_image("a.png", *shapes), drawn.cvat_image("b.png"))
        elif name == "labelstudio":
            percent = [(x * 100 / drawn.WIDTH, y * 100 / drawn.HEIGHT) for x, y in square]
            shapes = (
                drawn.region("brush", format="rle", rle=drawn.brush_rle(marked)),
                drawn.region("polygon", "hole", points=percent),
                drawn.region("ellipse", x=50, y=50, radiusX=10, radiusY=20, rotation=5),
                drawn.region("rectangle", x=10, y=10, width=30, height=30, rotation=45),
                drawn.region("keypoint", x=10, y=10, width=1),
            )
            tasks = [drawn.task("/data/upload/1/1a2b3c4d-a.png", *shapes), drawn.task("b.png", predictions=[])]
            drawn.put(place / "p.json", tasks)
        elif name == "coco":
            rle = {"size": [drawn.HEIGHT, drawn.WIDTH], "counts": [400, 1000, 1000]}
            crowd, keypoints = {"segmentation": rle, "iscrowd": 1}, {"bbox": [1, 2, 3, 4], "keypoints": [1, 2, 2]}
            drawn.coco(place / "a.json", ["a.png", "b.png"], {"segmentation": [ring]}, crowd, keypoints)
        elif name == "voc":
            drawn.voc(
                place / "Annotations/a.xml", drawn.voc_object(11, 9, 30, 20), drawn.voc_object(1, 1, 4, 4, "hole")
            )
            values = Image.fromarray(marked.astype(np.uint8))
            values.putpalette([0, 0, 0, 9, 8, 7])
            for kind in ("SegmentationObject", "SegmentationClass"):
                put(place / kind / "a.png", encoded(values, "PNG"))
            put(place / "labelmap.txt", "background:0,0,0::\ndent:9,8,7::\n")
        else:
            drawn.yolo(place, {"c": "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.9 0.1 0.5 0.9\n", "d": ""}, ["dent", "hole"])

    return make


def _import(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        done = import_category(folder / "in", folder / "out", format=name)
        sane(bool(done.counts and done.summary()), "nothing was imported and no error")
        put(folder / "out/good/good.png", encoded(picture((drawn.WIDTH, drawn.HEIGHT)), "PNG"))
        for instance in read_instances(load_table(folder, "out", strict=False)):
            _sane_instance(instance, instance.size, [instance.defect])

    return read


_CHOSEN = {f"test/dent/{i}.png": {"was": "dent", "choice": c} for i, c in enumerate(("good", "unsure", "hole"))}
_CHOICES = _files({"choices.json": json.dumps({"format": 1, "choices": _CHOSEN})})


def _continue_choices(folder: Path) -> None:
    Choices(folder / "choices.json").set("test/dent/1.png", "dent", "keep")
    sane(Choices(folder / "choices.json").get("test/dent/1.png") == "keep", "a choice was lost")


def _apply_choices(folder: Path) -> None:
    found = apply(table_of_two(), folder / "choices.json")
    sane(len(found) == 2 and bool(found["defect"].map(lambda name: isinstance(name, str)).all()), "a label is no text")


def _detectors(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (10, 3, SIDE, SIDE), dtype=np.uint8)
    small = dict(image_size=SIDE, num_steps=1, latent_size=2, device="cpu")
    DeepSVDD(arch=None, **small).fit(images).save(folder / "0")
    Autoencoder(working_size=SIDE, **small).fit(images).save(folder / "1")


def _sign(draw: Draw, files: Files) -> None:
    """Make the checksums right again, as somebody who means harm would."""
    settings, state = files.get("detector.json"), next((c for n, c in files.items() if n.endswith("safetensors")), None)
    if not (isinstance(settings, bytes) and isinstance(state, bytes)) or draw(st.integers(0, 4)) == 4:
        return
    with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):  # no settings any more
        found = json.loads(settings)
        found.pop("settings_sha256", None)
        found["sha256"] = hashlib.sha256(state).hexdigest()
        files["detector.json"] = json.dumps(found | {"settings_sha256": settings_digest(found)}).encode()


def _read_detector(folder: Path) -> None:
    found = load_detector(folder)
    sane(found.good_scores_.ndim == 1 and bool(np.isfinite(found.good_scores_).all()), "scores that are none")
    sane(found.thresholds_ is None or found.threshold_ == found.threshold_, "a threshold that is NaN")


def _tiny() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def box_detector(folder: Path, **changes: object) -> None:
    """A saved box detector, whose settings may say something else."""
    known = {"size": 64, "epochs": 1, "batch_size": 2, "lr": 1e-3, "patience": None, "validation": 0.2, "flips": True}
    facts = {"detector": Fcos.name, "fields": known | {"seed": 0, "device": "cpu"}}
    SAVED.write(folder, facts | {"fitted": {"classes_": ["dent"], "seconds_": 1.0}} | changes, _tiny().state_dict())


def _read_boxes(folder: Path) -> None:
    with mock.patch.object(Fcos, "_empty", lambda self: _tiny()):
        BoxDetector.load(folder, "cpu")


def _training() -> Training:
    model, generator = _tiny(), torch.Generator()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model(torch.zeros(4, 3)).sum().backward()
    optimizer.step()
    return Training("a training", model, optimizer, None, generator, [EarlyStopping(3)], 3)


def _read_training(folder: Path) -> None:
    path, before = only_file(folder), torch.get_rng_state()
    _again(path, path.is_file() or None)
    try:
        Checkpoint(path).on_start(_training())
    finally:
        torch.set_rng_state(before)


def _weights(folder: Path) -> None:
    for number, new in enumerate((True, False)):
        path = put(folder / f"{number}/w.pt", b"")
        torch.save(_tiny().state_dict(), path, _use_new_zipfile_serialization=new)


def _read_weight_files(folder: Path) -> None:
    _read_weights(only_file(folder))
    with mock.patch.object(SamNetwork, "build", staticmethod(_tiny)):
        mobile_sam(only_file(folder))


def _read_outcome(folder: Path) -> None:
    found = read_kept(only_file(folder))
    _again(folder, found)
    sane(isinstance(found, dict), f"an outcome that is a {type(found).__name__}")
    sane(only_file(folder).suffix != ".npz" or all(isinstance(a, np.ndarray) for a in found.values()), "no arrays")


def _arrays(folder: Path) -> None:
    path = put(folder / "0/kept.npz", b"")
    np.savez(path, plain=np.ones((2, 3), np.float32), weak=np.zeros((2, 2, 3), np.float32))


def _onnx() -> bytes:
    """An ONNX file with a detector's metadata that means the brightness of an image."""
    images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", 3, SIDE, SIDE])
    scores = onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["n"])
    cast = onnx.helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT)
    mean = onnx.helper.make_node("ReduceMean", ["floats"], ["scores"], axes=[1, 2, 3], keepdims=0)
    graph = onnx.helper.make_graph([cast, mean], "g", [images], [scores])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    promise = {"good_scores_": [1.0, 2.0], "good_peaks_": [], "bad_scores_": [3.0], "probe_": [127.0, 127.0, 127.0]}
    promise |= {"good_groups_": None, "peak_groups_": None, "good_level_": None, "calibration_": "held-out"}
    promise |= {"proven_": True, "false_alarm_rate": 0.05, "costs": None}
    kept = {"format": 2, "detector": "x", "image_size": SIDE, "batch_size": 2, "reading": {}, "promise": promise}
    for key, value in kept.items():
        model.metadata_props.add(key=f"hw3.{key}", value=json.dumps(value))
    return model.SerializeToString()


def _break_metadata(draw: Draw, files: Files) -> None:
    """Half of the files are sound models whose metadata say something else."""
    if draw(st.booleans()):
        model = onnx.ModelProto.FromString(_onnx())
        entry = draw(st.sampled_from(model.metadata_props))
        entry.value = change(draw, "a.json", entry.value.encode()).decode("utf-8", "replace")
        files["detector.onnx"] = model.SerializeToString()


def _read_onnx(folder: Path) -> None:
    found = OnnxDetector(folder / "detector.onnx", threads=1)
    sane(isinstance(found.image_size, int) and isinstance(found.batch_size, int), "an image size that is no integer")


def _report(folder: Path) -> None:
    run = Run(folder)
    for question in answers(run):
        for paragraph in question.paragraphs():
            run.plain(paragraph).encode()


def _two_runs(folder: Path) -> None:
    for side in "ab":
        make_run(folder / "0" / side)
        fingerprint = {"hw3lib": "x", "notebook": "y", "parameters": {"seed": 0, "side": side}}
        put(folder / "0" / side / "02/run.json", json.dumps({"status": "ran", "fingerprint": fingerprint}))


def _compare(folder: Path) -> None:
    text(compare_runs(folder / "a", folder / "b"), "a", "b", every=True).encode()


def _records(folder: Path) -> None:
    make_run(folder / "0", without=("01", "03", "04", "05"))
    record = {"status": "ran", "seconds": 3.5, "fingerprint": {"notebook": "y", "parameters": {"seed": 0}}}
    record["files"] = {"metrics.json": {"bytes": 3, "sha256": "0" * 64}}
    put(folder / "0/02/run.json", json.dumps(record))


def _summary(folder: Path) -> None:
    number = "02" if (folder / "02").is_dir() else "01"
    record = read_json(folder / number / RECORD)
    changes(record.get("fingerprint", {}), {"notebook": "y", "parameters": {"seed": 0}})
    changed_files(record, folder / number)
    key_figures(number, read_json(folder / number / METRICS)).encode()


_SPEC = """categories: [synthetic/bottle, synthetic/wood]
profiles: [quick]
seeds: 3
attempts:
  - {name: baseline, epochs: 30, lr: 1e-3}
  - {name: transfer, arch: tf_efficientnet_lite0, strategy: transfer, image_size: 224}
detectors:
  - padim
  - {name: PatchCore 1 %, detector: patchcore, ratio: 0.01}
imbalance:
  - {method: SMOTE, ratio: 5}
n_splits: 10
test_size: 0.2
held_out: 0.2
false_alarm_rate: 0.05
"""
_OTHER_SPEC = "categories: wood\nseeds: [4, 5]\nattempts:\n  - name: a\n    flip: true\n"
CELL = Cell("attempt", "a", "wood", "quick", 0, {"lr": 0.1})


def _read_spec(folder: Path) -> None:
    spec = read_spec(only_file(folder))
    sane(bool(spec.seeds and spec.categories and spec.variants), "a sweep of nothing")
    json.dumps([spec.variants, spec.seeds], allow_nan=True).encode()


def _tables(folder: Path) -> None:
    rows = [{"category": "a", "seed": i, "accuracy": 0.5 + i / 10, "settings": "{}"} for i in range(4)]
    pd.DataFrame(rows).to_parquet(put(folder / "0/results.parquet", b""), engine="pyarrow", index=False)


def _read_cells(folder: Path) -> None:
    sane(len(table([CELL], folder)) <= 1, "one cell, several rows")
    gather([CELL], folder)


def _notebook(cells: list[tuple[str, str]], **metadata: object) -> str:
    made = [
        nbformat.v4.new_code_cell(source, id=f"c{i}", metadata={"tags": [tag] if tag else []})
        for i, (tag, source) in enumerate(cells)
    ]
    return json.dumps(nbformat.v4.new_notebook(cells=made, metadata={"hw3lib": metadata}))


_PARAMETERS = 'category = "synthetic/bottle"\ndata = None\nout = "runs/x"\nprofile = "quick"\nseed = 0'
_CELLS = [("parameters", _PARAMETERS), ("", "import math"), ("answer-1", "x = 1"), ("check-1", "assert x")]
_NOTEBOOK = {"04_a.ipynb": _notebook(_CELLS, chapter="04_a", files=["a.csv"], reads=["01"])}
# As an editor leaves it that drops tags and writes a mark at the start.
_UNTAGGED = {"04_a.ipynb": _notebook([("", source) for _, source in _CELLS], chapter="04_a").encode("utf-8-sig")}


def _submitted(folder: Path) -> None:
    reference = nbformat.reads(_notebook([("answer-1", "raise"), ("check-1", "assert x")]), as_version=4)
    path = only_file(folder)
    submitted = _read(path)
    sane(_chapter(submitted, path, {"04_a": reference}) == "04_a", "another chapter")
    found = graded_answers(reference, submitted)
    sane(len(found) == 1 and all(isinstance(source, str) for source in found[0]), "answers that are not code")


def _read_notebook(folder: Path) -> None:
    found = read_notebook(only_file(folder))
    sane(all(isinstance(file, str) for file in (*found.files, *found.reads)), "a file's name that is no text")


def _command(folder: Path) -> None:
    path = only_file(folder)
    real = path.is_file() and path.resolve().is_relative_to(folder)
    said = path.read_bytes().decode("utf-8", "surrogateescape") if real else path.name
    said = said.replace("\0", "")  # no argument and no variable holds it
    json.dumps(parse_value(said))
    said = said[:100_000]
    with mock.patch.dict(os.environ, {"HW3_DATA": said, "HW3_WEIGHTS": said}):
        data_roots(), places()
        find_root("bottle", None)
    with mock.patch.dict(os.environ, {"HW3_DATA": str(folder)}), contextlib.suppress(Hw3Error):
        find_root(said, None)
        load_table(folder, said)


_VALUES = ("1e-3", "[1, {a: b}]", "text", "{'a': (1, 2)}", "true", "~/data", "https://a.b/c.tar")
_OUTCOME = {"probabilities": [[0.25, 0.75], [0.5, 0.5]], "history": {"epoch": [1], "loss": [0.5]}, "seconds": 1.5}
_LISTS = ("image,group\n0.png,a\n1.png,a\n2.png,b\n", "\ufeffgroup;image\n1;.\\0.png\n1;./1.png\n2;2.png\n")
_LISTS += ('image\tgroup\n"0.png"\t"a\tb"\n1.png\tc\n2.png\tc\n',)
_CELL_FILE = {f"cells/{CELL.key}/metrics.json": json.dumps({"accuracy": 0.5, "seconds": 1.0, "host": "h"})}

_ALL = (
    Reader("images", _images, _read_image, 5),
    Reader("masks", _masks, _read_mask, 3),
    Reader("folders of masks", _folders_of_masks, _read_folder_of_masks, 0.5),
    Reader("mask bombs", _bombs, lambda f: sane(not read_mask(only_file(f), 16).any(), "a black mask marks"), 0.005),
    Reader("picture bombs", _bombs, _read_image, 0.005),
    Reader("categories", _categories, _read_category, 0.2),
    Reader("lists of products", _files(*({"products.csv": t} for t in _LISTS)), _read_product_list),
    Reader("archives", _archives, _extract, 3, _repack),
    Reader("image stacks", _stacks, _read_stack, 2),
    Reader("uploads", _images, _read_upload, 4, names_file=False),
    Reader("uploaded bombs", _bombs, _read_upload, 0.005, names_file=False),
    *map(_format, FORMATS),
    *map(_beside, ("voc", "yolo", "yolo-seg")),
    *(Reader(f"import of {name}", _annotated_elsewhere(name), _import(name)) for name in SOURCES),
    Reader("COCO that is continued", _coco_files, _continue_coco, 2),
    Reader("COCO beside images", _corrected, lambda f: read_coco(f / "widget/annotations.json", f / "widget"), 0.3),
    Reader("choices, continued", _CHOICES, _continue_choices),
    Reader("choices, applied", _CHOICES, _apply_choices),
    Reader("saved detectors", _detectors, _read_detector, 0.3, _sign),
    Reader("saved box detectors", lambda folder: box_detector(folder / "0"), _read_boxes, 2, _sign),
    Reader("checkpoints", lambda f: torch.save(_training().state_dict(), put(f / "0/kept.pt", b"")), _read_training),
    Reader("weights", _weights, _read_weight_files, 2),
    Reader("kept outcomes", _files({"kept.json": json.dumps(_OUTCOME)}), _read_outcome, 3),
    Reader("kept arrays", _arrays, _read_outcome, 4),
    Reader("ONNX detectors", _files({"detector.onnx": _onnx()}), _read_onnx, 1, _break_metadata),
    Reader("runs, for the report", lambda folder: make_run(folder / "0"), _report, 2),
    Reader("runs, compared", _two_runs, _compare, 0.3),
    Reader("records of runs", _records, _summary, 0.5),
    Reader("sweeps' files", _files({"s.yaml": _SPEC}, {"s.yaml": _OTHER_SPEC}), _read_spec, 0.5, pipes=False),
    Reader("sweeps' tables", _tables, load),
    Reader("sweeps' cells", _files(_CELL_FILE), _read_cells, 0.3),
    Reader("submitted notebooks", _files(_NOTEBOOK, _UNTAGGED), _submitted, 2),
    Reader("notebooks to run", _files(_NOTEBOOK), _read_notebook),
    Reader("command line", _files(*({"value.txt": value} for value in _VALUES)), _command, 0.5, None, False),
)
READERS = {reader.name: reader for reader in _ALL}
