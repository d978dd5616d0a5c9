"""Runs as the notebooks would leave them, small, with numbers by hand and figures of plain colour."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

FINISHED = 1_760_000_000  # 2025-10-09, in the past
VERSIONS = {"python": "3.11.7", "hw3lib": "0.1.0", "torch": "2.9.1"}
DIGEST = "ab12" * 16


def picture(path: Path, size: tuple[int, int], rows: int = 0) -> None:
    """A figure: grey, or ``rows`` bands under a low band of headings, white between them."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    if rows:
        draw.rectangle((20, 0, size[0] - 20, 9), fill="black")
        step = (size[1] - 20) // rows
        for i in range(rows):
            shade = (10 + 20 * i, 60, 120)
            draw.rectangle((20, 20 + i * step, size[0] - 20, 20 + (i + 1) * step - 12), fill=shade)
    else:
        draw.rectangle((10, 10, size[0] - 10, size[1] - 10), fill="grey")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write(folder: Path, number: str, category: str, content: dict, **common) -> None:
    """A chapter's metrics.json, written at :data:`FINISHED`."""
    metrics = {
        "notebook": number,
        "category": category,
        "profile": "quick",
        "seeds": {},
        "versions": VERSIONS,
        "device": "cpu",
        "data_digest": DIGEST,
        "seconds": 1.5,
    }
    path = folder / number / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics | common | content), encoding="utf-8")
    os.utime(path, (FINISHED, FINISHED))


