"""Greedy k-centre coreset, exact: the memory bank of PatchCore without the cost of its brute-force selection.

Farthest-first traversal (Gonzalez 1985; Roth et al. 2022, arXiv 2106.08265, Algorithm 1) picks, again and again, the
vector furthest from everything picked. Brute force compares every vector with every pick. Three observations spare
most of it, and none changes a pick:

- Distances only shrink. Of the vectors that were furthest at the last look (the candidates) the distances are kept up
  to date; while the furthest of them is further than every other vector was, it is the furthest of all.
- The picks made meanwhile are settled for all vectors together, by one matrix product.
- A pick c' can take x from its centre c only if d(c, c') < 2 d(x, c) (triangle inequality). Where this leaves few
  pairs, as in features of images, these are computed one by one instead; a sample of the vectors decides.

Which pick is next is decided on squared distances summed in float64 and rounded to float32; of equals the lowest index
is taken. Float32 arithmetic only rules out, with bounds on its rounding error, what cannot matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from hw3lib.core.files import human_bytes
from hw3lib.errors import Hw3Error

from .selection import Selection, working_memory

_LARGEST = 1e15  # squares of larger values could overflow float32 in the sum


@dataclass(frozen=True)
class Coreset:
    """What :func:`k_center_greedy` picked.

    Attributes:
        indices: positions of the picks, int64 ``(size,)``, in the order they were picked.
        radii: covering radius of the first 1, 2, ... picks, float64 ``(size,)``, never increasing: the largest distance
            of any vector to the nearest of them, in the space where distances were measured.
        compared: distances computed, as a share of brute force's N * size; what candidates cost can raise it above 1.
    """

    indices: np.ndarray
    radii: np.ndarray
    compared: float

    @property
    def radius(self) -> float:
        """Covering radius of the whole coreset."""
        return float(self.radii[-1])


@dataclass(frozen=True)
class StreamedCoreset:
    """What :func:`streaming_coreset` kept.

    Attributes:
        vectors: the coreset as it was given, float32 ``(size, D)``.
        indices: positions of its vectors in the stream, int64 ``(size,)``.
        radius: upper bound of the covering radius, in the space where distances were measured.
        seen: number of vectors in the stream.
    """

    vectors: np.ndarray
    indices: np.ndarray
    radius: float
    seen: int


def k_center_greedy(
    vectors: np.ndarray | torch.Tensor,
    size: int,
    *,
    start: int | None = None,
    known: np.ndarray | None = None,
    generator: torch.Generator | None = None,
    memory_limit: int | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Coreset:
    """Pick ``size`` vectors so that every vector is near one of them: the picks of the brute-force greedy.

    Args:
        vectors: float32 ``(N, D)``; other types are converted. A tensor is read on the CPU.
        size: number of picks, 1 to N.
        start: position of the first pick; None draws it.
        known: distance of each vector to the nearest centre that is there already, ``(N,)``: the traversal goes on from
            those centres, and the covering radius is that of them and the picks together. None: there are none.
        generator: draws the first pick; None: one of seed 0.
        memory_limit: in bytes, for what :func:`memory_estimate` tells.
        threads: None takes torch's number.
        progress: show a bar. Picks do not all cost the same, the first ones most: the time that it expects assumes that
            those to come cost what the last ones did.

    Raises:
        Hw3Error: not two-dimensional, empty, NaN, infinite or above 1e15; ``size`` or ``start`` out of range; more
            memory than the limit.

    Example:
        >>> import numpy as np
        >>> k_center_greedy(np.array([[0.0], [1.0], [5.0], [9.0]], np.float32), 3, start=0).indices.tolist()
        [0, 3, 2]
    """
    vectors = _as_array(vectors, "vectors")
    count, dim = vectors.shape
    if not 1 <= size <= count:
        raise Hw3Error(f"size={size}: a coreset of {count} vectors has 1 to {count} of them; choose a smaller ratio")
    _check_memory(memory_limit, count, dim, size)
    generator = generator or torch.Generator().manual_seed(0)
    if start is None:
        start = _draw(count, generator) if known is None else int(np.argmax(known))
    if not 0 <= start < count:
        raise Hw3Error(f"start={start}: expected the position of one of {count} vectors, 0 to {count - 1}")
    selection = Selection(vectors, size, start, threads, known)
    selection.run(progress)
    return Coreset(selection.picks, np.sqrt(selection.radii.astype(np.float64)), selection.compared)


def streaming_coreset(
    chunks: Iterable[np.ndarray | torch.Tensor],
    size: int,
    *,
    generator: torch.Generator | None = None,
    memory_limit: int | None = None,
    most_held: int | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> StreamedCoreset:
    """A coreset of more vectors than fit into memory: greedy coresets of the chunks, merged two by two.

    Two coresets that stand for equally many chunks become the coreset of their union (merge and reduce: Har-Peled and
    Mazumdar 2004), so that after n chunks at most log2(n) + 1 wait and a vector has been replaced as often. Each
    vector kept carries an upper bound of its distance to any vector it stands for: what it takes over adds the distance
    between the two (triangle inequality). Where a limit leaves no room for those that wait, the last two are merged
    early, at worst all of them one after the other: the bound is then looser, but holds.

    Args:
        chunks: float32 ``(n, D)`` each, in any number and of any length; only one is held at a time, and it may be
            overwritten when the next is asked for.
        size: vectors to keep.
        generator, threads: as in :func:`k_center_greedy`.
        memory_limit: in bytes, for what :func:`memory_estimate` tells of a chunk, or of two coresets that are merged,
            together with the coresets that wait.
        most_held: vectors that are held at once, those of the chunk, those that wait, and those being picked; with
            chunks of one length and room for another two coresets it is kept.
        progress: a bar for each chunk and merge.

    Returns:
        The coreset; its ``radius`` is an upper bound, the true one is usually well below.

    Raises:
        Hw3Error: as :func:`k_center_greedy`; fewer vectors than ``size``; chunks of different dimensions.
    """
    if size < 1:
        raise Hw3Error(f"size={size}: expected at least 1")
    generator = generator or torch.Generator().manual_seed(0)
    merging = _Merging(size, generator, memory_limit, most_held, threads, progress)
    waiting, longest, stream = merging.waiting, 0, iter(chunks)
    while (chunk := next(stream, None)) is not None:
        longest = max(longest, len(chunk))
        merging.add(chunk)
        del chunk  # while the next one is made
        while len(waiting) > 1 and waiting[-1][0] == waiting[-2][0]:
            merging.merge_last(waiting[-1][0] + 1)
        while len(waiting) > 1 and merging.is_crowded(longest, merging.held):
            merging.merge_last(waiting[-2][0])
    if merging.seen < size:
        raise Hw3Error(
            f"size={size}: the chunks hold {merging.seen} vectors; expected at least as many; choose a smaller size"
        )
    while len(waiting) > 2 and merging.is_crowded(merging.held):
        merging.merge_last(waiting[-2][0])
    part = merging.reduced(_Part.join([waiting.pop(0)[1] for _ in range(len(waiting))]))
    return StreamedCoreset(part.vectors, part.indices, float(part.radii.max()), merging.seen)


@dataclass
class _Merging:
    """Coresets that wait to be merged, each with its level, which fall; arguments as of :func:`streaming_coreset`."""

    size: int
    generator: torch.Generator
    memory_limit: int | None
    most_held: int | None
    threads: int | None
    progress: bool
    waiting: list[tuple[int, _Part]] = field(default_factory=list)
    seen: int = 0
    chunks: int = 0
    dim: int = 0

    @property
    def held(self) -> int:
        """Vectors that wait."""
        return sum(len(part.vectors) for _, part in self.waiting)

    def add(self, chunk: np.ndarray | torch.Tensor) -> None:
        """Let the coreset of a chunk wait."""
        vectors = _as_array(chunk, f"chunk {self.chunks}")
        self.dim = self.dim or vectors.shape[1]
        if vectors.shape[1] != self.dim:
            raise Hw3Error(
                f"chunk {self.chunks}: found {vectors.shape[1]} dimensions, expected {self.dim} as in chunk 0"
            )
        indices = np.arange(self.seen, self.seen + len(vectors))
        self.seen, self.chunks = self.seen + len(vectors), self.chunks + 1
        part = self.reduced(_Part(vectors, indices, np.zeros(len(vectors))))
        if part.vectors is vectors:
            part = _Part(vectors.copy(), indices, part.radii)
        self.waiting.append((0, part))

    def reduced(self, part: _Part) -> _Part:
        """The coreset of a part, with the bounds of what it takes over."""
        count = len(part.vectors)
        if count <= self.size:
            return part
        _check_memory(self.memory_limit, count, self.dim, self.size, self.held)
        selection = Selection(part.vectors, self.size, _draw(count, self.generator), self.threads)
        selection.run(self.progress)
        radii = np.zeros(self.size)
        np.maximum.at(radii, selection.nearest, selection.distances + part.radii)
        return _Part(part.vectors[selection.picks], part.indices[selection.picks], radii)

    def merge_last(self, level: int) -> None:
        """Replace the last two by the coreset of both."""
        parts = [self.waiting.pop()[1] for _ in range(2)][::-1]
        joined = _Part.join(parts)
        self.waiting.append((level, self.reduced(joined)))

    def is_crowded(self, count: int, besides: int = 0) -> bool:
        """Whether there is no room to pick from so many vectors while others wait."""
        if self.most_held is not None and count + min(count, self.size) + besides > self.most_held:
            return True
        if self.memory_limit is None or not self.dim:
            return False
        return memory_estimate(count, self.dim, self.size) + 4 * self.dim * besides > self.memory_limit


@dataclass(frozen=True)
class _Part:
    """Vectors kept, their positions in the stream, and how far from each what it stands for can be."""

    vectors: np.ndarray
    indices: np.ndarray
    radii: np.ndarray

    @staticmethod
    def join(parts: list[_Part]) -> _Part:
        """One part after the other; the list is emptied, so that each is let go of when it has been copied."""
        count = sum(len(part.vectors) for part in parts)
        joined = _Part(
            np.empty((count, parts[0].vectors.shape[1]), np.float32), np.empty(count, np.int64), np.empty(count)
        )
        end = 0
        while parts:
            part = parts.pop(0)
            rows = slice(end, end := end + len(part.vectors))
            joined.vectors[rows], joined.indices[rows], joined.radii[rows] = part.vectors, part.indices, part.radii
            del part
        return joined


def memory_estimate(count: int, dim: int, size: int) -> int:
    """Bytes that :func:`k_center_greedy` and the bank it gives take at most, the float32 vectors included.

    Args:
        count, dim: shape of the vectors.
        size: number of picks.
    """
    return 4 * dim * (count + size) + working_memory(count, dim, size)


def _check_memory(limit: int | None, count: int, dim: int, size: int, waiting: int = 0) -> None:
    need = memory_estimate(count, dim, size) + 4 * dim * waiting
    if limit is not None and need > limit:
        raise Hw3Error(
            f"memory_limit={human_bytes(limit)}: a coreset of {size} of {count} vectors of {dim} dimensions takes "
            f"{human_bytes(need)}; use a smaller ratio, or streaming_coreset with smaller chunks"
        )


def _as_array(vectors: np.ndarray | torch.Tensor, name: str) -> np.ndarray:
    if isinstance(vectors, torch.Tensor):
        vectors = vectors.detach().cpu().float().numpy()
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise Hw3Error(f"{name}: found the shape {vectors.shape}, expected (N, D), both at least 1")
    if not (vectors.min() >= -_LARGEST and vectors.max() <= _LARGEST):  # false where there is a NaN
        bad = np.flatnonzero(~(np.abs(vectors).max(1) <= _LARGEST))
        raise Hw3Error(
            f"{name}: {len(bad)} of {len(vectors)} hold NaN, infinity or values above {_LARGEST:g}, the first at "
            f"position {bad[0]}; expected finite features: look for damaged images or a network that diverged"
        )
    return vectors


def _draw(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator, device=generator.device))
