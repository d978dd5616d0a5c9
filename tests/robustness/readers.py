"""The table of readers: what of hw3lib reads files of others, its sound inputs, and what a sane result is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import onnx
import pandas as pd
import torch
from PIL import Image

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
from hw3lib.core import kept, saved
from hw3lib.core.files import read_json
from hw3lib.core.places import data_roots
from hw3lib.core.untrusted import parse_value
from hw3lib.course import grading
from hw3lib.data import Reading, check_category, digest, groups, load_masks, load_table, read_image, read_mask, stack
from hw3lib.data.fetch.archive import extract
from hw3lib.data.folders.find import find_root, list_categories
from hw3lib.data.pixels.images import decode_image
from hw3lib.data.regions.masks import read_regions
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
from tests.helpers import annotated
from tests.helpers.categories import write_category
from tests.helpers.heic import HEIC
from tests.helpers.report_runs import make_run
from tests.robustness.damage import png

SIZE, SIDE = (20, 30), 32  # height and width of annotated images; side of those that detectors see
COUNTS = {"train/good": 2, "test/good": 2, "test/dent": 2}
CELL = Cell("attempt", "a", "wood", "quick", 0, {"lr": 0.1})


@dataclass(frozen=True)
class Reader:
    """Something of hw3lib that reads what others wrote.

    Attributes:
        name: on the command line and in the table.
        make: writes sound inputs, each into a folder of its own below the given one.
        read: reads a folder; anything but a sane result or an ``Hw3Error`` is a finding.
        weight: share of the inputs, 1 for most.
        pipes: whether its files may be replaced by pipes; not where the user names the file, who may mean one.
        names_file: whether the error must name the file or folder; not where the input is no file.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    weight: float = 1.0
    pipes: bool = True
    names_file: bool = True


def sane(holds: bool, what: str) -> None:
    """A result that is not as promised is a finding."""
    if not holds:
        raise AssertionError(what)


def only_file(folder: Path) -> Path:
    """The one file of a folder, whatever it is called by now and whatever it is."""
    return next((p for p in sorted(folder.rglob("*")) if p.is_symlink() or not p.is_dir()), folder / "gone")


def _bytes(folder: Path) -> bytes:
    """Of the one file, or nothing where it is a link out of the folder."""
    path = only_file(folder)
    return path.read_bytes() if path.is_file() and path.resolve().is_relative_to(folder) else b""


def put(path: Path, content: bytes | str | Image.Image, kind: str = "PNG", **options: object) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(path, kind, **options)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def files(*contents: dict[str, bytes | str]) -> Callable[[Path], None]:
    """Sound inputs of files by name, a folder for each."""

    def make(folder: Path) -> None:
        for number, named in enumerate(contents):
            for name, content in named.items():
                put(folder / str(number) / name, content)

    return make


def _again(folder: Path, found: object) -> None:
    """Of what is kept: what cannot be read is computed again, in silence."""
    if found is None:
        raise Hw3Error(f"{folder}: computed again")


# Images and masks


def noise(size: tuple[int, int] = (12, 9), seed: int = 0) -> Image.Image:
    """``size`` is (width, height)."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8))


def rows(width: int, height: int, depth: int, colour: int, row: bytes) -> bytes:
    """A PNG of equal rows, which may be large when it is decoded."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((depth, colour, 0, 0, 0))
    return png(("IHDR", header), ("IDAT", (b"\0" + row) * height), ("IEND", b""))


def _pictures(folder: Path, image: Image.Image, kinds: tuple[str, ...], **options: object) -> None:
    """An image in all modes of all kinds; what a kind does not have is left out."""
    exif = Image.Exif()
    exif[0x0112] = 6
    more: tuple[dict, ...] = ({"exif": exif, "progressive": True, "comment": b"x"}, options)
    for kind, mode, asked in ((k, m, a) for k in kinds for m in ("RGB", "RGBA", "P", "1", "LA", "CMYK") for a in more):
        made = io.BytesIO()
        with contextlib.suppress(Exception):  # this kind cannot hold that
            image.convert(mode).save(made, kind, **asked)
            put(folder / f"{kind} {mode} {len(asked)}/a.{kind.replace('jpeg2000', 'jp2')}", made.getvalue())
    grey = np.arange(96, dtype=np.uint16).reshape(8, 12) * 600
    for kind, pixels in (
        ("png", grey),
        ("tiff", grey),
        ("tiff", grey.astype(np.int32)),
        ("tiff", grey / np.float32(9)),
    ):
        put(folder / f"deep {pixels.dtype} {kind}/a.{kind}", Image.fromarray(pixels), kind)


