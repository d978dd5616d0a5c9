"""``hw3 detect``: its arguments, and what it prints. What it does is in :mod:`hw3lib.inspection.fit` and :mod:`.scoring`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any

from hw3lib.cli.options import byte_count

# The keys of hw3lib.anomaly.registry.DETECTORS, whose import takes seconds.
NAMES = [
    *("patchcore", "padim", "knn", "mahalanobis", "ocsvm", "iforest"),
    *("autoencoder", "svdd", "ganomaly", "cutpaste", "synthetic"),
]


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``detect`` to the commands; ``command`` makes one, see :func:`hw3lib.cli.main.parser`."""
    detect = command(
        commands,
        "detect",
        None,
        "Fit an anomaly detector on photographs of good products, score others with it, export it.",
        "hw3 detect fit photos/good --out bolts-detector",
        "hw3 detect score bolts-detector photos/today --out results --overlays",
    )
    actions = detect.add_subparsers(metavar="ACTION", required=True)

    fit = command(
        actions,
        "fit",
        _fit,
        "Learn what good products look like, and set a threshold by good images that were held out.",
        "hw3 detect fit photos/good --out bolts-detector",
        "hw3 detect fit ../mvtec_ad/bottle --out bottle --detector padim --image-size 256",
        "hw3 detect fit photos/good --out bolts --ratio 0.01 --memory-limit 2GB -p neighbours 0",
    )
    fit.add_argument("folder", metavar="FOLDER", help="photographs of good products, or a category")
    fit.add_argument("--out", required=True, metavar="DETECTOR", help="folder to save the detector in")
    fit.add_argument(
        "--detector", default="patchcore", metavar="NAME", help=f"{', '.join(NAMES)} (default: %(default)s)"
    )
    fit.add_argument(
        "--image-size", type=int, default=224, metavar="PX", help="images are resized (default: %(default)s)"
    )
    fit.add_argument("--arch", help="backbone with ImageNet weights (default: the detector's)")
    fit.add_argument("--ratio", type=float, help="share of the patches that PatchCore remembers (default: 0.1)")
    fit.add_argument(
        "--memory-limit",
        type=byte_count,
        metavar="SIZE",
        help="that PatchCore's patches may take, such as 4GB (default: none)",
    )
    fit.add_argument(
        "--false-alarm-rate", type=float, default=0.05, metavar="R",
        help="share of good products that may be called anomalous (default: %(default)s)",
    )  # fmt: skip
    fit.add_argument(
        "--held-out", type=float, default=0.2, metavar="SHARE",
        help="of the good images, to set the threshold by (default: %(default)s)",
    )  # fmt: skip
    fit.add_argument(
        "--cache",
        metavar="DIR",
        help="keep the decoded images there, not in memory; for large sets, with --memory-limit",
    )
    fit.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: %(default)s)")
    fit.add_argument("--device", default="auto", help="cpu, cuda, ... (default: %(default)s)")
    fit.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="set another hyperparameter of the detector; may be repeated",
    )  # fmt: skip
    fit.add_argument("--force", action="store_true", help="replace the detector that is there")

    score = command(
        actions,
        "score",
        _score,
        "Score photographs: results.csv, and on request heat maps. Exit code 1 if any could not be read.",
        "hw3 detect score bolts-detector photos/today --out results --overlays",
        "hw3 detect score bolts.onnx a.jpg b.jpg --out results --false-alarm-rate 0.01",
    )
    score.add_argument("detector", metavar="DETECTOR", help="its folder, or an ONNX file")
    score.add_argument("places", nargs="+", metavar="FOLDER_OR_FILE", help="photographs, or a category's test images")
    score.add_argument("--out", required=True, metavar="RESULTS", help="folder for the results")
    score.add_argument("--overlays", action="store_true", help="heat map and outline over each image, as PNG")
    score.add_argument("--tiff", action="store_true", help="values of each map, as TIFF of 32-bit floats")
    limit = score.add_mutually_exclusive_group()
    limit.add_argument(
        "--false-alarm-rate", type=float, metavar="R", help="set the threshold anew (default: as it was fitted)"
    )
    limit.add_argument("--threshold", type=float, metavar="T", help="call scores above it anomalous")
    score.add_argument("--force", action="store_true", help="replace the results that are there")

    export = command(
        actions,
        "export",
        _export,
        "Write a detector as one ONNX file, and check that onnxruntime gives its scores. Needs onnx and onnxscript.",
        "hw3 detect export bolts-detector --out bolts.onnx --check photos/today",
    )
    export.add_argument("detector", metavar="DETECTOR", help="its folder")
    export.add_argument("--out", required=True, metavar="FILE.onnx", help="file to write")
    export.add_argument("--check", metavar="FOLDER", help="check with these images (default: generated ones)")
    export.add_argument("--force", action="store_true", help="replace the file that is there")


def _say(text: str) -> None:
    print(text, flush=True)


def _fit(options: argparse.Namespace) -> int:
    from hw3lib.core.untrusted import parse_value
    from hw3lib.inspection import fit as detect

    names = ("image_size", "seed", "device", "arch", "ratio", "memory_limit")
    settings = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    detect.fit(
        options.folder,
        options.out,
        options.detector,
        settings | {name: parse_value(text) for name, text in options.parameters},
        held_out=options.held_out,
        false_alarm_rate=options.false_alarm_rate,
        cache=options.cache,
        force=options.force,
        progress=sys.stderr.isatty(),
        echo=_say,
    )
    return 0


def _score(options: argparse.Namespace) -> int:
    from hw3lib.inspection import score as scoring

    done = scoring.score(
        options.detector,
        options.places,
        options.out,
        overlays=options.overlays,
        tiff=options.tiff,
        false_alarm_rate=options.false_alarm_rate,
        threshold=options.threshold,
        force=options.force,
        progress=sys.stderr.isatty(),
        echo=_say,
    )
    _say(f"{done.said}\n{done.anomalous} of {done.images} images are anomalous")
    if done.top:
        _say("highest scores:")
    for value, chance, file in done.top:
        p = "" if math.isnan(chance) else f"  p = {chance:.3g}"
        _say(f"  {value:.4g}{p}  {'anomalous' if value > done.threshold else 'good':9}  {file}")
    if done.auroc:
        auroc, good, bad = done.auroc
        _say(f"image AUROC {100 * auroc:.1f} % on {good} good and {bad} defective images; their labels chose nothing")
    _say(f"results: {options.out}")
    for file, reason in done.failed:
        print(f"failed: {file}: {reason}", file=sys.stderr)
    return 1 if done.failed else 0


def _export(options: argparse.Namespace) -> int:
    from hw3lib.inspection import fit as detect

    detect.export(options.detector, options.out, check=options.check, force=options.force, echo=_say)
    return 0
