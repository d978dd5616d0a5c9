"""Which types a defect may be of: class-conditional conformal p-values, from how alike it is to labelled defects.

Conformal prediction (Vovk, Gammerman and Shafer 2005), with a category of its own for each class (Mondrian; Vovk 2012,
"Conditional validity of inductive conformal predictors"): for the class c with n labelled products,

    p_c = (number of them that are at most as typical of c as the new one + 1) / (n + 1),

where each is judged as if it alone had been added to the others. If a defect is of class c and looks like the labelled
ones do (exchangeable), then p_c <= a has a probability of at most a, whatever the classifier. Few labels promise
little: of n of them no p-value is below 1 / (n + 1).
"""

from __future__ import annotations

import math

import numpy as np

_APART = 0.5
ERROR = 0.1  # share of defects whose type may be missing from their set, on average


def typicality(own: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of labelled images: likeness to the nearest of their class, and to the nearest of another, ``(n,)`` each.

    Args:
        own: likeness between them, float ``(n, n)``.
        labels: int ``(n,)``.
        groups: product of each, int ``(n,)``; those of its own product do not count.
    """
    same = labels[:, None] == labels
    near = np.where(same & (groups[:, None] != groups), own, -np.inf).max(1)
    return near, np.where(same, -np.inf, own).max(1)


def p_values(own: np.ndarray, labels: np.ndarray, groups: np.ndarray, new: np.ndarray) -> np.ndarray:
    """p-value of each class for one new defect, float ``(classes,)``.

    How typical of a class it is says its likeness to the nearest of the class, less half of that to the nearest of
    another: the first tells what is new, the second which of the known it is. (0, a quarter, a half, three quarters and
    1 were compared on bottle, solar cells and four generated categories; a half had small sets and found new types.)

    Args:
        own, labels, groups: see :func:`typicality`; labels are 0 to ``classes - 1``, each is there.
        new: its likeness to each of the labelled ones, ``(n,)``.
    """
    near, far = typicality(own, labels, groups)
    found = []
    for label in range(labels.max() + 1):
        members = labels == label
        with_new = np.maximum(near[members], new[members])  # the new one, were it of this class, is a neighbour too
        apart = far[members]
        known, mine = with_new, new[members].max()
        if not members.all():
            known, mine = with_new - _APART * apart, mine - _APART * new[~members].max()
        beside = groups[members]
        strange = np.unique(beside[known <= mine + 1e-12])
        found.append((len(strange) + 1) / (len(np.unique(beside)) + 1))
    return np.array(found)


def level(products: int, error: float = ERROR) -> float:
    """p-values up to it leave a class of so many labelled products out of a set: ``error``, or what so few can show."""
    return max(math.floor(error * (products + 1) + 1e-9), 1) / (products + 1)
