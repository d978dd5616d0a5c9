"""How often each float32 value occurs among very many, in memory that depends on their range and not on their number.

Neighbouring values, 65,536 together, are a page. Values are brought into the order of their pages, in a thread of its
own while the caller prepares the next ones, and kept so, two bytes each. Only when they are more than :data:`KEPT` does
every value in the range get a counter.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numba import njit

from hw3lib.core.cores import threads

MOST = (1 << 32) - 1  # values that counters of 32 bits hold for certain
KEPT = 1 << 26  # values that are kept, in at most 134 MB
_PAGE = 1 << 16  # values
_CHUNK = 1 << 22  # values that are brought into order together: most pages then get many
_CHUNKS = 64  # that are kept, half a megabyte each for where its pages start
_SLAB = 64  # pages whose memory is asked for together: the system gives large blocks faster
_SIGN = np.uint32(1 << 31)
_THREADS = min(8, threads())


class Tally:
    """How often each float32 value occurred, given by its key (:func:`keys_of`)."""

    def __init__(self) -> None:
        self.total = 0
        # One chunk after the other, each in the order of pages: places in the page, and where in all each page starts.
        self._kept, self._end = np.empty(KEPT, np.uint16), 0  # the system gives memory only for what is written
        self._starts: list[np.ndarray] = []
        self._pages: dict[int, np.ndarray] = {}  # of counters, once there are more
        self._spare: list[np.ndarray] = []
        self._dtype: type = np.uint32
        self._keys = np.empty(_CHUNK, np.uint32)  # of values that wait
        self._waiting = 0
        self._other = np.empty(_CHUNK, np.uint32)  # that the worker looks at; then free again
        self._worker = ThreadPoolExecutor(1)
        self._working: Future[None] | None = None

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
        totals = np.zeros(_PAGE, np.int64)
        for starts in self._starts:
            totals += np.diff(starts)
        for page, counts in self._pages.items():
            totals[page] = counts.sum(dtype=np.int64)
        higher = totals[::-1].cumsum()[::-1] - totals  # values in higher pages
        places, starts = (keys & np.uint32(_PAGE - 1)).astype(np.uint16), np.stack(self._starts or [totals])
        pages, first = np.unique(keys >> np.uint32(16), return_index=True)
        last = np.append(first[1:], len(keys))
        above, equal = np.empty(len(keys), np.int64), np.zeros(len(keys), np.int64)
        if self._pages:
            empty: np.ndarray = np.zeros(_PAGE, self._dtype)
            for page, a, b in zip(pages.tolist(), first, last, strict=True):
                _rank(self._pages.get(page, empty), places[a:b], higher[page], above[a:b], equal[a:b])
            return above, equal
        shares = [slice(i, None, _THREADS) for i in range(_THREADS)]
        with ThreadPoolExecutor(_THREADS) as pool:
            done = [
                pool.submit(_rank_kept, self._kept, starts, pages[s], first[s], last[s], higher, places, above, equal)
                for s in shares
            ]
        for future in done:
            future.result()
        return above, equal

    def _hand_over(self) -> None:
        """Have counted what waits, once what was handed over before is counted."""
        self._wait()
        if self._waiting:
            keys, self._waiting = self._keys[: self._waiting], 0
            self._keys, self._other = self._other, self._keys
            self._working = self._worker.submit(self._take, keys, self.total)

    def _wait(self) -> None:
        if self._working is not None:
            self._working.result()

    def _take(self, keys: np.ndarray, total: int) -> None:
        """Keep these keys, or count them, of ``total`` so far."""
        end = self._end + len(keys)
        if end <= len(self._kept) and len(self._starts) < _CHUNKS:
            self._starts.append(self._end + _by_page(keys, self._kept[self._end : end]))
            self._end = end
            return
        for starts in self._starts:
            self._count(self._kept, starts, total)
        self._kept, self._end, self._starts = np.empty(0, np.uint16), 0, []
        places = np.empty(len(keys), np.uint16)
        self._count(places, _by_page(keys, places), total)

    def _count(self, places: np.ndarray, starts: np.ndarray, total: int) -> None:
        """Count page after page, so that the counters at work stay in the processor's cache."""
        if total > MOST and self._dtype is np.uint32:
            self._dtype, self._spare = np.int64, []
            self._pages = {page: counts.astype(np.int64) for page, counts in self._pages.items()}
        for page in np.flatnonzero(np.diff(starts)).tolist():
            if page not in self._pages:
                self._spare = self._spare or list(np.zeros((_SLAB, _PAGE), self._dtype))
                self._pages[page] = self._spare.pop()
            _add(self._pages[page], places[starts[page] : starts[page + 1]])


def keys_of(values: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of the floats: float32 to uint32 ``(n,)``; -0 and +0 have one key."""
    values = values + np.float32(0)
    return values.view(np.uint32) ^ ((values.view(np.int32) >> 31).view(np.uint32) | _SIGN)


def values_of(keys: np.ndarray) -> np.ndarray:
    """The floats of these keys."""
    return np.where(keys < _SIGN, ~keys, keys ^ _SIGN).view(np.float32)


@njit(cache=True, nogil=True)
def _by_page(keys: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Write the places of the keys in their pages, page after page, uint16 ``(n,)``; gives where each page starts."""
    starts = np.zeros(_PAGE + 1, np.int64)
    for key in keys:
        starts[(key >> 16) + 1] += 1
    for page in range(_PAGE):
        starts[page + 1] += starts[page]
    at = starts[:-1].copy()
    for key in keys:
        page = key >> 16
        places[at[page]] = key & (_PAGE - 1)
        at[page] += 1
    return starts


@njit(cache=True, nogil=True)
def _add(counts: np.ndarray, places: np.ndarray) -> None:
    """Add one to the counters at these places."""
    for place in places:
        counts[place] += 1


@njit(cache=True, nogil=True)
def _rank(counts: np.ndarray, places: np.ndarray, higher: int, above: np.ndarray, equal: np.ndarray) -> None:
    """How many values are above and on these places of a page, ascending, with ``higher`` values in pages above it."""
    end = _PAGE
    for i in range(len(places) - 1, -1, -1):
        place = places[i]
        for between in range(place + 1, end):
            higher += counts[between]
        above[i], equal[i], end = higher, counts[place], place
        higher += counts[place]


@njit(cache=True, nogil=True)
def _rank_kept(
    kept: np.ndarray,
    starts: np.ndarray,
    pages: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    higher: np.ndarray,
    places: np.ndarray,
    above: np.ndarray,
    equal: np.ndarray,
) -> None:
    """:func:`_rank` for some pages, counted from what is kept; of each, places ``first`` up to ``last`` are wanted."""
    counts = np.empty(_PAGE, np.uint32)
    for page, a, b in zip(pages, first, last):  # noqa: B905 (numba knows no strict)
        counts[:] = 0
        for chunk in range(len(starts)):
            _add(counts, kept[starts[chunk, page] : starts[chunk, page + 1]])
        _rank(counts, places[a:b], higher[page], above[a:b], equal[a:b])
