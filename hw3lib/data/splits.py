"""Samples and splits that keep the classes in proportion and come out the same for the same seed.

Where a table says in its column ``group`` which images show the same product (:mod:`hw3lib.data.groups`), all images of
a product stand on one side of each split; the classes are then as near to their proportion as whole products allow.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit

from hw3lib.errors import Hw3Error

from .groups import as_numbers, products
from .labels import Split


def sample_per_class(table: pd.DataFrame, n: int, random_state: int = 0) -> pd.DataFrame:
    """Draw ``n`` images of every class (column ``defect``) without replacement, in the order of the table.

    Where several images show one product, the images drawn of a class show as many products as they can.

    Raises:
        Hw3Error: a class has fewer than ``n`` images.
    """
    counts = table["defect"].value_counts()
    short = counts[counts < n]
    if n < 1 or len(short):
        few = ", ".join(f"{name} {count}" for name, count in short.items())
        raise Hw3Error(f"n={n}: expected 1 to {counts.min()} images a class" + (f"; too few in: {few}" if few else ""))
    rng = np.random.default_rng(random_state)
    groups, chosen = products(table), []
    for _, rows in sorted(table.groupby("defect").indices.items()):
        if groups is None:
            chosen.append(rng.choice(rows, n, replace=False))
        else:
            rows = rng.permutation(rows)
            turn = pd.Series(rows).groupby(groups[rows]).cumcount().to_numpy()  # the first image of each product first
            chosen.append(rows[np.argsort(turn, kind="stable")[:n]])
    return table.iloc[np.sort(np.concatenate(chosen))]


def classification_images(table: pd.DataFrame, random_state: int = 0) -> pd.DataFrame:
    """Images for a classifier of defect types, with an index from 0: those of the test split, where the defects are.

    Where these hold fewer than half as many good images as the largest defect type has, as in a small folder of one's
    own, good images of the training split are drawn to match it; the imbalance is notebook 03's subject. They are drawn
    by products, so that none of these has other images left among the good training images.
    """
    images = table[table["split"] == "test"]
    good = int((~images["is_defect"]).sum())
    largest = images.loc[images["is_defect"], "defect"].value_counts().max() if good < len(images) else 0
    if good < largest / 2:
        spare = table[(table["split"] == "train") & ~table["is_defect"]]
        groups = products(spare)
        if groups is None:
            drawn = spare.sample(min(len(spare), largest - good), random_state=random_state)
        else:
            order = np.random.default_rng(random_state).permutation(groups.max() + 1)
            sizes = np.cumsum(np.bincount(groups)[order])
            drawn = spare[np.isin(groups, order[: np.searchsorted(sizes, largest - good) + 1])]
        images = pd.concat([images, drawn]).sort_index()
    return images.reset_index(drop=True)


def repeated_splits(
    table: pd.DataFrame, n_splits: int = 10, test_size: float | int = 0.2, random_state: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Independent stratified splits: ``n_splits`` pairs of positions ``(train, test)``, int64, each sorted.

    Args:
        table: needs the column ``defect``; with a column ``group`` products are split, and parts may differ in length
            from split to split.
        n_splits: number of splits.
        test_size: share of the images (float below 1) or their number (int).
        random_state: the same seed gives the same splits.

    Raises:
        Hw3Error: a class too small to stand on both sides, or a ``test_size`` that leaves a side without some class.

    Example:
        >>> table = pd.DataFrame({"defect": ["good"] * 8 + ["hole"] * 4})
        >>> [(len(train), len(test)) for train, test in repeated_splits(table, n_splits=2, test_size=0.25)]
        [(9, 3), (9, 3)]
    """
    if len(table) == 0:
        raise Hw3Error("the table has no rows; expected at least two images a class")
    if (groups := products(table)) is not None:
        return _splits_of_products(table, groups, n_splits, test_size, random_state)
    splitter = StratifiedShuffleSplit(n_splits=n_splits, test_size=test_size, random_state=random_state)
    try:
        pairs = list(splitter.split(np.zeros(len(table)), table["defect"].astype(str)))
    except ValueError as error:
        counts = table["defect"].value_counts().to_dict()
        raise Hw3Error(
            f"cannot split {len(table)} images with test_size={test_size} and n_splits={n_splits}: {error} "
            f"Images a class: {counts}"
        ) from None
    every = table["defect"].nunique()
    for train, test in pairs:
        for side, rows in (("training", train), ("test", test)):
            if table["defect"].iloc[rows].nunique() < every:
                missing = set(table["defect"]) - set(table["defect"].iloc[rows])
                raise Hw3Error(
                    f"test_size={test_size}: the {side} part would have no image of {sorted(missing)}; "
                    "use a larger part or more images of these classes"
                )
    return [(np.sort(train), np.sort(test)) for train, test in pairs]


