"""Jobs that are killed and repeated: each is one command of hw3, on inputs that make it short.

A job's function runs in a forked child, in its own folder, which is the working directory too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

SERVED = "HW3_FAULTS_SERVED"  # address of the archive that `download` gets, see serve()


@dataclass(frozen=True)
class Job:
    """What is done in a folder.

    Attributes:
        name: as it stands in tables.
        run: does it; the same call again goes on from wherever the first one was ended.
        prepare: writes the inputs.
        share: of 100 faults.
        warm: modules to import before the fork.
    """

    name: str
    run: Callable[[Path], Any]
    prepare: Callable[[Path], Any]
    share: int
    warm: tuple[str, ...] = ()


def write_category(folder: Path, counts: dict[str, int], side: int = 40, seed: int = 0) -> Path:
    """A category in MVTec AD's layout: noise, and a bright square for each defect, with its mask."""
    rng = np.random.default_rng(seed)
    for place, count in counts.items():
        split, defect = place.split("/")
        for i in range(count):
            pixels = rng.integers(90, 150, (side, side, 3), dtype=np.uint8)
            if defect != "good":
                mask = np.zeros((side, side), np.uint8)
                y, x = rng.integers(0, side - 12, 2)
                mask[y : y + 10, x : x + 8] = 255
                pixels[mask > 0] = 255 - pixels[mask > 0] // 3
                _save(mask, folder / "ground_truth" / defect / f"{i:03d}_mask.png")
            _save(pixels, folder / split / defect / f"{i:03d}.png")
    return folder


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


COUNTS = {"train/good": 12, "test/good": 8, "test/dent": 8, "test/scratch": 8}


def category(folder: Path) -> None:
    """The input of most jobs: ``data/widget``, 36 images of 40 pixels."""
    write_category(folder / "data/widget", COUNTS)


def hw3(*arguments: str) -> None:
    """A command of hw3; ends the process with its exit code if that is not 0."""
    from hw3lib.cli.main import main

    if code := main([*arguments, "--debug"]):
        raise SystemExit(code)


# -------------------------------------------------------------------------------------------------- download


def archive(folder: Path) -> bytes:
    """A tar.gz file of about 300 kB with the category bottle, the same each time."""
    write_category(folder / "bottle", {place: 2 * count for place, count in COUNTS.items()})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            tar.add(path, path.relative_to(folder).as_posix())
    return packed.getvalue()


def serve(content: bytes) -> ThreadingHTTPServer:
    """An HTTP server on the loopback that takes its time and knows ranges; close it with ``shutdown``."""
    tag = f'"{hashlib.sha256(content).hexdigest()}"'

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", tag)
            self.send_header("Content-Type", "application/gzip")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            try:
                for position in range(start, len(content), 1 << 14):
                    self.wfile.write(content[position : position + (1 << 14)])
                    time.sleep(0.01)
            except ConnectionError:
                pass  # the client was killed

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def download(folder: Path) -> None:
    address, sha256 = os.environ[SERVED].split()
    with (
        mock.patch("hw3lib.data.fetch.sources.ARCHIVE_SHA256", sha256),
        mock.patch.dict(os.environ, {"HW3_MVTEC_URL": address, "no_proxy": "127.0.0.1"}),
    ):
        hw3("data", "get", "bottle", "--accept-license", "--source", "official", "--data", "data")


# -------------------------------------------------------------------------------------------------- images


def _older_category(folder: Path) -> None:
    """What an earlier version painted, which is to be replaced in one step."""
    place = folder / "data/synthetic/wood"
    write_category(place, {"train/good": 2})
    (place / "manifest.json").write_text('{"profile": "quick", "seed": 99}\n', encoding="utf-8")


def synthetic(folder: Path, workers: int) -> None:
    from hw3lib.data.synthetic import PROFILES, make

    with mock.patch.dict(PROFILES, {"quick": {"size": 32, "train_good": 3, "test": 1}}):
        make("synthetic/wood", "data", workers=workers)


def cache(folder: Path) -> None:
    from hw3lib.data import ImageStack, load_table

    for size in (48, 64):
        ImageStack.load(load_table("data", "widget"), size, cache="cache", workers=2)


# -------------------------------------------------------------------------------------------------- training


