"""Published weights from a server that gives the right file, another one, half of it, or nothing."""

import hashlib
import socket
import time

import pytest

from hw3lib.annotate import weights
from hw3lib.annotate.weights import Weights, find
from hw3lib.core import optional

CONTENT = bytes(range(256)) * 4000  # 1 MB
HASH = hashlib.sha256(CONTENT).hexdigest()
NAME = "mobile_sam.pt"


@pytest.fixture
def cache(server, tmp_path, monkeypatch):
    """The folder that weights are kept in, empty; their one file is on the server."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HW3_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setitem(weights.WEIGHTS, NAME, Weights(f"{server.url}/{NAME}", HASH, "sam"))
    server.files[f"/{NAME}"] = CONTENT
    return tmp_path / "cache"


def refused(cache):
    """The sentence that a failed download ends in; it comes within seconds and leaves no weights behind."""
    began = time.monotonic()
    with pytest.raises(optional.Missing) as caught:
        find(NAME)
    assert time.monotonic() - began < 20
    assert not (cache / NAME).exists()
    said = str(caught.value)
    assert said.startswith(f"SAM needs the published weights {NAME}, which are not on this machine. Looked in ")
    assert (
        "Apache-2.0" in said and said.endswith("into a folder and name that folder in HW3_WEIGHTS") and "\n" not in said
    )
    return said


def test_the_right_file_is_fetched_once_with_a_bar_and_kept(cache, server, capsys):
    assert find(NAME) == cache / NAME
    assert (cache / NAME).read_bytes() == CONTENT
    assert f"{NAME}: 100%" in capsys.readouterr().err
    assert find(NAME) == cache / NAME and len(server.requests) == 1
    assert optional.missing("sam") is None


def test_another_file_is_deleted(cache, server):
    server.files[f"/{NAME}"] = CONTENT[::-1]
    assert f"served another file: SHA-256 {hashlib.sha256(CONTENT[::-1]).hexdigest()}, expected {HASH}" in refused(
        cache
    )
    assert list(cache.iterdir()) == []


def test_a_line_that_breaks_once_goes_on_from_there(cache, server):
    server.cuts = [len(CONTENT) // 2]
    assert find(NAME).read_bytes() == CONTENT
    assert len(server.requests) == 2 and sum(server.sent) < 1.1 * len(CONTENT)


def test_half_a_file_is_kept_for_the_next_time_but_is_no_weights(cache, server):
    server.cuts = [len(CONTENT) // 2, 0, 0]
    assert "What had arrived is kept in " in refused(cache)
    assert find(NAME).read_bytes() == CONTENT
    assert sum(server.sent) < 1.1 * len(CONTENT)


def test_a_connection_that_is_refused_is_reported_at_once(cache, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setitem(
            weights.WEIGHTS, NAME, Weights(f"http://127.0.0.1:{taken.getsockname()[1]}/{NAME}", HASH, "sam")
        )
        said = refused(cache)
    assert "no connection, or it broke: Failed to establish a new connection: [Errno" in said
    assert "HTTPConnection" not in said


def test_a_server_that_never_answers_is_given_up(cache, monkeypatch):
    monkeypatch.setitem(weights._PATIENCE, "timeout", (4.0, 0.2))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/{NAME}"
        monkeypatch.setitem(weights.WEIGHTS, NAME, Weights(address, HASH, "sam"))
        assert "(2 times in a row)" in refused(cache)


def test_nobody_waits_for_long():
    (connect, read), tries = weights._PATIENCE["timeout"], weights._PATIENCE["retries"] + 1
    assert connect * tries <= 10 and read * tries <= 20  # seconds


def test_a_folder_that_is_named_serves_without_a_network(cache, server, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / NAME).write_bytes(CONTENT)
    assert find(NAME) == tmp_path / "mine" / NAME and server.requests == []
    (tmp_path / "mine" / NAME).write_bytes(CONTENT[: len(CONTENT) // 2])
    with pytest.raises(optional.Missing, match=f"SHA-256 [0-9a-f]{{64}}, expected {HASH}; delete it"):
        find(NAME)
    assert server.requests == []


def test_looking_does_not_download(cache, server):
    assert "Looked in" in optional.missing("sam")
    assert server.requests == []
