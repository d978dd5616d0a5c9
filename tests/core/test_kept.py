"""What a kept result depends on: a line in any room below makes it due, a docstring or a comment does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hw3lib.core import kept
from hw3lib.core.kept import Kept, code_digest
from hw3lib.core.places import project_root

BELOW = {"core", "data", "errors", "networks"}


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    source, copy = project_root() / "hw3lib", tmp_path_factory.mktemp("copy") / "hw3lib"
    return Path(shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyi", "*.ttf")))


@pytest.fixture
def digest(package, monkeypatch):
    """The function that digests a room's code anew after one room has changed; the others are read once."""
    known: dict[str, tuple] = {}
    real = kept._room.__wrapped__
    monkeypatch.setattr(kept, "_PACKAGE", package)

    def read(name: str) -> tuple:
        if name not in known:
            known[name] = real(name)
        return known[name]

    monkeypatch.setattr(kept, "_room", read)

    def of(room: str, changed: str | None = None) -> str:
        known.pop(changed, None)
        return code_digest.__wrapped__(room)

    return of


def _of(package: Path, room: str) -> Path:
    return next(iter(sorted((package / room).rglob("[a-z]*.py"))), package / f"{room}.py")


def test_a_line_in_each_room_below_makes_a_result_due_and_a_docstring_does_not(package, digest):
    room, first = "classify", digest("classify")
    for name in (room, "imbalance"):
        assert kept._room(name)[1] - {name, "runs"} == BELOW
    for name in sorted(BELOW | {room}):
        file = _of(package, name)
        text = file.read_text(encoding="utf-8")
        documented = f'"""Another docstring."""\n# a comment\n{text.split(chr(34) * 3, 2)[2]}'
        for changed, due in ((f"{text}\nADDED = 1\n", True), (documented, False)):
            file.write_text(changed, encoding="utf-8")
            assert (digest(room, name) != first) == due, f"{file}: {changed[-20:]}"
    file = _of(package, "anomaly")
    file.write_text(file.read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")
    assert digest(room, "anomaly") == first


def test_anything_that_gives_another_result_gives_another_file(tmp_path, monkeypatch):
    def file(folder=tmp_path, name="tail.json", room="core", device="cpu", precision="float32", **what):
        return Kept(folder, name, room, device, precision, **what).file

    first = file(seed=0)
    assert first == file(seed=0) and first.name.startswith("tail-") and first.suffix == ".json"
    others = [file(seed=1), file(seed=0, device="cuda"), file(seed=0, precision="bf16"), file(seed=0, room="data")]
    monkeypatch.setattr(kept, "versions", lambda: {"pillow": "0"})
    assert len({first, *others, file(seed=0)}) == 6
    assert file(None) is None


def test_what_is_written_is_read_and_damage_is_nothing(tmp_path):
    outcome, arrays = Kept(tmp_path, "a.json", "core", "cpu", ""), Kept(tmp_path, "a.npz", "core", "cpu", "")
    assert outcome.read() is None
    outcome.write({"seconds": 1.5})
    arrays.write({"plain": np.arange(3)})
    assert outcome.read() == {"seconds": 1.5} and arrays.read()["plain"].tolist() == [0, 1, 2]
    for kind in (outcome, arrays):
        kind.file.write_bytes(b"[1]")
        assert kind.read() is None
    nowhere = Kept(None, "a.json", "core", "cpu", "")
    nowhere.write({})
    assert nowhere.read() is None