def training(folder: Path) -> None:
    from hw3lib.classify import Attempt, run_attempt
    from hw3lib.core.files import atomic_path
    from hw3lib.data import classification_images, load_table, repeated_splits

    images = classification_images(load_table("data", "widget"))
    attempt = Attempt("tiny", image_size=32, batch_size=8, epochs=4, patience=3, flip=True)
    # The first run keeps each epoch. The one that goes on from there has too little left to do to keep any.
    seconds = 60.0 if Path("kept").exists() else 0.0
    with mock.patch("hw3lib.classify.experiment.CHECKPOINT_SECONDS", seconds):
        result = run_attempt(attempt, images, repeated_splits(images, 2, 0.25), keep="kept", device="cpu")
    with atomic_path("result.json") as path:
        path.write_text(json.dumps([p.tolist() for p in result.probabilities]), encoding="utf-8")


def imbalance(folder: Path) -> None:
    from hw3lib.data import classification_images, load_table, repeated_splits
    from hw3lib.imbalance import compare_methods

    images = classification_images(load_table("data", "widget"))
    splits = repeated_splits(images, 2, 0.25)
    done = compare_methods(
        images, splits, methods=["plain", "class weights"], ratios=[2], image_size=32, keep="kept", device="cpu"
    )
    done.table().to_csv("result.csv")


def detector(folder: Path) -> None:
    hw3(
        *("detect", "fit", "data/widget", "--out", "detector", "--image-size", "64", "--ratio", "0.2", "--force"),
        *("--held-out", "0.4", "--false-alarm-rate", "0.2", "--device", "cpu"),
    )


def _older_detector(folder: Path) -> None:
    category(folder)
    hw3(
        *("detect", "fit", "data/widget", "--out", "detector", "--detector", "knn", "--image-size", "32"),
        *("--held-out", "0.4", "--false-alarm-rate", "0.2", "--device", "cpu"),
    )


def scores(folder: Path) -> None:
    hw3("detect", "score", "detector", "data/widget", "--out", "results", "--force")


def reproduce(folder: Path, runs_dir: str | Path = "runs", name: str | None = None) -> None:
    from hw3lib.classify.student_reports import run as reproduction
    from hw3lib.classify.student_reports.reports import REPORTS
    from hw3lib.data import load_table

    report = REPORTS["bottle"]
    tiny = {"image_size": 32, "epochs": 2, "batch_size": 8, "patience": None, "images_per_class": None}
    rows = [row for row in report.rows if row.attempt.strategy == "scratch"][:2]
    rows = [replace(row, attempt=replace(row.attempt, arch="simple_cnn", **tiny)) for row in rows]
    reproduction.reproduce(
        replace(report, rows=tuple(rows), baseline=rows[0].number),
        load_table("data", "widget"),
        repeats=2,
        name=name,
        runs_dir=runs_dir,
        device="cpu",
    )


# -------------------------------------------------------------------------------------------------- results


