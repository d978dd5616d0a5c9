"""The table of writers: every function or command of hw3lib that writes, on inputs that make it short."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from hw3lib.annotate.boxes.fcos import Fcos
from hw3lib.annotate.export import export as export_annotations
from hw3lib.annotate.formats.coco_file import AnnotationsFile
from hw3lib.annotate.masks.sam import Segmenter, embed_files
from hw3lib.annotate.masks.saved import save as save_sam
from hw3lib.classify import Attempt, run_attempt
from hw3lib.classify.guided.classifier import DefectGuided, extract_features, good_images
from hw3lib.classify.student_reports import run as reproduction
from hw3lib.classify.student_reports.reports import REPORTS
from hw3lib.cli.main import main
from hw3lib.core.files import write_json
from hw3lib.course.build import write_executed
from hw3lib.course.exercises import start
from hw3lib.course.grading import Grade
from hw3lib.course.grading import write as write_grades
from hw3lib.data import ImageStack, classification_images, get, load_table, repeated_splits
from hw3lib.data.fetch.archive import extract
from hw3lib.data.synthetic import PROFILES, make
from hw3lib.imbalance import compare_methods
from hw3lib.inspection.fit import export as export_onnx
from hw3lib.inspection.score import score
from hw3lib.networks.callbacks import Checkpoint
from hw3lib.networks.trainer import train
from hw3lib.report import build
from hw3lib.runs.folder import RunFolder
from hw3lib.runs.run import run_notebooks
from hw3lib.runs.step import COMMON_KEYS, Outcome
from hw3lib.runs.summary import write_summary
from hw3lib.sweep import Cell, local, run_sweep
from hw3lib.views.widgets.choices import Choices
from tests.helpers.categories import write_category
from tests.helpers.report_runs import make_run
from tests.helpers.server import serving
from tests.helpers.small_sam import small_network

FORMATS = ("coco", "voc", "yolo", "yolo-seg", "indexed-png", "sam")
COUNTS = {"train/good": 12, "test/good": 8, "test/dent": 8, "test/scratch": 8}
TINY = {"quick": {"size": 32, "train_good": 2, "test": 1}}


@dataclass(frozen=True)
class Writer:
    """A function that writes one of two versions of something small.

    Attributes:
        name: what is written.
        write: gets the folder to write in, that of the inputs, and the version, 0 or 1, of what is to be written.
        kills: of 100 kills how many strike it while it writes version 1 over version 0; the same call again must
            complete what was begun.
        keeps: what may be left in the folder after a failure, by design: the beginning of names.
        codes: exit codes that are right after a failure.
    """

    name: str
    write: Callable[[Path, Path, int], object]
    kills: int = 1
    keeps: tuple[str, ...] = ()
    codes: tuple[int, ...] = (2,)


def hw3(*arguments: str) -> None:
    """A command of hw3; ends the process with its exit code if that is not 0."""
    if code := main([*arguments, "--debug"]):
        raise SystemExit(code)


def _fit(given: Path, out: Path, detector: str) -> None:
    options = ("--image-size", "32", "--held-out", "0.4", "--false-alarm-rate", "0.2", "--device", "cpu", "--force")
    hw3("detect", "fit", str(given / "data/widget"), "--out", str(out), "--detector", detector, *options)


def inputs(folder: Path) -> None:
    """What writers read, made once: a category, detectors, archives, runs, a notebook."""
    write_category(folder / "data/widget", COUNTS, (40, 40))
    for detector in ("knn", "patchcore"):
        _fit(folder, folder / detector, detector)
    for version in (0, 1):
        place = folder / f"packed{version}"
        write_category(place / "bottle", {name: 2 * count for name, count in COUNTS.items()}, (40, 40), version)
        shutil.make_archive(str(folder / f"{version}"), "gztar", place)
        shutil.make_archive(str(folder / f"{version}"), "zip", place)
        make_run(folder / f"run{version}", category=f"bolts{version}")
    sources = (
        'category = "x"\ndata = None\nprofile = "quick"\nout = None\n',
        "import json, time\nfrom pathlib import Path\n_ = (Path(out) / 'a.csv').write_text('1')",
        "time.sleep(0.3)",
        f"_ = (Path(out) / 'metrics.json').write_text(json.dumps(dict.fromkeys({COMMON_KEYS!r}, 1)))",
    )
    cells = [nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    cells[0]["metadata"] = {"tags": ["parameters"]}
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    about["hw3lib"] = {"files": ["metrics.json", "a.csv"]}
    (folder / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), folder / "notebooks/91_course.ipynb")


def _table(given: Path) -> pd.DataFrame:
    return load_table(given / "data", "widget")


def _classified(given: Path) -> tuple[pd.DataFrame, list]:
    images = classification_images(_table(given))
    return images, repeated_splits(images, 2, 0.25)


def choices(out: Path, given: Path, version: int) -> None:
    for i in range(60):
        Choices(out / "labels.json").set(f"test/dent/{i:03d}.png", "dent", f"scratch{version}")


def annotation(out: Path, given: Path, version: int) -> None:
    mask = np.zeros((40, 40), bool)
    mask[version:9, ::2] = True
    kept = AnnotationsFile(out / "corrected.json", _table(given))
    if not kept.of_image(20 + version):
        kept.add(20 + version, mask, "dent")


def run_folder(out: Path, given: Path, version: int) -> None:
    folder, drawn = RunFolder("01", _table(given), "quick", str(out), {"seed": version}), Figure()
    drawn.subplots().plot([version, 3, 1])
    folder.table(pd.DataFrame({"a": range(3000 + version)}), "table")
    folder.figure(drawn, "figure")
    folder.metrics(a=version)


def executed(out: Path, given: Path, version: int) -> None:
    cells = [nbformat.v4.new_code_cell(f"{version}", id=f"cell-{i}") for i in range(60)]
    write_executed(out / "01.ipynb", nbformat.v4.new_notebook(cells=cells))


def attempt(out: Path, given: Path, version: int) -> None:
    images, splits = _classified(given)
    small = Attempt("tiny", image_size=32, batch_size=8, epochs=1 + 3 * version, patience=3, flip=True)
    # The first run keeps each epoch. The one that goes on from there has too little left to do to keep any.
    begun = any((out / "kept").glob("*.pt")) if version else True
    with mock.patch("hw3lib.classify.experiment.CHECKPOINT_SECONDS", 60.0 if begun else 0.0):
        run_attempt(small, images, splits, keep=out / "kept", device="cpu")


def checkpoint(out: Path, given: Path, version: int) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    optimizer, generator = torch.optim.Adam(model.parameters()), torch.Generator().manual_seed(0)
    options = {"epochs": 1 + version, "batch_size": 4, "generator": generator}
    kept = Checkpoint(out / "training.pt")
    train(model, torch.zeros(8, 3, 16, 16), torch.arange(8) % 2, optimizer, checkpoint=kept, **options)


def guided(out: Path, given: Path, version: int) -> None:
    images = _classified(given)[0].iloc[::9]  # it is the file that is tried
    good, method = good_images(_table(given), images), DefectGuided(image_size=64)
    extract_features(method, images, good, keep=out, seed=version, device="cpu")


def imbalance(out: Path, given: Path, version: int) -> None:
    images, splits = _classified(given)
    options = {"methods": ["plain", "class weights"][: 1 + version], "ratios": [2], "image_size": 32}
    compare_methods(images, splits, keep=out, seed=version, device="cpu", **options)


def boxes(out: Path, given: Path, version: int) -> None:
    torch.manual_seed(version)
    made = Fcos(size=32, epochs=0)
    made.classes_ = ["dent"]
    made._network = made._build()
    made.save(out / "boxes", replace=True)


def _segmenter() -> Segmenter:
    return Segmenter(small_network(), "small", device="cpu")


def sam(out: Path, given: Path, version: int) -> None:
    if not (out / f"sam-{version}").exists():
        save_sam(_segmenter(), out / f"sam-{version}")


def reproduced(out: Path, given: Path, version: int) -> None:
    tiny = {"image_size": 32, "epochs": 2, "batch_size": 8, "patience": None, "images_per_class": None}
    rows = [row for row in REPORTS["bottle"].rows if row.attempt.strategy == "scratch"][:2]
    rows = [replace(row, attempt=replace(row.attempt, arch="simple_cnn", **tiny)) for row in rows]
    small = replace(REPORTS["bottle"], rows=tuple(rows), baseline=rows[0].number)
    os.chdir(given)
    reproduction.reproduce(small, _table(given), repeats=2, name=f"r{version}", runs_dir=out, device="cpu")


def synthetic(out: Path, given: Path, version: int, workers: int) -> None:
    with mock.patch.dict(PROFILES, TINY):
        make("synthetic/wood", out, seed=version, workers=workers)


def unpacked(out: Path, given: Path, version: int, suffix: str) -> None:
    if not (out / f"bottle{version}").exists():
        extract(given / f"{version}{suffix}", out / f"bottle{version}", "bottle", progress=False)


def fetched(out: Path, given: Path, version: int) -> None:
    if not version:
        return
    content = (given / "1.tar.gz").read_bytes()
    with (
        serving() as server,
        mock.patch("hw3lib.data.fetch.sources.ARCHIVE_SHA256", hashlib.sha256(content).hexdigest()),
        mock.patch("hw3lib.data.fetch.download._SPARE_DISK", -(10**9)),
        mock.patch.dict(os.environ, {"HW3_MVTEC_URL": f"{server.url}/a.tar.gz", "no_proxy": "127.0.0.1"}),
    ):
        server.files["/a.tar.gz"], server.pace = content, 0.01
        hw3("data", "get", "bottle", "--accept-license", "--source", "official", "--data", str(out))


def kaggle(out: Path, given: Path, version: int) -> None:
    there = types.ModuleType("kagglehub")
    there.dataset_download = lambda name: str(given / "packed0")  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"kagglehub": there}):
        if version:
            get("bottle", out, source="kaggle", accept_license=True, progress=False)


def sweep(out: Path, given: Path, version: int) -> None:
    marks = given / "marks"
    marks.mkdir(exist_ok=True)
    kind, settings = "tests.helpers.sweep_cells:number", {"marks": str(marks), "seconds": 0.05, "long": "x" * 9000}
    cells = [Cell(kind, "number", "none", "quick", seed, settings) for seed in range(8 * version)]
    if run_sweep(cells, out, local(2)).failed:
        raise SystemExit(1)


def notebook(out: Path, given: Path, version: int) -> None:
    places = {"notebooks_dir": given / "notebooks", "runs_dir": out, "data": given / "data"}
    outcomes = run_notebooks(category="widget", name="r", force=bool(version), **places)
    if failed := [outcome.message for outcome in outcomes if outcome.status == "failed"]:
        print(*failed, file=sys.stderr)
        raise SystemExit(1)


def _scored(detector: str, **more: bool) -> Callable[[Path, Path, int], object]:
    def write(out: Path, given: Path, version: int) -> None:
        rate = 0.2 + 0.4 * version
        score(given / detector, [given / "data/widget"], out / "results", force=True, false_alarm_rate=rate, **more)

    return write


def _annotated(*formats: str, preview: bool = False) -> Callable[[Path, Path, int], object]:
    return lambda o, g, v: export_annotations(_table(g), formats, o / "made", seed=v, preview=preview, force=True)


_ALL = (
    Writer("choices", choices),
    Writer("corrected annotations", annotation),
    Writer("tables, figures and metrics", run_folder, 2),
    Writer(
        "summary", lambda o, g, v: write_summary(o, [Outcome(f"{i:03d}_x", "ran", v, o / "01", {}) for i in range(300)])
    ),
    Writer("records", lambda o, g, v: write_json(o / "run.json", {f"key {i}": v for i in range(500)})),
    Writer(
        "grades", lambda o, g, v: write_grades(o / "a.csv", [Grade(f"{i}.ipynb", message=str(v)) for i in range(300)])
    ),
    # It never writes over a student's work.
    Writer("exercises", lambda o, g, v: v and not (o / "my-course").exists() and start(o / "my-course")),
    Writer("executed notebooks", executed),
    Writer("report", lambda o, g, v: build(g / f"run{v}", o), 6),
    Writer("outcomes of attempts", attempt, 12, keeps=("kept",)),
    Writer("checkpoints", checkpoint, 0),
    Writer("features of defects", guided),
    Writer("outcomes of methods", imbalance, 6, keeps=("views-", "tail-")),
    Writer("detector", lambda o, g, v: _fit(g, o / "detector", ("knn", "patchcore")[v]), 12),
    Writer("scores", _scored("knn"), 5),
    Writer("overlays", _scored("patchcore", overlays=True, tiff=True)),
    Writer("ONNX", lambda o, g, v: export_onnx(g / "patchcore", o / f"{v}.onnx"), 0),
    Writer("box detectors", boxes),
    Writer("SAM", sam),
    Writer(
        "embeddings", lambda o, g, v: embed_files(_segmenter(), list(_table(g)["image"])[v : v + 1], cache=o / "cache")
    ),
    Writer("reproduction", reproduced, 4, keeps=("r1",)),
    *(Writer(f"annotations: {name}", _annotated(name), 0) for name in FORMATS),
    Writer("annotations", _annotated(*FORMATS, preview=True), 6),
    Writer("synthetic category", partial(synthetic, workers=1), 8),
    Writer("synthetic category, 2 processes", partial(synthetic, workers=2), 2),
    Writer("image stacks", lambda o, g, v: ImageStack.load(_table(g), 32 + 32 * v, cache=o / "cache", workers=2), 8),
    Writer("tar", partial(unpacked, suffix=".tar.gz")),
    Writer("zip", partial(unpacked, suffix=".zip")),
    Writer("download", fetched, 12, keeps=(".downloads",)),
    Writer("copy of Kaggle", kaggle),
    Writer("sweep", sweep, 5, keeps=("running", "logs"), codes=(1,)),
    Writer("notebook", notebook, 4, keeps=("r/.91.work",), codes=(1, 2)),
)
WRITERS = {writer.name: writer for writer in _ALL}
