"""The bottle report's row 4 on the CPU: ResNet18 from scratch, a student's program against ours at equal settings."""

from __future__ import annotations

from dataclasses import replace

import torch

from hw3lib.classify.student_reports.reports import REPORTS

from ..machine import matmul_rate, say_load
from .compare import alternate, draw, operations, report

TARGET = 3.0
FASTER = 1.2  # by which bfloat16 must multiply matrices faster before it is tried


def main(category: str, data: str | None, repeats: int = 3, **changes: object) -> None:
    """Print seconds, images per second, memory, accuracy, the distance from the arithmetic limit, and the ratios.

    Args:
        category, data: where the images are.
        repeats: each with images, split and weights of its own.
        changes: fields of the attempt, to try the benchmark at a small scale.
    """
    bottle = REPORTS["bottle"]
    attempt = replace(bottle.row(4).attempt, **changes)
    drawn = draw(category, data, bottle, repeats)
    table, (train, test) = drawn[0]
    rates = {"float32": matmul_rate(torch.float32), "bf16": matmul_rate(torch.bfloat16)}
    precisions = ["float32"] + (["bf16"] if rates["bf16"] > FASTER * rates["float32"] else [])
    print(
        f"{category}: {attempt.arch} from scratch, {attempt.image_size} px, {attempt.epochs} epochs, batch "
        f"{attempt.batch_size}, {attempt.optimiser} {attempt.lr:g}; {len(train)} training and {len(test)} test images "
        f"from files of {table['width'].max()} px; {torch.get_num_threads()} threads, matrix products at "
        + ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in rates.items())
    )
    print("  student: ImageFolder, resized on every epoch by 2 workers, float32, test images evaluated every epoch")
    print("  ours: decoded once, channels last, test images evaluated once; nothing else differs but the precision")
    say_load()
    ways = alternate(attempt, drawn, "cpu", precisions)
    classes = table["defect"].nunique()
    forward, learning = (operations(attempt, classes, backward) for backward in (False, True))
    learned = attempt.epochs * len(train)
    limits = [(learned * learning + attempt.epochs * len(test) * forward) / rates["float32"]]
    limits += [(learned * learning + len(test) * forward) / rates[precision] for precision in precisions]
    report(ways, learned, limits, target=TARGET, device="cpu")