def _images(folder: Path) -> None:
    two = {"append_images": [noise(seed=1)], "save_all": True, "compression": "tiff_lzw"}
    _pictures(folder, noise(), ("png", "jpeg", "tiff", "webp", "gif", "bmp", "ppm", "jpeg2000", "avif"), **two)
    for colour, values in ((2, 3), (4, 2), (6, 4)):
        put(folder / f"deep {colour}/a.png", rows(12, 9, 16, colour, bytes(range(24 * values))))
    files({"deep.pgm": b"P5 12 8 4095\n" + bytes(range(192))}, {"telephone.heic": HEIC})(folder)


def _read_image(folder: Path) -> None:
    path, header = only_file(folder), None
    with contextlib.suppress(Hw3Error):
        header = read_header(path)
        kept_suffix(path)
        image_size(path)
    for reading in (Reading((0, 4095)), Reading((0, 100))):
        image, warning = decode_image(path, 16, reading)
        sane(image.shape == (16, 16, 3) and isinstance(warning, str), "an image of another shape than asked for")
    small, large = read_image(path, 16), read_image(path)
    sane(small.shape == (16, 16, 3) and small.dtype == np.uint8, "an image of another shape than asked for")
    if header is not None:
        sane(large.shape[:2] == header[1::-1], f"its header says {header}, it is decoded as {large.shape}")


def _read_upload(folder: Path) -> None:
    image = decode(_bytes(folder), only_file(folder).name).pixels
    sane(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, "a photograph of another shape")


def _masks(folder: Path) -> None:
    marked = np.zeros((9, 12), np.uint8)
    marked[2:5, 3:8] = 255
    _pictures(folder, Image.fromarray(marked), ("png", "jpeg", "webp"), transparency=0)


def _read_mask(folder: Path) -> None:
    path = only_file(folder)
    mask, small = read_mask(path), read_mask(path, 16)
    sane(mask.dtype == bool and mask.ndim == 2 and small.shape == (16, 16), "a mask of another shape")
    sane(bool(mask.any()) == bool(small.any()), "a defect was lost when its mask was reduced")
    with contextlib.suppress(Hw3Error):  # not every mask holds an index
        read_indexed(path, mask.shape, path)


# Categories


def _categories(folder: Path) -> None:
    """MVTec AD's layout, MVTec LOCO's, the simple one, one of 16 bits, VisA's, and one with settings."""
    for number in range(4):
        made = write_category(folder / f"{number}/widget", COUNTS, (12, 9))
    truth = folder / "1/widget/ground_truth/dent"
    for mask in ("000", "001"):
        put(truth / "000" / f"{mask}.png", (truth / "000_mask.png").read_bytes())
    (truth / "000_mask.png").unlink()
    for old, new in (("train/good", "good"), ("test/dent", "dent"), ("ground_truth/dent", "masks/dent")):
        shutil.move(folder / "2/widget" / old, folder / "2/widget" / new)
    shutil.rmtree(folder / "2/widget/test")
    for at, path in enumerate(sorted(made.glob("t*/*/*.png"))):
        put(path, rows(12, 9, 16, 2, bytes([at]) * 72))
    visa = {"Normal/0.JPG": "train", "Normal/1.JPG": "test", "Anomaly/0.JPG": "test"}
    listed = "".join(f"widget,{split},,widget/Data/Images/{place},\n" for place, split in visa.items())
    put(folder / "4/split_csv/1cls.csv", f"object,split,label,image,mask\n{listed}")
    for seed, place in enumerate(visa):
        put(folder / "4/widget/Data/Images" / place, noise(seed=seed), "JPEG")
    for seed, place in enumerate(("train/fine", "validation/fine", "test/fine", "test/dent")):
        put(folder / "5/widget" / place / "rgb/0.png", noise(seed=seed))
    put(folder / "5/widget/category.json", '{"good": "fine", "groups": "^(.)"}')
    put(folder / "5/widget/runs/widget-quick/01/metrics.json", '{"data_digest": ""}')


