"""Fetch a large file over an unreliable line: resumed where it stopped, checked at the end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import requests
from tqdm import tqdm

from hw3lib.core.files import clear_write_errors, file_digest, free_bytes, human_bytes
from hw3lib.core.locks import InUse, held
from hw3lib.errors import Hw3Error

_CHUNK = 1 << 14  # of a broken connection at most this much is fetched twice
_SPARE_DISK = 200_000_000  # bytes left free on top of what is to be written
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class SourceFailed(Hw3Error):
    """A place gave no usable file; another one may. (A full disk is not that: it is a plain ``Hw3Error``.)"""


class _Dropped(Exception):
    """The connection broke or the server is busy: worth another try at the same address."""


def download(
    urls: str | Iterable[str],
    target: str | Path,
    sha256: str,
    *,
    progress: bool = True,
    timeout: float | tuple[float, float] = 30.0,
    retries: int = 5,
    backoff: float = 1.0,
) -> Path:
    """Download a file, from where an earlier attempt stopped if there was one.

    What has arrived is kept in ``<target>.part``. Whether its halves belong together, the hash tells at the end.

    Args:
        urls: one address or several with the same file (http or https), tried in turn.
        target: the file to write; one that is there already is returned after its hash was checked.
        sha256: expected hash in hexadecimal.
        timeout: seconds without an answer or a byte after which a connection counts as broken; of a pair, the first
            holds until there is a connection.
        retries: how often a broken connection is tried again in a row without a new byte.
        backoff: seconds before the first try again; doubled each time, 30 at most.

    Raises:
        SourceFailed: no address gave the file; the message lists what each one did.
        Hw3Error: the disk is full or not writable, the file that is there has another hash, or another process is
            downloading into the same folder.
    """
    target = Path(target)
    if target.exists():
        if (found := file_digest(target)) == sha256:
            return target
        raise Hw3Error(
            f"{target} is there already, but is not the expected file: SHA-256 {found}, expected {sha256}. "
            "Delete it and try again."
        )
    part, failures = target.with_name(f"{target.name}.part"), []

    def kept() -> str:
        """What remains after a failure, as a sentence; an empty part does not remain."""
        if _size(part):
            return f"What had arrived is kept in {part}; the next try goes on from there."
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return "Nothing half-written was left."

    with ExitStack() as stack:
        with clear_write_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(held(target.parent / ".download.lock", leave=False))
            except InUse:
                raise Hw3Error(
                    f"Another process is downloading into {target.parent}. Wait until it has ended."
                ) from None
        try:
            with clear_write_errors(target.parent, left=""):
                for url in [urls] if isinstance(urls, str) else urls:
                    try:
                        _fetch(url, part, sha256, progress, timeout, retries, backoff)
                        return part.replace(target)
                    except SourceFailed as error:
                        failures.append(f"  {url}\n    {error}")
        except Hw3Error as error:
            raise Hw3Error(f"{str(error).strip()} {kept()}") from error
        left = kept()
    raise SourceFailed(f"{target.name} could not be downloaded:\n" + "\n".join(failures) + f"\n{left}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _fetch(
    url: str,
    part: Path,
    sha256: str,
    progress: bool,
    timeout: float | tuple[float, float],
    retries: int,
    backoff: float,
) -> None:
    """Leave the complete, checked file in ``part``, or raise ``SourceFailed``."""
    while True:
        begun, furthest, failed = _size(part) > 0, _size(part), 0
        while True:
            try:
                _some_bytes(url, part, progress, timeout)
                break
            except _Dropped as error:
                # Only bytes that were never there before count as progress, or a server that always starts at zero and
                # always breaks would keep us here for ever.
                failed = 0 if _size(part) > furthest else failed + 1
                furthest = max(furthest, _size(part))
                if failed > retries:
                    raise SourceFailed(f"{error} ({failed} times in a row)") from error
                time.sleep(min(backoff * 2 ** max(failed - 1, 0), 30.0))
        if (found := file_digest(part)) == sha256:
            return
        part.unlink()
        if not begun:  # otherwise the beginning, from an earlier attempt, may be the bad piece: once more from zero
            raise SourceFailed(f"served another file: SHA-256 {found}, expected {sha256}; it was deleted")


def _some_bytes(url: str, part: Path, progress: bool, timeout: float | tuple[float, float]) -> None:
    """One request; returns when the part is complete."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "hw3lib"}  # identity: ranges count plain bytes
    try:
        asked = headers | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=asked, stream=True, timeout=timeout) as response:
            said = f"the server answered {response.status_code} {response.reason}"
            if response.status_code in _TRY_AGAIN:
                raise _Dropped(said)
            if response.status_code == 416:  # all of it is here, or more than all
                return
            if response.status_code not in (200, 206):
                raise SourceFailed(said)
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise SourceFailed("the server sent a web page in place of the file (moved, or a log-in is needed)")
            start = have if response.headers.get("Content-Range", "").startswith(f"bytes {have}-") else 0
            if response.status_code == 206 and start != have:
                raise SourceFailed(f"the server sent another piece than bytes {have} and following")
            length = response.headers.get("Content-Length")
            size = start + int(length) if length else None
            need = (size or 0) - have + _SPARE_DISK  # where it starts at zero, what is here is overwritten
            if size and (free := free_bytes(part.parent)) < need:
                raise Hw3Error(
                    f"Not enough space for {part.with_suffix('')}: {human_bytes(need)} are needed, {human_bytes(free)} "
                    "are free. Free some space or choose a folder on another disk."
                )
            bar = tqdm(total=size, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=not progress)
            with bar, part.open("ab" if start else "wb") as file:
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
    except requests.RequestException as error:
        if isinstance(error, ValueError):  # nonsense, or neither http nor https: trying again is no use
            raise SourceFailed(f"not a usable address: {error}") from error
        raise _Dropped(f"no connection, or it broke: {_told(error)}") from error
    if size is not None and (have := _size(part)) != size:
        raise _Dropped(f"the connection ended at {have} of {size} bytes")


def _told(error: Exception) -> str:
    """What happened, out of an error that requests wraps around urllib3's, without the object that it happened to."""
    inner = error.args[0] if error.args else error
    return re.sub(r"^(<[^>]*>|\w+\([^)]*\)): ", "", str(getattr(inner, "reason", None) or inner))
