"""Images of an export: copied byte for byte where every reader sees them as we do, and else decoded and saved."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from hw3lib.data.pixels.decoding import BROKEN, mode_of, open_image
from hw3lib.data.pixels.images import read_image
from hw3lib.data.pixels.reading import PLAIN, Reading
from hw3lib.errors import Hw3Error

_ORIENTATION = 0x0112
# Exif in PNG, in JPEG and as ImageMagick writes it; XMP, and compressed XMP, which may hide one.
_MARKS = (b"eXIf", b"Exif\0\0", b"profile type exif", b":Orientation", b"com.adobe.xmp\0\1")
_JPEG_END = b"\xff\xd9"


def kept_suffix(path: str | Path, reading: Reading = PLAIN) -> str | None:
    """``.png`` or ``.jpg`` of a file that can be copied as it is; None of one that is decoded and saved as PNG.

    Copied are plain 8-bit RGB and grey images without an orientation mark, which not all readers follow, and JPEGs
    that end as they should, for ultralytics writes the others anew; none if ``reading`` scales them.
    """
    try:
        with open_image(path) as image:
            plain = (
                mode_of(image) in ("L", "RGB")
                and not (reading.scales_8_bits and reading.pixel_range != (0, 255))
                and "transparency" not in image.info
                and getattr(image, "n_frames", 1) == 1
                and (_no_mark(path) or image.getexif().get(_ORIENTATION, 1) == 1)
            )
            suffix = {"PNG": ".png", "JPEG": ".jpg"}.get(image.format or "")
    except BROKEN as error:
        raise Hw3Error(f"{path}: cannot be decoded: {error}") from None
    if not plain or suffix is None:
        return None
    if suffix == ".jpg":
        with open(path, "rb") as file:
            file.seek(-2, 2)
            if file.read() != _JPEG_END:
                return None
    return suffix


def _no_mark(path: str | Path) -> bool:
    """True if nothing in a file can be an orientation mark: Pillow decodes a whole PNG to look for one."""
    content = Path(path).read_bytes()
    return not any(tag in content for tag in _MARKS)


def save_image(source: str | Path, target: Path, size: tuple[int, int], reading: Reading = PLAIN) -> None:
    """Copy an image into an export, as :func:`hw3lib.data.read_image` shows it.

    Args:
        source: image file.
        target: in a folder that exists; named as :func:`.dataset.file_names` says.
        size: ``(H, W)`` that its annotations are for.
        reading: how it is decoded.

    Raises:
        Hw3Error: it cannot be decoded, or has another size.
    """
    if kept_suffix(source, reading) == target.suffix:
        with open_image(source) as image:
            found = image.size[::-1]
        shutil.copyfile(source, target)
    else:
        pixels = read_image(source, reading=reading)
        found = pixels.shape[:2]
        Image.fromarray(pixels).save(target)
    if tuple(found) != tuple(size):
        raise Hw3Error(
            f"{source}: is {found[1]}x{found[0]} pixels as a person sees it, its annotations are for "
            f"{size[1]}x{size[0]}; check its orientation mark"
        )


def image_size(path: Path) -> tuple[int, int]:
    """``(H, W)`` of an image of an export, from its header.

    Raises:
        Hw3Error: it is missing or no image.
    """
    try:
        with open_image(path) as image:
            return image.size[1], image.size[0]
    except BROKEN as error:
        raise Hw3Error(f"{path}: no image that can be read: {error}") from None
