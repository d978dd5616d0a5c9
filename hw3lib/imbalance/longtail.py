"""Measuring how unequal the classes of a table are, and making a long tail of a known ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from sklearn.metrics import auc

from hw3lib.core.text import listed
from hw3lib.data.groups import products
from hw3lib.data.statistics import imbalance_ratio
from hw3lib.errors import Hw3Error

PROFILES = ("exponential", "step")
Counts: TypeAlias = Mapping | Sequence | np.ndarray | pd.Series


def class_sizes(table: pd.DataFrame) -> pd.Series:
    """Images of each class (column ``defect``), largest first, equal ones by name."""
    counts = table["defect"].value_counts()
    return counts.loc[sorted(counts.index, key=lambda name: (-counts[name], name))].rename("images")


def effective_classes(counts: Counts, order: int = 1) -> float:
    """How many equally large classes would be as diverse: Hill's number (Hill, Ecology 54, 1973, equation 3).

    Args:
        counts: images of each class.
        order: 1 for exp(entropy), 2 for the inverse of Simpson's index, which gives rare classes less weight.

    Returns:
        1 (all images in one class) to the number of classes (all equal).

    Raises:
        Hw3Error: unknown ``order``, or counts that are empty or negative.

    Example:
        >>> effective_classes([10, 10, 10, 10])
        4.0
        >>> round(effective_classes([97, 1, 1, 1]), 2)
        1.18
    """
    shares = _values(counts)
    shares = shares[shares > 0] / shares.sum()
    if order == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    if order == 2:
        return float(1 / (shares**2).sum())
    raise Hw3Error(f"order={order!r}: expected 1 (exp of the entropy) or 2 (inverse Simpson index)")


def effective_samples(counts: Counts, beta: float = 0.999) -> np.ndarray:
    """Effective number of samples of each class, ``(1 - beta^n) / (1 - beta)``, float64 ``(classes,)``.

    Cui et al. 2019, arXiv 1901.05555, equation 2: a new image repeats what older ones show, the sooner the smaller
    ``beta``. ``beta=0`` gives 1 for each class, and the limit for ``beta`` near 1 is the number of images.

    Raises:
        Hw3Error: ``beta`` outside 0 (included) to 1 (excluded), or bad counts.
    """
    if not 0 <= beta < 1:
        raise Hw3Error(f"beta={beta!r}: expected 0 or more and less than 1")
    return (1 - beta ** _values(counts)) / (1 - beta)


def lorenz(counts: Counts) -> pd.DataFrame:
    """Lorenz curve: ``classes`` and ``images``, cumulative shares from 0 to 1, the smallest class first.

    The diagonal is balance. The first row is the origin.
    """
    values = np.sort(_values(counts))
    images = np.concatenate([[0.0], np.cumsum(values)]) / values.sum()
    return pd.DataFrame({"classes": np.linspace(0, 1, len(images)), "images": images})


def gini(counts: Counts) -> float:
    """Gini coefficient: twice the area between the diagonal and the Lorenz curve.

    0 is balance; with C classes it stays below ``1 - 1/C``.
    """
    curve = lorenz(counts)
    return float(1 - 2 * auc(curve["classes"], curve["images"]))


def head_tail_split(counts: Counts, *, head: float = 0.5, tail: float = 0.2) -> pd.Series:
    """Call every class ``head``, ``medium`` or ``tail``.

    Args:
        counts: images of each class; a mapping or series names them.
        head: a class with at least so many images is head.
        tail: a class with at most so many images is tail. Numbers up to 1 are shares of the largest class, which suits
            small sets; larger ones are images. Liu et al. 2019 (arXiv 1904.05160, section 4), for ImageNet-LT, have
            ``head=101, tail=19``.

    Returns:
        One word a class, in the order and with the names of ``counts``.

    Raises:
        Hw3Error: limits that are not positive or out of order, or bad counts.
    """
    values = _values(counts)
    limits = [limit * values.max() if limit <= 1 else limit for limit in (head, tail)]
    if not 0 < limits[1] < limits[0]:
        raise Hw3Error(
            f"head={head!r}, tail={tail!r} mean {limits[0]:g} and {limits[1]:g} images: "
            "expected head above tail above 0"
        )
    words = np.where(values >= limits[0], "head", np.where(values <= limits[1], "tail", "medium"))
    index: list | pd.Index | None = list(counts) if isinstance(counts, Mapping) else getattr(counts, "index", None)
    return pd.Series(words, index=index, dtype=object)


def describe_long_tail(table: pd.DataFrame) -> str:
    """A long tail in words, with the table's own numbers.

    Args:
        table: needs the column ``defect``.

    Raises:
        Hw3Error: fewer than two classes.
    """
    sizes = class_sizes(table)
    if len(sizes) < 2:
        raise Hw3Error(f"classes: found {list(sizes.index)}, expected at least two to compare")
    ratio, parts = imbalance_ratio(table), head_tail_split(sizes)
    if ratio == 1:
        return f"All {len(sizes)} classes have {sizes.iloc[0]} images each: there is no long tail."
    half = int(np.searchsorted(sizes.cumsum(), sizes.sum() / 2) + 1)
    groups = [
        f"{word} {listed(parts.index[parts == word])}" for word in ("head", "medium", "tail") if word in set(parts)
    ]
    return (
        f"{sizes.sum()} images in {len(sizes)} classes. The largest {_of_size(sizes, sizes.iloc[0])}, the smallest "
        f"{_of_size(sizes, sizes.iloc[-1])}: an imbalance ratio of {ratio:.1f}. "
        f"{listed(sizes.index[:half])} alone {'holds' if half == 1 else 'hold'} "
        f"{sizes.iloc[:half].sum() / sizes.sum():.0%} of all images. The classes are as diverse as "
        f"{effective_classes(sizes):.1f} equally large ones (exp of the entropy; {effective_classes(sizes, 2):.1f} by "
        f"Simpson's index), and the Gini coefficient is {gini(sizes):.2f} (0 is balance, {1 - 1 / len(sizes):.2f} the "
        f"limit for {len(sizes)} classes). Against the largest class (half of it or more is head, a fifth of it or "
        f"less is tail): {'; '.join(groups)}."
    )


def _of_size(sizes: pd.Series, size: int) -> str:
    """``class, good, has 60`` or ``classes, dent and hole, have 18 each``: all of that size."""
    names = sizes.index[sizes == size]
    return f"class, {names[0]}, has {size}" if len(names) == 1 else f"classes, {listed(names)}, have {size} each"


def make_longtail(
    table: pd.DataFrame,
    ratio: float,
    *,
    by: str = "good",
    profile: str = "exponential",
    order: str | Sequence[str] = "count",
    random_state: int = 0,
) -> pd.DataFrame:
    """Draw the largest part of a table whose classes follow a long tail.

    With the classes numbered c = 0 .. C-1 from head to tail, the exponential profile has ``n_max * ratio^(-c / (C-1))``
    images (Cui et al. 2019, arXiv 1901.05555, section 5.1), rounded, at least 1. The step profile has ``n_max`` and
    ``n_max / ratio`` (Buda et al. 2018, arXiv 1710.05381, section 3.2): the tail is the later half of the classes,
    the smaller half where their number is odd, or every defect type if ``by="good"``. ``n_max`` is as large as the
    table allows; very few images or a large ratio give a smaller ratio, because no class is left out.

    Args:
        table: needs the columns ``defect`` and ``is_defect``.
        ratio: images of the largest class over those of the smallest one, 1 or more.
        by: ``good`` has good images as the head, followed by the defect types, as in MVTec AD; ``defect`` makes the
            tail among the defect types and keeps every good image; ``auto`` does so where there are two types or more,
            and has good images as the head of the only one.
        profile: ``exponential`` or ``step``.
        order: of the defect types from head to tail: ``count`` (largest first, equal ones by name), ``random`` (by
            ``random_state``), or their names.
        random_state: chooses the images, by whole products where several show one; for one seed the images of a smaller
            class are among those of a larger one.

    Returns:
        Rows of ``table`` in its order.

    Raises:
        Hw3Error: a bad argument, no good images with ``by="good"``, or fewer than two classes to make a tail of.
    """
    if not np.isfinite(ratio) or ratio < 1:
        raise Hw3Error(f"ratio={ratio!r}: expected 1 or more (10 makes the largest class ten times the smallest)")
    if profile not in PROFILES:
        raise Hw3Error(f"profile={profile!r}: expected one of {', '.join(PROFILES)}")
    if by not in ("good", "defect", "auto"):
        raise Hw3Error(f"by={by!r}: expected good, defect or auto")
    classes = _head_to_tail(table, order, random_state)
    if by == "auto":
        by = "defect" if len(classes) > 1 else "good"
    good = table.loc[~table["is_defect"], "defect"].unique()
    if by == "good":
        if len(good) != 1:
            raise Hw3Error("by='good': the table has no good images; add some or use by='defect'")
        classes = [good[0], *classes]
    if len(classes) < 2:
        raise Hw3Error(f"classes: found {classes}, expected at least two to make a long tail of")
    if profile == "exponential":
        factors = ratio ** -np.linspace(0, 1, len(classes))
    else:
        heads = 1 if by == "good" else len(classes) - len(classes) // 2
        factors = np.where(np.arange(len(classes)) < heads, 1.0, 1 / ratio)
    available = table["defect"].value_counts()
    # The tiny addition keeps 20 * 0.1 / 0.1 from becoming 19.
    n_max = int(min(np.floor(available[c] / f + 1e-9) for c, f in zip(classes, factors, strict=True)))
    wanted = {c: max(1, int(np.floor(n_max * f + 0.5))) for c, f in zip(classes, factors, strict=True)}
    rng = np.random.default_rng(random_state)
    chosen, groups = [], products(table)
    for name, rows in sorted(table.groupby("defect").indices.items()):
        rows = rng.permutation(rows)
        if groups is not None:  # product after product: a rare defect is on few products
            rows = rows[np.argsort(pd.factorize(groups[rows])[0], kind="stable")]
        chosen.append(rows[: wanted.get(name, len(rows))])
    return table.iloc[np.sort(np.concatenate(chosen))]


def _head_to_tail(table: pd.DataFrame, order: str | Sequence[str], random_state: int) -> list[str]:
    """Defect types from head to tail."""
    types = [name for name in class_sizes(table).index if name in set(table.loc[table["is_defect"], "defect"])]
    if not isinstance(order, str):
        if sorted(order) != sorted(types):
            raise Hw3Error(f"order={list(order)}: expected every defect type once: {', '.join(sorted(types))}")
        return list(order)
    if order == "random":
        # A generator of its own: which images are drawn does not depend on which class is the tail.
        return list(np.random.default_rng([random_state, 1]).permutation(sorted(types)))
    if order != "count":
        raise Hw3Error(f"order={order!r}: expected count, random, or the defect types from head to tail")
    return types


def _values(counts: Counts) -> np.ndarray:
    values = np.asarray(list(counts.values()) if isinstance(counts, Mapping) else counts, float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or values.min() < 0 or not values.sum():
        raise Hw3Error(f"counts={values.tolist()}: expected the images of each class, 0 or more, not all 0")
    return values
