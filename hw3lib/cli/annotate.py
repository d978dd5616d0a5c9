"""``hw3 annotate``: its arguments, and what it prints. What it does is in :mod:`hw3lib.annotate.export`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

# The keys of hw3lib.annotate.FORMATS, whose import takes a second.
NAMES = ["coco", "voc", "yolo", "yolo-seg", "indexed-png", "sam"]


def add(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``annotate`` to the commands; ``command`` makes one, see :func:`hw3lib.cli.main.parser`."""
    annotate = command(
        commands,
        "annotate",
        _annotate,
        "Export a category's defects for detection and segmentation: boxes and masks in the usual formats.\n"
        "They come from its masks or, where it has none, from a fitted detector's anomaly maps.",
        "hw3 annotate bottle --data ../mvtec_ad --format coco yolo --out bottle-annotations",
        "hw3 annotate synthetic/carpet --format yolo-seg --split 0.8 0.2 --min-area 20 --out carpet --preview",
        "hw3 annotate bolts --detector bolts-detector --format coco --out bolts-to-correct --preview",
    )
    annotate.add_argument("category", metavar="CATEGORY", help="for example bottle")
    annotate.add_argument(
        "--format", nargs="+", required=True, choices=NAMES, metavar="FORMAT", dest="formats",
        help=f"one or more of {', '.join(NAMES)}",
    )  # fmt: skip
    annotate.add_argument("--out", required=True, metavar="DIR", help="folder to make, with one folder a format")
    annotate.add_argument("--data", metavar="DIR", help="folder that holds categories (default: $HW3_DATA, then data/)")
    annotate.add_argument(
        "--split", nargs="+", type=float, default=[0.6, 0.2, 0.2], metavar="SHARE",
        help="of training, validation and test, each class in proportion (default: 0.6 0.2 0.2)",
    )  # fmt: skip
    annotate.add_argument("--seed", type=int, default=0, help="of the split (default: %(default)s)")
    annotate.add_argument(
        "--min-area", type=int, default=1, metavar="N", help="drop components of fewer pixels (default: %(default)s)"
    )
    annotate.add_argument(
        "--whole", action="store_true", help="one instance an image (default: one for each connected component)"
    )
    annotate.add_argument(
        "--detector", metavar="DETECTOR", help="folder of a detector to annotate by, for want of masks"
    )
    annotate.add_argument(
        "--train-good", action="store_true", help="take the good images of the training split too, as background"
    )
    annotate.add_argument("--preview", action="store_true", help="draw a sheet of annotated images, preview.png")
    annotate.add_argument("--force", action="store_true", help="replace the annotations that are there")


def _annotate(options: argparse.Namespace) -> int:
    from hw3lib.annotate.export import PREVIEW, export, summary_text
    from hw3lib.data.fetch.find import find_root
    from hw3lib.data.table import load_table

    table = load_table(find_root(options.category, options.data), options.category)
    done = export(
        table,
        options.formats,
        options.out,
        split=options.split,
        seed=options.seed,
        min_area=options.min_area,
        whole=options.whole,
        detector=options.detector,
        train_good=options.train_good,
        preview=options.preview,
        force=options.force,
        echo=lambda text: print(text, flush=True),
    )
    print(summary_text(done))
    print(f"\nannotations: {options.out}" + (f"\npreview: {done.folder / PREVIEW}" if options.preview else ""))
    return 0
