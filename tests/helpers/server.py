"""A file server on this machine that can be as unreliable as the ones out there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves ``files`` and misbehaves on demand.

    Attributes:
        files: content by path, ``"/a.bin"``.
        cuts: for one request after the other, after how many bytes the connection breaks (``None``: not at all).
        ranges: honour the header ``Range``.
        statuses: for one request after the other, a status to answer with in place of the file.
        requests: what was asked, ``(path, Range header or None)``.
        sent: bytes of content that were sent for each request.
        pace: seconds between two pieces of 16 kB.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.content_type = "application/octet-stream"
        self.cuts: list[int | None] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.requests: list[tuple[str, str | None]] = []
        self.sent: list[int] = []
        self.pace = 0.0
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        self.sent.append(0)
        content = self.files.get(request.path)
        status = self.statuses.pop(0) if self.statuses else None if content is not None else 404
        if status:
            request.send_response(status)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Type", self.content_type)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        body = content[start:] if cut is None else content[start : start + cut]
        self.sent[-1] = len(body)
        with suppress(ConnectionError):  # the client may be gone: that is its right
            for at in range(0, len(body), 1 << 14):
                request.wfile.write(body[at : at + (1 << 14)])
                time.sleep(self.pace)
        request.close_connection = True


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server that listens until the block ends."""
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        files.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield files
        http.shutdown()
        thread.join()
