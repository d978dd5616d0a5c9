"""The page of ``hw3 inspect review``: a photograph with its heat map, one key an answer, and the next one."""

from __future__ import annotations

import asyncio
import base64
import getpass
import json
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tornado import httpserver, web

from hw3lib.core.text import counted
from hw3lib.errors import Hw3Error
from hw3lib.inspection.corrections.answers import ANSWERS, Store, default_store
from hw3lib.inspection.corrections.review import queue

from .inspection import Inspector
from .pages import Handler, listen, page_address


class Desk:
    """What is asked, and where answers go.

    Args:
        inspector: the folder or ONNX file.
        results: of scoring.
        store: file of the answers.

    Raises:
        Hw3Error: no inspector, no results, or a store that cannot be written.
    """

    def __init__(self, inspector: str | Path, results: Sequence[str | Path], store: str | Path):
        self.store, self.results = Store(store), results
        self.rows, left = queue(results, self.store)
        if not len(self.rows):
            raise Hw3Error(f"{results[0]}: no photograph in these results; score some with `hw3 inspect score`")
        self.left, self.inspector = len(left), Inspector(inspector)
        self.failed: set[str] = set()  # files that are gone since they were scored

    def next(self, reviewer: str) -> dict[str, Any]:
        """The photograph to ask this reviewer about, as the page shows it; ``file`` is None where none is left."""
        while True:
            files = [file for file in queue(self.results, self.store)[1] if file not in self.failed]
            types = sorted({answer.type for answer in self.store.answers().values()} - {""})
            file = self.store.take(files, reviewer)
            told = {"file": file, "left": len(files), "types": types}
            if file is None:
                return told
            try:
                found = self.inspector.inspect(Path(file).read_bytes(), Path(file).name)
            except (OSError, Hw3Error):
                self.failed.add(file)
                continue
            shown = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in found.items()}
            return shown | told

    def answer(self, said: dict[str, str]) -> dict[str, Any]:
        """Keep an answer, or take the last one back where ``answer`` is ``undo``; gives its photograph.

        Raises:
            Hw3Error: a photograph that is not among the results, or as :meth:`.Store.answer`.
        """
        reviewer, key = said.get("reviewer", ""), said.get("key") or None
        if said.get("answer") == "undo":
            return {"file": self.store.undo(reviewer, key=key)}
        file = said.get("file", "")
        if file not in set(self.rows["file"]):
            raise Hw3Error(f"{file}: is none of the photographs of these results")
        self.store.answer(file, said.get("answer", ""), said.get("type", "")[:100], reviewer=reviewer, key=key)
        return {"file": file}


class _Asked(Handler):
    def initialize(self, desk: Desk, **settings: str) -> None:  # type: ignore[override] # a desk
        super().initialize(**settings)
        self.desk = desk


class _Page(_Asked):
    def get(self) -> None:
        self.show("review.html", REVIEWER=_user())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # of a number without a name, as in a container
        return ""


class _Next(_Asked):
    def get(self) -> None:
        self.finish(self.told(self.desk.next(self.get_query_argument("reviewer", "")[:100])))


class _Answer(_Asked):
    def post(self) -> None:
        if self.refused:
            return self.refuse(*self.refused)
        try:
            said = json.loads(self.request.body)
            if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
                raise ValueError
        except (ValueError, RecursionError):
            return self.refuse(400, f"Expected JSON with file, answer ({', '.join(ANSWERS)} or undo), type, reviewer.")
        try:
            self.finish(self.desk.answer(said))
        except Hw3Error as error:
            self.refuse(422, str(error))


def application(desk: Desk, theme: str = "auto") -> web.Application:
    """The page, ``GET /next`` and ``POST /answer``."""
    state = {"desk": desk, "theme": theme}
    handlers = [(path, handler, state) for path, handler in (("/", _Page), ("/next", _Next), ("/answer", _Answer))]
    return web.Application(handlers, log_function=lambda _: None)


def serve(
    inspector: str | Path,
    results: Sequence[str | Path],
    store: str | Path | None = None,
    *,
    port: int = 8867,
    browser: bool = True,
    theme: str = "auto",
    echo: Callable[[str], None] = print,
) -> None:
    """Ask on a page of this machine until the process is interrupted; several may answer at once, on one page each.

    Args:
        inspector, results: see :class:`Desk`.
        store: None: beside the inspector, :func:`.default_store`.
        port: 0 takes a free one.
        browser: open the page in one.
        theme: ``auto``, ``light`` or ``dark``.
        echo: receives messages.

    Raises:
        Hw3Error: as :class:`Desk`, or a port that cannot be had.
    """
    sockets = listen("127.0.0.1", port)
    try:
        desk = Desk(inspector, results, store or default_store(inspector))
        echo(f"{counted(desk.left, 'photograph')} to ask about; answers are kept in {desk.store.path}")

        async def run() -> None:
            server = httpserver.HTTPServer(application(desk, theme), max_body_size=100_000)
            server.add_sockets(sockets)
            address = page_address("127.0.0.1", sockets)
            echo(f"page: {address} (end with Ctrl-C)")
            if browser:
                webbrowser.open(address)
            while True:
                await asyncio.sleep(1)  # on Windows Ctrl-C interrupts no longer wait

        asyncio.run(run())
    finally:
        for each in sockets:
            each.close()
