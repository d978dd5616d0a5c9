"""Open an image that is not trusted: a regular file, of a size that fits into memory, with all its faults known."""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    IMAGELENGTH,
    IMAGEWIDTH,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    TiffImageFile,
)

from hw3lib.core import optional
from hw3lib.core.files import is_no_regular_file

# The formats of photographs by Pillow's names, all told by a mark at the start of a file.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM", "AVIF", "HEIF")
MOST_PIXELS = 100 * 10**6  # decoded, as RGB and once copied, they take some 700 MB
# WebP's decoder holds several canvases, 17 bytes a pixel in all; of TIFFs beyond 89.4 million Pillow warns later on.
_MOST_OF_KIND = {"WEBP": MOST_PIXELS // 2, "TIFF": 89 * 10**6}
DEEP_COLOURS = ("RGB;16", "RGBA;16", "LA;16")  # modes of 16-bit colours, of which Pillow gives the high bytes alone
# What Pillow raises for damaged files: most plug-ins trust the fields of a header once it has the right mark.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError),
    *(RuntimeError, NotImplementedError, struct.error, zlib.error, Image.DecompressionBombError),
)
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap the sides: a camera stores such a picture lying and says so
BROKEN_ARRAYS = (*BROKEN, tokenize.TokenError, zipfile.BadZipFile)  # numpy trusts a header with the right mark as well


class NoPlugIn(OSError):
    """What reads a format is not installed; says what brings it."""


def open_image(source: str | Path | IO[bytes], formats: Sequence[str] = FORMATS) -> ImageFile.ImageFile:
    """As ``PIL.Image.open``, but of regular files and at most :data:`MOST_PIXELS` only; HEIC too, where its package is.

    Pillow's own limit warns where nobody reads it, and refuses in words of its own, so it is not asked.

    Args:
        source: image file, or one that is open.
        formats: Pillow's names of those that are taken. Others are not tried: of EPS Pillow starts an interpreter.

    Raises:
        Exception: one of :data:`BROKEN`.
    """
    if isinstance(source, str | Path) and is_no_regular_file(source):
        raise OSError("is no regular file")
    image = _identified(source, formats)
    width, height = image.size
    most = _MOST_OF_KIND.get(image.format or "", MOST_PIXELS)
    if mode_of(image) in DEEP_COLOURS:
        most = min(most, MOST_PIXELS // 2)  # they are decoded twice
    if width * height > most:
        image.close()
        raise Image.DecompressionBombError(
            f"it has {width}x{height} pixels; at most {most // 10**6} million are taken, make it smaller"
        )
    if isinstance(image, TiffImageFile) and image.tag_v2.get(0x0112, 1) != 1:
        image.filename = ""  # Pillow maps a file that has a name, and one that lies on its side with exchanged sides
    return image


def _identified(source: str | Path | IO[bytes], formats: Sequence[str]) -> ImageFile.ImageFile:
    start, tried = _start(source), set()
    if not start:
        raise OSError("is empty (0 bytes)")
    for load in (Image.preinit, Image.init):  # the common plug-ins, then all
        load()
        for name in [name for name in formats if name in Image.OPEN and name not in tried]:
            tried.add(name)
            factory, accept = Image.OPEN[name]
            found = accept is None or accept(start)
            if not found or isinstance(found, str):  # which says why not
                continue
            try:
                if not isinstance(source, str | Path):
                    source.seek(0)
                return factory(cast(Any, source), "")  # a path is taken as well
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue  # as Pillow does: another plug-in may know it
            except Image.DecompressionBombError:  # of plug-ins that make room before they tell the size
                most = _MOST_OF_KIND.get(name, MOST_PIXELS) // 10**6
                raise Image.DecompressionBombError(
                    f"it has far too many pixels; at most {most} million are taken, make it smaller"
                ) from None
    if _plug_in(start):
        return _identified(source, formats)
    raise UnidentifiedImageError("cannot identify image file")


def _plug_in(start: bytes) -> bool:
    """Let Pillow know a format that it does not read itself; whether it was told of one that a file begins as.

    Raises:
        NoPlugIn: what reads it is not installed.
    """
    if start[4:8] != b"ftyp" or "HEIF" in Image.OPEN:
        return False
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, len(start), 4))}
    if brands & {b"avif", b"avis"}:
        raise NoPlugIn("is AVIF, and Pillow was built without it; to have it: pip install --force-reinstall pillow")
    if not brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return False
    try:
        optional.load("heic", "pi_heif").register_heif_opener()
    except optional.Missing as error:
        raise NoPlugIn(f"is HEIC. {error}") from None
    return "HEIF" in Image.OPEN


