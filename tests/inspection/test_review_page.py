"""The page of ``hw3 inspect review`` without a browser: what it asks, keeps, takes back and refuses."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tornado import httpserver

from hw3lib.anomaly import PatchCore
from hw3lib.cli.main import main
from hw3lib.errors import Hw3Error
from hw3lib.inspection.app.pages import listen, page_address
from hw3lib.inspection.app.review import Desk, application
from hw3lib.inspection.corrections.answers import Store

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    """An inspector, and the results of four photographs."""
    folder, rng = tmp_path_factory.mktemp("page"), np.random.default_rng(0)
    good = rng.integers(60, 200, (12, 3, 32, 32), dtype=np.uint8)
    PatchCore(image_size=32, ratio=0.5).fit(good).save(folder / "inspector")
    (folder / "today").mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / "today" / f"{i}.png")
    code = main(
        ["inspect", "score", *(str(folder / name) for name in ("inspector", "today")), "--out", f"{folder}/results"]
    )
    assert code in (0, 3)
    return folder


@pytest.fixture
def page(scored, tmp_path) -> Iterator[str]:
    sockets, ready = listen("127.0.0.1", 0), threading.Event()
    stop: list = []

    async def run() -> None:
        desk = Desk(scored / "inspector", [scored / "results"], tmp_path / "answers.sqlite")
        server, end = httpserver.HTTPServer(application(desk)), asyncio.Event()
        server.add_sockets(sockets)
        stop.extend((asyncio.get_running_loop(), end))
        ready.set()
        await end.wait()
        server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield page_address("127.0.0.1", sockets)
    stop[0].call_soon_threadsafe(stop[1].set)
    thread.join(10)


def ask(address: str, body: dict | None = None, **headers: str) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=30) as reply:
        return json.loads(reply.read())


def refused(*arguments, **headers) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(*arguments, **headers)
    return caught.value.code, json.loads(caught.value.read())["error"]


def test_each_photograph_is_asked_about_until_it_is_answered_and_again_when_that_is_taken_back(page, scored, tmp_path):
    with urllib.request.urlopen(page, timeout=30) as reply:
        text = reply.read().decode()
    assert "Review of photographs" in text and "{{" not in text
    files = []
    for left, answer in zip((4, 3, 2, 1), ("good", "defect", "unsure", "good"), strict=True):
        told = ask(f"{page}next?reviewer=a")
        assert told["left"] == left and len(told["photograph"]) > 500 and len(told["heat_map"]) > 500
        assert ask(f"{page}answer", {"file": told["file"], "answer": answer, "type": "cut", "reviewer": "a"})
        files.append(told["file"])
    assert len(set(files)) == 4 and ask(f"{page}next?reviewer=a")["file"] is None
    assert ask(f"{page}answer", {"answer": "undo", "reviewer": "a"})["file"] == files[3]
    again = ask(f"{page}next?reviewer=a")
    assert again["file"] == files[3] and again["types"] == ["cut"]
    assert ask(f"{page}next?reviewer=b")["file"] is None  # it is shown to the other
    kept = Store(tmp_path / "answers.sqlite").answers()
    assert [kept[file].answer for file in files[:3]] == ["good", "defect", "unsure"] and files[3] not in kept


def test_what_is_no_answer_or_comes_from_elsewhere_is_refused(page, scored, tmp_path):
    file = str(scored / "today" / "0.png")
    assert refused(f"{page}answer", {"file": "/etc/passwd", "answer": "good"})[0] == 422
    assert "found the answer 'bad'" in refused(f"{page}answer", {"file": file, "answer": "bad"})[1]
    assert refused(f"{page}answer", {"file": 1})[0] == 400
    assert refused(f"{page}answer", {"file": file, "answer": "good"}, Origin="http://evil.example")[0] == 403
    assert refused(f"{page}next", None, Host="evil.example")[0] == 403
    assert Store(tmp_path / "answers.sqlite").answers() == {}


def test_the_command_prints_the_queue_and_takes_a_table(scored, tmp_path, capsys):
    base, table = str(tmp_path / "a.sqlite"), tmp_path / "answers.csv"
    arguments = ["inspect", "review", str(scored / "inspector"), str(scored / "results"), "--store", base]
    assert main([*arguments, "--order"]) == 0
    files = capsys.readouterr().out.split()
    assert len(files) == 4
    table.write_text(f"file,answer\n{files[0]},good\n", encoding="utf-8")
    assert main([*arguments, "--answers", str(table), "--order"]) == 0
    assert capsys.readouterr().out.split("\n")[1:4] == files[1:]


def test_no_photograph_no_page(scored, tmp_path):
    (tmp_path / "results.csv").write_text("file,score,p_value,anomalous,threshold,warning,reason\n")
    with pytest.raises(Hw3Error, match="no photograph in these results"):
        Desk(scored / "inspector", [tmp_path], tmp_path / "a.sqlite")
