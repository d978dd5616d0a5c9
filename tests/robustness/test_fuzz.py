"""A short fuzzing of every reader, and that the fuzzer sees what it looks for; the command is the long one."""

import contextlib
import multiprocessing
import os
import socket
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw3lib.errors import Hw3Error
from tests.robustness import fuzz
from tests.robustness.fuzzing import mutations, readers
from tests.robustness.fuzzing.reader import Reader, put

INPUTS = 1000


def test_no_reader_crashes_hangs_or_writes_where_it_must_not():
    names = [reader.name for reader in readers.READERS if reader.weight >= 0.1]  # bombs take seconds
    tallies = fuzz.run(INPUTS, seed=1, names=names)
    assert not [str(finding) for tally in tallies.values() for finding in tally.findings]
    assert set(tallies) == set(names)
    for name, tally in tallies.items():
        assert tally.read + tally.refused >= 8, name


def _fuzzer(folder: Path, monkeypatch, read, **options) -> fuzz.Fuzzer:
    made = Reader("a reader", lambda place: put(place / "0/file.json", '{"a": 1}'), read, **options)
    monkeypatch.setattr(readers, "READERS", (made,))
    return fuzz.Fuzzer(folder.resolve())


def _refuse(folder: Path) -> None:
    raise Hw3Error("is damaged")


def _outside(folder: Path) -> None:
    (folder.parent / "outside.txt").write_text("x")


def _through_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "elsewhere")
    (folder / "link").write_text("x")


def _removes_through_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)
    with contextlib.suppress(OSError):
        os.remove(folder / "link" / "file")


def _connect(folder: Path) -> None:
    with socket.socket() as one:
        one.connect_ex(("127.0.0.1", 9))


def _judge(fuzzer: fuzz.Fuzzer, number: int) -> tuple[str, str]:
    return fuzzer.judge("a reader", fuzzer.input("a reader", 0, number))


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda folder: {}["a"], "KeyError"),
        (_refuse, "does not name the file"),
        (_outside, "outside of its folder"),
        (_through_a_link, "outside of its folder"),
        (_removes_through_a_link, "outside of its folder"),
        (lambda folder: os.mkdir(folder.parent / "made"), "outside of its folder"),
        (_connect, "socket.connect"),
        (lambda folder: b"x" * (fuzz.MEMORY * 11 // 10), "takes 1.1 GB"),
    ],
)
def test_a_finding_is(read, said, tmp_path, monkeypatch):
    outcome, what = _judge(_fuzzer(tmp_path, monkeypatch, read), 0)
    assert outcome == "findings" and said in what


def test_what_is_read_or_refused_with_its_name_or_written_inside_is_no_finding(tmp_path, monkeypatch):
    def read(folder: Path) -> None:
        (folder / "inside").mkdir()
        (folder / "inside/a.txt").write_text("x")
        (folder / "link").symlink_to("/nowhere")
        (folder / "inside/a.txt").rename(folder / "link")
        if not (folder / "file.json").is_file():
            raise Hw3Error(f"{folder / 'file.json'}: is missing")

    fuzzer = _fuzzer(tmp_path, monkeypatch, read)
    outcomes = {_judge(fuzzer, number)[0] for number in range(200)}
    assert outcomes == {"read", "refused"}


def test_the_memory_that_making_an_input_took_is_not_the_readers(tmp_path, monkeypatch):
    def read(folder: Path) -> None:
        taken.append(len(b"x" * taken[-1]))

    fuzzer, taken = _fuzzer(tmp_path, monkeypatch, read), [0]
    target = fuzzer.input("a reader", 0, 0)
    large = b"x" * (fuzz.MEMORY * 2)
    del large
    assert fuzzer.judge("a reader", target)[0] == "read"
    taken.append(fuzz.MEMORY * 11 // 10)
    assert fuzzer.judge("a reader", target) == ("findings", "takes 1.1 GB")  # though no more than was had before


def test_an_input_is_made_again_from_reader_seed_and_number(tmp_path, monkeypatch):
    def content(seed: int, number: int) -> mutations.Files:
        return mutations.load(fuzzer.input("a reader", seed, number))

    fuzzer = _fuzzer(tmp_path, monkeypatch, lambda folder: None)
    first = [content(0, number) for number in range(30)]
    assert first == [content(0, number) for number in range(30)]
    assert first != [content(1, number) for number in range(30)]
    assert len({str(files) for files in first}) > 20


class _Silent(fuzz._Worker):
    """A worker that has begun an input, and hangs or has died, for the parent to find out."""

    def start(self) -> None:
        super().start()
        self.process.kill()


def test_a_process_that_dies_is_a_finding_and_the_loop_goes_on(tmp_path):
    worker = _Silent(tmp_path)
    try:
        worker.give(("images", 0, range(3)))
        worker.number, worker.making = 1, False
    except OSError:  # it died before it could be told
        worker.task, worker.number, worker.making = ("images", 0, range(3)), 1, False
    tallies, waiting, end = {"images": fuzz.Tally()}, [], time.monotonic() + 60
    worker.start = lambda: None
    while not tallies["images"].findings and time.monotonic() < end:
        fuzz._listen([worker], tallies, waiting)
    assert "died" in tallies["images"].findings[0].what
    assert waiting == [("images", 0, range(2, 3))]
    worker.process.join()


@pytest.mark.parametrize("said", [None, "Traceback: KeyError"])
def test_a_process_that_cannot_make_its_sound_inputs_ends_the_run(said):
    ours, theirs = multiprocessing.Pipe()
    process = SimpleNamespace(join=lambda: None, exitcode=1)
    worker = SimpleNamespace(task=("images", 0, range(3)), number=-1, making=True, pipe=ours, process=process)
    worker.input = partial(fuzz._Worker.input, worker)
    if said:
        theirs.send(("unprepared", said))
    theirs.close()
    with pytest.raises(RuntimeError, match=f"sound input.* 'images'.*{said or ''}".replace(".*", r"[\s\S]*")):
        fuzz._listen([worker], {"images": fuzz.Tally()}, [])


def test_the_table_adds_up():
    tally = fuzz.Tally(read=3, refused=1000, findings=[fuzz.Finding("a", 0, 5, "KeyError")], seconds=2.008)
    lines = fuzz.table({"a": tally, "b": fuzz.Tally(read=1)}).splitlines()
    assert lines[2].split() == ["a", "1,004", "3", "1,000", "1", "2.0"]
    assert lines[-1].split() == ["all", "1,005", "4", "1,000", "1", "2.0"]
    assert "--number 5" in str(tally.findings[0])
