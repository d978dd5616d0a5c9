"""What a command sets for its process at the start: memory that is freed is kept, and threads wait without spinning.

Importing hw3lib sets none of it: whose program it is imported into has their own mind about it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import warnings

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


def prepare() -> dict[str, str]:
    """What PyTorch reads when it is loaded, for this process and those it starts: :func:`spin_briefly`, and that what
    Apple's MPS cannot do yet the CPU does, instead of an error. Pillow's warnings of damaged files are not shown.

    Returns:
        What is set now, for the environment of a kernel.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged files, which hw3lib tells in sentences of its own
    fallback = "PYTORCH_ENABLE_MPS_FALLBACK"
    return spin_briefly() | {fallback: os.environ.setdefault(fallback, "1")}


def spin_briefly() -> dict[str, str]:
    """Let OpenMP's threads, of this process and of those it starts, wait for each other with little spinning.

    GNU's spin for some milliseconds: beside another busy program a training step of a small network then takes ten
    times as long. A fifteenth of that costs nothing where nothing else runs. It is read when PyTorch is loaded, so it
    is called before; what the user has said in ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` stays.

    Returns:
        What is set now, for the environment of a kernel: empty where the user has named a policy.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return {}
    return {"GOMP_SPINCOUNT": os.environ.setdefault("GOMP_SPINCOUNT", "20000")}