def _read_category(folder: Path) -> None:
    list_categories(folder)
    found = load_table(folder, "widget", strict=False)
    check_category(found).summary().encode()
    digest(found)
    with contextlib.suppress(Hw3Error):
        load_masks(found, 8)
    sane(found[["width", "height"]].gt(0).all(axis=None), "an image without a size is in the table")
    found = load_table(folder, "widget")
    for mask in found["mask"].dropna():
        union = np.logical_or.reduce([region.marked for region in read_regions(mask)])
        sane(np.array_equal(read_mask(mask), union), "regions that are not the mask")
    sane(all(0 <= i.row < len(found) and i.area > 0 for i in from_masks(found)), "an instance of nothing")


def _read_product_list(folder: Path) -> None:
    found = groups._listed(["0.png", "1.png", "2.png"], only_file(folder))
    sane(len(found) == 3 and all(found), "an image without a product")


def _archives(folder: Path) -> None:
    for number in range(3):
        put(folder.parent / f"content/widget/{number}.txt", bytes(range(9)) * number**4)
    for kind in ("tar", "gztar", "bztar", "xztar", "zip"):
        (folder / kind).mkdir(parents=True)
        shutil.make_archive(str(folder / kind / "a"), kind, folder.parent / "content")


def _extract(folder: Path) -> None:
    extract(only_file(folder), folder / "unpacked", progress=False)
    for path in (folder / "unpacked").rglob("*"):
        sane(not path.is_symlink() and (path.is_file() or path.is_dir()), f"{path} is neither a file nor a folder")


def _read_stack(folder: Path) -> None:
    found = stack._map(folder / "stack.npy", (2, 3, 4, 4))
    _again(folder, found)
    np.asarray(found).sum()


# Annotations


def _sane_instance(instance, size: tuple[int, int], classes) -> None:
    left, top, right, bottom = instance.xyxy
    sane(0 <= left < right <= size[1] and 0 <= top < bottom <= size[0], "an instance outside of its image")
    sane(instance.defect in classes and instance.area > 0, "an instance of no class or no pixel")
    sane(instance.mask.shape == tuple(size), "a mask of another size")


def _format(name: str) -> Reader:
    """With splits and, where the format has that, beside images that stayed where they were."""

    def make(folder: Path) -> None:
        square, ring = np.zeros((2, *SIZE), bool)
        square[4:9, 6:16], ring[2:18, 3:25], ring[6:12, 8:18] = True, True, False
        found = components([(0, "dent", square), (1, "hole", ring), (2, "dent", square)])
        paths = [str(put(folder / f"1/images/{at}.png", noise(SIZE[::-1], at))) for at in range(3)]
        names, splits = [Path(path).name for path in paths], ["train", "val", "test"]
        data = Dataset(names, paths, [SIZE] * 3, splits, found, ["dent", "hole"])
        FORMATS[name].write(folder / "0", data)
        if name in ("voc", "yolo", "yolo-seg"):
            FORMATS[name].write(folder / "1/made", data.with_own_names(folder / "1/images"), beside=True)
        else:
            shutil.rmtree(folder / "1")

    def read(folder: Path) -> None:
        found = (
            FORMATS[name].read(folder / "made", folder / "images")
            if (folder / "made").is_dir()
            else FORMATS[name].read(folder)
        )
        sane(len(found) > 0, "no image and no error")
        for instance in found.instances:
            _sane_instance(instance, found.sizes[instance.row], found.classes)

    return Reader(name, make, read, 2)


def _import(name: str) -> Reader:
    def read(folder: Path) -> None:
        done = import_category(folder / "in", folder / "out", format=name)
        sane(bool(done.counts and done.summary()), "nothing was imported and no error")
        put(folder / "out/good/good.png", noise((annotated.WIDTH, annotated.HEIGHT)))
        for instance in read_instances(load_table(folder, "out", strict=False)):
            _sane_instance(instance, instance.size, [instance.defect])

    return Reader(f"import of {name}", lambda folder: annotated.example(folder / "0/in", name), read)


def _images_of_two() -> pd.DataFrame:
    """A table of two images that need not exist."""
    made = pd.DataFrame({"image": [f"/c/w/test/dent/{i}.png" for i in range(2)], "defect": "dent", "mask": None})
    made = made.assign(split="test", is_defect=True, width=SIZE[1], height=SIZE[0], mode="RGB")
    made.attrs = {"root": "/c", "category": "w"}
    return made