def _splits_of_products(
    table: pd.DataFrame, groups: np.ndarray, n_splits: int, test_size: float | int, random_state: int
) -> list[Split]:
    share = test_size / len(table) if isinstance(test_size, int | np.integer) else test_size
    if not 0 < share < 1 or n_splits < 1 or random_state < 0:
        raise Hw3Error(
            f"cannot split {len(table)} images with test_size={test_size}, n_splits={n_splits} and "
            f"random_state={random_state}: expected a share between 0 and 1 or a number of images below "
            f"{len(table)}, one split or more, and a seed from 0"
        )
    counts = product_counts(table, groups)
    if few := [str(name) for name, number in (counts > 0).sum().items() if number < 2]:
        raise Hw3Error(
            f"all images of {', '.join(few)} show one product, which cannot stand on both sides of a split; expected "
            "two products a class or more"
        )
    wanted, splits = share * counts.to_numpy().sum(0), []
    for i in range(n_splits):
        tested = take_products(counts.to_numpy(), wanted, np.random.default_rng([random_state, i]))[groups]
        if set(table["defect"][tested]) != set(table["defect"]):
            raise Hw3Error(
                f"test_size={test_size}: no split of the {len(counts)} products has every class on both sides; use "
                "more products of the small classes"
            )
        splits.append((np.flatnonzero(~tested), np.flatnonzero(tested)))
    return splits


def product_counts(table: pd.DataFrame, groups: np.ndarray) -> pd.DataFrame:
    """Images of each product (rows, by number) and class (columns)."""
    return pd.crosstab(groups, table["defect"].to_numpy())


def take_products(counts: np.ndarray, wanted: np.ndarray, rng: np.random.Generator, left: int = 1) -> np.ndarray:
    """Products drawn at random whose images are about as many of each class as wanted, bool ``(products,)``.

    Of each class at least one product is taken, and at least ``left`` products are not; a class without so many gives
    none.

    Args:
        counts: images, int ``(products, classes)``.
        wanted: images, float ``(classes,)``.
    """
    has, taken = counts > 0, np.zeros(len(counts), bool)
    untaken, missing = has.sum(0), np.asarray(wanted, float).copy()  # products of each class, and images still wanted
    order = rng.permutation(len(counts))

    def may(product: int) -> bool:
        return bool((untaken[has[product]] > left).all())

    def off(product: int) -> float:
        return float(((missing - counts[product]) ** 2).sum())

    def take(product: int) -> None:
        taken[product] = True
        untaken[has[product]] -= 1
        missing[:] -= counts[product]

    for product in order:
        if off(product) < (missing**2).sum() and may(product):
            take(product)
    for column in np.flatnonzero(np.asarray(wanted) > 0):
        if not has[taken, column].any():
            others = [product for product in order if has[product, column] and may(product)]
            if others:
                take(min(others, key=off))
    return taken


def stratified_folds(
    classes: np.ndarray, groups: np.ndarray | None = None, n_folds: int = 5, random_state: int | None = 0
) -> list[Split]:
    """Folds for cross-validation, ``(train, test)`` positions, in which the classes are in proportion.

    No product is in two folds, but for those of a class that shows only one: its images are divided, since there is no
    other way to learn and to choose by it.

    Args:
        classes: of each image, ``(n,)``.
        groups: the product that each shows, ``(n,)``; None: another one each.
        n_folds: at most; as many as the smallest class has products.
        random_state: of the shuffling; None does not shuffle.

    Raises:
        ValueError: a class of one image.
    """
    numbers, shuffle = None if groups is None else as_numbers(groups), random_state is not None
    if numbers is None:
        n_folds = int(min(n_folds, np.unique(classes, return_counts=True)[1].min()))
        return list(StratifiedKFold(n_folds, shuffle=shuffle, random_state=random_state).split(classes, classes))
    several = pd.Series(numbers).groupby(np.asarray(classes)).transform("nunique").to_numpy() > 1
    numbers = np.where(several, numbers, numbers.max() + 1 + np.arange(len(numbers)))
    n_folds = int(min(n_folds, pd.Series(numbers).groupby(np.asarray(classes)).nunique().min()))
    if shuffle:
        # Here, since with shuffle=True scikit-learn before 1.8 loses the proportion of the classes.
        numbers = np.unique(numbers, return_inverse=True)[1]
        numbers = np.random.default_rng(random_state).permutation(numbers.max() + 1)[numbers]
    return list(StratifiedGroupKFold(n_folds).split(classes, classes, numbers))


def splittable(
    table: pd.DataFrame, n_splits: int = 10, test_size: float | int = 0.2, random_state: int = 0, least: int = 2
) -> tuple[pd.DataFrame, list[tuple[np.ndarray, np.ndarray]], dict[str, int]]:
    """The classes that are large enough for repeated splits, and the splits: the smallest class is left out until so.

    Args:
        table, n_splits, test_size, random_state: see :func:`repeated_splits`.
        least: classes that must be left.

    Returns:
        The images, rows from 0; their splits; how many images of which class were left out.

    Raises:
        Hw3Error: as :func:`repeated_splits`, where fewer than ``least`` classes would be left.
    """
    part = table
    while True:
        try:
            splits = repeated_splits(part, n_splits, test_size, random_state)
        except Hw3Error:
            sizes = part["defect"].value_counts().sort_index()
            if len(sizes) <= least:
                raise
            part = part[part["defect"] != sizes.idxmin()]
            continue
        left_out = table["defect"].value_counts().drop(part["defect"].unique()).sort_index()
        return part.reset_index(drop=True), splits, {str(name): int(count) for name, count in left_out.items()}


def stratified_split(
    table: pd.DataFrame, test_size: float | int = 0.2, random_state: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One stratified split of a table into ``(train, test)``; see :func:`repeated_splits`."""
    train, test = repeated_splits(table, 1, test_size, random_state)[0]
    return table.iloc[train], table.iloc[test]
