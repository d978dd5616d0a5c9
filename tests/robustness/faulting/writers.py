"""Every writer of hw3lib, as a function that writes one of two versions of something small into a folder."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from . import jobs

WARM = (
    *(
        "hw3lib.classify.experiment",
        "accelerate.utils",
        "hw3lib.anomaly",
        "hw3lib.inspection.score",
        "hw3lib.data.fetch.archive",
    ),
    *("matplotlib.figure", "hw3lib.report", "typst", "hw3lib.sweep", "pyarrow.parquet", "hw3lib.runs.folder"),
)
WARM_FOR_ALL = (
    *(
        "matplotlib.backends.backend_agg",
        "hw3lib.course.grading",
        "hw3lib.course.build",
        "hw3lib.imbalance",
        "papermill",
    ),
    *("hw3lib.annotate.export", "hw3lib.annotate.preview", "hw3lib.annotate.masks.sam", "hw3lib.annotate.boxes.fcos"),
    *(
        "hw3lib.data.synthetic.wood",
        "hw3lib.classify.student_reports.run",
        "hw3lib.runs.run",
        "onnxscript",
        "onnxruntime",
    ),
)


@dataclass(frozen=True)
class Writer:
    """A function that writes.

    Attributes:
        name: module and what is written.
        write: gets the folder to write in, that of the inputs, and the version, 0 or 1, of what is to be written.
        keeps: what may be left in the folder after a failure, by design: the beginning of names.
        codes: exit codes that are right after a failure.
    """

    name: str
    write: Callable[[Path, Path, int], Any]
    keeps: tuple[str, ...] = ()
    codes: tuple[int, ...] = (2,)


def inputs(folder: Path) -> None:
    """What writers read, made once: a category, detectors, archives, a run."""
    import zipfile

    jobs.category(folder)
    fitted = ("--image-size", "32", "--held-out", "0.4", "--false-alarm-rate", "0.2", "--device", "cpu")
    jobs.hw3("detect", "fit", "data/widget", "--out", "knn", "--detector", "knn", *fitted)
    jobs.hw3("detect", "fit", "data/widget", "--out", "patchcore", *fitted)
    jobs.write_notebook(folder)
    for version in (0, 1):
        jobs.a_run(folder, str(version), 50 + version)
        (folder / f"{version}.yaml").write_text(
            "categories: [widget]\ndetectors: [{name: knn, detector: knn, image_size: 32}]\nheld_out: 0.4\n"
            f"false_alarm_rate: 0.2\ndevice: cpu\nseeds: [{version}]\n{'# a comment ' * 700}\n",
            encoding="utf-8",
        )
        packed = jobs.archive(folder / f"packed{version}")
        (folder / f"{version}.tar.gz").write_bytes(packed)
        with zipfile.ZipFile(folder / f"{version}.zip", "w") as file:
            for path in sorted((folder / f"packed{version}").rglob("*.png")):
                file.write(path, path.relative_to(folder / f"packed{version}"))


# -------------------------------------------------------------------------------------------------- what is written


def _table(given: Path) -> Any:
    from hw3lib.data import load_table

    return load_table(given / "data", "widget")


def _classified(given: Path) -> tuple[Any, list]:
    from hw3lib.data import classification_images, repeated_splits

    images = classification_images(_table(given))
    return images, repeated_splits(images, 2, 0.25)


def choice(out: Path, given: Path, version: int) -> None:
    from hw3lib.views.widgets.choices import Choices

    for i in range(60):
        Choices(out / "labels.json").set(f"test/dent/{i:03d}.png", "dent", f"scratch{version}")


def annotation(out: Path, given: Path, version: int) -> None:
    import numpy as np

    from hw3lib.annotate.formats.coco_file import AnnotationsFile

    mask = np.zeros((40, 40), bool)
    mask[version:9, ::2] = True
    AnnotationsFile(out / "corrected.json", _table(given)).add(20 + version, mask, "dent")


def run_folder(out: Path, given: Path, version: int) -> None:
    import pandas as pd

    from hw3lib.runs.folder import RunFolder

    folder = RunFolder("01", _table(given), "quick", str(out), {"seed": version})
    folder.table(pd.DataFrame({"a": range(3000 + version)}), "table")
    folder.metrics(a=version)


def figure(out: Path, given: Path, version: int) -> None:
    from matplotlib.figure import Figure

    from hw3lib.runs.folder import RunFolder

    drawn = Figure()
    drawn.subplots().plot([version, 3, 1])
    RunFolder("01", _table(given), "quick", str(out)).figure(drawn, "figure")


def summary(out: Path, given: Path, version: int) -> None:
    from hw3lib.runs.step import Outcome
    from hw3lib.runs.summary import write_summary

    write_summary(out, [Outcome(f"{i:03d}_x", "ran", version, out / "01", {}) for i in range(300)])


def record(out: Path, given: Path, version: int) -> None:
    from hw3lib.core.files import write_json

    write_json(out / "run.json", {f"key {i}": version for i in range(500)})


def grades(out: Path, given: Path, version: int) -> None:
    from hw3lib.course.grading import Grade, write

    write(out / "grades.csv", [Grade(f"ada/{i}.ipynb", message=str(version)) for i in range(300)])


def exercises(out: Path, given: Path, version: int) -> None:
    from hw3lib.course.exercises import start

    if version:
        start(out / "my-course")


def executed(out: Path, given: Path, version: int) -> None:
    import nbformat

    from hw3lib.course.build import write_executed

    cells = [nbformat.v4.new_code_cell(f"{version}", id=f"cell-{i}") for i in range(60)]
    write_executed(out / "01.ipynb", nbformat.v4.new_notebook(cells=cells))


def report(out: Path, given: Path, version: int) -> None:
    from hw3lib.report import build

    build(given / "runs" / str(version), out)


def attempt(out: Path, given: Path, version: int) -> None:
    from hw3lib.classify import Attempt, run_attempt

    images, splits = _classified(given)
    small = Attempt("tiny", image_size=32, batch_size=8, epochs=1 + version)
    run_attempt(small, images, splits, keep=out / "kept", device="cpu")


def checkpoint(out: Path, given: Path, version: int) -> None:
    import torch

    from hw3lib.networks.callbacks import Checkpoint
    from hw3lib.networks.trainer import train

    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    train(
        model,
        torch.zeros(8, 3, 16, 16),
        torch.arange(8) % 2,
        torch.optim.Adam(model.parameters()),
        epochs=1 + version,
        batch_size=4,
        generator=torch.Generator().manual_seed(0),
        checkpoint=Checkpoint(out / "training.pt"),
    )


def guided(out: Path, given: Path, version: int) -> None:
    from hw3lib.classify.guided.classifier import DefectGuided, extract_features, good_images

    images, _ = _classified(given)
    images = images.iloc[::9]  # it is the file that is tried
    extract_features(
        DefectGuided(image_size=64), images, good_images(_table(given), images), keep=out, seed=version, device="cpu"
    )


def imbalance(out: Path, given: Path, version: int) -> None:
    from hw3lib.imbalance import compare_methods

    images, splits = _classified(given)
    compare_methods(images, splits, methods=["plain"], ratios=[2], image_size=32, keep=out, seed=version, device="cpu")


def detector(out: Path, given: Path, version: int) -> None:
    from hw3lib.anomaly.registry import load

    found = load(given / "knn")
    found.batch_size = 8 + version
    found.save(out / "detector")


def score(out: Path, given: Path, version: int) -> None:
    from hw3lib.inspection.score import score

    rate = 0.2 + 0.4 * version
    score(given / "knn", [given / "data/widget"], out / "results", force=True, false_alarm_rate=rate)


def overlays(out: Path, given: Path, version: int) -> None:
    from hw3lib.inspection.score import score

    place = given / "patchcore"
    kinds = {"overlays": True, "tiff": True}
    score(place, [given / "data/widget"], out / "results", force=True, false_alarm_rate=0.2 + 0.4 * version, **kinds)


def onnx(out: Path, given: Path, version: int) -> None:
    from hw3lib.inspection.fit import export

    export(given / "patchcore", out / f"{version}.onnx")


def boxes(out: Path, given: Path, version: int) -> None:
    import torch

    from hw3lib.annotate.boxes.fcos import Fcos

    torch.manual_seed(version)
    made = Fcos(size=32, epochs=0)
    made.classes_ = ["dent"]
    made._network = made._build()
    made.save(out / "boxes", replace=True)


def _segmenter() -> Any:
    import torch

    from hw3lib.annotate.masks.sam import Segmenter
    from hw3lib.annotate.masks.sam_network import SamNetwork, Size

    sides = {"embed_dims": (8, 16, 16, 32), "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2)}
    torch.manual_seed(0)
    network = SamNetwork.build(Size(image_size=64, **sides, hidden_size=32, mlp_dim=32, decoder_heads=2))
    return Segmenter(network, "small", device="cpu")


def sam(out: Path, given: Path, version: int) -> None:
    from hw3lib.annotate.masks.saved import save

    save(_segmenter(), out / f"sam-{version}")


def embeddings(out: Path, given: Path, version: int) -> None:
    from hw3lib.annotate.masks.sam import embed_files

    embed_files(_segmenter(), list(_table(given)["image"])[version : version + 1], cache=out / "cache")


def annotations(out: Path, given: Path, version: int, formats: tuple[str, ...], preview: bool = False) -> None:
    from hw3lib.annotate.export import export

    export(_table(given), formats, out / "made", seed=version, preview=preview, force=True)


def synthetic(out: Path, given: Path, version: int) -> None:
    from hw3lib.data.synthetic import PROFILES, make

    with mock.patch.dict(PROFILES, {"quick": {"size": 32, "train_good": 2, "test": 1}}):
        make("synthetic/wood", out, seed=version, workers=1)


def stack(out: Path, given: Path, version: int) -> None:
    from hw3lib.data import ImageStack

    ImageStack.load(_table(given), 32 + version, cache=out / "cache", workers=2)


def unpacked(out: Path, given: Path, version: int, suffix: str) -> None:
    from hw3lib.data.fetch.archive import extract

    extract(given / f"{version}{suffix}", out / f"bottle{version}", "bottle", progress=False)


def download(out: Path, given: Path, version: int) -> None:
    from hw3lib.data.fetch.download import download

    address, sha256 = os.environ[jobs.SERVED].split()
    with mock.patch("hw3lib.data.fetch.download._SPARE_DISK", -(10**9)):
        download(address, out / f"{version}.tar.gz", sha256, progress=False)


def kaggle(out: Path, given: Path, version: int) -> None:
    from hw3lib.data import get

    there = types.ModuleType("kagglehub")
    there.dataset_download = lambda name: str(given / "packed0")  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"kagglehub": there}):
        if version:
            get("bottle", out, source="kaggle", accept_license=True, progress=False)


def sweep_cell(out: Path, given: Path, version: int) -> None:
    from hw3lib.sweep import Cell
    from hw3lib.sweep.work import FAILED, Job, perform

    cell = Cell("tests.robustness.faulting.jobs:cell", "number", "none", "quick", version, {"long": "x" * 9000})
    if (outcome := perform(Job(cell, str(out), "one"))).status == FAILED:
        print(f"failed: {outcome.message}")
        raise SystemExit(1)


def sweep_spec(out: Path, given: Path, version: int) -> None:
    from hw3lib.sweep.engine import Sweep

    with (
        mock.patch("hw3lib.core.places.project_root", lambda: out),
        mock.patch("hw3lib.sweep.run_sweep", lambda cells, folder, *rest, **named: Sweep(folder, 0)),
    ):
        jobs.hw3(
            "sweep", str(given / f"{version}.yaml"), "--name", "s", "--data", str(given / "data"), "--workers", "1"
        )


def reproduced(out: Path, given: Path, version: int) -> None:
    os.chdir(given)
    jobs.reproduce(given, out, f"r{version}")


def notebook_run(out: Path, given: Path, version: int) -> None:
    from hw3lib.runs.run import run_notebooks

    places = {"notebooks_dir": given / "notebooks", "runs_dir": out, "data": given / "data"}
    outcomes = run_notebooks(category="widget", name="r", force=bool(version), **places)
    if failed := [outcome.message for outcome in outcomes if outcome.status == "failed"]:
        print(*failed, file=sys.stderr)
        raise SystemExit(1)


def _annotations(*formats: str, preview: bool = False) -> Callable[[Path, Path, int], None]:
    return lambda out, given, version: annotations(out, given, version, formats, preview)


WRITERS = {
    writer.name: writer
    for writer in (
        Writer("choices: JSON", choice),
        Writer("annotations_file: COCO JSON", annotation),
        Writer("results: CSV and metrics.json", run_folder),
        Writer("results: PNG by matplotlib", figure),
        Writer("summary: CSV", summary),
        Writer("execution: JSON", record),
        Writer("grade: CSV", grades),
        Writer("exercises: copies", exercises),
        Writer("notebooks: executed", executed),
        Writer("report: PDF by Typst, HTML, JSON", report),
        Writer("classify.experiment: outcomes", attempt, keeps=("kept",)),
        Writer("classify.callbacks: checkpoint", checkpoint),
        Writer("classify.guided: npz", guided),
        Writer("imbalance.comparison: npz and JSON", imbalance, keeps=("views-", "tail-")),
        Writer("anomaly.detector: safetensors", detector),
        Writer("anomaly.onnx_export: ONNX", onnx),
        Writer("scoring: CSV", score),
        Writer("scoring: overlays and TIFF", overlays),
        Writer("annotate.detection: safetensors", boxes),
        Writer("annotate.sam_saved: safetensors", sam),
        Writer("annotate.sam: npy", embeddings),
        *(Writer(f"annotate: {name}", _annotations(name)) for name in jobs.FORMATS),
        Writer("annotate.export: preview", _annotations("coco", preview=True)),
        Writer("data.synthetic: PNG", synthetic),
        Writer("data.images: memory map", stack),
        Writer("data.archive: tar", lambda out, given, version: unpacked(out, given, version, ".tar.gz")),
        Writer("data.archive: zip", lambda out, given, version: unpacked(out, given, version, ".zip")),
        Writer("data.download: part", download, keeps=("1.tar.gz.part",)),
        Writer("data.sources: copy", kaggle),
        Writer("sweep.work: cell", sweep_cell, keeps=("running", "logs"), codes=(1,)),
        Writer("sweep_command: specification", sweep_spec),
        Writer("reproduction: run", reproduced, keeps=("r1",)),
        Writer("runner: notebook by papermill", notebook_run, keeps=("r/.91.work",), codes=(1, 2)),
    )
}
