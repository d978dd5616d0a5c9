"""Detection, accuracy and seconds: the plain baseline, YOLOv8 and YOLO-World before and after training on few boxes.

``python -m benchmarks detection`` runs the quick profile, for two CPU cores; with a GPU
``python -m benchmarks.accuracy.detection --data DIR --category bottle --profile full``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from hw3lib.annotate.boxes.base import BoxDetector
from hw3lib.annotate.boxes.comparison import detection_runs, detection_summary
from hw3lib.annotate.boxes.fcos import Fcos
from hw3lib.annotate.boxes.yolo import YoloV8
from hw3lib.annotate.boxes.yolo_world import YoloWorld, example_photographs, kept_vocabulary
from hw3lib.annotate.instances import from_masks
from hw3lib.core.files import atomic_path
from hw3lib.core.intervals import Interval
from hw3lib.core.places import project_root
from hw3lib.data import classification_images, get, load_table, repeated_splits
from hw3lib.errors import Hw3Error

PROFILES = ("quick", "full")
SMALLEST = 1e-4  # of an image's pixels: smaller components of a mask get no box


def models(category: str, profile: str = "quick") -> dict[str, BoxDetector]:
    """The detectors that are compared; ``quick`` takes minutes on two cores, ``full`` is meant for a GPU."""
    if profile == "full":
        fcos = Fcos(size=640, epochs=100, batch_size=8)
        plain = YoloV8(size=640, epochs=100, batch_size=8)
        world = YoloWorld(size=640, epochs=60, batch_size=8, category=category)
    else:
        fcos, plain = Fcos(size=256, epochs=40), YoloV8(size=256, epochs=25)
        world = YoloWorld(size=256, epochs=8, category=category)
    return {
        "FCOS, plain baseline": fcos,
        "YOLOv8n": plain,
        "YOLO-World-s": world,
        "YOLO-World-s, embeddings alone": replace(world, train="embeddings", lr=2e-3),
    }


def main(
    category: str,
    data: str | None,
    profile: str = "quick",
    n_splits: int = 1,
    names: Sequence[str] = (),
    chosen: dict[str, BoxDetector] | None = None,
) -> None:
    """Print mAP50 before and after training on 60 % of the test folder's images, measured on the other 40 %.

    Args:
        profile: see :func:`models`.
        n_splits: stratified random splits; from two on, the gain has an interval.
        names: models to run; none takes all.
        chosen: other models.
    """
    images = classification_images(load_table(get(category, data, progress=False), category))
    area = SMALLEST * float((images["width"] * images["height"]).median())
    instances = from_masks(images, min_area=max(1, round(area)))
    splits = repeated_splits(images, n_splits, 0.4, 0)
    train, test = splits[0]
    print(f"{category}, {profile} profile: {len(train)} images to train on, {len(test)} to test on, {n_splits} splits")
    print(instances.summary())
    known = chosen or models(category, profile)
    if unknown := set(names) - set(known):
        raise Hw3Error(f"unknown models: {', '.join(sorted(unknown))}; expected {', '.join(known)}")
    folder = project_root() / "runs" / "benchmark-detection" / category.replace("/", "-")

    def done(row: dict, detector: BoxDetector) -> None:
        print(
            f"  split {row['split']}  {row['model']:<31} {detector.size} px, {row['epochs']} epochs, "
            f"{row['seconds']:.0f} s: mAP50 {row['map50_before']:.3f} -> {row['map50_after']:.3f}, "
            f"mAP50-95 {row['map50_95_after']:.3f}",
            flush=True,
        )
        if not isinstance(detector, YoloWorld) or row["split"]:
            return
        began = ", ".join(f"{name}: {prompt or 'mean of all names'}" for name, prompt in detector.prompts_.items())
        print(f"    text: {detector.text}; classes began as {began}")
        kept = kept_vocabulary(detector, example_photographs())
        print(
            f"    COCO's names on two photographs: {', '.join(kept['before'])} ({kept['boxes_before']} boxes) before, "
            f"{', '.join(kept['after']) or 'none'} ({kept['boxes_after']} boxes) after; agreement "
            f"{kept['agreement']:.2f}{', identical' if kept['identical'] else ''}",
            flush=True,
        )

    table = detection_runs(images, instances, {k: known[k] for k in names or known}, splits, done=done)
    with atomic_path(folder / f"{profile}.csv") as file:
        table.to_csv(file, index=False)
    for _, row in detection_summary(table).iterrows():
        print(
            f"  {row['model']:<31} {row['map50_before']:.3f} -> {row['map50_after']:.3f}, paired gain "
            f"{Interval.read(row, 'gain', kind='difference').text()}, {row['seconds']:.0f} s"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy.detection", description=__doc__)
    parser.add_argument("--category", default="synthetic/bottle")
    parser.add_argument("--data", help="folder that holds the category")
    parser.add_argument("--profile", choices=PROFILES, default="quick")
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--model", action="append", default=[], help="one of the models; may be repeated")
    options = parser.parse_args()
    main(options.category, options.data, options.profile, options.splits, options.model)
