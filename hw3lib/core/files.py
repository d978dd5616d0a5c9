"""Where things are looked for, and how they are written so that nothing half-written is ever left.

A target appears whole or not at all: it is written under a temporary name beside it and renamed at the end. The
temporary name tells machine and process, so the leftovers of a process that was killed are swept at the next write of
the same target, and those of a process that still runs are not touched.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hw3lib.errors import Hw3Error

SPREADSHEET = "utf-8-sig"  # encoding of CSV files: without the mark Excel takes them for the machine's own encoding

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"


def expanded(path: str | Path) -> Path:
    """``path`` with the home folder for ``~``; that of an unknown user stays as it is, where ``Path`` raises."""
    return Path(os.path.expanduser(path))


def existing_parent(path: Path) -> Path:
    """The nearest folder at or above ``path`` that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.is_dir())


def free_bytes(path: Path) -> int:
    """Free space in bytes on the disk that holds, or would hold, ``path``."""
    return shutil.disk_usage(existing_parent(path)).free


def human_bytes(number: float) -> str:
    """``5260000000`` as ``5.3 GB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


@contextmanager
def clear_write_errors(folder: Path, left: str = "Nothing half-written was left.") -> Iterator[None]:
    """Turn the usual reasons why ``folder`` cannot be written into an ``Hw3Error``; ``left`` says what remains.

    An error about a file elsewhere (an input that cannot be read, say) passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if not _is_ours(error, folder.absolute()):
            raise
        raise Hw3Error(f"{_why(error, folder)} {left}") from error


def _is_ours(error: OSError, folder: Path) -> bool:
    """True where the error says that ``folder`` cannot be written, as opposed to a mistake with some other file."""
    # Of a copy that fails, shutil names the source first and the target second.
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | os.PathLike)]
    if not names:
        return error.errno in _FULL | _REFUSED
    named = Path(names[-1]).absolute()
    above = folder.is_relative_to(named)
    if error.errno in _NO_FOLDER:
        return above
    return error.errno in _FULL | _REFUSED and (above or named.is_relative_to(folder))


def _why(error: OSError, folder: Path) -> str:
    start = f"Cannot write in {folder}:"
    if error.errno in _FULL:
        if error.errno == errno.EFBIG:
            return (
                f"{start} the file would be larger than allowed (ulimit -f) or than the file system can hold. "
                "Raise the limit or choose a folder on another disk."
            )
        room = "" if error.errno == errno.EDQUOT else f" ({human_bytes(free_bytes(folder))} free)"
        what = "the disk is full" if error.errno == errno.ENOSPC else "your disk quota is used up"
        return f"{start} {what}{room}. Free some space or choose a folder on another disk."
    if error.errno == errno.EROFS:
        return f"{start} it is on a read-only file system. Choose another folder, or mount it for writing."
    if error.errno in _REFUSED:
        return f"{start} permission denied. Choose another folder, or change its permissions."
    file = next((place for place in (folder, *folder.parents) if place.is_file()), folder)
    return f"{start} {file} is a file where a folder was expected. Choose another folder."


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Write one file whole or not at all: ``with atomic_path("a.csv") as tmp: table.to_csv(tmp)``.

    Args:
        path: the file to make or to replace; missing folders above it are made.

    Yields:
        A path in the same folder, with the same suffix, which becomes ``path`` when the block ends without an error
        and is removed otherwise.

    Raises:
        Hw3Error: ``path`` is a folder, or its folder cannot be written (disk full, read-only, no permission).
    """
    path = Path(path)
    with _beside(path) as temporary:
        if path.is_dir():
            raise Hw3Error(f"Cannot write the file {path}: a folder of that name is there. Choose another name.")
        yield temporary
        _share(temporary, path)
        os.replace(temporary, path)


@contextmanager
def atomic_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Make a folder whole or not at all, like ``atomic_path``; the yielded temporary folder exists and is empty.

    Args:
        path: the folder to make; an empty folder there is no hindrance.
        replace: put the new folder in the place of an existing one, which stays until the new one is complete.

    Raises:
        Hw3Error: ``path`` exists and ``replace`` is false, or the folder above it cannot be written.
    """
    path = Path(path)
    with _beside(path) as temporary:
        refuse_existing(path, replace)
        temporary.mkdir()
        yield temporary
        _share(temporary, path)
        refuse_existing(path, replace)
        if not path.exists():
            os.rename(temporary, path)
            return
        # Between these renames the target is missing; sweep_leftovers puts the old one back if the process dies here.
        old = _temporary_name(path, "old")
        os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError:
            os.rename(old, path)
            raise
        _remove(old)


