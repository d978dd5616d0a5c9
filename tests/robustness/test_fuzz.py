"""A fuzzing of every reader (600 inputs, or HW3_INPUTS), that it sees what it looks for, and what it has found."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

if sys.platform != "linux":
    pytest.skip("forks, /proc, timers", allow_module_level=True)

from hw3lib.errors import Hw3Error
from tests.robustness import fuzz
from tests.robustness.damage import BOMB, load, png, write
from tests.robustness.readers import CELL, READERS, Reader, box_detector, noise, put, rows

COUNT = int(os.environ.get("HW3_INPUTS", "600"))
TOTAL = sum(reader.weight for reader in READERS.values())


@pytest.mark.parametrize("name", READERS)
def test_no_reader_crashes_hangs_or_writes_where_it_must_not(name, tmp_path):
    count = round(COUNT * READERS[name].weight / TOTAL)
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


@pytest.mark.parametrize(
    ("read", "said"),
    [
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
    ],
)
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


def _wide() -> bytes:
    """A WebP of two small frames on a canvas that takes over a gigabyte."""
    made = io.BytesIO()
    noise().save(made, "WEBP", save_all=True, append_images=[noise(seed=1)])
    whole = made.getvalue()
    where = whole.index(b"VP8X") + 12  # of the canvas's width less one
    return whole[:where] + (8_000_000).to_bytes(3, "little") + whole[where + 3 :]


def _turned(*marks: int | None) -> bytes:
    """A PNG with an orientation before and one after its pixels; 0: an empty chunk, None: none."""
    header, exif = struct.pack(">II", 12, 9) + bytes((8, 2, 0, 0, 0)), Image.Exif()
    parts = [("IHDR", header), ("IDAT", bytes(37 * 9)), ("IEND", b"")]
    for at, mark in zip((-1, 1), reversed(marks), strict=True):
        exif[0x0112] = mark
        if mark is not None:
            parts.insert(at, ("eXIf", exif.tobytes().removeprefix(b"Exif\0\0") if mark else b""))
    return png(*parts)


def _npz(header: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("plain.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return made.getvalue()


def _coco(**other: object) -> str:
    return json.dumps({"images": [], "annotations": [], "categories": []} | other)


def _choice(choice: str) -> str:
    return f'{{"format": 1, "choices": {{"test/dent/0.png": {{"was": "dent", "choice": {choice}}}}}}}'


DEEP, ZERO = "[" * 100_000, ("link", "/dev/zero")
PROMPTS = {"images": [], "classes": ["dent"], "prompts": [{"image": ["p0.png"], "class": "dent"}]}
SAID = '{"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "execution_count": null, "outputs": [], "source": '
SAID += '%s}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
CELL_FILE = f"cells/{CELL.key}/metrics.json"
# What the fuzzer found: the reader, a file, whether it is read or refused, and contents.
FOUND: list[tuple[str, str, str, tuple]] = [
    ("sweeps' files", "s.yaml", "refused", ("seeds: 1000000000\ndetectors: [padim]", "detectors: [{detector: [padim]}]",
     "imbalance: [{method: {a: 1}}]", "imbalance: [{method: SMOTE, ratio: .inf}]", BOMB, ZERO)),
    ("submitted notebooks", "04_a.ipynb", "refused", (ZERO, ("pipe",), SAID % '"\\ud800"')),
    ("notebooks to run", "04_a.ipynb", "refused", (ZERO, SAID % "1")),
    ("COCO that is continued", "annotations.json", "read",
     (_coco(licenses="abc"), _coco(licenses=[1]), _coco(info="\ud800"))),
    ("choices, applied", "choices.json", "refused", (_choice('"\\ud800"'), _choice(DEEP))),
    ("kept outcomes", "kept.json", "refused", ("[1]", "3", DEEP)),
    ("kept arrays", "kept.npz", "refused", (_npz(b"{'descr': '|u1', 'shape': (3"),
     _npz(b"{'descr': 'V9', 'fortran_order': 0, 'shape': (9,)}"))),
    ("image stacks", "stack.npy", "refused",
     (b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1'\n ", b"\x93NUMPY\x09\x00", b"PK\x03\x04")),
    ("runs, compared", "a/02/run.json", "read", ("[1]", "3", DEEP, "\ud800", '{"files": [1]}', '{"files": "abc"}',
     '{"files": null}', '{"fingerprint": "x"}')),
    ("command line", "value.txt", "read", ("[2021-99-99]", "[" * 3000, "{a: 2021-01-01}", "{? [a] : b}", "/nowhere",
     "x" * 300, "**x", "[a", "..", b"\xff", "~nobody-of-this-name/data", "x" * 5000)),
    ("sam", "prompts.json", "refused",
     (json.dumps(PROMPTS), json.dumps({"images": [], "classes": 1, "prompts": []}))),
    ("voc", "Annotations/a.xml", "refused", ('<?xml version="1.0" encoding="x-none"?><annotation/>',)),
    ("sweeps' cells", CELL_FILE, "read", ('{"accuracy": [1, 2]}',)),
    ("sweeps' cells", CELL_FILE, "refused", ('{"accuracy": {"a": {"a": 1}}}',)),
    ("runs, for the report", "01/classes.csv", "read", ("defect,total\ngood,3,4,5\n",)),
    ("images", "a.webp", "refused", (_wide(),)),
    ("images", "a.png", "read", tuple(_turned(*m) for m in ((6, None), (None, 6), (6, 1), (1, 6), (6, 0), (0, 6)))),
    *((name, "a.png", "refused", (rows(13_000, 13_000, 1, 0, bytes(1625)),)) for name in ("images", "masks",
     "uploads")),
    ("images", "a.png", "read", (rows(7000, 7000, 16, 2, bytes(42_000)),) if COUNT > 10_000 else ()),  # takes seconds
]  # fmt: skip
CASES = [(*case, content) for *case, contents in FOUND for content in contents]


@pytest.mark.parametrize(
    ("name", "file", "expected", "content"), CASES, ids=[f"{c[0]} {i}" for i, c in enumerate(CASES)]
)
def test_what_the_fuzzer_found(name, file, expected, content, tmp_path):
    reader = READERS[name]
    reader.make(tmp_path / "sound")
    with suppress(Exception):
        reader.read(tmp_path / "sound/0")  # what is imported and compiled for it writes caches
    sound = load(tmp_path / "sound/0") if len(load(tmp_path / "sound/0")) > 1 else {}
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    write(sound | {file: content}, tmp_path / "target")
    outcome, said = fuzz.judge(reader, tmp_path / "target")
    assert outcome == expected and len(said) < 1500, said


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
