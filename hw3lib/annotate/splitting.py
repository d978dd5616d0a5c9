"""Training, validation and test images of an annotated category, each class in proportion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hw3lib.data.groups import products
from hw3lib.data.splits import product_counts, take_products
from hw3lib.errors import Hw3Error

from .dataset import SPLITS


def split_images(table: pd.DataFrame, shares: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0) -> list[str]:
    """A split for each image of a table; each class is divided by itself.

    A class is divided by largest remainders. One with at least as many images as there are parts is in each of them; a
    smaller one fills training first, then validation. Where the table says which images show the same product (column
    ``group``), products are divided, and all images of one are in one part.

    Args:
        table: needs the column ``defect``.
        shares: of training, validation and, if there is a third, test; they add up to 1, and a share of 0 gives no
            such part.
        seed: the same seed gives the same splits.

    Returns:
        ``train``, ``val`` or ``test`` for each row.

    Raises:
        Hw3Error: shares that are not two or three numbers from 0 to 1 that add up to 1, or none for training.
    """
    wanted = np.asarray(shares, float)
    if (
        wanted.shape not in ((2,), (3,))
        or not np.isfinite(wanted).all()
        or (wanted < 0).any()
        or wanted[0] == 0
        or abs(wanted.sum() - 1) > 1e-6
    ):
        raise Hw3Error(
            f"split {' '.join(f'{share:g}' for share in wanted.ravel())}: expected the shares of training, validation "
            "and test, two or three numbers that add up to 1, such as 0.6 0.2 0.2"
        )
    if (groups := products(table)) is not None:
        return _split_products(table, groups, wanted, seed)
    result = np.empty(len(table), object)
    for number, (_, rows) in enumerate(sorted(table.groupby("defect").indices.items())):
        rng = np.random.default_rng([seed, number])
        parts = np.repeat(np.array(SPLITS[: len(wanted)], object), _divide(len(rows), wanted))
        result[rng.permutation(rows)] = parts
    return result.tolist()


def _split_products(table: pd.DataFrame, groups: np.ndarray, shares: np.ndarray, seed: int) -> list[str]:
    """The last part is taken first, and what no other part takes is for training."""
    counts = product_counts(table, groups).to_numpy()
    parts = np.full(len(counts), SPLITS[0], object)
    rng, wanted = np.random.default_rng(seed), counts.sum(0)
    for part in reversed(np.flatnonzero(shares)[1:]):
        rest = np.flatnonzero(parts == SPLITS[0])
        others = int((shares[:part] > 0).sum())
        parts[rest[take_products(counts[rest], shares[part] * wanted, rng, others)]] = SPLITS[part]
    return parts[groups].tolist()


def _divide(count: int, shares: np.ndarray) -> np.ndarray:
    """Numbers of images, by largest remainders; no wanted part stays empty where there are images enough."""
    exact = count * shares
    sizes = np.floor(exact + 1e-9).astype(int)
    order = np.argsort(-(exact - sizes), kind="stable")
    sizes[order[: count - sizes.sum()]] += 1
    wanted = np.flatnonzero(shares)
    if count < len(wanted):
        sizes[:] = 0
        sizes[wanted[:count]] = 1
        return sizes
    for part in wanted[sizes[wanted] == 0]:
        sizes[np.argmax(sizes)] -= 1
        sizes[part] = 1
    return sizes


def spread(images: pd.DataFrame, rows: np.ndarray, random_state: int = 0) -> np.ndarray:
    """Rows in an order of which every beginning holds the classes as equally as may be."""
    rows = np.random.default_rng(random_state).permutation(np.sort(rows))
    turn = images["defect"].iloc[rows].groupby(images["defect"].iloc[rows].to_numpy()).cumcount().to_numpy()
    return rows[np.argsort(turn, kind="stable")]
