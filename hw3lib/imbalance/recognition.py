"""Whether what an oversampler made still looks like its class to a classifier of real images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from hw3lib.errors import Hw3Error


class Recognition(NamedTuple):
    """How many generated images were assigned to their class.

    Attributes:
        share: of all generated images, 0 to 1.
        table: one row a class, by name: ``class``, ``images``, ``recognised`` (number), ``share``,
            ``mistaken_for`` (the commonest wrong class as text, or empty).
    """

    share: float
    table: pd.DataFrame


def recognisable(generated: np.ndarray, labels: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]) -> Recognition:
    """Share of generated images that a classifier assigns to the class they were made for.

    The classifier should have been trained on the real images alone. One that finds the class of real images it has not
    seen in only half of the cases cannot do better here; report that figure as well.

    Args:
        generated: images or feature vectors, ``(made, ...)``.
        labels: the class of each, ``(made,)``.
        predict: the classifier's ``predict``: takes ``generated`` and returns one label each.

    Raises:
        Hw3Error: nothing was generated, or not one label or answer each.
    """
    labels = np.asarray(labels)
    if not len(generated) or len(labels) != len(generated):
        raise Hw3Error(
            f"generated: found {len(generated)} images and {len(labels)} labels, expected as many, 1 or more"
        )
    said = np.asarray(predict(generated))
    if said.shape != labels.shape:
        raise Hw3Error(f"predict: gave {said.shape} for {labels.shape} images, expected one label each")
    rows = []
    for name in np.unique(labels).tolist():
        answers = said[labels == name]
        wrong, times = np.unique(answers[answers != name], return_counts=True)
        right = int((answers == name).sum())
        rows.append((name, len(answers), right, right / len(answers), str(wrong[times.argmax()]) if len(wrong) else ""))
    table = pd.DataFrame(rows, columns=["class", "images", "recognised", "share", "mistaken_for"])
    return Recognition(float((said == labels).mean()), table)
