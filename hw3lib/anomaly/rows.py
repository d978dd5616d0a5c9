"""Some of many images, without a copy of them."""

from __future__ import annotations

import numpy as np


class Rows:
    """Chosen images of an array that may be mapped from disk; indexing reads no more than what is asked for.

    Args:
        images: uint8 ``(N, 3, H, W)``.
        rows: positions, int64 ``(n,)``.

    Attributes:
        shape: ``(n, 3, H, W)``.
    """

    def __init__(self, images: np.ndarray, rows: np.ndarray):
        self._images, self._rows = images, rows
        self.shape = (len(rows), *images.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Images at these positions, uint8, ``(3, H, W)`` for one and ``(m, 3, H, W)`` for several."""
        return np.asarray(self._images[self._rows[rows]])
