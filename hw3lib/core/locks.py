"""A file that one process holds at a time, on every system."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class InUse(Exception):
    """Another process holds the file; ``process`` is its number, or ``unknown``."""

    def __init__(self, process: str):
        super().__init__(process)
        self.process = process


@contextmanager
def held(file: Path, *, leave: bool = True, inherited: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold ``file``, which stays empty, while the block runs; its folder must exist.

    The lock is the operating system's and belongs to the process: what a killed one left behind stops nobody. A file
    system without locks (some network ones) is gone on with all the same.

    Args:
        file: to hold; made if need be.
        leave: the file stays. Where it is removed, two processes that come in the very moment of that may both hold it.
        inherited: processes that are started meanwhile, with ``close_fds=False``, hold it as well until the last of
            them ends; not on Windows.
        wait: until whoever holds it lets go, however long that takes.

    Raises:
        InUse: another process, or another thread, holds it, and ``wait`` is not asked for.
        OSError: the file cannot be made.
    """
    owner = file.with_name(f"{file.name}.process")  # on Windows a file that is held cannot be read
    lock = FileLock(file)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise InUse(_number(owner)) from None
    except NotImplementedError:  # of filelock, about such a file system
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        if inherited and os.name == "posix" and (handle := lock._context.lock_file_fd) is not None:
            os.set_inheritable(handle, True)
        owner.write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        for done in (owner, *([] if leave else [file])):
            with suppress(OSError):  # on Windows a file that is held cannot be removed; filelock does it there
                done.unlink()
        lock.release()


def _number(owner: Path) -> str:
    try:
        return owner.read_text(encoding="ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"
