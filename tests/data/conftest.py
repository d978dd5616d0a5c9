"""What tests of data share: a file server on this machine, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.server import FileServer, serving


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as files:
        yield files


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's data folder nor a proxy nor a mirror may change what these tests see."""
    for name in ("HW3_DATA", "HW3_MVTEC_URL", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
