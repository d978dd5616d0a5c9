"""The server of ``hw3 inspect serve``: a page for people, ``POST /inspect`` for programs, ``/metrics``, ``/health`` and
``/openapi.json``.

Tornado, which JupyterLab brings. A thread inspects one photograph after the other, because several at a time would take
the memory of several and be no sooner done; the event loop stays free to answer, and to refuse what is too much.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tornado import httpserver, httputil, iostream, web
from tornado.log import app_log

from hw3lib.errors import Hw3Error

from .description import LARGEST, describe
from .metrics import Metrics
from .pages import Handler, is_loopback, listen, page_address

QUEUE = 32  # photographs that are uploaded or wait at once, each of which takes memory
SECONDS = 60.0  # that a photograph may take to arrive, and that it waits for its answer
TOKEN = "HW3_APP_TOKEN"  # environment variable

Inspect = Callable[[bytes, str, bool], Mapping[str, Any]]


class Inspections:
    """Photographs that are being inspected or wait for it.

    Args:
        inspect: gives the answer to a photograph's bytes, its name, and whether pictures are asked for; None: not yet.
        queue: how many there may be.

    Attributes:
        open: requests that take one of the places.
        telling: those whose answer is on its way.
        ending: no more are taken.
        metrics: of the answers.
    """

    def __init__(self, inspect: Inspect | None = None, queue: int = QUEUE):
        self.inspect, self.queue, self.metrics = inspect, queue, Metrics()
        self.open: set[object] = set()
        self.telling: set[object] = set()
        self.ending = False
        self._pool = ThreadPoolExecutor(1, "hw3-serve")

    @property
    def status(self) -> str:
        """``ok``, or why none are inspected now."""
        return "ending" if self.ending else "loading" if self.inspect is None else "ok"

    def submit(self, request: object, content: bytes, kind: str, name: str, pictures: bool) -> Future:
        """Inspect a body in the thread; the request keeps its place until that has ended."""
        loop, inspect = asyncio.get_running_loop(), self.inspect
        assert inspect is not None  # or it was refused
        future = self._pool.submit(lambda: inspect(*_photograph(content, kind, name), pictures))
        future.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(self.open.discard, request))
        return future

    async def end(self) -> None:
        """Take no more, and wait until what was taken is answered, for so long as one may wait at most."""
        self.ending = True
        loop = asyncio.get_running_loop()
        until = loop.time() + SECONDS
        while (self.open or self.telling) and loop.time() < until:
            await asyncio.sleep(0.01)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _photograph(content: bytes, kind: str, name: str) -> tuple[bytes, str]:
    """Bytes and name of the photograph that a body of this Content-Type holds.

    Raises:
        Hw3Error: a form that holds no file, or several.
    """
    if kind.startswith("multipart/form-data"):
        files: dict[str, list[httputil.HTTPFile]] = {}
        with suppress(httputil.HTTPInputError):
            httputil.parse_body_arguments(kind, content, {}, files)
        parts = [part for each in files.values() for part in each]
        if len(parts) != 1:
            raise Hw3Error(f"The form holds {len(parts)} files that can be read; expected one photograph.")
        content, name = parts[0].body, name or parts[0].filename
    return content, name[:200] or "The photograph"


class _Handler(Handler):
    def initialize(self, inspections: Inspections, **settings: str) -> None:  # type: ignore[override] # has a queue
        super().initialize(**settings)
        self.inspections = inspections


class _Missing(_Handler):
    def prepare(self) -> None:
        raise web.HTTPError(404)


class _Page(_Handler):
    def get(self) -> None:
        self.show("page.html", LIMIT=str(LARGEST))


class _Health(_Handler):
    open_to_all = True

    def get(self) -> None:
        self.set_status(200 if self.inspections.status == "ok" else 503)
        answered = self.inspections.metrics.requests[200]
        self.finish({"status": self.inspections.status, "waiting": len(self.inspections.open), "answered": answered})


class _Metrics(_Handler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.inspections.metrics.text(len(self.inspections.open), self.inspections.queue))


class _Description(_Handler):
    def get(self) -> None:
        self.finish(describe(bool(self.token), LARGEST, self.inspections.queue, SECONDS))


@web.stream_request_body  # so that what is refused is not kept, and a body is never taken for a form
class _Inspect(_Handler):
    future: Future | None = None

    def prepare(self) -> None:
        super().prepare()
        self.request.connection.set_max_body_size(2**62)  # type: ignore[union-attr] # see data_received
        self.content = bytearray()
        if self.refused:
            return
        queue, status = self.inspections.queue, self.inspections.status
        if status != "ok":
            self.refused = 503, f"The inspector is {status}; try again in a moment."
        elif len(self.inspections.open) >= queue:
            self.refused = 429, f"{queue} photographs are waiting already; try again in a moment."
        else:
            self.inspections.open.add(self)

    def data_received(self, chunk: bytes) -> None:
        """Keep a part; what is refused is read to its end all the same, or the client would not hear of it."""
        if self.refused:
            return
        self.content += chunk
        if len(self.content) > LARGEST:
            self.refused = 413, f"{self._name()} is larger than {LARGEST / 1e6:.0f} MB; make it smaller."
            self._leave()

    async def post(self) -> None:
        name, found = self._name(), {}
        self.inspections.telling.add(self)
        try:
            if self.refused:
                status, sentence = self.refused
            else:
                status, sentence, found = 200, "", await self._inspected()
        except Hw3Error as error:
            status, sentence = 422, str(error)
        except (asyncio.TimeoutError, asyncio.CancelledError):  # the latter of those that wait when the server ends
            status, sentence = 503, f"{name} was not inspected within {SECONDS:.0f} s; try again later."
        except Exception as error:  # one photograph's sender must hear of it; the others go on
            app_log.exception("%s could not be inspected", name)
            status, sentence = 500, f"{name} could not be inspected: {type(error).__name__}: {error}"
        if status in (429, 503):
            self.set_header("Retry-After", "1")
        if self.inspections.ending:
            self.set_header("Connection", "close")
        self.inspections.metrics.add(status, self.request.request_time(), found)
        told = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in found.items()}
        self.set_status(status)
        with suppress(iostream.StreamClosedError):  # whoever asked has left
            await self.finish(self.told({"error": sentence} if sentence else told))
        self.inspections.telling.discard(self)

    async def _inspected(self) -> dict[str, Any]:
        pictures, kind = self.get_query_argument("pictures", "0") == "1", self.request.headers.get("Content-Type", "")
        name = self.get_query_argument("name", "")
        self.future = self.inspections.submit(self, bytes(self.content), kind, name, pictures)
        self.content.clear()
        return dict(await asyncio.wait_for(asyncio.wrap_future(self.future), SECONDS))

    def _name(self) -> str:
        return self.get_query_argument("name", "")[:200] or "The photograph"

    def _leave(self) -> None:
        self.content.clear()
        if self.future is None:
            self.inspections.open.discard(self)

    def on_finish(self) -> None:
        self._leave()

    def on_connection_close(self) -> None:
        if self.future is not None:
            self.future.cancel()  # unless it is being inspected
        self._leave()


@contextmanager
def serving(
    inspections: Inspections, sockets: list[socket.socket], token: str = "", theme: str = "auto"
) -> Iterator[threading.Event]:
    """Answer on sockets that listen, in a thread, while the block runs; at its end what was taken is still answered.

    Gives what is set once the thread has ended. (To join it would not do: in Python 3.11 a signal whose handler raises
    makes a thread that is being joined look as if it had ended.)

    Args:
        inspections: what answers.
        sockets: of :func:`listen`.
        token: that whoever asks must know; empty: only this machine may ask.
        theme: of the page: ``auto`` (the browser's), ``light`` or ``dark``.
    """
    ready, ended = threading.Event(), threading.Event()
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(end.set))
        state = {"inspections": inspections, "token": token, "theme": theme}
        pages = {"/": _Page, "/inspect": _Inspect, "/health": _Health, "/metrics": _Metrics}
        application = web.Application(
            [(path, handler, state) for path, handler in {**pages, "/openapi.json": _Description}.items()],
            default_handler_class=_Missing,
            default_handler_args=state,
            log_function=lambda _: None,
        )
        server = httpserver.HTTPServer(application, body_timeout=SECONDS, idle_connection_timeout=SECONDS)
        server.add_sockets(sockets)
        ready.set()
        await end.wait()
        server.stop()
        await inspections.end()
        await server.close_all_connections()

    def work() -> None:
        try:
            asyncio.run(run())
        finally:
            ended.set()

    threading.Thread(target=work, name="hw3-serve-http", daemon=True).start()
    ready.wait()
    try:
        yield ended
    finally:
        stop[0]()
        ended.wait(SECONDS + 10)


def serve(  # noqa: PLR0913, settings by keyword
    inspector: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8866,
    types: str | Path | None = None,
    queue: int = QUEUE,
    token: str | None = None,
    browser: bool = True,
    theme: str = "auto",
    progress: bool = False,
    echo: Callable[[str], None] = print,
) -> None:
    """Serve page and programs until the process is interrupted or asked to end (SIGTERM).

    Args:
        inspector: folder of an inspector or a detector, or an ONNX file.
        host, port: where; port 0 takes one that is free.
        types: a category with labelled defects, see :class:`.DefectTypes`; None: as the folder has them.
        queue: photographs that may wait at once.
        token: that whoever asks must know; None: that in the environment variable :data:`TOKEN`, or, on a host that
            other machines reach, one that is drawn.
        browser: open the page in one.
        theme: of the page: ``auto`` (the browser's), ``light`` or ``dark``.
        progress: show a bar while types are learned.
        echo: receives messages.

    Raises:
        Hw3Error: a queue of none, a host or port that cannot be had, or a broken inspector.
    """
    if queue < 1:
        raise Hw3Error(f"--queue {queue}: expected 1 or more photographs that may wait")
    sockets = listen(host, port)
    token = token or os.environ.get(TOKEN) or ("" if is_loopback(host) else secrets.token_urlsafe(24))
    inspections = Inspections(queue=queue)

    def load() -> None:
        from .inspection import Inspector  # imports PyTorch: host and port are checked before

        made = Inspector(inspector, types=types, progress=progress, echo=echo)
        echo(f"{made.model.name} of {inspector}: {made.said}")
        made.start()
        inspections.inspect = made.inspect

    try:
        with _ended_by_sigterm(), serving(inspections, sockets, token, theme) as ended:
            load()
            if not is_loopback(host):
                echo(f"warning: what goes to and from {host} is not encrypted, its token included")
            address = page_address(host, sockets, token)
            echo(f"page: {address} (end with Ctrl-C)")
            if browser:
                webbrowser.open(address)
            while not ended.is_set():
                time.sleep(1)  # on Windows Ctrl-C interrupts no longer wait
    finally:
        for each in sockets:
            each.close()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM leaves the block, and the process with exit code 0; a second one does not wait."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears of signals
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
