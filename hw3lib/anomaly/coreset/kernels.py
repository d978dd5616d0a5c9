"""The inner loops of the greedy coreset, compiled by numba; all of them release the interpreter's lock.

``squared[i]`` is the squared distance of vector i to its nearest settled centre, float32: exact (see
:func:`exact_distance`) where ``exact[i]``, otherwise within ``relative * squared[i] + TINY`` of it. ``nearest[i]`` is
the number of that centre among the picks.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SKETCH = 16  # main axes that are compared first: one cache line
BLOCK = 64  # terms summed before a distance is given up
TINY = 1e-36  # above whatever underflow can take from a sum of 10,000 squares
_FAST = {"reassoc", "contract", "nsz"}  # lets the compiler sum in vector lanes; rounding_bound() holds for any order


def rounding_bound(dim: int) -> float:
    """Relative error bound of :func:`_distance`: two roundings a term, then the sums (Higham 2002, section 3.1)."""
    return (min(dim, BLOCK) + dim / BLOCK + 6) * 2.0**-24


@njit(cache=True, nogil=True)
def exact_distance(vectors: np.ndarray, i: int, c: int) -> np.float32:
    """Squared distance of two rows in float64, summed from the first component to the last, then rounded to float32."""
    total = 0.0
    for j in range(vectors.shape[1]):
        difference = np.float64(vectors[i, j]) - np.float64(vectors[c, j])
        total += difference * difference
    return np.float32(total)


@njit(cache=True, nogil=True, fastmath=_FAST)
def _distance(vectors: np.ndarray, i: int, c: int, limit: np.float32) -> np.float32:
    """Squared distance of two rows in float32; it stops at the first block where it exceeds the limit."""
    total = np.float32(0)
    whole = vectors.shape[1] // BLOCK * BLOCK
    for start in range(0, whole, BLOCK):
        part = np.float32(0)
        for j in range(start, start + BLOCK):
            difference = vectors[i, j] - vectors[c, j]
            part += difference * difference
        total += part
        if total > limit:
            return total
    part = np.float32(0)
    for j in range(whole, vectors.shape[1]):
        difference = vectors[i, j] - vectors[c, j]
        part += difference * difference
    return total + part


@njit(cache=True, nogil=True, inline="always")
def _upper(squared, exact, relative):
    return squared if exact else squared * (1 + relative) + TINY


@njit(cache=True, nogil=True, fastmath=_FAST)
def _sketch_distance(sketch: np.ndarray, i: int, c: int) -> np.float32:
    total = np.float32(0)
    for j in range(SKETCH):
        difference = sketch[i, j] - sketch[c, j]
        total += difference * difference
    return total


@njit(cache=True, nogil=True)
def _reach(squared, exact, relative, blur):
    """Squared distance of sketches above which a centre cannot be nearer than ``squared``."""
    return (math.sqrt(_upper(squared, exact, relative)) * (1 + 4 * relative) + blur) ** 2 * (1 + 1e-5)


@njit(cache=True, nogil=True)
def _offer(vectors, i, picks, slot, squared, nearest, exact, relative):
    """Let vector i have the centre ``picks[slot]`` if it is nearer; what float32 cannot tell float64 does."""
    centre = picks[slot]
    limit = _upper(squared[i], exact[i], relative) * (1 + 2 * relative) + 2 * TINY
    found = _distance(vectors, i, centre, np.float32(limit))
    if found > limit:
        return False
    lowest = squared[i] if exact[i] else squared[i] * (1 - relative) - TINY
    if found * (1 + relative) + TINY < lowest:
        squared[i], nearest[i], exact[i] = found, slot, False
        return True
    if not exact[i]:
        squared[i], exact[i] = exact_distance(vectors, i, picks[nearest[i]]), True
    found = exact_distance(vectors, i, centre)
    if found < squared[i]:
        squared[i], nearest[i] = found, slot
        return True
    return False


@njit(cache=True, nogil=True)
def furthest(vectors, rows, picks, squared, nearest, exact, relative):
    """Position in ``rows`` (ascending) of the vector with the largest exact distance, the first of equals."""
    top = np.float32(-1)
    for row in rows:
        if squared[row] > top:
            top = squared[row]
    close = top * (1 - 4 * relative) - 4 * TINY
    best, value = 0, np.float32(-1)
    for k in range(rows.shape[0]):
        row = rows[k]
        if squared[row] < close:
            continue
        if not exact[row]:
            squared[row], exact[row] = exact_distance(vectors, row, picks[nearest[row]]), True
        if squared[row] > value:
            best, value = k, squared[row]
    return best


@njit(cache=True, nogil=True)
def pick(vectors, sketch, blur, rows, outside, picks, radii, first, stop, squared, nearest, exact, relative):
    """Pick from the candidates for as long as none of the other vectors can be further.

    Args:
        rows: the candidates, ascending. Their distances are kept up to date until they fall below ``outside``; then
            they leave, and the array is overwritten.
        outside: upper bound of every other vector's squared distance; negative if there is none.
        picks, radii: filled from ``first`` on, at most to ``stop``; ``radii`` holds the squared distance of each pick.

    Returns:
        Number of picks in all, of candidates left, and of distances computed.
    """
    count, left, computed = first, rows.shape[0], 0
    while count < stop and left > 0:
        row = rows[furthest(vectors, rows[:left], picks, squared, nearest, exact, relative)]
        if squared[row] <= outside or squared[row] == 0:
            break
        picks[count], radii[count] = row, squared[row]
        computed += left
        kept = 0
        for k in range(left):
            other = rows[k]
            reach = _reach(squared[other], exact[other], relative, blur)
            if _sketch_distance(sketch, other, row) <= reach:
                _offer(vectors, other, picks, count, squared, nearest, exact, relative)
            if squared[other] > 0 and _upper(squared[other], exact[other], relative) > outside:
                rows[kept] = other
                kept += 1
        left = kept
        count += 1
    return count, left, computed


@njit(cache=True, nogil=True)
def cluster_radii(squared, nearest, exact, count, relative):
    """Largest distance (not squared, an upper bound) of the vectors of each of ``count`` centres; 0 if it has none."""
    result = np.zeros(count, np.float32)
    for i in range(squared.shape[0]):
        value = np.float32(_upper(squared[i], exact[i], relative))
        if value > result[nearest[i]]:
            result[nearest[i]] = value
    return np.sqrt(result) * np.float32(1 + 1e-6)


@njit(cache=True, nogil=True)
def near_lists(lowest, radii):
    """Of each centre, the new ones that can take a vector from it, nearest first.

    Args:
        lowest: lower bound of the distance of each centre (row), the new ones included, to each new one, float32.
        radii: see :func:`cluster_radii`.

    Returns:
        ``starts`` (one more than there are centres), ``slots`` and ``bounds``: the list of centre c is
        ``slots[starts[c]:starts[c + 1]]``, and ``bounds`` what ``lowest`` says of each.
    """
    centres, new = lowest.shape
    starts = np.zeros(centres + 1, np.int64)
    for c in range(centres):
        limit = 2 * radii[c]
        count = 0
        for p in range(new):
            count += lowest[c, p] < limit
        starts[c + 1] = starts[c] + count
    slots = np.empty(starts[centres], np.int32)
    bounds = np.empty(starts[centres], np.float32)
    for c in range(centres):
        limit = 2 * radii[c]
        at = starts[c]
        if starts[c + 1] == at:
            continue
        for p in range(new):
            if lowest[c, p] < limit:
                slots[at], bounds[at] = p, lowest[c, p]
                at += 1
        order = np.argsort(bounds[starts[c] : at])
        slots[starts[c] : at] = slots[starts[c] : at][order]
        bounds[starts[c] : at] = bounds[starts[c] : at][order]
    return starts, slots, bounds


@njit(cache=True, nogil=True)
def settle_pruned(
    vectors, sketch, blur, begin, end, picks, settled, starts, slots, bounds, squared, nearest, exact, relative
):
    """Settle the new centres for vectors ``begin`` to ``end``; gives the number of distances computed.

    A new centre p is not compared with x, whose centre is c, if d(c, p) >= d(x, c) + d(x, nearest so far): then
    d(x, p) >= d(c, p) - d(x, c) is no smaller than what x has.
    """
    computed = 0
    for i in range(begin, end):
        if squared[i] == 0:
            continue
        c = nearest[i]
        before = math.sqrt(_upper(squared[i], exact[i], relative)) * (1 + 1e-6)
        now, reach = before, _reach(squared[i], exact[i], relative, blur)
        for k in range(starts[c], starts[c + 1]):
            if bounds[k] >= before + now:
                break
            computed += 1
            slot = settled + slots[k]
            if _sketch_distance(sketch, i, picks[slot]) > reach:
                continue
            if _offer(vectors, i, picks, slot, squared, nearest, exact, relative):
                now = math.sqrt(_upper(squared[i], exact[i], relative)) * (1 + 1e-6)
                reach = _reach(squared[i], exact[i], relative, blur)
    return computed


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _row_minimum(row):
    lowest = row[0]
    for p in range(row.shape[0]):
        lowest = min(lowest, row[p])
    return lowest


@njit(cache=True, nogil=True)
def settle_tile(vectors, begin, tile, norms, slack, picks, settled, squared, nearest, exact, relative):
    """Settle the new centres for the vectors from ``begin`` on, of which a matrix product gave rough distances.

    Args:
        tile: ``|c|^2 - 2 x.c`` of each vector (row) and new centre (column).
        norms: ``|x|^2`` of these vectors.
        slack: bound on the error of ``tile + norms``, one a vector.
    """
    for r in range(tile.shape[0]):
        i = begin + r
        if squared[i] == 0:
            continue
        shift = norms[r] - slack[r]
        if _row_minimum(tile[r]) + shift > _upper(squared[i], exact[i], relative):
            continue
        p = np.argmin(tile[r])
        _offer(vectors, i, picks, settled + p, squared, nearest, exact, relative)
        limit = _upper(squared[i], exact[i], relative) - shift
        for q in range(tile.shape[1]):
            if (
                tile[r, q] <= limit
                and q != p
                and _offer(vectors, i, picks, settled + q, squared, nearest, exact, relative)
            ):
                limit = _upper(squared[i], exact[i], relative) - shift
