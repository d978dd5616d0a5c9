"""Which photographs a person is asked about next, and the page that asks: what ``hw3 inspect review`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..monitor import read_results
from .answers import Answer, Store


def ranked(rows: pd.DataFrame, answers: dict[str, Answer]) -> list[str]:
    """Photographs without an answer, those first from whose answer most is expected.

    An answer can change a verdict only where the verdict may be wrong, so what is expected of it is the smaller of the
    probabilities of both: those come first of which it is least certain what they are (Lewis and Gale, "A sequential
    algorithm for training text classifiers", SIGIR 1994). The probability of a defect is a logistic function of the
    score, which starts at one half at the threshold and learns from every answer.

    Args:
        rows: of results, see :func:`.monitor.read_results`.
        answers: of :meth:`Store.answers`.
    """
    rows = rows[rows["score"].notna()].drop_duplicates("file")
    if not len(rows):
        return []
    x = _position(rows)
    known = [i for i, file in enumerate(rows["file"]) if file in answers]
    said = np.array([answers[rows["file"].iloc[i]].answer for i in known], object)
    sure = np.isin(said, ("good", "defect"))
    chance = defect_probability(x, x[known][sure], said[sure] == "defect")
    gain = np.minimum(chance, 1 - chance)
    order = np.argsort(-gain, kind="stable")
    return [file for file in rows["file"].iloc[order] if file not in answers]


def _position(rows: pd.DataFrame) -> np.ndarray:
    """Scores with the threshold at 0 and the middle photograph that passes at -1."""
    scores, threshold = rows["score"].to_numpy(float), rows["threshold"].to_numpy(float)
    passed = scores[scores <= threshold]
    middle = np.median(passed) if len(passed) else np.median(scores) - 1
    return (scores - threshold) / max(float(np.median(threshold) - middle), 1e-9)


def defect_probability(x: np.ndarray, known: np.ndarray, is_defect: np.ndarray) -> np.ndarray:
    """Of a defect at each position ``(n,)``: the most probable logistic function after the answers, by Newton's method.

    Before them its log odds are ``3 x`` give or take 2 in place and 1 in slope (a normal prior).

    Args:
        x: positions, 0 at the threshold and -1 in the middle of what passes.
        known: those with an answer, ``(m,)``.
        is_defect: the answers, bool ``(m,)``.
    """
    prior, precision = np.array([0.0, 3.0]), np.diag([1 / 4, 1.0])
    design, weights = np.column_stack([np.ones(len(known)), np.clip(known, -3, 3)]), prior.copy()
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (chance - is_defect) + precision @ (weights - prior)
        step = np.linalg.solve((design.T * (chance * (1 - chance))) @ design + precision, slope)
        weights = weights - step / (1 + np.sqrt(slope @ step))  # damped: a whole step can overshoot further and further
    return 1 / (1 + np.exp(-np.clip(weights[0] + weights[1] * np.clip(x, -3, 3), -30, 30)))


def queue(results: Sequence[str | Path], store: Store) -> tuple[pd.DataFrame, list[str]]:
    """All rows of these results, and the photographs to ask about, see :func:`ranked`."""
    rows = pd.concat([read_results(place) for place in results], ignore_index=True)
    return rows, ranked(rows, store.answers())
