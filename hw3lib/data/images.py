"""Decode a category once: every image as uint8 at the working size, in memory or memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from hw3lib.core.files import atomic_path, file_digest
from hw3lib.errors import Hw3Error

from .decoding import BROKEN, BROKEN_ARRAYS, open_image
from .threads import in_order

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 1  # Raise it when what is stored changes; older caches are then built anew.


def read_image(path: str | Path | IO[bytes], size: int | None = None) -> np.ndarray:
    """Decode an image as a person sees it: upright, RGB, 8 bits.

    Cameras' orientation marks are followed, 16-bit values scaled to 8 bits, transparency laid over white; grey and CMYK
    become RGB; of an animation the first frame is taken.

    Args:
        path: image file, or one that is open.
        size: side of the square it is resized to (bilinear, antialiased; the sides are scaled independently), or None.

    Returns:
        uint8 ``(H, W, 3)``, 0 to 255.

    Raises:
        Hw3Error: the file is missing, truncated or no image.
    """
    try:
        image = _decoded(path, size)
        strips = _strips(image)
        if len(strips) == 1:
            return np.asarray(image)
        found = np.empty((image.height, image.width, 3), np.uint8)
        for left, top, right, bottom in strips:
            found[top:bottom] = np.asarray(image.crop((left, top, right, bottom)))
        return found
    except BROKEN as error:
        raise Hw3Error(f"{path}: cannot be decoded: {error}; `hw3 data check` lists every such file") from None


def _decoded(path: str | Path | IO[bytes], size: int | None) -> Image.Image:
    with open_image(path) as file:
        file.seek(0)
        file.load()
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if image.mode.startswith("I") or image.mode == "F":
            image = _to_8_bits(image)
        if "A" in image.getbands() or "transparency" in image.info:
            image = _over_white(image)
        if image.mode != "RGB":
            image = image.convert("RGB")
        return image if size is None else image.resize((size, size), Image.Resampling.BILINEAR)


def _strips(image: Image.Image) -> list[tuple[int, int, int, int]]:
    """Boxes of a few rows, all of the image together: what takes many bytes a pixel would take gigabytes at once."""
    step = max(1, 2**20 // image.width)
    return [(0, row, image.width, min(row + step, image.height)) for row in range(0, image.height, step)]


def _over_white(image: Image.Image) -> Image.Image:
    """Transparency laid over white."""
    made = Image.new("RGB", image.size)
    for strip in _strips(image):
        part = image.crop(strip).convert("RGBA")
        made.paste(Image.alpha_composite(Image.new("RGBA", part.size, "white"), part).convert("RGB"), strip[:2])
    return made


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Values of 16 or 32 bits scaled to 8."""
    strips = _strips(image)
    largest = np.max([np.asarray(image.crop(strip)).max() for strip in strips])
    scale = 255 / 65535 if largest > 255 else 1.0

    def scaled(values: np.ndarray) -> np.ndarray:
        return np.clip(values.astype(np.float32) * scale + 0.5, 0, 255).astype(np.uint8)

    known = scaled(np.arange(2**16)) if image.mode.startswith("I;16") else None
    made = Image.new("L", image.size)
    for strip in strips:
        values = np.asarray(image.crop(strip))
        made.paste(Image.fromarray(scaled(values) if known is None else known[values]), strip[:2])
    return made


class ImageStack:
    """All images of a table as one uint8 array ``(N, 3, size, size)``, RGB, 0 to 255, in the table's order.

    Attributes:
        images: the array; a read-only memory map where it is cached on disk.
        size: side in pixels.
        key: SHA-256 of the files' content, size and interpolation: what the cache is looked up by.
    """

    def __init__(self, images: np.ndarray, key: str = ""):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise Hw3Error(f"images: found {images.dtype} {images.shape}, expected uint8 (N, 3, H, W)")
        self.images, self.key, self.size = images, key, images.shape[-1]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Images at these positions, uint8, ``(3, H, W)`` for one and ``(n, 3, H, W)`` for several."""
        return self.images[rows]

    @classmethod
    def load(
        cls,
        table: pd.DataFrame,
        size: int,
        *,
        cache: str | Path | None = None,
        workers: int | None = None,
        progress: bool = False,
    ) -> ImageStack:
        """Decode a table's images in parallel, or map them from the cache.

        Args:
            table: needs the column ``image``.
            size: side of the squares in pixels.
            cache: folder for memory-mapped stacks; None keeps the stack in memory. The name of a cached stack is the
                hash of the images' bytes, so changed images never meet an old stack.
            workers: decoding threads; None takes one a core.
            progress: show a bar.

        Raises:
            Hw3Error: an image cannot be decoded, ``size`` is not positive, or the cache cannot be written.
        """
        if not isinstance(size, int | np.integer) or size < 1:
            raise Hw3Error(f"size={size!r}: expected the side in pixels, an integer of 1 or more")
        paths = list(table["image"])
        shape = (len(paths), 3, size, size)
        if cache is None:
            images = np.empty(shape, np.uint8)
            for i, image in enumerate(_decode(paths, size, workers, progress)):
                images[i] = image
            return cls(images)
        key = _key(in_order(file_digest, paths, workers), size)
        target = Path(cache) / f"{key}.npy"
        mapped = _map(target, shape)
        if mapped is None:
            # Written as a stream: on a full disk a memory map would end the process instead of raising an error.
            with atomic_path(target) as temporary, temporary.open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for image in _decode(paths, size, workers, progress):
                    file.write(image.tobytes())
            mapped = _map(target, shape)
            if mapped is None:
                raise Hw3Error(f"{target}: the stack that was just written is not whole; check the disk")
        return cls(mapped, key)


def _key(digests: Iterable[str], size: int) -> str:
    total = hashlib.sha256(f"stack {_FORMAT} bilinear {size}".encode())
    for digest in digests:
        total.update(f"\n{digest}".encode())
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


def _decode(paths: list[str], size: int, workers: int | None, progress: bool) -> Iterator[np.ndarray]:
    """Images in order, uint8 ``(3, size, size)`` each, decoded ahead by threads, a few at a time."""
    images = in_order(lambda path: read_image(path, size), paths, workers)
    for image in tqdm(images, total=len(paths), unit="image", desc="decode", disable=not progress):
        yield image.transpose(2, 0, 1)
