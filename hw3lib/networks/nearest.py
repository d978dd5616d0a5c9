"""Nearest vectors of a memory bank, exact, by matrix products.

``|x - c|^2 = |x|^2 + |c|^2 - 2 x.c`` turns the search into a matrix product, which rounds: near neighbours of long
vectors lose most of their digits. Here it only rules out. With a bound on its error (Higham 2002, Accuracy and
Stability of Numerical Algorithms, section 3.1) every vector that may be among the nearest stays, and of these the
distances are computed from the differences in float64. As it only rules out, it may be coarse: processors that multiply
bfloat16 several times faster than float32 do so, and what that costs in digits is in the bound.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import torch

from hw3lib.errors import Hw3Error

from .devices import has_float64

# Bytes of the rough distances that are looked at together. The C library takes what is below 32 MB from memory that was
# freed; more comes from the system, which clears it every time, and that takes longer than the product.
_TILE = 3 * 2**23
_PAIRS = 2**26  # bytes of the differences looked at together
_ROWS = 2**14  # vectors that are turned to float64 together
_TOGETHER = 64  # vectors of the bank that share one minimum
_MANY = 32  # candidates for each neighbour that is looked for: with more, a finer product takes less time in all
_TERMS = 3  # that a squared length is the sum of: three of bfloat16 hold as many digits as one float32
_UNIT = 2.0**-24
_LARGEST = 1e15  # squares of larger values could overflow float32 in the sum
# What torch may do to the factors of a float32 product: nothing, TF32, bfloat16. Names of its older setting, and newer.
_FACTOR = {"highest": 0.0, "high": 2.0**-10, "medium": 2.0**-8}
_FACTOR |= {"none": 0.0, "ieee": 0.0, "tf32": 2.0**-10, "bf16": 2.0**-8}
# What is left of a product when it is stored, relative, whichever way it is rounded; of float32 that is in the bound.
_STORED = {torch.float32: 0.0, torch.bfloat16: 2.0**-8}


class NearestNeighbours:
    """The nearest vectors of a bank by Euclidean distance.

    Args:
        bank: float32 ``(M, D)``, an array or a tensor; queries are answered on its device. Where that has no float64
            (Apple's MPS), a copy of the bank on the CPU is searched, with the same result.

    Raises:
        Hw3Error: not two-dimensional, empty, NaN, infinite or above 1e15.

    Attributes:
        owners: whom each vector belongs to, int64 ``(M,)``, for queries without an owner's vectors; or None.
    """

    def __init__(self, bank: torch.Tensor | np.ndarray):
        bank = _as_tensor(bank, "bank").contiguous()
        self._device = bank.device
        self.owners: torch.Tensor | None = None
        self.bank = bank if has_float64(bank.device) else bank.cpu()
        self._mean = self.bank.mean(0, dtype=torch.float64).float()  # rough distances lose less around the mean
        coarse = self.bank.device.type == "cpu" and _bfloat16_pays()
        self._coarse = RoughDistances(self.bank - self._mean, torch.bfloat16) if coarse else None

    @cached_property
    def _fine(self) -> RoughDistances:
        return RoughDistances(self.bank - self._mean, torch.float32)

    def query(
        self, x: torch.Tensor | np.ndarray, k: int = 1, without: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The k nearest vectors of each query, nearest first; of equally near ones the lower index comes first.

        Args:
            x: float32 ``(n, D)``.
            k: 1 to M, or to as many as are left of each query.
            without: the owner of each query, int64 ``(n,)``, whose vectors do not count, see :attr:`owners`.

        Returns:
            Distances float32 ``(n, k)``, within 1e-6 of the exact ones (relative), and indices int64 ``(n, k)``, on
            the device of the bank that was given.

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
        element = 4 if self._coarse is None else 2
        step = max(1, _TILE // (element * len(self.bank)) // 16 * 16)  # products of odd sizes are slower
        for begin in range(0, len(x), step):
            part = slice(begin, begin + step)
            distances[part], indices[part] = self._query(x[part], k, self._masked(without, part))
        return distances.to(self._device), indices.to(self._device)

    def _masked(self, without: torch.Tensor | None, part: slice) -> torch.Tensor | None:
        """Which vectors do not count for which queries, bool ``(M, n)``."""
        if without is None or self.owners is None:
            return None
        owners = self.owners.to(self.bank.device)
        return owners[:, None] == without[part].to(owners.device)

    def _query(self, x: torch.Tensor, k: int, masked: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        centred = x - self._mean
        found = None
        if self._coarse is not None:
            found = self._coarse.candidates(centred, k, _MANY * k * len(x), masked=masked)
        found = found or self._fine.candidates(centred, k, masked=masked)
        assert found is not None  # as there is no limit on their number
        row, column = found
        exact = torch.empty(len(row), dtype=torch.float64, device=x.device)
        for part in torch.arange(len(row), device=x.device).split(max(1, _PAIRS // (8 * x.shape[1]))):
            difference = x[row[part]].double() - self.bank[column[part]].double()
            exact[part] = difference.square_().sum(1)
        # Stable sorts, the last key first: by query, then distance, then index.
        order = column.argsort(stable=True)
        order = order[exact[order].argsort(stable=True)]
        order = order[row[order].argsort(stable=True)]
        counts = torch.bincount(row, minlength=len(x))
        first = counts.cumsum(0) - counts
        chosen = order[first[:, None] + torch.arange(k, device=x.device)]
        return exact[chosen].sqrt().float(), column[chosen]


class Rounded(NamedTuple):
    """Vectors in a type, ``(n, D)``.

    Attributes:
        squares: of their lengths there, float64 ``(n,)``.
        lost: lengths of what rounding took, float64 ``(n,)``.
    """

    vectors: torch.Tensor
    squares: torch.Tensor
    lost: torch.Tensor

    @classmethod
    def to(cls, vectors: torch.Tensor, dtype: torch.dtype) -> Rounded:
        rounded = vectors.to(dtype)
        squares, lost = torch.empty(2, len(vectors), dtype=torch.float64, device=vectors.device)
        for begin in range(0, len(vectors), _ROWS):
            part = slice(begin, begin + _ROWS)
            exact = rounded[part].double()
            squares[part] = exact.square().sum(1)
            lost[part] = (vectors[part].double() - exact).square_().sum(1).sqrt()
        return cls(rounded, squares, lost)


class RoughDistances:
    """Squared distances from a bank by one product of matrices of a type, and how wrong they can be.

    Args:
        bank: float32 ``(M, D)``, around 0.
        dtype: float32 or bfloat16.
    """

    def __init__(self, bank: torch.Tensor, dtype: torch.dtype):
        self.count, self.dtype = len(bank), dtype
        rounded, squares, lost = Rounded.to(bank, dtype)
        self._largest, self._lost = squares.max().sqrt(), lost.max()
        dim = bank.shape[1]
        rows = -(-len(bank) // _TOGETHER) * _TOGETHER
        self._factors = rounded.new_zeros(rows, dim + 2 * _TERMS)
        torch.mul(rounded, -2, out=self._factors[: len(bank), :dim])
        self._factors[: len(bank), dim:-_TERMS] = 1
        self._factors[: len(bank), -_TERMS:] = _terms(squares, dtype)
        self._factors[len(bank) :, -_TERMS] = torch.inf  # rows that only fill up are infinitely far

    def __call__(self, queries: Rounded) -> torch.Tensor:
        """Of n centred queries: ``(M, n)``, and some more rows of infinity."""
        terms = _terms(queries.squares, self.dtype)
        return self._factors @ torch.cat([queries.vectors, terms, torch.ones_like(terms)], 1).T

    def candidates(
        self, x: torch.Tensor, k: int, most: int | None = None, masked: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Pairs of query and vector among which the k nearest of each query are; None where they are above ``most``.

        Vectors that are masked, bool ``(M, n)``, are infinitely far; k or more are to be left of each query.
        """
        queries = Rounded.to(x, self.dtype)
        rough = self(queries)
        if masked is not None:
            rough[: self.count].masked_fill_(masked, torch.inf)
        blocks = rough.view(-1, _TOGETHER, len(x))
        if self.dtype is torch.bfloat16:
            # As integers they are in the same order, and compared faster. Of values below 0, which rounding can give,
            # not the lowest is found, but one of them: as every bound is above 0, that will do.
            lowest = blocks.view(torch.int16).amin(1).view(torch.bfloat16)
        else:
            lowest = blocks.amin(1)
        # k different vectors are no further than the k-th smallest minimum, or, of a bank with fewer minima than that,
        # than the k-th smallest distance.
        smallest = (lowest if k <= len(lowest) else rough).float()
        reached = smallest.amin(0) if k == 1 else smallest.kthvalue(k, dim=0).values
        limit = self.limit(queries, reached)
        block, row = (lowest.float() <= limit).nonzero(as_tuple=True)
        if most is not None and len(row) > most:
            return None
        pair, inside = (blocks[block, :, row].float() <= limit[row][:, None]).nonzero(as_tuple=True)
        row, column = row[pair], block[pair] * _TOGETHER + inside
        if most is not None and len(row) > most:
            return None
        real = column < self.count
        return row[real], column[real]

    def limit(self, queries: Rounded, reached: torch.Tensor) -> torch.Tensor:
        """The largest rough value that a vector can have which is as near as one whose rough value is ``reached``.

        Args:
            queries: centred.
            reached: float32 ``(n,)``.

        Returns:
            float32 ``(n,)``.
        """
        length, stored = queries.squares.sqrt(), _STORED[self.dtype]
        slack = product_slack(length, self._largest, self._factors.shape[1])
        # By the triangle inequality rounded vectors are as far apart as the true ones, but for what rounding took, and
        # for what centring took before it.
        apart = 1.001 * (queries.lost + self._lost) + 2 * _UNIT * (length + self._largest)
        furthest = ((reached.double().clamp(min=0) + slack) / (1 - stored)).sqrt() + 2 * apart
        return ((furthest.square() * (1 + stored) + slack) * (1 + 4 * _UNIT)).float()


def product_slack(length: torch.Tensor, largest: torch.Tensor | float, terms: int) -> torch.Tensor:
    """Bound on what the sum of ``terms`` products is off that gives the squared distance of two vectors.

    Args:
        length: of queries, float64 ``(n,)``.
        largest: length of a vector of the bank.
        terms: of the sum.

    Returns:
        float64 ``(n,)``.
    """
    factor = max(_FACTOR[name] for name in _precisions())
    share = (terms + 3) * _UNIT * 1.01 + 2 * factor + factor**2
    return share * (length + largest) ** 2 * 1.00001 + 1e-36


def _precisions() -> Iterator[str]:
    """How float32 products may be computed: torch's setting for all processors, and those for one that it has."""
    with suppress(RuntimeError):  # torch refuses to say once a newer setting, of torch 2.9, was made
        yield torch.get_float32_matmul_precision()
    for backend in (torch.backends.cuda, torch.backends.mkldnn):
        with suppress(AttributeError):  # an older torch
            yield backend.matmul.fp32_precision


def _terms(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Columns of a type whose sum is a value, float64 ``(n,)``, to :data:`_TERMS` times the type's digits."""
    columns = []
    for _ in range(_TERMS):
        columns.append(values.to(dtype))
        values = values - columns[-1].double()
    return torch.stack(columns, 1)


@cache
def _bfloat16_pays() -> bool:
    """Whether this processor multiplies bfloat16 at least twice as fast as float32, and adds up in float32.

    Tried once, in some hundredths of a second; either way the search finds the same.
    """
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(n, 160, generator=generator).bfloat16() for n in (2048, 512))
    seconds = {}
    for dtype in _STORED:
        a, b = one.to(dtype), other.to(dtype).T
        took = []
        for _ in range(4):
            start = time.perf_counter()
            product = a @ b
            took.append(time.perf_counter() - start)
        seconds[dtype] = min(took)
    exact = one.double() @ other.double().T
    bound = _STORED[torch.bfloat16] * exact.abs() + 163 * _UNIT * (one.double().abs() @ other.double().abs().T)
    right = bool(((product.double() - exact).abs() <= bound).all())
    return right and seconds[torch.bfloat16] < seconds[torch.float32] / 2


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
