"""What every server of pages shares: where it listens, who may ask, errors as JSON, a page with its style.

A page is in the language that its browser asks for; in its file ``{{_ TEXT}}`` is a text to be translated.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tornado import netutil, web

from hw3lib.core.translation import ENGLISH, MARKED, PAGES, languages, tell, told
from hw3lib.errors import Hw3Error

SENTENCES = ("error", "judgement", "chance", "limit", "warning", "type")  # of answers, which a person reads


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


def page_address(host: str, sockets: list[socket.socket], token: str = "") -> str:
    """Address of the page, as a browser on this machine takes it."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{sockets[0].getsockname()[1]}/" + (f"?token={token}" if token else "")


class Handler(web.RequestHandler):
    """Who may ask, and errors as JSON."""

    open_to_all = False
    refused: tuple[int, str] | None = None

    def initialize(self, token: str = "", theme: str = "auto") -> None:
        self.token, self.theme = token, theme

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
            return "" if right else "The token is missing or wrong; take the whole address that was printed."
        # Without a token nothing but this machine's own page may ask: not a name that another's server made lead here,
        # nor a page of another's.
        host, origin = self.request.host, self.request.headers.get("Origin")
        if not is_loopback(self.request.host_name) or origin not in (None, f"http://{host}"):
            return f"Asked as {host} by {origin or 'nobody'}; only the page of this machine may ask without a token."
        return ""

    def language(self) -> str:
        """The first one that the browser asks for, if there are translations into it; English for programs."""
        wanted = self.request.headers.get("Accept-Language", "").partition("-")[0].lower()
        return next((one for one in languages() if one.partition("-")[0] == wanted), ENGLISH)

    def told(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """An answer with its sentences in the browser's language."""
        language = self.language()
        return {
            name: tell(value, *PAGES, language=language) if name in SENTENCES and value else value
            for name, value in answer.items()
        }

    def refuse(self, status: int, sentence: str) -> None:
        self.set_status(status)
        self.finish(self.told({"error": sentence}))

    def write_error(self, status_code: int, **_: Any) -> None:
        self.refuse(status_code, f"{self.request.method} {self.request.path}: {self._reason}.")

    def show(self, page: str, **values: str) -> None:
        """Answer with a page of this folder, which fetches nothing from elsewhere and runs no script but its own.

        Each ``{{NAME}}`` in it stands for a value: those given, and those that every page has.
        """
        nonce = secrets.token_urlsafe(16)
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        language = self.language()
        text = MARKED.sub(lambda found: told(found[1], language, PAGES[0]), _text(page))
        text = text.replace("{{STYLE}}", _text("style.css").rstrip())
        for name, value in {"NONCE": nonce, "THEME": self.theme, "LANGUAGE": language, **values}.items():
            text = text.replace(f"{{{{{name}}}}}", html.escape(value))
        self.finish(text)


def _text(file: str) -> str:
    return Path(__file__).with_name(file).read_text(encoding="utf-8")