def a_run(folder: Path, name: str = "r", images: int = 50) -> None:
    """``runs/r`` as notebook 01 leaves it."""
    place = folder / "runs" / name / "01"
    metrics = {
        **{"notebook": "01", "category": "bolts", "profile": "quick", "seeds": {}, "device": "cpu", "seconds": 1.5},
        **{"versions": {"python": "3.11.7", "hw3lib": "0.1.0", "torch": "2.9.1"}, "data_digest": "ab12" * 16},
        **{"images": images, "train": 30, "test": 20, "classes": {"good": 40, "bent": 10}, "defect_classes": 1},
        **{"image_size": [64, 64], "imbalance_ratio": 4.0, "defects": [{"defect": "bent", "median_area": 0.01}]},
    }
    rng = np.random.default_rng(0)
    for name in ("samples", "class_distribution"):
        _save(rng.integers(0, 255, (240, 400, 3), dtype=np.uint8), place / f"figures/{name}.png")
    (place / "classes.csv").write_text("defect,train,test,total\ngood,30,10,40\nbent,0,10,10\n", encoding="utf-8")
    (place / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    os.utime(place / "metrics.json", (1_760_000_000, 1_760_000_000))  # the report's date


def report(folder: Path) -> None:
    hw3("report", "r", "--runs-dir", "runs")


FORMATS = ("coco", "voc", "yolo", "yolo-seg", "indexed-png", "sam")


def annotate(folder: Path) -> None:
    hw3("annotate", "widget", "--data", "data", "--format", *FORMATS, "--out", "annotations", "--force", "--preview")


# -------------------------------------------------------------------------------------------------- processes


def cell(cell: Any, folders: Any) -> dict:
    """A cell of the sweep: a number that the seed alone determines."""
    folders.kept.mkdir(parents=True, exist_ok=True)
    (folders.kept / "half").write_text("half of it", encoding="utf-8")
    time.sleep(0.05)
    return {"figure": float(np.random.default_rng(cell.seed).normal()), "device": "cpu"}


def sweep(folder: Path) -> None:
    from hw3lib.sweep import Cell, local, run_sweep

    cells = [Cell("tests.robustness.faulting.jobs:cell", "number", "none", "quick", seed, {}) for seed in range(12)]
    done = run_sweep(cells, "sweep", local(2))
    if done.failed:
        raise SystemExit(1)


PARAMETERS = 'category = "x"\ndata = None\nprofile = "quick"\nout = None\n'


def write_notebook(folder: Path, comment: str = "") -> None:
    """A notebook that writes a table and, a little later, its metrics."""
    import nbformat

    from hw3lib.runs.step import COMMON_KEYS

    cells = [
        PARAMETERS,
        "import json, time\nfrom pathlib import Path\nfolder = Path(out)\n_ = (folder / 'a.csv').write_text('1')",
        "time.sleep(0.3)",
        f"_ = (folder / 'metrics.json').write_text(json.dumps(dict.fromkeys({COMMON_KEYS!r}, 1))){comment}",
    ]
    made = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(source, id=f"cell-{i}", metadata={"tags": [] if i else ["parameters"]})
            for i, source in enumerate(cells)
        ],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "hw3lib": {"files": ["metrics.json", "a.csv"]},
        },
    )
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(made, folder / "notebooks/91_course.ipynb")


def notebook(folder: Path) -> None:
    """A notebook that was run and has changed since."""
    category(folder)
    write_notebook(folder)
    run_notebook(folder)
    write_notebook(folder, "  # again")


def run_notebook(folder: Path) -> None:
    from hw3lib.runs.run import run_notebooks

    options = {"category": "widget", "data": "data", "name": "r", "notebooks_dir": "notebooks", "runs_dir": "runs"}
    if any(outcome.status == "failed" for outcome in run_notebooks(**options)):
        raise SystemExit(1)


def _nothing(folder: Path) -> None: ...


_LEARN = ("hw3lib.classify", "hw3lib.classify.experiment", "accelerate.utils", "hw3lib.data.splits")
JOBS = {
    job.name: job
    for job in (
        Job("download", download, _nothing, 14, ("hw3lib.data.fetch.sources", "hw3lib.data")),
        Job("synthetic", partial(synthetic, workers=1), _older_category, 10, ("hw3lib.data.synthetic.wood",)),
        Job("synthetic, 2 processes", partial(synthetic, workers=2), _older_category, 3),
        Job("cache", cache, category, 10, ("hw3lib.data",)),
        Job("training", training, category, 12, _LEARN),
        Job("imbalance", imbalance, category, 6, ("hw3lib.imbalance", "hw3lib.networks.backbones")),
        Job("detect fit", detector, _older_detector, 12, ("hw3lib.inspection.fit", "hw3lib.networks.backbones")),
        Job("detect score", scores, _older_detector, 5, ("hw3lib.inspection.score",)),
        Job(
            "reproduce",
            reproduce,
            category,
            6,
            (*_LEARN, "hw3lib.classify.student_reports.run", "matplotlib.backends.backend_agg"),
        ),
        Job("report", report, a_run, 6, ("hw3lib.report", "typst")),
        Job("annotate", annotate, category, 6, ("hw3lib.annotate", "hw3lib.annotate.preview")),
        Job("sweep", sweep, _nothing, 5, ("hw3lib.sweep", "pyarrow.parquet", "pandas")),
        Job("run", run_notebook, notebook, 5, ("hw3lib.runs.run", "papermill", "ipykernel.kernelspec")),
    )
}
