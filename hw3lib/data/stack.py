"""A category decoded once: every image as uint8 at the working size, in memory or memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import warn

import numpy as np
from PIL import Image

from hw3lib.core.files import atomic_path, file_digest
from hw3lib.data.pixels.decoding import BROKEN_ARRAYS, open_image, upright_size
from hw3lib.data.pixels.geometry import Geometry, refuse_tiles
from hw3lib.data.pixels.images import Squares, decode_squares, naming
from hw3lib.data.pixels.reading import PLAIN, Reading, readings_of
from hw3lib.data.pixels.threads import in_order
from hw3lib.errors import Hw3Error

from .groups import joined_groups, pixel_twins, products
from .near import NearTwins, find_near_twins, say_near_twins, untold, view, worth_a_word

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 2  # Raise it when what is stored changes; older caches are then built anew.


class ImageStack:
    """All images of a table as one uint8 array ``(N, 3, size, size)``, RGB, 0 to 255, in the table's order.

    Attributes:
        images: the array; a read-only memory map where it is cached on disk. Of images that are cut into tiles all
            squares, those of an image one after the other.
        size: side in pixels.
        key: SHA-256 of the files' content, size and interpolation: what the cache is looked up by.
        reading: how the files became pixels; None where not all of them were read alike.
        geometries: where each image lies in its squares; None where each fills its one square.
        groups: the product that each image shows as a number, int64 ``(N,)``; None where each shows another.
        warnings: ``(file, what is odd about its values)`` of images decoded just now, see :func:`decode_image`.
    """

    def __init__(
        self,
        images: np.ndarray,
        key: str = "",
        reading: Reading | None = PLAIN,
        geometries: Sequence[Geometry] | None = None,
        groups: np.ndarray | None = None,
    ):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise Hw3Error(f"images: found {images.dtype} {images.shape}, expected uint8 (N, 3, H, W)")
        self.images, self.key, self.size, self.reading, self.groups = images, key, images.shape[-1], reading, groups
        self.geometries = None if geometries is None else list(geometries)
        counts = [1] * len(images) if geometries is None else [len(g) for g in geometries]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        if self._starts[-1] != len(images):
            raise Hw3Error(f"images: found {len(images)} squares, expected {self._starts[-1]} as geometries say")
        self.warnings: list[tuple[str, str]] = []

    def __len__(self) -> int:
        """Number of images, whatever that of the squares."""
        return len(self._starts) - 1

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Images at these positions, uint8, ``(3, H, W)`` for one and ``(n, 3, H, W)`` for several, or their tiles."""
        if len(self) == len(self.images):
            return self.images[rows]
        return self.images[self.squares_of(np.atleast_1d(np.arange(len(self))[rows]))]

    def squares_of(self, rows: np.ndarray) -> np.ndarray:
        """Positions in :attr:`images` of the squares of these images, int64."""
        if len(self) == len(self.images):
            return np.asarray(rows)
        ranges = [np.arange(self._starts[row], self._starts[row + 1]) for row in rows]
        return np.concatenate([np.empty(0, np.int64), *ranges])

    def part(self, rows: np.ndarray) -> ImageStack:
        """Some of the images, as int positions or bool for each."""
        rows = np.arange(len(self))[rows]
        geometries = None if self.geometries is None else [self.geometries[row] for row in rows]
        groups = None if self.groups is None else self.groups[rows]
        return ImageStack(self.images[self.squares_of(rows)], "", self.reading, geometries, groups)

    @classmethod
    def joined(cls, stacks: Sequence[ImageStack]) -> ImageStack:
        """The images of stacks that were read alike, one stack after the other, without groups."""
        geometries = [geometry for stack in stacks for geometry in stack.geometries or ()]
        images = np.concatenate([stack.images for stack in stacks])
        return cls(images, "", stacks[0].reading, geometries or None)

    def squares(self) -> Iterator[np.ndarray]:
        """The squares of one image after the other, uint8 ``(squares, 3, size, size)``."""
        return (self.images[self._starts[row] : self._starts[row + 1]] for row in range(len(self)))

    def pictures(self) -> Iterator[np.ndarray]:
        """One image after the other, as far as the squares show it, uint8 ``(h, w, 3)``."""
        for row, squares in enumerate(self.squares()):
            channels_last = squares.transpose(0, 2, 3, 1)
            if self.geometries is None:
                yield channels_last[0]
            else:
                yield np.rint(self._geometry(row).join(channels_last)).astype(np.uint8)

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> ImageStack:
        """The same images after ``change``, from uint8 ``(H, W, 3)`` to another of any shape; padding is not changed.

        They are changed at the resolution that the squares have.
        """
        found = []
        for row, picture in enumerate(self.pictures()):
            geometry, image = self._geometry(row), change(picture)
            geometry = replace(geometry, width=image.shape[1], height=image.shape[0])
            found.append(Squares(geometry.squares(Image.fromarray(np.ascontiguousarray(image))), geometry, ""))
        return self.of(found, self.reading)

    def _geometry(self, row: int) -> Geometry:
        return Geometry(self.size, self.size, self.size) if self.geometries is None else self.geometries[row]

    @classmethod
    def of(cls, images: Sequence[Squares], reading: Reading | None) -> ImageStack:
        """A stack of images that are decoded already, see :func:`decode_squares`; at least one."""
        squares = np.concatenate([image.pixels for image in images]).transpose(0, 3, 1, 2)
        geometries = [image.geometry for image in images]
        plain = all(geometry.fit == "stretch" for geometry in geometries)
        return cls(np.ascontiguousarray(squares), "", reading, None if plain else geometries)

    @classmethod
    def load(
        cls,
        table: pd.DataFrame,
        size: int,
        *,
        reading: Reading | None = None,
        tiles: bool = False,
        cache: str | Path | None = None,
        workers: int | None = None,
        progress: bool = False,
        look: bool = True,
    ) -> ImageStack:
        """Decode a table's images in parallel, or map them from the cache.

        Images of the same pixels show one product. Others that look like shots of one are told, and not joined.

        Args:
            table: needs the column ``image``; a column ``group`` says which images show one product.
            size: side of the squares in pixels.
            reading: how all of them become pixels, such as a detector's; None: as their category is read.
            tiles: whether the reader of the stack can do with several squares an image, as anomaly detectors can.
            cache: folder for memory-mapped stacks; None keeps the stack in memory. The name of a cached stack is the
                hash of the images' bytes and of how they are read, so changed images never meet an old stack.
            workers: decoding threads; None takes one a core.
            progress: show a bar.
            look: for shots of one product that the table does not say.

        Warns:
            NearTwins: some of the images look like shots of one product.

        Raises:
            Hw3Error: an image cannot be decoded, ``size`` is not positive, or the cache cannot be written; one would be
                cut into tiles that are not wanted.
        """
        if not isinstance(size, int | np.integer) or size < 1:
            raise Hw3Error(f"size={size!r}: expected the side in pixels, an integer of 1 or more")
        paths = list(table["image"])
        readings = readings_of(table, tiles) if reading is None else [reading.settled(tiles)] * len(paths)
        different = set(readings)
        shared = different.pop() if len(different) == 1 else None if different else PLAIN
        geometries = _geometries(table, readings, int(size), workers)
        if not tiles:
            for path, geometry in zip(paths, geometries or [], strict=False):
                refuse_tiles(path, geometry)
        warnings: list[tuple[str, str]] = []
        images = _decode(paths, readings, geometries, size, workers, progress, warnings)
        shape = (len(paths) if geometries is None else sum(map(len, geometries)), 3, size, size)
        if cache is None:
            array, key = np.empty(shape, np.uint8), ""
            for i, image in enumerate(images):
                array[i] = image
        else:
            key = _key(in_order(file_digest, paths, workers), readings, size)
            array = _through_cache(Path(cache) / f"{key}.npy", shape, images)
        stack = cls(array, key, shared, geometries)
        stack.warnings = warnings
        stack.groups = joined_groups(products(table), pixel_twins(stack.squares()), len(stack))
        if look:
            found = len(np.unique(untold(find_near_twins(map(view, stack.pictures())), stack.groups)))
            if worth_a_word(found, len(stack)):
                warn(say_near_twins(found, len(stack)), NearTwins, stacklevel=2)
        return stack


