"""Unpack an archive that is not trusted: regular files and folders only, and none outside the target."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import IO

from tqdm import tqdm

from hw3lib.core.files import atomic_folder, human_bytes, is_no_regular_file
from hw3lib.errors import Hw3Error

_CHUNK = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError)
_IMPOSSIBLE = {errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
_SPECIAL = "a link or a special file"
# Photographs hardly shrink. Only content made to fill a disk is this many times smaller packed than unpacked; small
# archives (masks alone, test fixtures) may be.
_BOMB_RATIO, _BOMB_FROM = 200, 100_000_000
_MOST_FILES, _MOST_BYTES = 200_000, 20_000_000_000  # entries, unpacked or not; four times the size of MVTec AD


@dataclass
class _Member:
    """What the checks need to know of one entry; ``refused`` says why it is not unpacked, empty where it is."""

    name: str
    size: int
    is_folder: bool
    refused: str
    open: Callable[[], IO[bytes] | None]  # of a folder there is nothing


def extract(archive: str | Path, target: str | Path, folder: str | None = None, *, progress: bool = True) -> Path:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into the new folder ``target``, completely or not at all.

    Args:
        archive: the archive; what it is is told from its content, not from its name.
        target: folder to make.
        folder: unpack only what is in the folder of this name, which may be inside one or two others; ``target``
            then holds its content. Of several such folders the first one counts.

    Returns:
        ``target``.

    Raises:
        Hw3Error: not an archive, damaged, beyond the limits, without ``folder``, with an entry that is a link or a
            device or lies outside of the archive's own folder; or ``target`` exists or cannot be written.
    """
    archive, target = Path(archive), Path(target)
    if is_no_regular_file(archive):
        raise Hw3Error(f"Archive {archive} cannot be read: it is no regular file. Check the path.")
    try:
        opened = archive.open("rb")
    except OSError as error:
        raise Hw3Error(f"Archive {archive} cannot be read: {error.strerror}. Check the path.") from error
    try:
        with opened as file, atomic_folder(target) as temporary:
            magic = file.read(4)
            file.seek(0)
            members = _zip_members(file) if magic in (b"PK\x03\x04", b"PK\x05\x06") else _tar_members(file, target)
            size = archive.stat().st_size
            chosen = _chosen(archive, _checked(archive, members, size), folder)
            bar = tqdm(total=size, unit="B", unit_scale=True, desc=f"unpacking {archive.name}", disable=not progress)
            with bar:
                for member, parts in chosen:
                    _write(archive, member, temporary.joinpath(*parts))
                    bar.update(file.tell() - bar.n)
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # without a number: bad gzip or bzip2 data
            raise
        raise Hw3Error(
            f"Archive {archive} is damaged, incomplete or not a tar or zip archive ({error}). Nothing of it was "
            "unpacked. Download it again."
        ) from error
    return target


class _StrictTarInfo(tarfile.TarInfo):
    """Makes a damaged header in the middle an error; ``tarfile`` takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed does not list it
            raise
        except (tarfile.HeaderError, ValueError, LookupError, TypeError, ArithmeticError) as error:  # odd extensions
            raise tarfile.ReadError(f"bad header: {error}") from error


def _tar_members(file: IO[bytes], target: Path) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, tarinfo=_StrictTarInfo) as tar:
        for info in tar:
            refused = "" if (info.isreg() or info.isdir()) and not info.issparse() else _SPECIAL
            # Python's own judgement as well; the first releases of Python 3.10 and 3.11 do not have it.
            if safe_parts(info.name) is not None and hasattr(tarfile, "data_filter"):
                try:
                    tarfile.data_filter(info, str(target))
                except tarfile.FilterError as error:
                    refused = refused or str(error)
            yield _Member(info.name, info.size, info.isdir(), refused, partial(tar.extractfile, info))
        # The checksum is at the very end, after the last entry, where tarfile does not read.
        for _ in range(_BOMB_FROM // _CHUNK):
            if not tar.fileobj.read(_CHUNK):
                break


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    packed = zipfile.ZipFile(file)  # holds nothing but ``file``, which the caller closes
    for info in packed.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        refused = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else _SPECIAL
        if info.flag_bits & 1:
            refused = "encrypted"
        yield _Member(info.filename, info.file_size, info.filename.endswith("/"), refused, partial(packed.open, info))


def _checked(archive: Path, members: Iterator[_Member], packed: int) -> Iterator[_Member]:
    """Pass on what may be unpacked; every entry is judged by its header before a byte of it is read."""
    total = 0
    for number, member in enumerate(members, 1):
        total += member.size
        if safe_parts(member.name) is None:
            _refuse(archive, f"its entry {member.name!r} is an absolute path or leads out of the target")
        if member.refused:
            _refuse(archive, f"its entry {member.name!r} is {member.refused}")
        if number > _MOST_FILES:
            _refuse(archive, f"it has more than {_MOST_FILES} entries, the limit")
        if total > _MOST_BYTES:
            _refuse(archive, f"up to its entry {member.name!r} it unpacks to more than {human_bytes(_MOST_BYTES)}")
        if total > max(_BOMB_FROM, _BOMB_RATIO * packed):
            _refuse(archive, f"it unpacks to more than {_BOMB_RATIO} times its own size")
        yield member


def _refuse(archive: Path, why: str) -> None:
    raise Hw3Error(
        f"Archive {archive} is refused: {why}. Only regular files and folders inside the archive's own folder are "
        "unpacked. Nothing was left on the disk. Get the archive from its original place."
    )


def safe_parts(name: str) -> tuple[str, ...] | None:
    """Path components of an entry's name, ``None`` for a name that could lead out of the target on any system."""
    if "\\" in name or "\0" in name or PureWindowsPath(name).anchor:
        return None
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    return None if ".." in parts else parts


def _chosen(archive: Path, members: Iterator[_Member], folder: str | None) -> Iterator[tuple[_Member, tuple[str, ...]]]:
    """The entries in ``folder``, each with the components of its path below it."""
    prefix: tuple[str, ...] | None = None if folder else ()
    top: dict[str, None] = {}
    files = 0
    for member in members:
        parts = safe_parts(member.name) or ()
        if parts[:1] == ("__MACOSX",):  # a second, hidden tree that one system's packer adds
            continue
        top.update(dict.fromkeys(parts[:1]))
        if folder and prefix is None:
            prefix = _prefix(parts, tuple(folder.split("/")), member.is_folder)
        if prefix is not None and parts[: len(prefix)] == prefix:
            files += not member.is_folder
            yield member, parts[len(prefix) :]
    if not files:
        what = f"no files in a folder {folder!r}" if folder else "no files"
        there = f"; at its top there is {', '.join(list(top)[:20])}" if top else ""
        raise Hw3Error(f"Archive {archive} has {what}{there}. Choose another archive.")


def _prefix(parts: tuple[str, ...], folder: tuple[str, ...], is_folder: bool) -> tuple[str, ...] | None:
    """Where ``folder`` is in the path of an entry that is in it, at the top or inside one or two other folders."""
    for start in range(3):
        end = start + len(folder)
        if parts[start:end] == folder and (is_folder or len(parts) > end):
            return parts[:end]
    return None


def _write(archive: Path, member: _Member, path: Path) -> None:
    try:
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        assert source is not None, f"{member.name}: only files are opened"
        with source, path.open("wb") as out:
            shutil.copyfileobj(source, out, _CHUNK)
            if out.tell() != member.size:
                raise EOFError(f"entry {member.name!r} has {out.tell()} of {member.size} bytes")
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            _refuse(archive, f"its entry {member.name!r} cannot be made ({error.strerror})")
        raise