def _corrected(folder: Path) -> None:
    (folder / "0").mkdir(parents=True)
    AnnotationsFile(folder / "0/annotations.json", _images_of_two()).add(0, np.eye(*SIZE, dtype=bool), "dent")


def _continue_coco(folder: Path) -> None:
    kept_file = AnnotationsFile(folder / "annotations.json", _images_of_two())
    kept_file.classes()
    count, number = len(kept_file), kept_file.add(0, np.eye(*SIZE, dtype=bool), "scratch")
    sane(number in [found["id"] for found in kept_file.of_image(0)], "an annotation was lost")
    kept_file.remove(number)
    sane(len(kept_file) == count, "an annotation was not removed")
    read_coco(folder / "annotations.json")


def _beside(folder: Path) -> None:
    found = load_table(write_category(folder / "0/widget", COUNTS, (12, 9)).parent, "widget")
    AnnotationsFile(folder / "0/widget/annotations.json", found).add(0, np.ones((9, 12), bool), "dent")


def _continue_choices(folder: Path) -> None:
    Choices(folder / "choices.json").set("test/dent/1.png", "dent", "keep")
    sane(Choices(folder / "choices.json").get("test/dent/1.png") == "keep", "a choice was lost")


def _apply_choices(folder: Path) -> None:
    found = apply(_images_of_two(), folder / "choices.json")
    sane(len(found) == 2 and bool(found["defect"].map(lambda name: isinstance(name, str)).all()), "a label is no text")


# Models, with and without their checksums, which somebody who means harm would make right


def _unsigned(read: Callable[[Path], object]) -> Callable[[Path], None]:
    def twice(folder: Path) -> None:
        with contextlib.suppress(Hw3Error):
            read(folder)
        told = read_json(next(iter(folder.glob("*.json")), folder))
        says = {"settings_digest": told.get("settings_sha256"), "file_digest": told.get("sha256")}
        with mock.patch.multiple(saved, **{name: lambda _, value=value: value for name, value in says.items()}):
            read(folder)

    return twice


def _detectors(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (10, 3, SIDE, SIDE), dtype=np.uint8)
    small = dict(image_size=SIDE, num_steps=1, latent_size=2, device="cpu")
    DeepSVDD(arch=None, **small).fit(images).save(folder / "0")
    Autoencoder(working_size=SIDE, **small).fit(images).save(folder / "1")


def _read_detector(folder: Path) -> None:
    found = load_detector(folder)
    sane(found.good_scores_.ndim == 1 and bool(np.isfinite(found.good_scores_).all()), "scores that are none")
    sane(found.thresholds_ is None or found.threshold_ == found.threshold_, "a threshold that is NaN")


def _tiny() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def box_detector(folder: Path, **changes: object) -> None:
    """A saved box detector, whose settings may say something else."""
    known = {"size": 64, "epochs": 1, "batch_size": 2, "lr": 1e-3, "patience": None, "validation": 0.2, "flips": True}
    facts = {"detector": Fcos.name, "fields": known | {"seed": 0, "device": "cpu"}}
    SAVED.write(folder, facts | {"fitted": {"classes_": ["dent"], "seconds_": 1.0}} | changes, _tiny().state_dict())


def _read_boxes(folder: Path) -> None:
    with mock.patch.object(Fcos, "_empty", lambda self: _tiny()):
        BoxDetector.load(folder, "cpu")


def _training() -> Training:
    model = _tiny()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model(torch.zeros(4, 3)).sum().backward()
    optimizer.step()
    return Training("a training", model, optimizer, None, torch.Generator(), [EarlyStopping(3)], 3)


def _read_training(folder: Path) -> None:
    path = only_file(folder)
    _again(path, path.is_file() or None)
    with torch.random.fork_rng(devices=[]):
        Checkpoint(path).on_start(_training())


def _weights(folder: Path) -> None:
    for number in range(2):
        path = put(folder / f"{number}/w.pt", b"")
        torch.save(_tiny().state_dict(), path, _use_new_zipfile_serialization=number == 0)


def _read_weight_files(folder: Path) -> None:
    _read_weights(only_file(folder))
    with mock.patch.object(SamNetwork, "build", staticmethod(_tiny)):
        mobile_sam(only_file(folder))


