"""The capsule report's best row on a GPU, the whole network learning: a student's program against ours.

EfficientNet_v2_l begins with random weights here, which costs as much time as any others would.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import torch

from hw3lib.classify.student_reports.reports import REPORTS

from ..machine import matmul_rate, say_load
from .compare import alternate, draw, operations, report

TARGET, SECONDS = 10.0, 90.0
STUDENT_EPOCHS = 3  # measured; the first warms up, the others are the measure of all that follow


def main(category: str, data: str | None, repeats: int = 3, device: str = "cuda", **changes: object) -> None:
    """Print seconds, images per second, memory, utilisation and the ratios; without a GPU it says so and ends.

    Args:
        category, data: where the images are; each class gives up to 20.
        repeats: each with images, split and weights of its own.
        device: ``cpu`` tries the benchmark at a small scale.
        changes: fields of the attempt, for the same.
    """
    if device == "cuda" and not torch.cuda.is_available():
        print("student_gpu: this machine has no CUDA GPU; nothing is measured")
        return
    capsule = REPORTS["capsule"]
    attempt = replace(capsule.row(capsule.best).attempt, strategy="scratch", **changes)
    drawn = draw(category, data, capsule, repeats)
    table, (train, test) = drawn[0]
    size = 8192 if device == "cuda" else 1024
    torch.backends.cuda.matmul.allow_tf32 = True  # as convolutions, the bulk of the work, have it by default
    rates = [matmul_rate(dtype, device, size) for dtype in (torch.float32, torch.bfloat16)]
    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(
        f"{category} on {name}: {attempt.arch}, random weights, everything learns, {attempt.image_size} px, "
        f"{attempt.epochs} epochs, batch {attempt.batch_size}, rotation {attempt.rotation:g} degrees, colour jitter "
        f"{attempt.colour_jitter:g}; {len(train)} training and {len(test)} test images from files of "
        f"{table['width'].max()} px; matrix products at {rates[0] / 1e12:.1f} TFLOP/s in TF32, {rates[1] / 1e12:.1f} "
        "in bf16"
    )
    print(
        "  student: ImageFolder, 2 workers resize and augment, torch's defaults (float32, convolutions in TF32), test "
        f"images evaluated every epoch; {STUDENT_EPOCHS} epochs measured, the rest extrapolated from all but the first"
    )
    print("  ours: images and augmentation on the device, bf16, channels last, test images evaluated once")
    say_load()
    ways = alternate(attempt, drawn, device, ["bf16"], epochs=STUDENT_EPOCHS)
    classes = table["defect"].nunique()
    forward, learning = (operations(attempt, classes, backward) for backward in (False, True))
    learned = attempt.epochs * len(train)
    work = learned * learning + len(test) * forward
    limits = [(work + (attempt.epochs - 1) * len(test) * forward) / rates[0], work / rates[1]]
    report(ways, learned, limits, target=TARGET, device=device, extrapolated=True)
    seconds = statistics.median(ways[1].seconds)
    print(f"  ours: {seconds:.1f} s, expected {SECONDS:g} or less on an H200; {work / 1e12:.0f} TFLOP in all, "
          f"{work / seconds / 1e12:.1f} TFLOP/s, utilisation {work / seconds / rates[1]:.0%}")  # fmt: skip
