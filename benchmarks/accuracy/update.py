"""Learning on beside a fit on everything: scores, threshold, accuracy, covering radius, and processor time."""

from __future__ import annotations

import copy
import time

import numpy as np

from hw3lib.anomaly import PatchCore, image_metrics, silence_few_good_images
from hw3lib.data import ImageStack, get, load_table

NEW = (4, 16, 64)


def main(category: str, data: str | None) -> None:
    """Of the good training images the last ones are new; 224 px, the quick profile's settings. Nothing is chosen."""
    table = load_table(get(category, data, progress=False), category)
    test = table[table["split"] == "test"]
    good, images = (ImageStack.load(part, 224).images for part in (table[table["split"] == "train"], test))
    is_defect = test["is_defect"].to_numpy(bool)
    good = good[np.random.default_rng(0).permutation(len(good))]

    def fitted(images: np.ndarray) -> tuple[PatchCore, float]:
        start = time.process_time()
        with silence_few_good_images():
            return PatchCore().fit(images), time.process_time() - start

    whole, whole_seconds = fitted(good)
    right = whole.decision_function(images)
    told = figures(whole, right, is_defect)
    print(f"{category}: {len(good)} good images at once: {whole_seconds:.1f} s of processor time, {told}")
    for new in (n for n in NEW if n <= len(good) // 2):
        first, seconds = fitted(good[:-new])
        model, start = copy.deepcopy(first), time.process_time()
        with silence_few_good_images():
            model.extend(good[-new:])
        took, scores = time.process_time() - start, model.decision_function(images)
        apart = np.abs(scores / right - 1)
        before = figures(first, first.decision_function(images), is_defect)
        print(f"  {len(good) - new} at once: {seconds:.1f} s, {before}")
        print(
            f"  and {new} more: {took:.1f} s, {1000 * took / new:.0f} ms each; {figures(model, scores, is_defect)}; "
            f"scores {100 * apart.mean():.1f} % ({100 * apart.max():.1f} % at most) from those of all at once",
            flush=True,
        )


def figures(model: PatchCore, scores: np.ndarray, is_defect: np.ndarray) -> str:
    above = scores > model.threshold_
    return (
        f"AUROC {100 * image_metrics(is_defect, scores).auroc:.2f} %, threshold {model.threshold_:.3g} stops "
        f"{100 * above[~is_defect].mean():.0f} % of good and {100 * above[is_defect].mean():.0f} % of defective, "
        f"radius {model.coreset_radius_:.3g}"
    )
