"""hw3lib.annotate.weights: published files are found or downloaded, and never taken unchecked."""

import hashlib

import pytest

from hw3lib.annotate import weights
from hw3lib.annotate.weights import Weights, find
from hw3lib.core.optional import PARTS
from hw3lib.data.fetch.download import SourceFailed
from hw3lib.errors import Hw3Error

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """One published file; nothing of it is on this machine."""
    monkeypatch.setitem(weights.WEIGHTS, "net.pt", Weights("https://example.org/net.pt", SHA256, "sam"))
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("HW3_WEIGHTS", raising=False)
    return tmp_path


def never(*_, **__):
    raise AssertionError("downloaded")


def test_unknown_weights_are_refused_with_those_known(published):
    with pytest.raises(Hw3Error, match=r"'other.pt'; known: mobile_sam.pt, .*net.pt"):
        find("other.pt")


def test_the_named_folder_comes_before_the_cache(published, monkeypatch):
    monkeypatch.setattr(weights, "download", never)
    for name in ("cache", "mine"):
        (published / name).mkdir()
        (published / name / "net.pt").write_bytes(CONTENT)
    assert find("net.pt") == published / "cache/net.pt"
    monkeypatch.setenv("HW3_WEIGHTS", str(published / "mine"))
    assert find("net.pt") == published / "mine/net.pt"


def test_a_file_with_another_hash_is_refused(published, monkeypatch):
    monkeypatch.setattr(weights, "download", never)
    (published / "cache").mkdir()
    (published / "cache/net.pt").write_bytes(CONTENT + b"!")
    with pytest.raises(
        Hw3Error, match=rf"net.pt has the SHA-256 [0-9a-f]{{64}}, expected {SHA256}; delete it\. .*Apache"
    ):
        find("net.pt")


def test_missing_weights_are_not_fetched_unless_allowed(published, monkeypatch):
    monkeypatch.setattr(weights, "download", never)
    with pytest.raises(
        Hw3Error, match=r"SAM needs the published weights net.pt, which are not on this machine\. Looked in .*cache\. "
    ):
        find("net.pt", fetch=False)


def test_a_failed_download_says_where_to_put_the_file(published, monkeypatch):
    def fails(url, target, sha256, **_):
        assert (url, target, sha256) == ("https://example.org/net.pt", published / "cache/net.pt", SHA256)
        raise SourceFailed("no network")

    monkeypatch.setattr(weights, "download", fails)
    with pytest.raises(
        Hw3Error, match="The download failed: no network. .* put .* into a folder and name that folder in HW3_WEIGHTS"
    ):
        find("net.pt")


def test_downloaded_weights_are_found_where_they_were_put(published, monkeypatch):
    def fetches(url, target, sha256, **_):
        target.parent.mkdir()
        target.write_bytes(CONTENT)
        return target

    monkeypatch.setattr(weights, "download", fetches)
    assert find("net.pt").read_bytes() == CONTENT
    monkeypatch.setattr(weights, "download", never)
    assert find("net.pt") == published / "cache/net.pt"


def test_what_is_published_has_an_address_a_hash_and_a_licence():
    for name, entry in weights.WEIGHTS.items():
        assert entry.url.startswith("https://") and entry.url.endswith(name)
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert name in PARTS[entry.part].weights and PARTS[entry.part].licence