def _geometries(table: pd.DataFrame, readings: list[Reading], size: int, workers: int | None) -> list[Geometry] | None:
    """Where each image of a table lies in its squares; None where each fills one."""
    if all(reading.fit == "stretch" for reading in readings):
        return None
    if {"width", "height"} <= set(table.columns):
        shapes: Iterator[tuple[int, int]] = zip(table["width"].tolist(), table["height"].tolist(), strict=True)
    else:
        shapes = in_order(_shape, table["image"], workers)
    known = lru_cache(maxsize=None)(Geometry)  # most images have the shape of others
    found = []
    for path, (width, height), reading in zip(table["image"], shapes, readings, strict=True):
        with naming(path):
            found.append(known(width, height, size, reading.fit))
    return found


def _shape(path: str | Path) -> tuple[int, int]:
    with naming(path), open_image(path) as image:
        return upright_size(image, Path(path))


def _through_cache(target: Path, shape: tuple[int, ...], images: Iterator[np.ndarray]) -> np.ndarray:
    """A mapped stack; the images are only asked for if it is not there yet."""
    mapped = _map(target, shape)
    if mapped is None:
        # Written as a stream: on a full disk a memory map would end the process instead of raising an error.
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for image in images:
                file.write(image.tobytes())
        mapped = _map(target, shape)
        if mapped is None:
            raise Hw3Error(f"{target}: the stack that was just written is not whole; check the disk")
    return mapped


def _key(digests: Iterable[str], readings: list[Reading], size: int) -> str:
    total = hashlib.sha256(f"stack {_FORMAT} bilinear {size}".encode())
    for digest, reading in zip(digests, readings, strict=True):
        total.update(f"\n{digest} {reading.as_text()}".encode())
    return total.hexdigest()


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Map a cached stack, or None where there is none or it is not whole."""
    if not path.is_file():
        return None
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except BROKEN_ARRAYS:
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _decode(
    paths: list[str],
    readings: list[Reading],
    geometries: list[Geometry] | None,
    size: int,
    workers: int | None,
    progress: bool,
    warnings: list[tuple[str, str]],
) -> Iterator[np.ndarray]:
    """Squares in order, uint8 ``(3, size, size)`` each, decoded ahead by threads, a few images at a time."""
    images = in_order(lambda pair: decode_squares(pair[0], size, pair[1]), zip(paths, readings, strict=True), workers)
    from tqdm.auto import tqdm  # brings asyncio, and who decodes a photograph at a time does without

    each = tqdm(images, total=len(paths), unit="image", desc="decode", disable=not progress)
    known: Sequence[Geometry | None] = geometries or [None] * len(paths)
    for path, wanted, (squares, found, warning) in zip(paths, known, each, strict=True):
        if wanted is not None and wanted != found:
            raise Hw3Error(
                f"{path}: has {found.width}x{found.height} pixels, and the table says {wanted.width}x{wanted.height}; "
                "read the category again"
            )
        if warning:
            warnings.append((path, warning))
        yield from squares.transpose(0, 3, 1, 2)
