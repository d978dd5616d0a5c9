"""Whether what an oversampler made still looks like its class, to a classifier that has seen none of its parents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hw3lib.data.splits import stratified_folds
from hw3lib.errors import Hw3Error

COPIES, UNSEEN = "copies", "real images, not seen"  # the two ends: nothing new, and all that a class can be


class Made(NamedTuple):
    """What a generator made.

    Attributes:
        features: ``(made, D)``, computed as those of the real images.
        labels: the class of each, ``(made,)``.
        parents: of other classes, positions among the real images ``(made,)``, such as the good images that copy-paste
            pastes onto; None: all parents are of the class.
    """

    features: np.ndarray
    labels: np.ndarray
    parents: np.ndarray | None = None


class Recognition(NamedTuple):
    """What a classifier of real images takes generated ones for.

    Attributes:
        shares: assigned to their class, mean of the classes, 0 to 1, by what they are: first ``copies`` of the real
            images that the generators were given, last ``real images, not seen``. Between these two a generator is good
            the nearer it comes to the second with images that are no copies. NaN where no class could be judged.
        table: one row for each of them and class: ``source``, ``class``, ``images``, ``share`` (assigned to it) and,
            for each class by its name, the share that was called it: a confusion matrix.
    """

    shares: dict[str, float]
    table: pd.DataFrame


def recognised(
    features: np.ndarray,
    labels: np.ndarray,
    given: np.ndarray,
    made: Mapping[str, Made],
    *,
    groups: np.ndarray | None = None,
    classifier=None,
    n_folds: int = 5,
    seed: int = 0,
) -> Recognition:
    """Ask classifiers of real images what generated ones are, each of a classifier that has not seen its parents.

    A classifier that has learned from an image recognises its copy, and what was made of it, whatever it looks like. So
    generated images of a class are judged by classifiers without any real image of that class that the generators were
    given; and as real images that are judged by them must be unseen too, each leaves out a fold of all images besides:
    that of the image itself, or of a parent of another class. The same classes count for all that is compared, those of
    which something was made and two images or more had not been given.

    Args:
        features: of all real images, ``(N, D)``.
        labels: their classes, ``(N,)``.
        given: positions of the images that the generators were given, ``(n,)``.
        made: what each of them made, by its name.
        groups: the product that each image shows, ``(N,)``: one that was given is left out with all its images; None:
            each shows another.
        classifier: anything with ``fit`` and ``predict``; by default a logistic regression on standardised features.
        n_folds: of the real images.
        seed: of the folds.

    Raises:
        Hw3Error: nothing was made, or not one label for each image.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    classifier = classifier or make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    for name, (new, classes, _) in made.items():
        if not len(new) or len(classes) != len(new):
            raise Hw3Error(f"{name}: found {len(new)} images and {len(classes)} labels, expected as many, 1 or more")
    classes = np.unique(labels)
    folds = stratified_folds(labels, groups, n_folds, random_state=seed)
    fold = np.zeros(len(labels), int)
    for number, (_, held) in enumerate(folds):
        fold[held] = number
    is_given = np.isin(np.arange(len(labels)), given)
    is_seen = is_given if groups is None else np.isin(groups, np.asarray(groups)[is_given])
    rows = []
    for name in np.unique(np.concatenate([one.labels for one in made.values()])):
        own = labels == name
        unseen = own & ~is_seen
        if unseen.sum() < 2:
            continue
        learn = [~(own & is_seen) & (fold != number) for number in range(len(folds))]
        judges = [clone(classifier).fit(features[chosen], labels[chosen]) for chosen in learn]
        asked: dict[str, tuple[np.ndarray, np.ndarray | None]] = {COPIES: (features[own & is_given], None)}
        for source, one in made.items():
            chosen = np.asarray(one.labels) == name
            apart = None if one.parents is None else fold[np.asarray(one.parents)[chosen]]
            asked[source] = np.asarray(one.features)[chosen], apart
        asked[UNSEEN] = features[unseen], fold[unseen]
        for source, (images, apart) in asked.items():
            said = _answers(judges, images, apart, classes)
            rows.append({"source": source, "class": name, "images": len(images), "share": said[name]} | said)
    table = pd.DataFrame(rows, columns=["source", "class", "images", "share", *classes])
    means = table.groupby("source")["share"].mean()
    return Recognition({name: float(means.get(name, np.nan)) for name in (COPIES, *made, UNSEEN)}, table)


def _answers(judges: list, images: np.ndarray, apart: np.ndarray | None, classes: np.ndarray) -> dict[str, float]:
    """Share of the answers for each class: of the judge without an image's fold, or else of all judges."""
    if not len(images):
        return dict.fromkeys(classes, np.nan)
    said = np.stack([judge.predict(images) for judge in judges])
    if apart is not None:
        said = said[apart, np.arange(len(images))]
    return {name: float(np.mean(said == name)) for name in classes}
