"""Fetch a large file over an unreliable line: resumed where it stopped, checked at the end."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm

from hw3lib.core.files import atomic_path, clear_write_errors, free_bytes, human_bytes
from hw3lib.core.locks import InUse, held
from hw3lib.errors import Hw3Error

from .archive import extract

__all__ = ["SourceFailed", "download", "extract"]

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
    sha256: str | None = None,
    *,
    progress: bool = True,
    timeout: float | tuple[float, float] = 30.0,
    retries: int = 5,
    backoff: float = 1.0,
) -> Path:
    """Download a file, from where an earlier attempt stopped if there was one.

    What has arrived is kept in ``<target>.part``, with ``<target>.part.json`` to recognise the same file again.

    Args:
        urls: one address or several with the same file (http or https), tried in turn.
        target: the file to write; one that is there already is returned after its hash was checked.
        sha256: expected hash in hexadecimal; ``None`` to accept what comes.
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
        found = _sha256(target, progress) if sha256 else None
        if found == sha256:
            # Of a process that was killed once the file had its name.
            with suppress(OSError):
                target.with_name(target.name + ".part.json").unlink(missing_ok=True)
            return target
        raise Hw3Error(
            f"{target} is there already, but is not the expected file: SHA-256 {found}, expected {sha256}. "
            "Delete it and try again."
        )
    fetch = _Fetch(target, sha256, progress, timeout, retries, backoff)
    failures = []
    with ExitStack() as stack:
        with clear_write_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_alone(target.parent))
        try:
            with clear_write_errors(target.parent, left=""):
                for url in [urls] if isinstance(urls, str) else urls:
                    try:
                        fetch.get(url)
                        return target
                    except SourceFailed as error:
                        failures.append(f"  {url}\n    {error}")
        except Hw3Error as error:
            raise Hw3Error(f"{str(error).strip()} {fetch.kept()}") from error
        kept = fetch.kept()
    raise SourceFailed(f"{target.name} could not be downloaded:\n" + "\n".join(failures) + f"\n{kept}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second process from writing to the same part."""
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder / ".download.lock", leave=False))
        except InUse:
            raise Hw3Error(f"Another process is downloading into {folder}. Wait until it has ended.") from None
        yield