def _start(source: str | Path | IO[bytes]) -> bytes:
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            return file.read(32)
    source.seek(0)
    return source.read(32)


def mode_of(image: ImageFile.ImageFile) -> str:
    """Pillow's mode of an image just opened, but ``RGB;16``, ``RGBA;16`` or ``LA;16`` for colours of 16 bits.

    Raises:
        OSError: colours of 16 bits in an order, or signed values of 8 bits, that Pillow gives wrongly.
    """
    if isinstance(image, TiffImageFile) and image.mode == "L" and 2 in image.tag_v2.get(SAMPLEFORMAT, ()):
        raise OSError("has signed values of 8 bits, which Pillow wraps round; save it with 16 bits or unsigned")
    if image.mode not in ("RGB", "RGBA"):
        return image.mode
    raw, whole = _raw_mode(image), f"{image.mode};16"
    if isinstance(image, TiffImageFile):
        if 16 not in image.tag_v2.get(BITSPERSAMPLE, ()):
            return image.mode
        if image.tag_v2.get(PLANAR_CONFIGURATION) == 2 or raw.startswith("RGBa"):
            raise OSError("has colours of 16 bits in separate planes or multiplied by alpha; save it without either")
        return whole
    return {"LA;16B": "LA;16", "RGB;16B": whole, "RGBA;16B": whole}.get(raw, image.mode)


def is_deep(mode: str) -> bool:
    """Whether images of a mode, see :func:`mode_of`, have more than 8 bits a value."""
    return mode.startswith("I") or mode == "F" or mode in DEEP_COLOURS


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How Pillow is about to unpack the pixels, ``RGB;16B`` for instance."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def upright_size(image: Image.Image, path: Path) -> tuple[int, int]:
    """Width and height of an image just opened, as a person sees it, undecoded unless a mark follows the pixels.

    Raises:
        Exception: one of :data:`BROKEN`.
    """
    width, height = image.size
    if isinstance(image, TiffImageFile):  # whose size Pillow has turned already
        width, height = int(image.tag_v2[IMAGEWIDTH]), int(image.tag_v2[IMAGELENGTH])
    return (height, width) if orientation(image, path) in SIDEWAYS else (width, height)


def orientation(image: Image.Image, path: Path) -> int:
    """How the stored pixels of an image just opened are to be turned or mirrored: 1, as they are, to 8, as cameras say.

    Raises:
        Exception: one of :data:`BROKEN`.
    """
    marks = _orientation_marks(path) if image.format == "PNG" else {False}
    if True in marks:
        image.load()  # Pillow follows the last mark, and reads what is behind the pixels only after them
    found = image.getexif().get(0x0112, 1) if marks else 1
    return found if found in range(1, 9) else 1


def _orientation_marks(path: Path) -> set[bool]:
    """Whether a PNG's chunks that may hold a mark are behind its pixels, so that Pillow finds them once it decodes."""
    marks, behind = set(), False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(24)) >= 8:
            behind = behind or head[4:8] == b"IDAT"
            if head[4:8] == b"eXIf" or head[8:].startswith((b"Raw profile type", b"XML:com.adobe.xm")):
                marks.add(behind)
            file.seek(int.from_bytes(head[:4], "big") + 12 - len(head), os.SEEK_CUR)
    return marks
