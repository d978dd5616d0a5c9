"""Nearest vectors of a memory bank, exact, by matrix products.

``|x - c|^2 = |x|^2 + |c|^2 - 2 x.c`` turns the search into a matrix product, which rounds: near neighbours of long
vectors lose most of their digits. Here it only rules out. With a bound on its error (Higham 2002, Accuracy and
Stability of Numerical Algorithms, section 3.1) every vector that may be among the nearest stays, and of these the
distances are computed from the differences in float64.
"""

from __future__ import annotations

import numpy as np
import torch

from hw3lib.errors import Hw3Error

_TILE = 2**26  # bytes of one block of rough distances; with few rows the product is slower
_PAIRS = 2**26  # bytes of the differences looked at together
_COLUMNS = 128  # vectors of the bank that share one minimum
_UNIT = 2.0**-24
_LARGEST = 1e15  # squares of larger values could overflow float32 in the sum
# What torch may do to the factors of a float32 product: nothing, TF32, bfloat16.
_FACTOR = {"highest": 0.0, "high": 2.0**-10, "medium": 2.0**-8}


class NearestNeighbours:
    """The nearest vectors of a bank by Euclidean distance.

    Args:
        bank: float32 ``(M, D)``, an array or a tensor; queries are answered on its device.

    Raises:
        Hw3Error: not two-dimensional, empty, NaN, infinite or above 1e15.
    """

    def __init__(self, bank: torch.Tensor | np.ndarray):
        self.bank = _as_tensor(bank, "bank").contiguous()
        self._mean = self.bank.mean(0, dtype=torch.float64).float()  # rough distances lose less around the mean
        columns = -len(self.bank) % _COLUMNS
        centred = torch.nn.functional.pad(self.bank - self._mean, (0, 0, 0, columns))
        squares = centred.double().square().sum(1).float()
        self._largest = float(squares.max()) ** 0.5
        squares[len(self.bank) :] = torch.inf  # columns that only fill up
        # One column more holds the squares: the product adds them, where adding them first is another pass.
        self._factors = torch.cat([centred.mul_(-2), squares[:, None]], 1).T.contiguous()

    def query(self, x: torch.Tensor | np.ndarray, k: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """The k nearest vectors of each query, nearest first; of equally near ones the lower index comes first.

        Args:
            x: float32 ``(n, D)``.
            k: 1 to M.

        Returns:
            Distances float32 ``(n, k)``, within 1e-6 of the exact ones (relative), and indices int64 ``(n, k)``, on
            the bank's device.

        Raises:
            Hw3Error: another number of dimensions, values as above, or ``k`` out of range.
        """
        x = _as_tensor(x, "x", empty=True).to(self.bank.device)
        if x.shape[1] != self.bank.shape[1]:
            raise Hw3Error(f"x: found {x.shape[1]} dimensions, expected {self.bank.shape[1]} as the bank has")
        if not 1 <= k <= len(self.bank):
            raise Hw3Error(f"k={k}: the bank holds {len(self.bank)} vectors; expected 1 to {len(self.bank)}")
        distances = torch.empty(len(x), k, dtype=torch.float32, device=x.device)
        indices = torch.empty(len(x), k, dtype=torch.int64, device=x.device)
        vectors = self._factors.shape[1]
        tile = torch.empty(min(len(x), max(1, _TILE // (4 * vectors))), vectors, device=x.device)
        for begin in range(0, len(x), max(1, len(tile))):
            part = slice(begin, begin + len(tile))
            distances[part], indices[part] = self._query(x[part], k, tile)
        return distances, indices

    def _query(self, x: torch.Tensor, k: int, tile: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        row, column = self._candidates(x, k, tile)
        exact = torch.empty(len(row), dtype=torch.float64, device=x.device)
        for part in torch.arange(len(row), device=x.device).split(max(1, _PAIRS // (8 * x.shape[1]))):
            difference = x[row[part]].double() - self.bank[column[part]].double()
            exact[part] = difference.square_().sum(1)
        # Stable sorts, the last key first: by query, then distance, then index, in which order they came.
        order = exact.argsort(stable=True)
        order = order[row[order].argsort(stable=True)]
        counts = torch.bincount(row, minlength=len(x))
        first = counts.cumsum(0) - counts
        chosen = order[first[:, None] + torch.arange(k, device=x.device)]
        return exact[chosen].sqrt().float(), column[chosen]

    def _candidates(self, x: torch.Tensor, k: int, tile: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pairs of query and vector among which the k nearest of each query are, by query, then by vector."""
        centred = x - self._mean
        ones = centred.new_ones(len(x), 1)
        rough = torch.mm(torch.cat([centred, ones], 1), self._factors, out=tile[: len(x)]).view(len(x), -1, _COLUMNS)
        lowest = rough.amin(2)
        # k different vectors are no further than the k-th smallest minimum, or, of a bank with fewer minima than that,
        # than the k-th smallest distance.
        smallest = lowest if k <= lowest.shape[1] else rough.flatten(1)
        limit = (smallest.amin(1) if k == 1 else smallest.kthvalue(k, dim=1).values) + 2 * self._slack(centred)
        row, block = (lowest <= limit[:, None]).nonzero(as_tuple=True)
        pair, inside = (rough[row, block] <= limit[row][:, None]).nonzero(as_tuple=True)
        row, column = row[pair], block[pair] * _COLUMNS + inside
        real = column < len(self.bank)
        return row[real], column[real]

    def _slack(self, centred: torch.Tensor) -> torch.Tensor:
        """Bound on the error of a rough distance, one a query, float32."""
        x = centred.double().square().sum(1).sqrt()
        factor = _FACTOR[torch.get_float32_matmul_precision()]
        dot = (centred.shape[1] + 3) * _UNIT * 1.01 + 2 * factor + factor**2
        products = self._largest * (2 * x + self._largest)
        return ((dot * products + 8 * _UNIT * (x + self._largest) ** 2) * 1.00001 + 1e-36).float()


def _as_tensor(vectors: torch.Tensor | np.ndarray, name: str, empty: bool = False) -> torch.Tensor:
    vectors = torch.as_tensor(vectors).detach().float()
    if vectors.ndim != 2 or vectors.shape[1] == 0 or (len(vectors) == 0 and not empty):
        raise Hw3Error(f"{name}: found the shape {tuple(vectors.shape)}, expected (n, D), both at least 1")
    fit = (vectors.abs() <= _LARGEST).all(1)
    if not fit.all():
        bad = (~fit).nonzero()
        raise Hw3Error(
            f"{name}: {len(bad)} of {len(vectors)} vectors hold NaN, infinity or values above {_LARGEST:g}, the first "
            f"at position {int(bad[0])}; expected finite features: look for damaged images or a network that diverged"
        )
    return vectors
