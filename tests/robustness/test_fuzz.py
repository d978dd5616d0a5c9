"""A fuzzing of every reader (600 inputs, or HW3_INPUTS), that it sees what it looks for, and what it has found."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("forks, /proc, timers", allow_module_level=True)

from hw3lib.errors import Hw3Error
from tests.robustness import fuzz
from tests.robustness.damage import BOMB, load, write
from tests.robustness.readers import CELL, READERS, Reader, box_detector, put

COUNT = int(os.environ.get("HW3_INPUTS", "600"))
TOTAL = sum(reader.weight for reader in READERS.values())


@pytest.mark.parametrize("name", READERS)
def test_no_reader_crashes_hangs_or_writes_where_it_must_not(name, tmp_path):
    if not (count := round(COUNT * READERS[name].weight / TOTAL)):
        pytest.skip("bombs, which take seconds: set HW3_INPUTS")
    tally, said = fuzz.run(READERS[name], count, tmp_path)
    print(name, dict(zip(fuzz.OUTCOMES, tally, strict=True)))
    assert not said and sum(tally) >= count, said


def _refuse(folder: Path) -> None:
    raise Hw3Error("is damaged")


def _through_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "elsewhere")
    (folder / "link").write_text("x")


def _removes_through_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)
    (folder.parent / "file").touch()
    os.remove(folder / "link" / "file")


def _hangs(folder: Path) -> None:
    while True:
        pass


FOUND = [
    (lambda folder: {}["a"], "KeyError"),
    (_refuse, "does not name the file"),
    (lambda folder: (folder.parent / "outside.txt").write_text("x"), "outside of its folder"),
    (_through_a_link, "outside of its folder"),
    (_removes_through_a_link, "outside of its folder"),
    (lambda folder: os.mkdir(folder.parent / "made"), "outside of its folder"),
    (lambda folder: socket.socket().connect_ex(("127.0.0.1", 9)), "socket.connect"),
    (lambda folder: b"x" * (fuzz.MEMORY * 11 // 10), "takes 1.1 GB"),
    (lambda folder: os.kill(os.getpid(), 9), "ended with -9"),
    (_hangs, "of the processor"),
]


@pytest.mark.parametrize(("read", "said"), FOUND)
def test_a_finding_is_told_with_its_input(read, said, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 2)
    calls = fuzz.FORK.Value("q", 0, lock=False)

    def once(folder: Path) -> None:
        calls.value += 1
        if calls.value == 3:
            read(folder)

    reader = Reader("a reader", lambda place: put(place / "0/file.json", '{"a": [1, 2]}'), once)
    tally, told = fuzz.run(reader, 8, tmp_path)
    assert tally == [1, 0, 1] and said in told and (tmp_path / "target").is_dir()


def test_what_is_read_or_refused_with_its_name_or_written_inside_is_no_finding(tmp_path):
    def read(folder: Path) -> None:
        (folder / "inside").mkdir()
        (folder / "inside/a.txt").write_text("x")
        (folder / "link").symlink_to("/nowhere")
        (folder / "inside/a.txt").rename(folder / "link")
        if not (folder / "file.json").is_file():
            raise Hw3Error(f"{folder / 'file.json'}: is missing")

    reader = Reader("a reader", lambda place: put(place / "0/file.json", '{"a": 1}'), read)
    tally, told = fuzz.run(reader, 200, tmp_path)
    assert tally[0] > 100 and tally[1] > 0 and not told


def _coco(**other: object) -> dict:
    return {"annotations.json": json.dumps({"images": [], "annotations": [], "categories": []} | other)}


def _choice(choice: str) -> dict:
    content = '{"format": 1, "choices": {"test/dent/0.png": {"was": "dent", "choice": CHOICE}}}'
    return {"choices.json": content.replace("CHOICE", choice)}


def _npz(header: bytes) -> dict:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("plain.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return {"kept.npz": made.getvalue()}


DEEP = "[" * 100_000
# What the fuzzer found: the reader, its files, and whether they are read or refused.
CASES: list[tuple[str, dict[str, str | bytes | tuple], str]] = [
    *(("sweeps' files", {"sweep.yaml": f"categories: a\n{text}"}, "refused") for text in (
        "seeds: 1000000000\ndetectors: [padim]", "detectors: [{detector: [padim]}]",
        "imbalance: [{method: {a: 1}}]", "imbalance: [{method: SMOTE, ratio: .inf}]", BOMB)),
    ("sweeps' files", {"s.yaml": ("link", "/dev/zero")}, "refused"),
    ("submitted notebooks", {"a.ipynb": ("link", "/dev/zero")}, "refused"),
    ("notebooks to run", {"a.ipynb": ("link", "/dev/zero")}, "refused"),
    *(("COCO that is continued", _coco(**other), "read") for other in (
        {"licenses": "abc"}, {"licenses": [1]}, {"info": "\ud800"})),
    *(("choices, applied", _choice(choice), "refused") for choice in ('"\\ud800"', DEEP)),
    *(("kept outcomes", {"kept.json": text}, "refused") for text in ("[1]", "3", DEEP)),
    *(("kept arrays", _npz(header), "refused") for header in (
        b"{'descr': '|u1', 'shape': (3", b"{'descr': 'V9', 'fortran_order': 0, 'shape': (9,)}")),
    *(("image stacks", {"stack.npy": content}, "refused") for content in (
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1'\n ", b"\x93NUMPY\x09\x00", b"PK\x03\x04")),
    *(("records of runs", {"02/run.json": text}, "read") for text in (
        "[1]", "3", DEEP, "\ud800", '{"files": [1]}', '{"files": "abc"}', '{"files": null}')),
    *(("command line", {"value.txt": text}, "read") for text in (
        "[2021-99-99]", "[" * 3000, "{a: 2021-01-01}", "{? [a] : b}", "/nowhere", "x" * 300, "**x", "[a", "..",
        b"\xff", "~nobody-of-this-name/data", "x" * 5000)),
    ("sam", {"prompts.json": json.dumps({"images": [], "classes": 1, "prompts": []})}, "refused"),
    ("sam", {"prompts.json": json.dumps({"images": [], "classes": ["dent"],
     "prompts": [{"image": ["p0.png"], "class": "dent"}]})}, "refused"),
    ("sweeps' cells", {f"cells/{CELL.key}/metrics.json": '{"accuracy": [1, 2]}'}, "read"),
    ("sweeps' cells", {f"cells/{CELL.key}/metrics.json": '{"accuracy": {"a": {"a": 1}}}'}, "refused"),
    ("runs, for the report", {"01/classes.csv": "defect,total\ngood,3,4,5\n"}, "read"),
    ("runs, compared", {"a/02/run.json": '{"fingerprint": "x"}'}, "read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "files", "expected"), CASES, ids=[f"{i} {c[0]}" for i, c in enumerate(CASES)])
def test_what_the_fuzzer_found(name, files, expected, tmp_path):
    reader = READERS[name]
    reader.make(tmp_path / "sound")
    sound = load(tmp_path / "sound/0")
    with suppress(Exception):
        reader.read(tmp_path / "sound/0")  # what is imported and compiled for it writes caches
    files = {
        path: text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for path, text in files.items()
    }
    if len(sound) == 1:
        sound = {}
    write(sound | files, tmp_path / "target")
    outcome, said = fuzz.judge(reader, tmp_path / "target")
    assert outcome == expected, said
    assert len(said) < 1500


@pytest.mark.parametrize(
    "changes",
    [
        *({"detector": other} for other in ({}, None)),
        {"fields": {"x" * 99: 1}},
        *({"fitted": other} for other in ({"size": 10**9}, {"classes_": [], "seconds_": 1.0}, {"classes_": "ab"})),
    ],
)
def test_a_saved_box_detector_with_other_facts_is_refused_briefly(changes, tmp_path):
    box_detector(tmp_path / "a", **changes)
    outcome, said = fuzz.judge(READERS["saved box detectors"], tmp_path / "a")
    assert outcome == "refused" and len(said) < 800
