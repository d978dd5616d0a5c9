"""PatchCore on a category's official split: accuracy over seeds, seconds from files to heat maps, and memory bank."""

from __future__ import annotations

import time

import numpy as np
from scipy.stats import t
from tqdm.auto import tqdm

from hw3lib.anomaly import PatchCore
from hw3lib.anomaly.comparison import evaluate
from hw3lib.core import machine
from hw3lib.data import ImageStack, get, load_table

FIGURES = ("image_auroc", "pixel_auroc", "aupro")


def main(category: str, data: str | None, seeds: int = 5, image_sizes: tuple[int, ...] = (224, 384)) -> None:
    """All good training images are learned from, as in the published figures, so nothing is held out.

    A seed draws the first patch of the coreset; 95 % t interval over the seeds. No test image chooses anything.
    """
    machine.keep()  # as every command does
    table = load_table(get(category, data, progress=False), category)
    good = table[(table["split"] == "train") & ~table["is_defect"]]
    test = table[table["split"] == "test"].reset_index(drop=True)
    print(f"{category}: {len(good)} good images to learn from, {len(test)} to test on")
    for size in image_sizes:
        found, fits, scores, decodes = [], [], [], []
        for seed in tqdm(range(seeds), desc=f"{size} px"):
            started = time.perf_counter()
            stacks = ImageStack.load(good, size), ImageStack.load(test, size)
            decodes.append(time.perf_counter() - started)
            evaluation = evaluate(PatchCore(image_size=size, seed=seed), stacks[0], test, stacks[1], held_out=0)
            found.append([evaluation.metrics[name] for name in FIGURES])
            fits.append(evaluation.metrics["fit_seconds"])
            scores.append(evaluation.metrics["ms_per_image"])
        found = 100 * np.array(found)
        half = t.ppf(0.975, seeds - 1) * found.std(0, ddof=1) / seeds**0.5
        print(
            f"  {evaluation.detector.arch}, {size} px, {seeds} seeds, bank of {evaluation.detector.memory_bank} vectors"
        )
        for name, mean, width in zip(FIGURES, found.mean(0), half, strict=True):
            print(f"    {name:<12} {mean:6.2f} % (+- {width:.2f})")
        print(
            f"    decoding all images {np.median(decodes):.1f} s, fitting {np.median(fits):.1f} s, scoring "
            f"{np.median(scores):.0f} ms an image"
        )
