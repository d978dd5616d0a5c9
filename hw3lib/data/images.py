"""Decode a category once: every image as uint8 at the working size, in memory or memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from hw3lib.core.files import atomic_path, file_digest
from hw3lib.errors import Hw3Error

from .decoding import BROKEN, BROKEN_ARRAYS, DEEP_COLOURS, is_deep, mode_of, open_image
from .depth import (
    Extremes,
    is_inverted,
    joined,
    low_bytes,
    natural_range,
    row_boxes,
    say_range,
    values_of,
)
from .reading import PLAIN, Reading, reading_of, readings_of
from .threads import in_order

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 2  # Raise it when what is stored changes; older caches are then built anew.


class Decoded(NamedTuple):
    """An image uint8 ``(H, W, 3)``, and what is odd about its values: empty, or a sentence without its full stop."""

    pixels: np.ndarray
    warning: str


def read_image(path: str | Path | IO[bytes], size: int | None = None, reading: Reading = PLAIN) -> np.ndarray:
    """Decode an image as a person sees it: upright, RGB, 8 bits.

    Cameras' orientation marks are followed, values of more than 8 bits scaled to 8, transparency laid over white; grey
    and CMYK become RGB; of an animation the first frame is taken.

    Args:
        path: image file, or one that is open.
        size: side of the square it is resized to (bilinear, antialiased; the sides are scaled independently), or None.
        reading: which values are black and white. By default files of 8 bits stay as they are, and one of more is
            scaled by the bits that it alone needs; :func:`read_row` takes what all images of its category need.

    Returns:
        uint8 ``(H, W, 3)``, 0 to 255.

    Raises:
        Hw3Error: the file is missing, truncated or no image, or holds NaN.
    """
    return decode_image(path, size, reading).pixels


def read_row(row: Any, size: int | None = None) -> np.ndarray:
    """The image of a table's row, a Series or a named tuple, read as its category is; see :func:`read_image`."""
    return read_image(row.image, size, reading_of(row))


def decode_image(path: str | Path | IO[bytes], size: int | None = None, reading: Reading = PLAIN) -> Decoded:
    """As :func:`read_image`, and whether values are beyond the range, or of another depth than it is for."""
    try:
        image, warning = _decoded(path, size, reading)
        boxes = row_boxes(image.size)
        if len(boxes) == 1:
            return Decoded(np.asarray(image), warning)
        found = np.empty((image.height, image.width, 3), np.uint8)
        for box in boxes:
            found[box[1] : box[3]] = np.asarray(image.crop(box))
        return Decoded(found, warning)
    except Hw3Error as error:
        raise Hw3Error(f"{path}: {error}") from None
    except BROKEN as error:
        raise Hw3Error(f"{path}: cannot be decoded: {error}; `hw3 data check` lists every such file") from None


def _decoded(path: str | Path | IO[bytes], size: int | None, reading: Reading) -> tuple[Image.Image, str]:
    with open_image(path) as file:
        file.seek(0)
        mode = mode_of(file)
        file.load()
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if is_deep(mode):
            image, warning = _to_8_bits(image, mode, low_bytes(path) if mode in DEEP_COLOURS else None, reading)
        else:
            warning = ""
        if "A" in image.getbands() or "transparency" in image.info:
            image = _over_white(image)
        if image.mode != "RGB":
            image = image.convert("RGB")
        if not is_deep(mode) and reading.pixel_range is not None:
            image, warning = _scaled(image, reading)
        return image if size is None else image.resize((size, size), Image.Resampling.BILINEAR), warning


def _over_white(image: Image.Image) -> Image.Image:
    """Transparency laid over white."""
    made = Image.new("RGB", image.size)
    for box in row_boxes(image.size):
        part = image.crop(box).convert("RGBA")
        made.paste(Image.alpha_composite(Image.new("RGBA", part.size, "white"), part).convert("RGB"), box[:2])
    return made


def _to_8_bits(image: Image.Image, mode: str, low: Image.Image | None, reading: Reading) -> tuple[Image.Image, str]:
    """Values of more than 8 bits scaled to 8, alpha kept, and what is odd about them."""
    boxes = row_boxes(image.size)
    parts = (Extremes(float(v.min()), float(v.max()), mode == "F") for v in values_of(image, mode, low, boxes))
    found = joined(parts)
    assert found is not None  # an image has pixels
    natural = natural_range(found)
    black, white = reading.pixel_range or natural
    warning = _beyond(found, black, white)
    if reading.pixel_range is None and natural != (0, 255):
        warning = f"more than 8 bits a pixel, read by its own values ({say_range(natural)}), for no range is known"
    known = scaled(np.arange(2**16), black, white) if mode not in ("I", "F") else None
    made = Image.new("L" if low is None else "RGB", image.size)
    for box, values in zip(boxes, values_of(image, mode, low, boxes), strict=True):
        pixels = scaled(values, black, white) if known is None else known[values]
        made.paste(Image.fromarray(255 - pixels if is_inverted(image) else pixels), box[:2])
    if mode in ("RGBA;16", "LA;16"):
        made.putalpha(image.getchannel("A"))
    return made, warning


