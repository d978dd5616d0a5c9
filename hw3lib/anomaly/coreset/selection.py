"""Farthest-first traversal, one block of picks at a time; :mod:`.greedy` says how and why it is exact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from sklearn.utils.extmath import randomized_range_finder
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from . import kernels

_ROWS = 1024  # vectors of one matrix product
_PENDING = 512  # picks settled together at most
_LEAST = 256  # candidates
_SAMPLE = 2048  # vectors that tell the main axes
_ASKED = 512  # vectors that tell how many pairs the triangle inequality leaves
_PRODUCT_COST = 0.2  # of a distance in a matrix product, where one alone costs 1
_PRUNE_BELOW = 0.4  # share of the pairs; a distance alone costs more than one in a matrix product


def working_memory(count: int, dim: int, size: int) -> int:
    """Bytes that a :class:`Selection` takes at most besides the vectors."""
    each = 4 + 4 + 1 + 4 + 4 * kernels.SKETCH + 3 * 8  # distance, nearest, exact, norm, sketch, positions
    pending = min(_PENDING, size)
    picks = 2 * 4 * dim + 12 + 2 * 4 * pending + 8 * pending  # centred, twice; distances between centres, and lists
    sample = 2 * 8 * min(count, 2 * _SAMPLE) * dim
    tiles = min(count, 16 * _ROWS) * (4 * pending + 20 * dim)  # of so many threads
    return count * each + size * picks + sample + tiles


class Selection:
    """The picks made so far and what is known of every vector's distance to them; see :mod:`.kernels`."""

    def __init__(
        self, vectors: np.ndarray, size: int, start: int, threads: int | None, known: np.ndarray | None = None
    ):
        count, dim = vectors.shape
        self.vectors, self.size = vectors, size
        self.threads = threads or torch.get_num_threads()
        self.relative = kernels.rounding_bound(dim)
        self.squared = np.full(count, np.inf, np.float32)
        self.nearest = np.zeros(count, np.int32)
        self.exact = np.zeros(count, np.bool_)
        self.goes_on = known is not None  # from centres that are not among the vectors
        if known is not None:
            self.squared[:], self.exact[:] = np.square(known, dtype=np.float64), True
        self.picks = np.empty(size, np.int64)
        self.radii = np.empty(size, np.float32)  # squared; while picking, of each pick before it was one
        # Rough distances lose less where the mean is the origin; the others do not need it.
        self.mean = vectors.mean(0, dtype=np.float64).astype(np.float32)
        self.norms = np.empty(count, np.float32)
        self.centres = np.empty((size, dim), np.float32)  # centred
        self.picks[0] = start
        self.done = 1  # picks
        self.settled = 0  # of these, the ones that every vector has been compared with
        self.candidates = min(count, max(_LEAST, count // 32))
        self.computed = 0

    def _describe(self, pool: ThreadPoolExecutor) -> None:
        """Coordinates of the vectors on their main axes, and how far these can be off in a distance."""
        self.sketch = np.zeros((len(self.vectors), kernels.SKETCH), np.float32)
        sample = (self.vectors[:: max(1, len(self.vectors) // _SAMPLE)] - self.mean).astype(np.float64)
        # Any orthonormal directions do; near the principal ones they rule out most.
        size = min(kernels.SKETCH, *sample.shape)
        axes = randomized_range_finder(sample.T, size=size, n_iter=2, random_state=0)

        def project(rows: slice) -> None:
            part = (self.vectors[rows] - self.mean).astype(np.float64)
            self.norms[rows] = np.einsum("ij,ij->i", part, part)
            self.sketch[rows, : axes.shape[1]] = part @ axes

        list(pool.map(project, self._tiles()))
        self.blur = 2.0**-20 * float(np.sqrt(self.norms.max()))

    @property
    def compared(self) -> float:
        return self.computed / (len(self.vectors) * self.size)

    @property
    def distances(self) -> np.ndarray:
        """Upper bound of each vector's distance to its nearest pick, float64 ``(N,)``, above it by rounding only."""
        return np.sqrt(self.squared.astype(np.float64) * (1 + self.relative) + kernels.TINY * (self.squared > 0))

    def run(self, progress: bool = False) -> None:
        """Make all picks: ``picks``, squared ``radii`` and, of each vector, ``nearest`` (a pick's number) are final."""
        count = len(self.vectors)
        everything = np.arange(count)
        state = (self.squared, self.nearest, self.exact, self.relative)
        bar = tqdm(total=self.size, desc="coreset", unit="pick", disable=not progress)
        with ThreadPoolExecutor(self.threads) as pool, threadpool_limits(1, user_api="blas"), bar:
            self._describe(pool)
            while True:
                settling = self._settle(pool)
                bar.update(self.done - bar.n)
                if self.done == self.size:
                    break
                rows, outside = self._choose_candidates()
                first, stop = self.done, min(self.size, self.done + _PENDING)
                self.done, left, picking = kernels.pick(
                    self.vectors, self.sketch, self.blur, rows, outside, self.picks, self.radii, first, stop, *state
                )
                self.computed += picking
                if self.done == first:  # too close to call among the candidates alone
                    row = everything[kernels.furthest(self.vectors, everything, self.picks, *state)]
                    if self.squared[row] == 0:  # what is left repeats the picks
                        self._fill_up()
                        bar.update(self.size - bar.n)
                        break
                    self.picks[first], self.radii[first] = row, self.squared[row]
                    self.done += 1
                elif self.done == stop:
                    self.candidates = max(min(_LEAST, count), self.candidates - left)
                elif picking < settling / 2:  # the work is least where both kinds cost about the same
                    self.candidates = min(2 * self.candidates, max(_LEAST, count // 4))
                elif picking > 2 * settling:
                    self.candidates = max(self.candidates // 2, min(_LEAST, count))
            # A pick's distance when it was picked is the radius of those before it.
            last = kernels.furthest(self.vectors, everything, self.picks, *state)
            self.radii = np.append(self.radii[1:], self.squared[last])

    def _fill_up(self) -> None:
        left = np.ones(len(self.vectors), bool)
        left[self.picks[: self.done]] = False
        self.picks[self.done :] = np.flatnonzero(left)[: self.size - self.done]
        self.radii[self.done :] = 0

    def _choose_candidates(self) -> tuple[np.ndarray, float]:
        """Positions of the vectors that seem furthest, ascending, and an upper bound for all others."""
        count, keep = len(self.vectors), self.candidates
        if keep >= count:
            return np.arange(count), -1.0
        order = np.argpartition(self.squared, count - keep - 1)
        bound = float(self.squared[order[count - keep - 1]]) * (1 + self.relative) + kernels.TINY
        return np.sort(order[count - keep :]), bound

    def _tiles(self) -> list[slice]:
        return [slice(begin, begin + _ROWS) for begin in range(0, len(self.vectors), _ROWS)]

    def _settle(self, pool: ThreadPoolExecutor) -> float:
        """Compare every vector with the picks that are not settled yet; gives the cost, in distances one by one."""
        new = slice(self.settled, self.done)
        np.subtract(self.vectors[self.picks[new]], self.mean, out=self.centres[new])
        pairs = len(self.vectors) * (self.done - self.settled)
        # The triangle inequality would need the centres from which it goes on.
        computed = self._settle_pruned(pool) if self.settled and not self.goes_on else None
        if computed is None:
            self._settle_all(pool)
        self.computed += pairs if computed is None else computed
        self.settled = self.done
        return _PRODUCT_COST * pairs if computed is None else computed

    def _settle_pruned(self, pool: ThreadPoolExecutor) -> int | None:
        """Settle what the triangle inequality leaves; gives the number of distances, None if it leaves too much."""
        if self._share_left() > _PRUNE_BELOW:
            return None
        state = (self.squared, self.nearest, self.exact)
        radii = kernels.cluster_radii(*state, self.done, self.relative)
        starts, slots, bounds = kernels.near_lists(self._lowest_distances(np.arange(self.done)), radii)

        def settle(rows: slice) -> int:
            return kernels.settle_pruned(
                self.vectors, self.sketch, self.blur, rows.start, min(rows.stop, len(self.vectors)), self.picks,
                self.settled, starts, slots, bounds, *state, self.relative,
            )  # fmt: skip

        return sum(pool.map(settle, self._tiles())) + self.done * (self.done - self.settled)

    def _share_left(self) -> float:
        """Share of the pairs of vectors and new centres that the triangle inequality leaves, in a sample."""
        sample = slice(None, None, max(1, len(self.vectors) // _ASKED))
        return float(np.mean(self._lowest_distances(self.nearest[sample]) < 2 * np.sqrt(self.squared[sample])[:, None]))

    def _lowest_distances(self, slots: np.ndarray) -> np.ndarray:
        """Lower bounds of the distances of centres, by their numbers (rows), to all new ones, float32."""
        squares = self.norms[self.picks[slots]]
        new = self.norms[self.picks[self.settled : self.done]]
        lowest = self.centres[slots] @ self.centres[self.settled : self.done].T
        lowest *= -2
        lowest += new
        lowest += (squares - self._slack(squares, new.max()))[:, None]
        np.maximum(lowest, 0, out=lowest)
        np.sqrt(lowest, out=lowest)
        lowest *= np.float32(1 - 1e-6)
        return lowest

    def _slack(self, squares: np.ndarray, largest: float) -> np.ndarray:
        """Bound on the error of ``|x|^2 + |c|^2 - 2 x.c`` in float32, for any order of the sums (Higham 2002, 3.1)."""
        unit = 2.0**-24
        dot = (self.vectors.shape[1] + 2) * unit * 1.01
        x, c = np.sqrt(squares, dtype=np.float64) * (1 + 1e-6), float(largest) ** 0.5 * (1 + 1e-6)
        return (2 * dot * x * c + 8 * unit * (x + c) ** 2 + kernels.TINY).astype(np.float32) * np.float32(1 + 1e-6)

    def _settle_all(self, pool: ThreadPoolExecutor) -> None:
        new = self.centres[self.settled : self.done]
        twice = np.ascontiguousarray(-2 * new.T)
        squares = self.norms[self.picks[self.settled : self.done]]
        largest = squares.max()

        def settle(rows: slice) -> None:
            tile = (self.vectors[rows] - self.mean) @ twice
            tile += squares
            norms = self.norms[rows]
            kernels.settle_tile(
                self.vectors, rows.start, tile, norms, self._slack(norms, largest), self.picks, self.settled,
                self.squared, self.nearest, self.exact, self.relative,
            )  # fmt: skip

        list(pool.map(settle, self._tiles()))