def _read_outcome(folder: Path) -> None:
    found = kept.read(only_file(folder))
    _again(folder, found)
    sane(isinstance(found, dict), f"an outcome that is a {type(found).__name__}")
    sane(only_file(folder).suffix != ".npz" or all(isinstance(a, np.ndarray) for a in found.values()), "no arrays")


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
    told = {"format": 2, "detector": "x", "image_size": SIDE, "batch_size": 2, "reading": {}, "promise": promise}
    onnx.helper.set_model_props(model, {f"hw3.{key}": json.dumps(value) for key, value in told.items()})
    return model.SerializeToString()


def _read_onnx(folder: Path) -> None:
    found = OnnxDetector(folder / "detector.onnx", threads=1)
    sane(isinstance(found.image_size, int) and isinstance(found.batch_size, int), "an image size that is no integer")


# Runs, sweeps, notebooks and the command line


def _report(folder: Path) -> None:
    run = Run(folder)
    for question in answers(run):
        for paragraph in question.paragraphs():
            run.plain(paragraph).encode()


def _runs(folder: Path) -> None:
    record = {"status": "ran", "seconds": 3.5, "files": {"metrics.json": {"bytes": 3, "sha256": "0" * 64}}}
    for side in "ab":
        make_run(folder / "0" / side, without=("01", "03", "04", "05"))
        known = {"hw3lib": "x", "notebook": "y", "parameters": {"seed": 0, "side": side}}
        put(folder / "0" / side / "02/run.json", json.dumps(record | {"fingerprint": known}))


def _compare(folder: Path) -> None:
    text(compare_runs(folder / "a", folder / "b"), "a", "b", every=True).encode()
    record = read_json(folder / "a/02" / RECORD)
    changes(record.get("fingerprint", {}), {"notebook": "y", "parameters": {"seed": 0}})
    changed_files(record, folder / "a/02")
    key_figures("02", read_json(folder / "a/02" / METRICS)).encode()