def _scaled(image: Image.Image, reading: Reading) -> tuple[Image.Image, str]:
    """An RGB image of 8 bits scaled, if its range is one of 8 bits, and what is odd about it."""
    assert reading.pixel_range is not None
    black, white = reading.pixel_range
    if not reading.scales_8_bits:
        return image, f"8 bits a pixel, read as they are and not by the range {say_range(reading.pixel_range)}"
    if (black, white) == (0, 255):
        return image, ""
    bands = [band.getextrema() for band in image.split()]
    found = Extremes(float(min(low for low, _ in bands)), float(max(high for _, high in bands)), False)
    return image.point(scaled(np.arange(256), black, white).tolist() * 3), _beyond(found, black, white)


def scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Values as uint8 of the same shape: black becomes 0, white 255, linear between, rounded, cut off beyond."""
    return np.clip((values.astype(np.float64) - black) * (255 / (white - black)) + 0.5, 0, 255).astype(np.uint8)


def _beyond(found: Extremes, black: float, white: float) -> str:
    wrong = [f"{found.low:g}"] if found.low < black else []
    wrong += [f"{found.high:g}"] if found.high > white else []
    if not wrong:
        return ""
    return f"holds values of {' and '.join(wrong)}, beyond the range {say_range((black, white))}; they are cut off"


def read_mask(path: str | Path, size: int | None = None) -> np.ndarray:
    """Decode a mask: bool ``(H, W)``, True on the defect.

    With ``size`` it is reduced to ``(size, size)`` so that a pixel is True if any part of it is defective: thin defects
    survive.
    """
    try:
        with open_image(path) as image:
            mask = np.asarray(image.convert("L")) > 0
    except BROKEN as error:
        raise Hw3Error(f"{path}: mask cannot be decoded: {error}") from None
    if size is None:
        return mask
    grey = Image.fromarray(mask.astype(np.float32))
    return np.asarray(grey.resize((size, size), Image.Resampling.BOX)) > 1e-6


def load_masks(table: pd.DataFrame, size: int) -> np.ndarray:
    """Masks of a table's images, bool ``(N, size, size)``; all False where an image has none."""
    result = np.zeros((len(table), size, size), bool)
    for i, path in enumerate(table["mask"]):
        if isinstance(path, str):
            result[i] = read_mask(path, size)
    return result


class ImageStack:
    """All images of a table as one uint8 array ``(N, 3, size, size)``, RGB, 0 to 255, in the table's order.

    Attributes:
        images: the array; a read-only memory map where it is cached on disk.
        size: side in pixels.
        key: SHA-256 of the files' content, size and interpolation: what the cache is looked up by.
        reading: how the files became pixels; None where not all of them were read alike.
        warnings: ``(file, what is odd about its values)`` of images decoded just now, see :func:`decode_image`.
    """

    def __init__(self, images: np.ndarray, key: str = "", reading: Reading | None = PLAIN):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise Hw3Error(f"images: found {images.dtype} {images.shape}, expected uint8 (N, 3, H, W)")
        self.images, self.key, self.size, self.reading = images, key, images.shape[-1], reading
        self.warnings: list[tuple[str, str]] = []

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
        reading: Reading | None = None,
        cache: str | Path | None = None,
        workers: int | None = None,
        progress: bool = False,
    ) -> ImageStack:
        """Decode a table's images in parallel, or map them from the cache.

        Args:
            table: needs the column ``image``.
            size: side of the squares in pixels.
            reading: how all of them become pixels, such as a detector's; None: as their category is read.
            cache: folder for memory-mapped stacks; None keeps the stack in memory. The name of a cached stack is the
                hash of the images' bytes and of how they are read, so changed images never meet an old stack.
            workers: decoding threads; None takes one a core.
            progress: show a bar.

        Raises:
            Hw3Error: an image cannot be decoded, ``size`` is not positive, or the cache cannot be written.
        """
        if not isinstance(size, int | np.integer) or size < 1:
            raise Hw3Error(f"size={size!r}: expected the side in pixels, an integer of 1 or more")
        paths = list(table["image"])
        readings = readings_of(table) if reading is None else [reading] * len(paths)
        different = set(readings)
        shared = different.pop() if len(different) == 1 else None if different else PLAIN
        warnings: list[tuple[str, str]] = []
        images = _decode(paths, readings, size, workers, progress, warnings)
        shape = (len(paths), 3, size, size)
        if cache is None:
            array, key = np.empty(shape, np.uint8), ""
            for i, image in enumerate(images):
                array[i] = image
        else:
            key = _key(in_order(file_digest, paths, workers), readings, size)
            array = _through_cache(Path(cache) / f"{key}.npy", shape, images)
        stack = cls(array, key, shared)
        stack.warnings = warnings
        return stack


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
    size: int,
    workers: int | None,
    progress: bool,
    warnings: list[tuple[str, str]],
) -> Iterator[np.ndarray]:
    """Images in order, uint8 ``(3, size, size)`` each, decoded ahead by threads, a few at a time."""
    images = in_order(lambda pair: decode_image(pair[0], size, pair[1]), zip(paths, readings, strict=True), workers)
    each = tqdm(images, total=len(paths), unit="image", desc="decode", disable=not progress)
    for path, (image, warning) in zip(paths, each, strict=True):
        if warning:
            warnings.append((path, warning))
        yield image.transpose(2, 0, 1)
