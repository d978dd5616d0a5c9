"""Accuracy, not speed: defect-guided classification against the whole image at an equal budget, on the same splits.

A third line gives the same classifier what no program may know: how large each defect is, in how many parts and where,
by the true masks of training and test images. Where that does not help either, the types do not differ in it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedStratifiedKFold

from hw3lib.classify.guided import classifier as guided
from hw3lib.classify.guided.kernel import KernelClassifier
from hw3lib.classify.result import Result
from hw3lib.classify.student_reports.reports import REPORTS
from hw3lib.classify.student_reports.verdicts import describe_protocol, splits
from hw3lib.core.places import project_root
from hw3lib.data import classification_images, defect_statistics, get, load_table
from hw3lib.data.labels import Split, as_labels, class_names


def main(category: str, data: str | None, repeats: int = 5, draws: int = 50) -> None:
    """Print mean accuracies, 95 % intervals, paired differences and mistakes for two ways to split.

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
        f"{draws} splits as in the bottle report; {describe_protocol(bottle, images)}": splits(
            bottle, images, draws, 0
        ),
    }
    keep = project_root() / "runs" / "benchmark-guided"
    for way, pairs in ways.items():
        print(f"{category}, {way}")
        whole, look = (
            guided.run_guided(
                guided.DefectGuided(name, parts=parts, classifier="logistic"), images, good, pairs, keep=keep
            )
            for name, parts in (("whole image", guided.WHOLE), ("defect-guided, logistic", guided.DefectGuided.parts))
        )
        ours = guided.run_guided(guided.DefectGuided(), images, good, pairs, keep=keep)
        rows = [(whole, None), (look, whole), (ours, look), (ours, whole), (moved(images, good, pairs, keep), ours)]
        if images["mask"].notna().any():
            rows.append((given_masks(images, good, pairs, keep), ours))
        for result, base in rows:
            line = f"  {result.attempt.name:25} {result.interval().percent(1)}"
            if base is not None:
                line += f", against {base.attempt.name} {result.gain(base).points()}, paired"
            print(line)
        confused = ours.confusion()
        pairs_of_types = np.triu(confused + confused.T, 1)
        for i, j in zip(*np.nonzero(pairs_of_types), strict=True):
            share = pairs_of_types[i, j] / pairs_of_types.sum()
            print(f"  {share:.0%} of {ours.attempt.name}'s mistakes: {ours.classes[i]} and {ours.classes[j]}")


def moved(images: pd.DataFrame, good: pd.DataFrame, pairs: list[Split], keep: Path) -> Result:
    """As :class:`.DefectTypes` does: learned from moved images, and each test image looked at as it is."""
    method = guided.DefectGuided("learned from moved images")
    seen = guided.extract_features(method, images, good, keep=keep)
    accepted = np.flatnonzero(seen.symmetries["accepted"])
    classes = class_names(images)
    labels, probabilities = as_labels(images["defect"], classes), []
    for train, test in pairs:
        views = [seen.parts[part][accepted][:, train] for part in method.parts]
        model, count = KernelClassifier(len(classes)), len(accepted)
        flat = [view.reshape(-1, view.shape[-1]) for view in views]
        model.fit(flat, np.tile(labels[train], count), np.tile(np.arange(len(train)), count))
        probabilities.append(model.predict_proba([seen.parts[part][0, test] for part in method.parts]))
    return Result.from_probabilities(method, images, pairs, probabilities, seconds=[0.0] * len(pairs))


def given_masks(images: pd.DataFrame, good: pd.DataFrame, pairs: list[Split], keep: Path) -> Result:
    """The defect-guided classifier with one part more: measures of the true masks, zeros where there is none."""
    method = guided.DefectGuided("given true masks")
    seen = guided.extract_features(method, images, good, keep=keep)
    measured = images[["image"]].merge(defect_statistics(images).drop(columns="defect"), "left", "image")
    known = measured.drop(columns="image").fillna(0).to_numpy()
    known[:, :3] = np.log1p(1e4 * known[:, :3])  # area, regions and largest region differ by powers of ten
    classes = class_names(images)
    labels = as_labels(images["defect"], classes)
    probabilities = []
    for train, test in pairs:
        parts = [*seen.features(method.parts, train), known]
        model = KernelClassifier(len(classes)).fit([part[train] for part in parts], labels[train])
        probabilities.append(model.predict_proba([part[test] for part in parts]))
    return Result.from_probabilities(method, images, pairs, probabilities, seconds=[0.0] * len(pairs))
