"""Transfer learning on the CPU: the frozen network run in every epoch, against features computed once."""

from __future__ import annotations

from dataclasses import replace

import torch

from hw3lib.classify import Attempt
from hw3lib.classify.student_reports.reports import REPORTS

from ..machine import matmul_rate, say_load
from .compare import alternate, draw, operations, report

TARGET = 20.0
ATTEMPT = Attempt(
    "frozen Lite0", "tf_efficientnet_lite0", "transfer", image_size=224, epochs=50, batch_size=16, lr=1e-3
)


def main(category: str, data: str | None, repeats: int = 5, **changes: object) -> None:
    """Print seconds, images per second, memory, accuracy, the distance from the arithmetic limit, and the ratios.

    Args:
        category, data: where the images are.
        repeats: each with images, split and weights of the head of its own.
        changes: fields of the attempt, to try the benchmark at a small scale.
    """
    attempt = replace(ATTEMPT, **changes)
    drawn = draw(category, data, REPORTS["bottle"], repeats)
    table, (train, test) = drawn[0]
    rate = matmul_rate(torch.float32)
    print(
        f"{category}: {attempt.arch}, only the head learns, {attempt.image_size} px, {attempt.epochs} epochs, batch "
        f"{attempt.batch_size}, {attempt.optimiser} {attempt.lr:g}; {len(train)} training and {len(test)} test images "
        f"from files of {table['width'].max()} px; {torch.get_num_threads()} threads, matrix products at "
        f"{rate / 1e9:.0f} GFLOP/s"
    )
    print("  student: ImageFolder, 2 workers; every epoch resizes, runs the frozen network, evaluates the test images")
    print("  ours: images decoded and features computed once; same network, head, optimiser, epochs and batches")
    say_load()
    ways = alternate(attempt, drawn, "cpu", ["float32"])
    forward = operations(attempt, table["defect"].nunique(), backward=False)
    images = len(train) + len(test)
    limits = [attempt.epochs * images * forward / rate, images * forward / rate]
    report(ways, attempt.epochs * len(train), limits, target=TARGET, device="cpu")
