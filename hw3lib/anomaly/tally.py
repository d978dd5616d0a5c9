"""How often each float32 value occurs among very many, in memory that depends on their range and not on their number.

The counters lie in pages of 65,536 neighbouring values, which are made when the first value falls into them. Values are
counted in a thread of its own, while the caller prepares the next ones.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numba import njit

MOST = (1 << 32) - 1  # values that counters of 32 bits hold for certain
_PAGE = 1 << 16  # values
_CHUNK = 1 << 22  # values that are counted together: most pages then get many
_SLAB = 64  # pages whose memory is asked for together: the system gives large blocks faster
_SIGN = np.uint32(1 << 31)


class Tally:
    """How often each float32 value occurred, given by its key (:func:`keys_of`)."""

    def __init__(self) -> None:
        self.total = 0
        self._pages: dict[int, np.ndarray] = {}
        self._spare: list[np.ndarray] = []
        self._dtype: type = np.uint32
        self._keys = np.empty(_CHUNK, np.uint32)  # of values that wait to be counted
        self._waiting = 0
        self._counted = np.empty(_CHUNK, np.uint32)  # that are being counted; then free again
        self._worker = ThreadPoolExecutor(1)
        self._counting: Future[None] | None = None

    def add(self, values: np.ndarray) -> None:
        """Count these values, float32 ``(n,)``."""
        self.total += len(values)
        while len(values):
            keys = keys_of(values[: _CHUNK - self._waiting])
            self._keys[self._waiting : self._waiting + len(keys)] = keys
            self._waiting += len(keys)
            values = values[len(keys) :]
            if self._waiting == _CHUNK:
                self._hand_over()

    def above_and_equal(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many values are above and on each of these keys (uint32, ascending), int64 ``(K,)`` each."""
        self._hand_over()
        self._wait()
        above, equal = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        pages = np.array(sorted(self._pages, reverse=True), np.uint64)
        limits = np.searchsorted(keys, np.stack([pages, pages + np.uint64(1)]) * np.uint64(_PAGE))
        higher = 0  # values in higher pages
        for page, first, last in zip(pages.tolist(), *limits, strict=True):
            counts = self._pages[page]
            if first == last:
                higher += int(counts.sum(dtype=np.int64))
                continue
            low = (keys[first:last] & np.uint32(_PAGE - 1)).astype(np.intp)
            until = counts.cumsum(dtype=np.int64)
            higher += int(until[-1])
            above[first:last], equal[first:last] = higher - until[low], counts[low]
        return above, equal

    def _hand_over(self) -> None:
        """Have counted what waits, once what was handed over before is counted."""
        self._wait()
        keys, self._waiting = self._keys[: self._waiting], 0
        self._keys, self._counted = self._counted, self._keys
        self._counting = self._worker.submit(self._fold, keys, self.total)

    def _wait(self) -> None:
        if self._counting is not None:
            self._counting.result()

    def _fold(self, keys: np.ndarray, total: int) -> None:
        """Count page after page, so that the counters at work stay in the processor's cache."""
        if total > MOST and self._dtype is np.uint32:
            self._dtype, self._spare = np.int64, []
            self._pages = {page: counts.astype(np.int64) for page, counts in self._pages.items()}
        low, starts = _by_page(keys)
        for page in np.flatnonzero(np.diff(starts)).tolist():
            if page not in self._pages:
                self._spare = self._spare or list(np.zeros((_SLAB, _PAGE), self._dtype))
                self._pages[page] = self._spare.pop()
            _count(self._pages[page], low[starts[page] : starts[page + 1]])


def keys_of(values: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of the floats: float32 to uint32 ``(n,)``; -0 and +0 have one key."""
    values = values + np.float32(0)
    return values.view(np.uint32) ^ ((values.view(np.int32) >> 31).view(np.uint32) | _SIGN)


def values_of(keys: np.ndarray) -> np.ndarray:
    """The floats of these keys."""
    return np.where(keys < _SIGN, ~keys, keys ^ _SIGN).view(np.float32)


@njit(cache=True, nogil=True)
def _by_page(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the keys in their pages, page after page, uint16 ``(n,)``, and where each page starts."""
    starts = np.zeros(_PAGE + 1, np.int64)
    for key in keys:
        starts[(key >> 16) + 1] += 1
    for page in range(_PAGE):
        starts[page + 1] += starts[page]
    low, at = np.empty(len(keys), np.uint16), starts[:-1].copy()
    for key in keys:
        page = key >> 16
        low[at[page]] = key & (_PAGE - 1)
        at[page] += 1
    return low, starts


@njit(cache=True, nogil=True)
def _count(counts: np.ndarray, places: np.ndarray) -> None:
    """Add one to the counters at these places."""
    for place in places:
        counts[place] += 1
