"""What runs and sweeps wrote, what they are told to do, submitted notebooks, and the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest import mock

import pandas as pd

from hw3lib.data.folders.find import find_root
from hw3lib.errors import Hw3Error
from tests.robustness.fuzzing.reader import Reader, encoded, only_file, picture, put, sane

_COMMON = {
    "category": "bolts",
    "profile": "quick",
    "seeds": {},
    "versions": {"python": "3"},
    "device": "cpu",
    "data_digest": "ab" * 32,
    "seconds": 1.5,
}
_BOUNDS = {"ci_low": 0.5, "ci_high": 0.9, "gain": 0.1, "gain_low": 0.01, "gain_high": 0.2, "seconds": 1.0}


def _chapters() -> dict[str, dict]:
    """Figures of five chapters, as their notebooks write them."""
    rows = [{"attempt": name, "arch": "cnn", "accuracy": 0.7, **_BOUNDS, "n_splits": 3} for name in ("baseline", "b")]
    tails = [
        {"method": name, "ratio": 10, "balanced_accuracy": 0.5, "tail_recall": 0.2, **_BOUNDS}
        for name in ("plain", "SMOTE")
    ]
    found = {
        "detector": "PaDiM",
        "image_auroc": 0.9,
        "auroc_low": 0.8,
        "auroc_high": 0.95,
        "pixel_auroc": 0.9,
        "aupro": 0.8,
    }
    found |= {
        "fit_seconds": 2.0,
        "ms_per_image": 3.0,
        "memory_bank": 0,
        "false_alarm_rate": 0.05,
        "detection_rate": 0.6,
    }
    changed = [{"condition": name, "detector": "PaDiM", "image_auroc": 0.9} for name in ("as photographed", "darker")]
    sam = {"prompt": "box", "iou_before": 0.6, "iou_after": 0.7, "gain_low": 0.05, "gain_high": 0.2}
    return {
        "01": {"images": 10, "train": 5, "test": 5, "classes": {"good": 6, "bent": 4}, "defect_classes": 1}
        | {"image_size": [30, 20], "imbalance_ratio": 1.5, "defects": [{"defect": "bent", "median_area": 0.01}]},
        "02": {"leaderboard": rows, "best": "b", "baseline": "baseline", "n_train": 7, "n_test": 3}
        | {"summary": "On bolts 'b' is best: 70.1 % correct."},
        "03": {"methods": tails, "recognised": {"real images, not seen": 0.5, "SMOTE": 0.5}},
        "04": {"detectors": [found], "best": "PaDiM", "threshold": 1.5, "false_alarm_rate": 0.1, "held_out": 3}
        | {"robustness": changed},
        "05": {"formats": [{"format": "COCO", "instances": 3, "round_trip": 1.0}], "sam": [sam]}
        | {
            "detection": [{"model": "FCOS", "map50_before": 0.0, "map50_after": 0.4}],
            "summary": "SAM gains 11.1 points.",
        },
    }


def _run(folder: Path) -> None:
    for number, content in _chapters().items():
        put(folder / number / "metrics.json", json.dumps({"notebook": number} | _COMMON | content))
    put(folder / "01/classes.csv", "defect,train,test,total\ngood,5,1,6\nbent,0,4,4\n")
    put(folder / "02/attempts.csv", "name,lr,batch_size,epochs\nbaseline,0.001,16,30\nb,0.01,16,30\n")
    put(folder / "01/figures/samples.png", encoded(picture((40, 30)), "PNG"))


def _runs(folder: Path) -> None:
    _run(folder / "0")


def _report(folder: Path) -> None:
    from hw3lib.report.compose import answers
    from hw3lib.report.runs import Run

    run = Run(folder)
    for question in answers(run):
        for text in question.paragraphs():
            run.plain(text).encode()


def _two_runs(folder: Path) -> None:
    for side in "ab":
        _run(folder / "0" / side)
        fingerprint = {"hw3lib": "x", "notebook": "y", "parameters": {"seed": 0, "side": side}}
        put(folder / "0" / side / "02/run.json", json.dumps({"status": "ran", "fingerprint": fingerprint}))


def _compare(folder: Path) -> None:
    from hw3lib.runs.compare import compare_runs, text

    text(compare_runs(folder / "a", folder / "b"), "a", "b", every=True).encode()


def _summary(folder: Path) -> None:
    from hw3lib.core.files import read_json
    from hw3lib.runs.step import METRICS, RECORD, changed_files, changes
    from hw3lib.runs.summary import key_figures

    number = "02" if (folder / "02").is_dir() else "01"
    record = read_json(folder / number / RECORD)
    changes(record.get("fingerprint", {}), {"notebook": "y", "parameters": {"seed": 0}})
    changed_files(record, folder / number)
    key_figures(number, read_json(folder / number / METRICS)).encode()


def _records(folder: Path) -> None:
    record = {"status": "ran", "seconds": 3.5, "fingerprint": {"notebook": "y", "parameters": {"seed": 0}}}
    record["files"] = {"metrics.json": {"bytes": 3, "sha256": "0" * 64}}
    metrics = {"notebook": "02"} | _COMMON | _chapters()["02"]
    put(folder / "0/02/run.json", json.dumps(record))
    put(folder / "0/02/metrics.json", json.dumps(metrics))


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


def _specs(folder: Path) -> None:
    put(folder / "0/sweep.yaml", _SPEC)
    put(folder / "1/sweep.yaml", "categories: wood\nseeds: [4, 5]\nattempts:\n  - name: a\n    augment: true\n")


def _read_spec(folder: Path) -> None:
    from hw3lib.sweep.spec import read_spec

    spec = read_spec(only_file(folder))
    sane(bool(spec.seeds and spec.categories and spec.variants), "a sweep of nothing")
    json.dumps([spec.variants, spec.seeds], allow_nan=True).encode()


def _tables(folder: Path) -> None:
    (folder / "0").mkdir(parents=True)
    rows = [{"category": "a", "seed": i, "accuracy": 0.5 + i / 10, "settings": "{}"} for i in range(4)]
    pd.DataFrame(rows).to_parquet(folder / "0" / "results.parquet", engine="pyarrow", index=False)


def _read_table(folder: Path) -> None:
    from hw3lib.sweep.results import load

    found = load(folder)
    sane(isinstance(found, pd.DataFrame), "no table")


def _cells(folder: Path) -> None:
    put(folder / f"0/cells/{_cell().key}/metrics.json", json.dumps({"accuracy": 0.5, "seconds": 1.0, "host": "h"}))


def _cell():
    from hw3lib.sweep.store import Cell

    return Cell("attempt", "a", "wood", "quick", 0, {"lr": 0.1})


def _read_cells(folder: Path) -> None:
    from hw3lib.sweep.results import gather, table

    sane(len(table([_cell()], folder)) <= 1, "one cell, several rows")
    gather([_cell()], folder)


def _notebook(code: list[tuple[str, str]], **metadata: object) -> str:
    cells = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {"tags": [tag] if tag else []}, "execution_count": None}
        | {"source": source, "outputs": []}
        for i, (tag, source) in enumerate(code)
    ]
    return json.dumps({"cells": cells, "metadata": {"hw3lib": metadata}, "nbformat": 4, "nbformat_minor": 5})


_PARAMETERS = 'category = "synthetic/bottle"\ndata = None\nout = "runs/x"\nprofile = "quick"\nseed = 0'


def _notebooks(folder: Path) -> None:
    cells = [("parameters", _PARAMETERS), ("", "import math"), ("answer-1", "x = 1"), ("check-1", "assert x")]
    put(folder / "0/04_a.ipynb", _notebook(cells, chapter="04_a", files=["a.csv"], reads=["01"]))


def _submissions(folder: Path) -> None:
    """With tags, and as an editor leaves them that drops tags and writes a mark at the start."""
    _notebooks(folder)
    cells = [("", _PARAMETERS), ("", "import math"), ("", "x = 1"), ("", "assert x")]
    put(folder / "1/04_a.ipynb", _notebook(cells, chapter="04_a").encode("utf-8-sig"))


def _submitted(folder: Path) -> None:
    import nbformat

    from hw3lib.course.grading import _chapter, _read, put_in

    reference = nbformat.reads(_notebook([("answer-1", "raise"), ("check-1", "assert x")]), as_version=4)
    path = only_file(folder)
    submitted = _read(path)
    sane(_chapter(submitted, path, {"04_a": reference}) == "04_a", "another chapter")
    made = put_in(reference, submitted)
    nbformat.writes(made).encode()
    sane(made.cells[-1].source == "assert x", "a check that the student wrote")


def _read_notebook(folder: Path) -> None:
    from hw3lib.runs.run import read_notebook

    found = read_notebook(only_file(folder))
    sane(all(isinstance(file, str) for file in (*found.files, *found.reads)), "a file's name that is no text")


def _commands(folder: Path) -> None:
    for number, text in enumerate(
        ("1e-3", "[1, {a: b}]", "text", "{'a': (1, 2)}", "true", "~/data", "https://a.b/c.tar")
    ):
        put(folder / str(number) / "value.txt", text)


def _command(folder: Path) -> None:
    from hw3lib.annotate.weights import places
    from hw3lib.core.places import data_roots
    from hw3lib.core.untrusted import parse_value

    path = only_file(folder)
    real = path.is_file() and path.resolve().is_relative_to(folder)
    text = path.read_bytes().decode("utf-8", "surrogateescape") if real else path.name
    text = text.replace("\0", "")  # no argument and no variable holds it
    json.dumps(parse_value(text))
    text = text[:100_000]
    with mock.patch.dict(os.environ, {"HW3_DATA": text, "HW3_WEIGHTS": text}):
        data_roots(), places()
        find_root("bottle", None)
    with mock.patch.dict(os.environ, {"HW3_DATA": str(folder)}):
        find_root(text, None)
        try:
            from hw3lib.data import load_table

            load_table(folder, text)
        except Hw3Error:
            pass


READERS = (
    Reader("runs, for the report", _runs, _report, 2),
    Reader("runs, compared", _two_runs, _compare, 0.3),
    Reader("records of runs", _records, _summary, 0.5),
    Reader("sweeps' files", _specs, _read_spec, 0.5, pipes=False),
    Reader("sweeps' tables", _tables, _read_table),
    Reader("sweeps' cells", _cells, _read_cells, 0.3),
    Reader("submitted notebooks", _submissions, _submitted, 2),
    Reader("notebooks to run", _notebooks, _read_notebook),
    Reader("command line and environment", _commands, _command, 0.5, names_file=False),
)
