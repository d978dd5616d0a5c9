"""``hw3 inspect score --watch``: each photograph exactly once, through kills; files that are being written wait."""

import csv
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from hw3lib.cli.main import main
from hw3lib.errors import Hw3Error
from hw3lib.inspection import watch as module
from hw3lib.inspection.watch import watch
from tests.helpers.launched_watch import Bright

KILLS = int(os.environ.get("HW3_KILLS", "2"))


@pytest.fixture
def bright(monkeypatch):
    monkeypatch.setattr(module, "Inspector", Bright)


def write(folder, name, value=50):
    """A photograph of noise, written beside and renamed, as a camera's program does."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 40, (8, 8, 3)) + value
    Image.fromarray(pixels.astype(np.uint8)).save(folder / f".{name}")
    os.replace(folder / f".{name}", folder / name)


def rows(out):
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_each_photograph_is_scored_once_and_again_if_it_becomes_another(bright, tmp_path):
    place, out, said = tmp_path / "in", tmp_path / "out", []
    write(place, "a.png")
    write(place, "b.png", 150)
    (place / "c.png").write_bytes(b"broken")
    assert watch("x", place, out, idle=0.2, echo=said.append) == (3, 1, 1)
    assert [row["verdict"] for row in rows(out)] == ["good", "anomalous", ""] and rows(out)[2]["reason"]
    assert sum(" waiting)" in line for line in said) == 3
    assert watch("x", place, out, idle=0.2, echo=said.append) == (3, 1, 1) and len(rows(out)) == 3
    write(place, "a.png", 180)
    assert watch("x", place, out, idle=0.2, echo=said.append) == (4, 2, 1)
    assert [row["verdict"] for row in rows(out)] == ["good", "anomalous", "", "anomalous"]


def test_a_file_that_is_still_being_written_waits(bright, tmp_path):
    place, out = tmp_path / "in", tmp_path / "out"
    place.mkdir()
    noise = np.random.default_rng(0).integers(0, 50, (64, 64, 3)) + np.arange(64)[:, None]
    Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()

    def slowly():
        with (place / "slow.png").open("wb", buffering=0) as file:
            for start in range(0, len(content), len(content) // 6):
                file.write(content[start : start + len(content) // 6])
                time.sleep(0.2)

    writer = threading.Thread(target=slowly)
    writer.start()
    assert watch("x", place, out, idle=0.3, echo=str) == (1, 0, 0)
    writer.join()
    assert rows(out)[0]["verdict"] == "good"


def test_a_whole_file_is_taken_at_once_and_another_after_half_a_second(bright, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.05)
    for name, least, most in (("a.png", 0, 0.3), ("a.bmp", 0.5, 5)):
        place, said = tmp_path / name.replace(".", "-"), []
        write(place, name)
        started = time.monotonic()
        watch("x", place, tmp_path / f"out-{name}", idle=0, echo=lambda _, told=said: told.append(time.monotonic()))
        assert least <= said[-1] - started < most, name
    write(tmp_path / "b", "b.png")
    (tmp_path / "b/cut.png").write_bytes((tmp_path / "b/b.png").read_bytes()[:-1])
    assert module._is_whole(tmp_path / "b/b.png") and not module._is_whole(tmp_path / "b/cut.png")
    assert not module._is_whole(tmp_path / "b/none.png")


def test_killed_at_random_moments_nothing_is_lost_and_nothing_twice(tmp_path):
    """``HW3_KILLS`` says how often; photographs come all the while."""
    place, out, draw, stop = tmp_path / "in", tmp_path / "out", random.Random(0), threading.Event()
    place.mkdir()

    def come():
        count = 0
        while not stop.is_set():
            write(place, f"{count:05d}.png", draw.choice((50, 150)))
            count += 1
            time.sleep(0.02)

    camera = threading.Thread(target=come)
    camera.start()
    command = [sys.executable, "-m", "tests.helpers.launched_watch", str(place), str(out)]
    try:
        for _ in range(KILLS):
            known = _known(out)
            process = subprocess.Popen([*command, "60"], stdout=subprocess.DEVNULL)
            while _known(out) == known and process.poll() is None:  # it is at work
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
    finally:
        stop.set()
        camera.join()
    done = subprocess.run([*command, "0.3"], capture_output=True, text=True, check=True)
    files = sorted(str(path) for path in place.glob("*.png"))
    assert sorted(row["file"] for row in rows(out)) == files and len(files) > 10 * KILLS
    assert done.stdout.splitlines()[-1].split()[0] == str(len(files))


def _known(out):
    if not (out / module.DATABASE).exists():
        return 0
    try:
        with sqlite3.connect(out / module.DATABASE) as database:
            return database.execute("SELECT count(*) FROM photographs").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_what_cannot_be_watched_is_refused(bright, tmp_path, capsys):
    with pytest.raises(Hw3Error, match="--watch .*none: no such folder"):
        watch("x", tmp_path / "none", tmp_path / "out")
    (tmp_path / "in").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.txt").touch()
    with pytest.raises(Hw3Error, match="other: exists and is not results of a watch"):
        watch("x", tmp_path / "in", tmp_path / "other")
    assert main(["inspect", "score", "x", "a", "b", "--out", "c", "--watch"]) == 2
    assert "--watch: expected one folder" in capsys.readouterr().err


def test_two_do_not_watch_into_one_folder(bright, tmp_path):
    (tmp_path / "in").mkdir()
    watch("x", tmp_path / "in", tmp_path / "out", idle=0, echo=str)
    with module.held(tmp_path / "out" / f"{module.DATABASE}.lock"), pytest.raises(Hw3Error, match="another process"):
        watch("x", tmp_path / "in", tmp_path / "out", idle=0, echo=str)


def test_the_command_gives_the_exit_code_of_what_came(bright, tmp_path):
    write(tmp_path / "in", "a.png", 150)
    arguments = [
        "inspect",
        "score",
        "x",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--watch",
        "--idle",
        "0.1",
    ]
    assert main(arguments) == 3
    (tmp_path / "in/b.png").write_bytes(b"no image")
    assert main(arguments) == 1
