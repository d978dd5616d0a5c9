"""Accuracy, not speed: defect-guided classification against the whole image at an equal budget, on the same splits."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from hw3lib.classify import guided
from hw3lib.classify.reports import REPORTS
from hw3lib.classify.reproduce import describe, splits
from hw3lib.data import classification_images, get, load_table
from hw3lib.paths import project_root


def main(category: str, data: str | None, repeats: int = 5, draws: int = 50) -> None:
    """Print mean accuracies, 95 % intervals and the paired difference for two ways to split.

    Args:
        category, data: where the images are.
        repeats: of stratified five-fold cross-validation over all images of the test folder.
        draws: random splits as the bottle report drew them, 10 images a class.
    """
    table = load_table(get(category, data, progress=False), category)
    images = classification_images(table)
    good = guided.good_images(table, images)
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=0)
    bottle = REPORTS["bottle"]
    ways = {
        f"{repeats}x5-fold, {len(images)} images": list(folds.split(np.zeros(len(images)), images["defect"])),
        f"{draws} splits as in the bottle report; {describe(bottle, images)}": splits(bottle, images, draws, 0),
    }
    keep = project_root() / "runs" / "benchmark-guided"
    for way, pairs in ways.items():
        print(f"{category}, {way}")
        results = []
        for method in (guided.DefectGuided("whole image", parts=guided.WHOLE), guided.DefectGuided()):
            result = guided.run(method, images, good, pairs, keep=keep)
            results.append(result)
            print(f"  {method.name:14} " + "{:.1%} ({:.1%} to {:.1%})".format(*result.interval()))
        gain, low, high = results[1].gain(results[0])
        print(f"  difference     {100 * gain:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}, paired)")