_SPEC = """categories: [synthetic/bottle, synthetic/wood]
profiles: [quick]
seeds: 3
attempts:
  - {name: baseline, epochs: 30, lr: 1e-3, flip: true}
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


def _read_spec(folder: Path) -> None:
    spec = read_spec(only_file(folder))
    sane(bool(spec.seeds and spec.categories and spec.variants), "a sweep of nothing")
    json.dumps([spec.variants, spec.seeds], allow_nan=True).encode()


def _tables(folder: Path) -> None:
    found = [{"category": "a", "seed": i, "accuracy": 0.5 + i / 10, "settings": "{}"} for i in range(4)]
    pd.DataFrame(found).to_parquet(put(folder / "0/results.parquet", b""), engine="pyarrow", index=False)


def _read_cells(folder: Path) -> None:
    sane(len(table([CELL], folder)) <= 1, "one cell, several rows")
    gather([CELL], folder)


def _notebook(*cells: tuple[str, str]) -> str:
    made = [
        nbformat.v4.new_code_cell(said, id=tag or "c", metadata={"tags": [tag] if tag else []}) for tag, said in cells
    ]
    about = {"chapter": "04_a", "files": ["a.csv"], "reads": ["01"]}
    return json.dumps(nbformat.v4.new_notebook(cells=made, metadata={"hw3lib": about}))


_PARAMETERS = 'category = "synthetic/bottle"\ndata = None\nout = "runs/x"\nprofile = "quick"\nseed = 0'
_ANSWERED = _notebook(("parameters", _PARAMETERS), ("", "import math"), ("answer-1", "x = 1"), ("check-1", "assert x"))
# The second as an editor leaves it that drops tags and writes a mark at the start.
_NOTEBOOKS = files(
    {"04_a.ipynb": _ANSWERED}, {"04_a.ipynb": b"\xef\xbb\xbf" + _ANSWERED.replace('"tags"', '"x"').encode()}
)


def _submitted(folder: Path) -> None:
    reference = nbformat.reads(_notebook(("answer-1", "raise"), ("check-1", "assert x")), as_version=4)
    path = only_file(folder)
    found = grading._read(path)
    sane(grading._chapter(found, path, {"04_a": reference}) == "04_a", "another chapter")
    given = grading.answers(reference, found)
    sane(len(given) == 1 and all(isinstance(source, str) for source in given[0]), "answers that are not code")


def _read_notebook(folder: Path) -> None:
    found = read_notebook(only_file(folder))
    sane(all(isinstance(file, str) for file in (*found.files, *found.reads)), "a file's name that is no text")


def _command(folder: Path) -> None:
    said = (_bytes(folder).decode("utf-8", "surrogateescape") or only_file(folder).name).replace("\0", "")
    json.dumps(parse_value(said))
    said = said[:100_000]
    with mock.patch.dict(os.environ, {"HW3_DATA": said, "HW3_WEIGHTS": said}):
        data_roots(), places()
        find_root("bottle", None)
    with mock.patch.dict(os.environ, {"HW3_DATA": str(folder)}), contextlib.suppress(Hw3Error):
        find_root(said, None)
        load_table(folder, said)


def _texts(name: str, *contents: str) -> Callable[[Path], None]:
    return files(*({name: content} for content in contents))


_LISTS = ("image,group\n0.png,a\n1.png,a\n2.png,b\n", "\ufeffgroup;image\n1;.\\0.png\n1;./1.png\n2;2.png\n")
_CHOICES = {f"test/dent/{i}.png": {"was": "dent", "choice": c} for i, c in enumerate(("good", "unsure", "hole"))}
_CHOSEN = _texts("choices.json", json.dumps({"format": 1, "choices": _CHOICES}))
_OUTCOME = {"probabilities": [[0.25, 0.75], [0.5, 0.5]], "history": {"epoch": [1], "loss": [0.5]}, "seconds": 1.5}
_FIGURES = json.dumps({"accuracy": 0.5, "seconds": 1.0, "host": "h"})
_VALUES = ("1e-3", "[1, {a: b}]", "text", "{'a': (1, 2)}", "true", "~/data", "https://a.b/c.tar")

_ALL = (
    Reader("images", _images, _read_image, 5),
    Reader("uploads", _images, _read_upload, 4, names_file=False),
    Reader("masks", _masks, _read_mask, 3),
    Reader("categories", _categories, _read_category, 0.5),
    Reader("lists of products", _texts("products.csv", *_LISTS, _LISTS[0].replace(",", "\t")), _read_product_list),
    Reader("archives", _archives, _extract, 3),
    Reader(
        "image stacks", lambda f: np.save(put(f / "0/stack.npy", b""), np.zeros((2, 3, 4, 4), np.uint8)), _read_stack, 2
    ),
    *map(_format, FORMATS),
    *map(_import, SOURCES),
    Reader("COCO that is continued", _corrected, _continue_coco, 2),
    Reader("COCO beside images", _beside, lambda f: read_coco(f / "widget/annotations.json", f / "widget"), 0.3),
    Reader("choices, continued", _CHOSEN, _continue_choices),
    Reader("choices, applied", _CHOSEN, _apply_choices),
    Reader("saved detectors", _detectors, _unsigned(_read_detector), 0.3),
    Reader("saved box detectors", lambda f: box_detector(f / "0"), _unsigned(_read_boxes), 2),
    Reader("checkpoints", lambda f: torch.save(_training().state_dict(), put(f / "0/kept.pt", b"")), _read_training),
    Reader("weights", _weights, _read_weight_files, 2),
    Reader("kept outcomes", _texts("kept.json", json.dumps(_OUTCOME)), _read_outcome, 3),
    Reader(
        "kept arrays", lambda f: np.savez(put(f / "0/kept.npz", b""), a=np.ones((2, 3)), b=np.ones(4)), _read_outcome, 4
    ),
    Reader("ONNX detectors", files({"detector.onnx": _onnx()}), _read_onnx),
    Reader("runs, for the report", lambda f: make_run(f / "0"), _report),
    Reader("runs, compared", _runs, _compare, 0.8),
    Reader("sweeps' files", _texts("s.yaml", _SPEC), _read_spec, 0.5, pipes=False),
    Reader("sweeps' tables", _tables, load),
    Reader("sweeps' cells", _texts(f"cells/{CELL.key}/metrics.json", _FIGURES), _read_cells, 0.3),
    Reader("submitted notebooks", _NOTEBOOKS, _submitted, 2),
    Reader("notebooks to run", files({"04_a.ipynb": _ANSWERED}), _read_notebook),
    Reader("command line", _texts("value.txt", *_VALUES), _command, 0.5, pipes=False),
)
READERS = {reader.name: reader for reader in _ALL}
