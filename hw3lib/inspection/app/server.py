"""The server of ``hw3 app``: a page for people, ``POST /inspect`` for programs, ``/health`` and ``/openapi.json``.

Tornado, which JupyterLab brings. A thread inspects one photograph after the other, because several at a time would take
the memory of several and be no sooner done; the event loop stays free to answer, and to refuse what is too much.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import html
import ipaddress
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tornado import httpserver, netutil, web
from tornado.log import app_log

from hw3lib.errors import Hw3Error

from .description import LARGEST, describe

QUEUE = 32  # photographs that are uploaded or wait at once, each of which takes memory
SECONDS = 60.0  # that a photograph may take to arrive, and that it waits for its answer
TOKEN = "HW3_APP_TOKEN"  # environment variable
_PAGE = Path(__file__).with_name("page.html")

Inspect = Callable[[bytes, str, bool], Mapping[str, Any]]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen there; with port 0 on any that is free.

    Raises:
        Hw3Error: the port is taken or may not be used, or the host is none of this machine's.
    """
    if not 0 <= port <= 65535:
        raise Hw3Error(f"--port {port}: expected a number of 0 to 65535; 0 takes one that is free")
    try:
        return netutil.bind_sockets(port, host)
    except OSError as error:
        raise Hw3Error(
            f"--host {host} --port {port}: cannot be listened on ({error.strerror}); choose another port, or "
            "--port 0, which takes one that is free"
        ) from None


class Inspections:
    """Photographs that are being inspected or wait for it, at most :data:`QUEUE`.

    Args:
        inspect: gives the answer to a photograph's bytes, its name, and whether pictures are asked for.

    Attributes:
        open: requests that take one of the places.
        answered: number of photographs that were inspected.
    """

    def __init__(self, inspect: Inspect):
        self._inspect, self._pool = inspect, ThreadPoolExecutor(1, "hw3-app")
        self.open: set[object] = set()
        self.answered = 0

    def submit(self, request: object, *photograph: Any) -> Future:
        """Inspect it in the thread; the request keeps its place until that has ended."""
        loop = asyncio.get_running_loop()
        future = self._pool.submit(self._inspect, *photograph)

        def ended() -> None:
            self.open.discard(request)
            self.answered += not future.cancelled()

        future.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(ended))
        return future

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Handler(web.RequestHandler):
    """Who may ask, and errors as JSON."""

    open_to_all = False
    refused: tuple[int, str] | None = None

    def initialize(self, inspections: Inspections, token: str, theme: str) -> None:
        self.inspections, self.token, self.theme = inspections, token, theme

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")  # the page's address may hold the token
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        if why := "" if self.open_to_all else self._forbidden():
            self.refused = 403, why
            if self.request.method != "POST":  # whose body is read first: see _Inspect
                self.refuse(*self.refused)

    def _forbidden(self) -> str:
        if self.token:
            given = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
            given = given or self.get_query_argument("token", "")
            right = hmac.compare_digest(given.encode(), self.token.encode())
            return "" if right else "The token is missing or wrong; take the whole address that `hw3 app` printed."
        # Without a token nothing but this machine's own page may ask: not a name that another's server made lead here,
        # nor a page of another's.
        host, origin = self.request.host, self.request.headers.get("Origin")
        if not is_loopback(self.request.host_name) or origin not in (None, f"http://{host}"):
            return f"Asked as {host} by {origin or 'nobody'}; only the page of this machine may ask without a token."
        return ""

    def refuse(self, status: int, sentence: str) -> None:
        self.set_status(status)
        self.finish({"error": sentence})

    def write_error(self, status_code: int, **_: Any) -> None:
        self.refuse(status_code, f"{self.request.method} {self.request.path}: {self._reason}.")


class _Missing(_Handler):
    def prepare(self) -> None:
        raise web.HTTPError(404)


class _Page(_Handler):
    def get(self) -> None:
        nonce = secrets.token_urlsafe(16)
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data: blob:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        page = _PAGE.read_text(encoding="utf-8")
        for name, value in {"NONCE": nonce, "THEME": self.theme, "LIMIT": str(LARGEST)}.items():
            page = page.replace(f"{{{{{name}}}}}", html.escape(value))
        self.finish(page)


class _Health(_Handler):
    open_to_all = True

    def get(self) -> None:
        self.finish({"status": "ok", "waiting": len(self.inspections.open), "answered": self.inspections.answered})


class _Description(_Handler):
    def get(self) -> None:
        self.finish(describe(bool(self.token), LARGEST, QUEUE, SECONDS))