@dataclass
class _Fetch:
    """One file on its way to ``target``, from one address after the other."""

    target: Path
    sha256: str | None
    progress: bool
    timeout: float | tuple[float, float]
    retries: int
    backoff: float

    def __post_init__(self) -> None:
        self.part = self.target.with_name(self.target.name + ".part")
        self.note = self.target.with_name(self.target.name + ".part.json")

    def get(self, url: str) -> None:
        """Leave the complete, checked file in ``target``, or raise ``SourceFailed``."""
        began_at = self._have()
        self._all_bytes(url)
        found = _sha256(self.part, self.progress) if self.sha256 else None
        if found != self.sha256 and began_at:
            # Perhaps the beginning, from an earlier attempt, was the bad piece: once more from zero.
            self._forget()
            self._all_bytes(url)
            found = _sha256(self.part, self.progress)
        if found != self.sha256:
            self._forget()
            raise SourceFailed(f"served another file: SHA-256 {found}, expected {self.sha256}; it was deleted")
        self.part.replace(self.target)
        self.note.unlink(missing_ok=True)

    def kept(self) -> str:
        """What remains after a failure, as a sentence; an empty part does not remain."""
        if self._have():
            return f"What had arrived is kept in {self.part}; the next try goes on from there."
        with suppress(OSError):
            self._forget()
        return "Nothing half-written was left."

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _all_bytes(self, url: str) -> None:
        furthest, failed = self._have(), 0
        while True:
            try:
                return self._some_bytes(url)
            except _Dropped as error:
                # Only bytes that were never there before count as progress, or a server that always starts at
                # zero and always breaks would keep us here for ever.
                failed = 0 if self._have() > furthest else failed + 1
                furthest = max(furthest, self._have())
                if failed > self.retries:
                    raise SourceFailed(f"{error} ({failed} times in a row)") from error
                time.sleep(min(self.backoff * 2 ** max(failed - 1, 0), 30.0))

    def _some_bytes(self, url: str) -> None:
        """One request; returns when the part is complete."""
        have, note = self._have(), self._read_note()
        if have and have == note.get("size") and (self.sha256 or note.get("url") == url):
            return
        headers = self._headers(url, have, note)
        try:
            with closing(requests.get(url, headers=headers, stream=True, timeout=self.timeout)) as response:
                start, size = self._start(url, response, have, note)
                self._check_room(start, size)
                self._receive(url, response, start, size)
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # nonsense, or neither http nor https: trying again is no use
                raise SourceFailed(f"not a usable address: {error}") from error
            raise _Dropped(f"no connection, or it broke: {_told(error)}") from error

    def _read_note(self) -> dict:
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def _headers(self, url: str, have: int, note: dict) -> dict[str, str]:
        headers = {
            "Accept-Encoding": "identity",
            "User-Agent": "hw3lib",
        }  # identity: ranges count plain bytes
        validator = note.get("validator") if note.get("url") == url else None
        # Without a validator nothing but the hash can tell whether both halves belong together.
        if have and (validator or (self.sha256 and note.get("size"))):
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        return headers

    def _start(self, url: str, response: requests.Response, have: int, note: dict) -> tuple[int, int | None]:
        """Where the answer starts and how large the whole file is (``None``: not said)."""
        status = response.status_code
        if status in _TRY_AGAIN:
            raise _Dropped(f"the server answered {status} {response.reason}")
        if status == 206:
            start, size = _content_range(response.headers.get("Content-Range", ""))
            now = {response.headers.get("ETag"), response.headers.get("Last-Modified")} - {None}
            validator = note.get("validator") if note.get("url") == url else None
            changed = validator and now and validator not in now  # servers that ignore If-Range
            if start != have or changed or (note.get("size") and size != note.get("size")):
                self._forget()
                raise _Dropped("the file on the server has changed")
            return start, size
        if status == 416:
            self._forget()
            raise _Dropped("the server has fewer bytes than are here already")
        if status != 200:
            raise SourceFailed(f"the server answered {status} {response.reason}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise SourceFailed("the server sent a web page in place of the file (moved, or a log-in is needed)")
        length = response.headers.get("Content-Length")
        return 0, int(length) if length else None

    def _check_room(self, start: int, size: int | None) -> None:
        # Where the server starts at zero, what is here is overwritten, so its room counts as well.
        need = (size or 0) - max(start, self._have()) + _SPARE_DISK
        free = free_bytes(self.target.parent)
        if size and free < need:
            raise Hw3Error(
                f"Not enough space for {self.target}: {human_bytes(need)} are needed, {human_bytes(free)} are free. "
                "Free some space or choose a folder on another disk."
            )

    def _receive(self, url: str, response: requests.Response, start: int, size: int | None) -> None:
        if start == 0:
            self.part.write_bytes(b"")  # before the note: a note must never describe other bytes
            etag = response.headers.get("ETag", "")
            validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")  # W/"..." is too weak
            with atomic_path(self.note) as note:
                note.write_text(json.dumps({"url": url, "size": size, "validator": validator}), encoding="utf-8")
        bar = tqdm(
            total=size,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=self.target.name,
            disable=not self.progress,
        )
        with bar, self.part.open("ab") as part:
            for chunk in response.iter_content(_CHUNK):
                part.write(chunk)
                bar.update(len(chunk))
        have = self._have()
        if size is not None and have != size:
            if have > size:
                self._forget()
            raise _Dropped(f"the connection ended at {have} of {size} bytes")


def _told(error: Exception) -> str:
    """What happened, out of an error that requests wraps around urllib3's, without the object that it happened to."""
    inner = error.args[0] if error.args else error
    return re.sub(r"^(<[^>]*>|\w+\([^)]*\)): ", "", str(getattr(inner, "reason", None) or inner))


def _content_range(header: str) -> tuple[int, int | None]:
    """``bytes 5-9/10`` -> ``(5, 10)``; an unreadable one starts at -1, where nobody goes on."""
    try:
        span, _, size = header.removeprefix("bytes ").partition("/")
        return int(span.partition("-")[0]), None if size == "*" else int(size)
    except ValueError:
        return -1, None


def _sha256(path: Path, progress: bool) -> str:
    digest = hashlib.sha256()
    total = path.stat().st_size
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=f"checking {path.name}", disable=not progress)
    with bar, path.open("rb") as file:
        while chunk := file.read(64 * _CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()