def rows(path: Path, table: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


def make_run(
    folder: Path,
    *,
    category: str = "bolts",
    defects: tuple[str, ...] = ("bent", "metal_contamination"),
    methods: tuple[str, ...] = ("plain", "SMOTE", "DeepSMOTE", "focal loss"),
    attempts: tuple[str, ...] = ("baseline", "1 more data", "2 transfer"),
    detectors: tuple[str, ...] = ("PatchCore", "PaDiM", "autoencoder (L2)"),
    without: tuple[str, ...] = (),
) -> Path:
    """A run of all chapters; every number follows from its place, so that two are seldom alike."""
    classes = {"good": 61, **{name: 17 - i for i, name in enumerate(defects)}}
    total = sum(classes.values())
    one = {
        "images": total,
        "train": 43,
        "test": total - 43,
        "classes": classes,
        "defect_classes": len(defects),
        "image_size": [700, 512],
        "imbalance_ratio": 61 / min(classes.values()),
        "defects": [{"defect": name, "median_area": 0.0123 * (i + 1)} for i, name in enumerate(defects)],
    }
    board = [
        {
            "attempt": name,
            "arch": "tf_efficientnet_lite0" if i else "simple_cnn",
            "strategy": "transfer",
            "image_size": 64 + 32 * i,
            "accuracy": 0.701 - 0.052 * i,
            "ci_low": 0.603 - 0.049 * i,
            "ci_high": 0.799 - 0.047 * i,
            "gain": 0.125 - 0.052 * i if name != "baseline" else None,
            "gain_low": 0.013 - 0.052 * i if name != "baseline" else None,
            "gain_high": 0.238 - 0.052 * i if name != "baseline" else None,
            "gain_p": 0.04 + 0.3 * i if name != "baseline" else None,
            "n_splits": 10,
            "seconds": 3.5,
        }
        for i, name in enumerate(reversed(attempts))
    ]
    two = {"leaderboard": board, "best": attempts[-1], "baseline": "baseline", "n_train": 57, "n_test": 15}
    said = "To find a gain of 5 points in four of five such comparisons takes about 790 images; here are"
    two["power"] = f"{said} {total}."
    compared = [
        {
            "method": name,
            "ratio": 10,
            "balanced_accuracy": 0.4831 - 0.0107 * i,
            "ci_low": 0.3911 - 0.0107 * i,
            "ci_high": 0.5803 - 0.0107 * i,
            "gain": None if name == "plain" else 0.0213 - 0.0107 * i,
            "gain_low": None if name == "plain" else -0.0507 - 0.0107 * i,
            "gain_high": None if name == "plain" else 0.0911 - 0.0107 * i,
            "tail_recall": 0.1833 + 0.01 * i,
            "seconds": 0.3,
        }
        for i, name in enumerate(methods)
    ]
    three = {
        "methods": compared,
        "recognised": {"copies": 0.6021, "real images, not seen": 0.4861, "DeepSMOTE": 0.5312},
    }
    found = [
        {
            "detector": name,
            "image_auroc": 0.9228 - 0.04 * i,
            "auroc_low": 0.8539 - 0.04 * i,
            "auroc_high": 0.9743 - 0.04 * i,
            "pixel_auroc": 0.978 - 0.03 * i,
            "aupro": None if i == 1 else 0.818 - 0.03 * i,
            "fit_seconds": 2.2,
            "ms_per_image": 35.4 + 3 * i,
            "memory_bank": 0,
            "false_alarm_rate": 0.056,
            "detection_rate": 0.6296,
        }
        for i, name in enumerate(detectors)
    ]
    changed = [
        {"condition": "as photographed", "detector": detectors[0], "image_auroc": 0.9861},
        {"condition": "shifted by 5 %", "detector": detectors[0], "image_auroc": 0.7431},
        {"condition": "darker", "detector": detectors[0], "image_auroc": 0.8517},
    ]
    four = {
        "detectors": found,
        "best": detectors[0],
        "threshold": 13.4526,
        "false_alarm_rate": 0.1,
        "threshold_images": 11,
    }
    four |= {"robustness": changed}
    five = {
        "formats": [{"format": "COCO", "instances": 34, "round_trip": 0.9972}],
        "sam": [
            {
                "prompt": "box",
                "iou_before": 0.6123,
                "iou_after": 0.7234,
                "gain": 0.1111,
                "gain_low": 0.0512,
                "gain_high": 0.1701,
            }
        ],
        "detection": [{"model": "YOLO-World", "map50_before": 0.0213, "map50_after": 0.4127}],
    }
    seven = {
        "line": [
            {"defect": name, "photographs": 11 + i, "stopped": 9, "recall": 0.8182 - 0.05 * i}
            | {"recall_low": 0.5230 - 0.04 * i, "recall_high": 0.9486 - 0.06 * i}
            for i, name in enumerate(defects)
        ],
        "photographs": 317,
        "unseen": {"type": defects[-1] if defects else None, "stopped": 8, "new": 6},
        "drift": {"alarm": 19, "stopped_alone": 53, "light": 0.94},
    }
    every = (("01", one), ("02", two), ("03", three), ("04", four), ("05", five), ("07", seven))
    for number, content in every:
        if number not in without:
            write(folder, number, category, content)
    if "01" not in without:
        table = [{"defect": n, "train": 43 if n == "good" else 0, "total": c} for n, c in classes.items()]
        rows(folder / "01/classes.csv", [row | {"test": row["total"] - row["train"]} for row in table])
        picture(folder / "01/figures/samples.png", (711, 180 * len(classes) + 20), rows=len(classes))
        picture(folder / "01/figures/class_distribution.png", (711, 91 + 60 * len(classes)))
    if "02" not in without:
        settings = {"lr": 0.001, "batch_size": 16.0, "epochs": 30.0}
        rows(folder / "02/attempts.csv", [{"name": name} | settings for name in attempts])
        picture(folder / "02/figures/leaderboard.png", (761, 491))
    if "03" not in without:
        picture(folder / "03/figures/long_tail.png", (951, 351))
    if "04" not in without:
        picture(folder / "04/figures/heat_maps.png", (771, 20 + 190 * len(classes)), rows=len(classes))
    if "05" not in without:
        picture(folder / "05/figures/formats.png", (900, 400))
    return folder


LONG = tuple(f"{name}_in_the_lower_left_corner" for name in ("faulty_imprint", "metal_contamination", "scratch_neck"))
LARGE = dict(
    category="photographs/a_product_with_a_long_name",
    defects=(*LONG, "crack", "fabric_border", "broken_teeth", "squeezed_teeth", "manipulated_front"),
    methods=(
        *("plain", "DeepSMOTE", "class-balanced loss", "logit-adjusted loss", "flexible LEAP-ArcFace"),
        *("post-hoc logit adjustment", "borderline SMOTE", *(f"answer number {i} to imbalance" for i in range(14))),
    ),
    attempts=("baseline", *(f"{i} two-stage with a multi-scale head and patience" for i in range(1, 12))),
    detectors=tuple(f"k-nearest neighbours, kind {i}" for i in range(12)),
)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """Two defect classes, all chapters."""
    return make_run(tmp_path_factory.mktemp("runs") / "bolts-quick")


@pytest.fixture(scope="session")
def large_run(tmp_path_factory) -> Path:
    """Eight defect classes with long names, 21 methods, 12 attempts, 12 detectors."""
    return make_run(tmp_path_factory.mktemp("runs") / "large-quick", **LARGE)


@pytest.fixture(scope="session")
def make():
    """The function that writes a run."""
    return make_run


@pytest.fixture(scope="session")
def large() -> dict:
    """What the large run is made of."""
    return LARGE


@pytest.fixture(scope="session")
def small_report(small_run, tmp_path_factory):
    from hw3lib.report import build

    return build(small_run, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def large_report(large_run, tmp_path_factory):
    from hw3lib.report import build

    return build(large_run, tmp_path_factory.mktemp("large"))
