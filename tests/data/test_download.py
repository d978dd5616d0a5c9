"""Downloads against a server that drops, changes, lies and ignores, and disks that are full."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import threading
from pathlib import Path

import pytest
import requests

from hw3lib.data.fetch import download as module
from hw3lib.data.fetch.download import SourceFailed, download
from hw3lib.errors import Hw3Error

CONTENT = bytes(range(256)) * 4000  # 1 MB
HASH = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
CUT = 20 * module._CHUNK  # where connections break; what is not a whole chunk would be fetched again


def fetch(urls: str | list[str], target: Path, sha256: str = HASH, **options: object) -> Path:
    options = {"progress": False, "timeout": 5, "retries": 0, "backoff": 0.001, **options}
    return download(urls, target, sha256, **options)


@pytest.fixture
def url(server) -> str:
    server.files["/a.bin"] = CONTENT
    return server.url + "/a.bin"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "down" / "a.bin"


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_downloads_and_leaves_only_the_file(url, target):
    assert fetch(url, target) == target
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["a.bin"]


def test_what_is_there_is_not_downloaded_again_but_checked(server, url, target):
    fetch(url, target)
    fetch(url, target)
    assert len(server.requests) == 1
    target.write_bytes(OTHER)
    with pytest.raises(Hw3Error, match=f"SHA-256 {hashlib.sha256(OTHER).hexdigest()}, expected {HASH}"):
        fetch(url, target)
    assert target.read_bytes() == OTHER, "a file of the user must not be deleted"


def test_resumes_in_the_next_run_with_the_remainder_only(server, url, target):
    server.cuts = [CUT, 0]
    with pytest.raises(SourceFailed, match=r"kept in .*a\.bin\.part"):
        fetch(url, target)
    assert names(target.parent) == ["a.bin.part"]
    fetch(url, target)
    assert server.requests[-1] == ("/a.bin", f"bytes={CUT}-")
    assert server.sent == [CUT, 0, len(CONTENT) - CUT]
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["a.bin"]


def test_resumes_within_a_run_as_long_as_bytes_arrive(server, url, target):
    server.cuts = [CUT // 2] * 6
    fetch(url, target)
    assert [r for _, r in server.requests[1:]] == [f"bytes={n * CUT // 2}-" for n in range(1, 7)]
    assert sum(server.sent) == len(CONTENT)
    assert target.read_bytes() == CONTENT


def test_gives_up_after_the_retries(server, url, target):
    server.cuts = [0] * 100
    with pytest.raises(SourceFailed, match="Nothing half-written"):
        fetch(url, target, retries=3)
    assert len(server.requests) == 4
    assert names(target.parent) == []


def test_ends_although_a_server_that_cannot_resume_always_breaks(server, url, target):
    server.ranges = False
    server.cuts = [500_000] * 100
    with pytest.raises(SourceFailed):
        fetch(url, target, retries=2)
    assert len(server.requests) < 10


def test_busy_server_is_asked_again(server, url, target):
    server.statuses = [503, 429]
    fetch(url, target, retries=2)
    assert target.read_bytes() == CONTENT


def test_server_that_ignores_range_starts_again_from_zero(server, url, target):
    server.ranges = False
    server.cuts = [CUT]
    fetch(url, target, retries=1)
    assert server.requests[1][1] == f"bytes={CUT}-"
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) - 5000, 200_000])
def test_a_beginning_of_another_file_is_not_kept(server, url, target, length):
    server.cuts = [CUT, 0]
    with pytest.raises(SourceFailed):
        fetch(url, target)
    server.files["/a.bin"] = OTHER[:length]
    fetch(url, target, hashlib.sha256(OTHER[:length]).hexdigest())
    assert target.read_bytes() == OTHER[:length]


def test_wrong_hash_deletes_the_part_and_goes_on_to_the_next_address(server, url, target):
    server.files["/bad.bin"] = OTHER
    fetch([server.url + "/bad.bin", url], target)
    assert target.read_bytes() == CONTENT


def test_wrong_hash_everywhere_names_both_hashes_and_every_address(server, target):
    server.files["/bad.bin"] = OTHER
    bad = server.url + "/bad.bin"
    with pytest.raises(SourceFailed) as caught:
        fetch([bad, server.url + "/none.bin"], target)
    message = str(caught.value)
    assert all(text in message for text in (HASH, hashlib.sha256(OTHER).hexdigest(), bad, "/none.bin", "404"))
    assert names(target.parent) == []


def test_bad_beginning_from_an_earlier_run_is_fetched_again(server, url, target):
    server.cuts = [CUT, 0]
    with pytest.raises(SourceFailed):
        fetch(url, target)
    part = target.with_name("a.bin.part")
    part.write_bytes(b"x" + part.read_bytes()[1:])
    fetch(url, target)
    assert target.read_bytes() == CONTENT


def test_second_address_goes_on_where_the_first_one_broke(server, url, target):
    server.files["/mirror.bin"] = CONTENT
    server.cuts = [CUT, 0]
    fetch([url, server.url + "/mirror.bin"], target)
    assert server.requests[-1] == ("/mirror.bin", f"bytes={CUT}-")
    assert target.read_bytes() == CONTENT


def test_dead_mirror_does_not_cost_what_has_arrived(server, url, target):
    server.cuts = [CUT, 0]
    with pytest.raises(SourceFailed):
        fetch([url, server.url + "/none.bin"], target)
    assert target.with_name("a.bin.part").stat().st_size == CUT


def test_complete_part_of_a_killed_run_is_only_checked(server, url, target):
    server.cuts = [CUT, 0]
    with pytest.raises(SourceFailed):
        fetch(url, target)
    target.with_name("a.bin.part").write_bytes(CONTENT)
    before = sum(server.sent)
    fetch(url, target)
    assert sum(server.sent) == before
    assert target.read_bytes() == CONTENT


def test_web_page_is_not_taken_for_the_file(server, url, target):
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(SourceFailed, match="web page"):
        fetch(url, target)
    assert names(target.parent) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "a.bin", "http://"])
def test_only_web_addresses(target, url):
    with pytest.raises(SourceFailed, match="address"):
        fetch(url, target)
    assert names(target.parent) == []


def test_nobody_listens(server, target):
    with pytest.raises(SourceFailed, match="no connection"):
        fetch("http://127.0.0.1:9/a.bin", target)


def test_no_room_is_said_before_a_byte_is_read(server, url, target, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=module._SPARE_DISK + len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(Hw3Error, match=r"Not enough space for .*a\.bin: 201\.\d MB are needed, 201\.\d MB are free"):
        fetch(url, target)
    assert names(target.parent) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=usage.free + 1))
    fetch(url, target)


def test_disk_full_midway_keeps_the_part_and_does_not_try_other_places(server, url, target, monkeypatch):
    def full_at_half(self, chunk_size):
        yield self.raw.read(CUT)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(requests.Response, "iter_content", full_at_half)
    with pytest.raises(Hw3Error, match=r"disk is full .*kept in .*a\.bin\.part") as caught:
        fetch([url, url], target)
    assert not isinstance(caught.value, SourceFailed)
    assert len(server.requests) == 1
    monkeypatch.undo()
    fetch(url, target)
    assert server.requests[-1][1] == f"bytes={CUT}-"
    assert target.read_bytes() == CONTENT


def test_disk_really_full(url, tiny_disk, monkeypatch):
    monkeypatch.setattr(module, "_SPARE_DISK", -10_000_000)  # let it run into the wall
    with pytest.raises(Hw3Error, match="disk is full"):
        fetch(url, tiny_disk / "a.bin")
    part = (tiny_disk / "a.bin.part").read_bytes()
    assert part and CONTENT.startswith(part)


@pytest.mark.parametrize("below", ["a.bin", "deeper/a.bin"])
def test_folder_that_is_a_file(url, tmp_path, below):
    (tmp_path / "down").write_text("a file")
    with pytest.raises(Hw3Error, match="down is a file where a folder was expected"):
        fetch(url, tmp_path / "down" / below)


def test_two_at_once_do_not_mix(server, url, target, monkeypatch):
    pytest.importorskip("fcntl", reason="no file locks on this system")
    began, go_on = threading.Event(), threading.Event()
    real = requests.Response.iter_content

    def wait(self, size):
        began.set()
        go_on.wait(10)
        return real(self, size)

    monkeypatch.setattr(requests.Response, "iter_content", wait)
    first = threading.Thread(target=fetch, args=(url, target))
    first.start()
    try:
        assert began.wait(10)
        with pytest.raises(Hw3Error, match="Another process is downloading"):
            fetch(url, target)
    finally:
        go_on.set()
        first.join()
    assert target.read_bytes() == CONTENT


def test_progress_bars_show_the_file(url, target, capsys):
    fetch(url, target, progress=True)
    shown = capsys.readouterr().err
    assert re.search(r"(^|\r)a\.bin:", shown)


def test_short_answer_is_noticed_where_the_http_library_does_not(server, url, target, monkeypatch):
    monkeypatch.setattr(requests.Response, "iter_content", lambda self, size: iter([self.raw.read(CUT)]))
    with pytest.raises(SourceFailed, match=f"the connection ended at {CUT} of {len(CONTENT)} bytes"):
        fetch(url, target, retries=-1)
    assert not target.exists()
