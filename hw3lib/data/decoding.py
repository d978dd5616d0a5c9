"""Open an image that is not trusted: a regular file, of a size that fits into memory, with all its faults known."""

from __future__ import annotations

import stat
import struct
import zlib
from pathlib import Path
from typing import IO

from PIL import Image

MOST_PIXELS = 100 * 10**6  # decoded, as RGB and once copied, they take some 700 MB
# What Pillow raises for damaged files: most plug-ins trust the fields of a header once it has the right mark.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError),
    *(RuntimeError, NotImplementedError, struct.error, zlib.error, Image.DecompressionBombError),
)


def open_image(source: str | Path | IO[bytes]) -> Image.Image:
    """As ``PIL.Image.open``, but of regular files and at most :data:`MOST_PIXELS` only.

    Raises:
        Exception: one of :data:`BROKEN`.
    """
    if isinstance(source, str | Path) and not stat.S_ISREG(Path(source).stat().st_mode):
        raise OSError("is no regular file")  # a pipe would never end, a device neither
    image = Image.open(source)
    width, height = image.size
    if width * height > MOST_PIXELS:
        image.close()
        raise Image.DecompressionBombError(
            f"it has {width}x{height} pixels; at most {MOST_PIXELS // 10**6} million are taken, make it smaller"
        )
    return image
