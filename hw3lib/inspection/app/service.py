"""The process with the detector answers the processes of the pages, over a socket of this machine.

Messages are JSON and bytes, nothing that could be executed; both sides prove with a key that they know each other.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from hw3lib.errors import Hw3Error

ADDRESS, KEY = "HW3_APP_PORT", "HW3_APP_KEY"  # environment of the pages' processes
_PICTURES = ("photograph", "heat_map")
_MOST = 64 * 2**20  # bytes of one message

Inspect = Callable[[bytes, str], Mapping[str, Any]]


class Service:
    """Answers photographs with what ``inspect(content, name)`` says; a context manager.

    Attributes:
        environment: variables that :func:`ask` needs in another process.
    """

    def __init__(self, inspect: Inspect):
        self._inspect, key = inspect, os.urandom(32)
        self._listener = Listener(("127.0.0.1", 0), authkey=key)
        self.environment = {ADDRESS: str(self._listener.address[1]), KEY: key.hex()}
        self._closed = False

    def __enter__(self) -> Service:
        self._thread = threading.Thread(target=self._serve, name="hw3-app", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        with suppress(OSError):  # the thread that waits for a page wakes up and sees that it is over
            socket.create_connection(self._listener.address, 5).close()
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except (OSError, EOFError, AuthenticationError):  # woken to end, or somebody without the key
                continue
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection, suppress(OSError, EOFError):  # the page was closed
            name = json.loads(connection.recv_bytes(2**16))
            content = connection.recv_bytes(_MOST)
            try:
                found = dict(self._inspect(content, name))
            except Hw3Error as error:
                found = {"error": str(error)}
            except Exception as error:  # a page must hear of it; the others go on
                found = {"error": f"{name} could not be inspected: {type(error).__name__}: {error}"}
            pictures = [found.pop(key, None) or b"" for key in _PICTURES]
            for part in (json.dumps(found).encode(), *pictures):
                connection.send_bytes(part)


def ask(content: bytes, name: str, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What the service says of a photograph, see :meth:`hw3lib.inspection.app.inspection.Inspector.inspect`.

    Raises:
        Hw3Error: the photograph is refused, or the service has ended.
    """
    try:
        address = ("127.0.0.1", int(environment[ADDRESS]))
        with Client(address, authkey=bytes.fromhex(environment[KEY])) as connection:
            connection.send_bytes(json.dumps(name).encode())
            connection.send_bytes(content)
            found, *pictures = (connection.recv_bytes(_MOST) for _ in range(1 + len(_PICTURES)))
    except (OSError, EOFError, KeyError, AuthenticationError) as error:
        raise Hw3Error(
            f"The program that holds the detector does not answer ({error!r}); start `hw3 app` again."
        ) from None
    answer = json.loads(found)
    if "error" in answer:
        raise Hw3Error(answer["error"])
    return answer | {key: picture or None for key, picture in zip(_PICTURES, pictures, strict=True)}