@web.stream_request_body  # so that what is refused is not kept, and a body is never taken for a form
class _Inspect(_Handler):
    future: Future | None = None

    def prepare(self) -> None:
        super().prepare()
        self.request.connection.set_max_body_size(2**62)  # type: ignore[union-attr] # see data_received
        self.content = bytearray()
        if not self.refused:
            if len(self.inspections.open) >= QUEUE:
                self.refused = 429, f"{QUEUE} photographs are waiting already; try again in a moment."
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
        if self.refused:
            if self.refused[0] == 429:
                self.set_header("Retry-After", "1")
            return self.refuse(*self.refused)
        name, pictures = self._name(), self.get_query_argument("pictures", "0") == "1"
        self.future = self.inspections.submit(self, bytes(self.content), name, pictures)
        self.content.clear()
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(self.future), SECONDS)
            self.finish({k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in found.items()})
        except Hw3Error as error:
            self.refuse(422, str(error))
        except (asyncio.TimeoutError, CancelledError):
            self.refuse(503, f"{name} was not inspected within {SECONDS:.0f} s; try again later.")
        except Exception as error:  # one photograph's sender must hear of it; the others go on
            app_log.exception("%s could not be inspected", name)
            self.refuse(500, f"{name} could not be inspected: {type(error).__name__}: {error}")

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
    inspect: Inspect, sockets: list[socket.socket], token: str = "", theme: str = "auto"
) -> Iterator[threading.Thread]:
    """Answer on sockets that listen, in a thread, while the block runs.

    Args:
        inspect: see :class:`Inspections`.
        sockets: of :func:`listen`.
        token: that whoever asks must know; empty: only this machine may ask.
        theme: of the page: ``auto`` (the browser's), ``light`` or ``dark``.
    """
    inspections, ready = Inspections(inspect), threading.Event()
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(end.set))
        state = {"inspections": inspections, "token": token, "theme": theme}
        pages = {"/": _Page, "/inspect": _Inspect, "/health": _Health, "/openapi.json": _Description}
        application = web.Application(
            [(path, handler, state) for path, handler in pages.items()],
            default_handler_class=_Missing,
            default_handler_args=state,
            log_function=lambda _: None,
        )
        server = httpserver.HTTPServer(application, body_timeout=SECONDS, idle_connection_timeout=SECONDS)
        server.add_sockets(sockets)
        ready.set()
        await end.wait()
        server.stop()
        inspections.close()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="hw3-app-server", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield thread
    finally:
        stop[0]()
        thread.join(10)


def serve(
    detector: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8866,
    types: str | Path | None = None,
    browser: bool = True,
    theme: str = "auto",
    progress: bool = False,
    echo: Callable[[str], None] = print,
) -> None:
    """Serve the page until the process is interrupted.

    Whoever asks must know the token in the environment variable :data:`TOKEN`; on a host that other machines reach one
    is drawn if there is none.

    Args:
        detector: its folder, or an ONNX file.
        host, port: where; port 0 takes one that is free.
        types: a category with labelled defects, see :class:`.DefectTypes`; None: as the folder has them.
        browser: open the page in one.
        theme: of the page: ``auto`` (the browser's), ``light`` or ``dark``.
        progress: show a bar while types are learned.
        echo: receives messages.

    Raises:
        Hw3Error: a host or port that cannot be had, or a broken detector. All this before anything is served.
    """
    sockets = listen(host, port)
    try:
        from .inspection import Inspector  # imports PyTorch: host and port are checked before

        inspector = Inspector(detector, types=types, progress=progress, echo=echo)
        echo(f"{inspector.model.name} of {detector}: {inspector.said}")
        token = os.environ.get(TOKEN) or ("" if is_loopback(host) else secrets.token_urlsafe(24))
        if not is_loopback(host):
            echo(f"warning: what goes to and from {host} is not encrypted, its token included")
        with serving(inspector.inspect, sockets, token, theme) as thread:
            address = page_address(host, sockets, token)
            echo(f"page: {address} (end with Ctrl-C)")
            if browser:
                webbrowser.open(address)
            while thread.is_alive():
                thread.join(1)  # on Windows Ctrl-C interrupts no longer wait
    finally:
        for each in sockets:
            each.close()


def page_address(host: str, sockets: list[socket.socket], token: str = "") -> str:
    """Address of the page, as a browser on this machine takes it."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{sockets[0].getsockname()[1]}/" + (f"?token={token}" if token else "")