def refuse_existing(path: Path, replace: bool, mark: str = "", what: str = "") -> None:
    """Let a folder be made where none is or an empty one, and one that is there be replaced only on request.

    Args:
        path: the folder.
        replace: it was asked for.
        mark: a file that stands in the folder if it is what it would be replaced by; nothing else is ever replaced.
            It is then the folder that a command's ``--out`` names.
        what: that is, ``"a detector"``.

    Raises:
        Hw3Error: it stays.
    """
    if not path.exists() and not path.is_symlink() or path.is_dir() and not any(path.iterdir()):
        return
    if mark and not (path / mark).is_file():
        raise Hw3Error(f"--out {path}: exists and is not {what} (no {mark} in it), so it stays; choose another name")
    if not path.is_dir():
        raise Hw3Error(f"Cannot make the folder {path}: a file of that name is there. Move it away first.")
    if not replace:
        if mark:
            raise Hw3Error(f"--out {path}: is {what} already, and stays; choose another name, or --force to replace it")
        raise Hw3Error(f"The folder {path} exists already and is not replaced. Delete it or choose another name.")


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``: sweeps old leftovers, makes the folders above, and tidies up on failure."""
    made: list[Path] = []
    temporary = _temporary_name(path, "tmp")
    try:
        with clear_write_errors(path.parent):
            _make_folders(path.parent, made)
            sweep_leftovers(path)
            yield temporary
    except BaseException:  # KeyboardInterrupt as well: whatever ends the block, nothing half-written stays
        _remove(temporary)
        for folder in reversed(made):
            with suppress(OSError):  # not empty: somebody else uses it by now
                folder.rmdir()
        raise


def _share(path: Path, target: Path) -> None:
    """Give a file, or all files of a folder, the permissions of any new file.

    Libraries that make temporary files, as safetensors does, leave some that nobody else may read. What the umask gives
    is found by making a file, since it could be asked for only by changing it for all threads; the name is swept.
    """
    if os.name != "posix" or not path.exists():
        return
    probe = _temporary_name(target, "tmp")
    probe.touch(exist_ok=False)
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file() and not file.is_symlink() and stat.S_IMODE(file.stat().st_mode) != mode:
            file.chmod(mode)


def _make_folders(folder: Path, made: list[Path]) -> None:
    """``mkdir -p`` that notes in ``made`` which folders are new."""
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        made.append(place)


def _temporary_name(path: Path, kind: str) -> Path:
    # The suffix stays last because writers (Pillow, numpy) choose the format by it.
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.{kind}{path.suffix}")


def sweep_leftovers(path: Path) -> None:
    """Remove what killed processes of this machine left of ``path``; put an old folder back if it is the only one.

    Every write of ``path`` begins with it. Who may find ``path`` complete, and then write nothing, calls it first.
    """
    try:
        names = os.listdir(path.parent)
    except OSError:  # no folder, or a hidden one: nothing that we could remove
        return
    pattern = re.compile(rf"\.{re.escape(path.name)}\.{_HOST}-(\d+)-[0-9a-f]{{8}}\.(tmp|old){re.escape(path.suffix)}")
    for name in names:
        match = pattern.fullmatch(name)
        if not match or _runs(int(match[1])):
            continue
        leftover = path.with_name(name)
        sweep_leftovers(leftover)  # of a model that was saved in the folder of a command that was killed
        if match[2] == "old" and not path.exists():
            with suppress(OSError):
                os.rename(leftover, path)
        else:
            _remove(leftover)


def _runs(pid: int) -> bool:
    import psutil  # needed where something was left behind, which is rare

    return psutil.pid_exists(pid)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_no_regular_file(path: str | Path) -> bool:
    """Whether something else than a file is there: a pipe or a device would never end, a folder cannot be read.

    Where nothing is there the answer is no: whoever opens it says so.
    """
    return Path(path).exists() and not Path(path).is_file()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty if the file is not there or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        Hw3Error: no regular file, or one that cannot be read, such as a link that leads nowhere.
    """
    total = hashlib.sha256()
    if is_no_regular_file(path):
        raise Hw3Error(f"{path}: is no regular file")
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    except OSError as error:
        raise Hw3Error(f"{path}: cannot be read ({error.strerror})") from None
    return total.hexdigest()
