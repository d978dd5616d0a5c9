"""Memory that one batch frees, kept for the next one, where the C library is glibc."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
LARGEST = 2**28  # bytes of an array whose memory is kept
KEPT = 2**30  # bytes at the end of the heap that are kept


def keep() -> bool:
    """Let this process keep what it frees, within :data:`LARGEST` and :data:`KEPT`; True where that could be set.

    By default glibc gives the memory of every array above 32 MB back, and asks for it again at the next batch. The
    system then clears it page by page: up to a third of the time of a network that looks at large images.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST) and mallopt(_TRIM_THRESHOLD, KEPT))
