"""Safe writing: a target is whole or absent, whatever ends the write."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hw3lib.core import files as paths
from hw3lib.core import places
from hw3lib.core.files import (
    atomic_folder,
    atomic_path,
    clear_write_errors,
    human_bytes,
    is_no_regular_file,
    refuse_existing,
)
from hw3lib.core.places import checkout, course_folder, data_roots, project_root
from hw3lib.core.provenance import file_record
from hw3lib.errors import Hw3Error

PACKAGE = str(Path(paths.__file__).parents[2])


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def run(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": PACKAGE},
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


# ------------------------------------------------------------------------------------------------ one file


def test_file_appears_at_the_end_only(tmp_path):
    target = tmp_path / "new" / "deep" / "a.csv"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent and temporary.name.startswith(".")
        assert temporary.suffix == ".csv", "Pillow and numpy choose the format by it"
        temporary.write_text("1", encoding="utf-8")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "1"
    assert names(target.parent) == ["a.csv"]


def test_file_is_replaced(tmp_path):
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with atomic_path(str(tmp_path / "a")) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert (tmp_path / "a").read_text(encoding="utf-8") == "old"
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
def test_failure_removes_everything_that_was_made(tmp_path, writer, error):
    with pytest.raises(error), writer(tmp_path / "new" / "deep" / "a") as temporary:
        (temporary if writer is atomic_path else temporary / "x").write_text("half", encoding="utf-8")
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
def test_failure_keeps_what_was_there(tmp_path, writer):
    with pytest.raises(ValueError), writer(tmp_path / "a" / "b"):
        (tmp_path / "a" / "other").write_text("of somebody else", encoding="utf-8")
        raise ValueError
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["other"]


def test_failure_keeps_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(ValueError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise ValueError
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text(encoding="utf-8") == "old"


def test_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(Hw3Error, match="a folder of that name is there"), atomic_path(tmp_path / "a"):
        pytest.fail("must be refused before anything is written")


# ------------------------------------------------------------------------------------------------ one folder


def test_folder_appears_at_the_end_only(tmp_path):
    target = tmp_path / "new" / "a"
    with atomic_folder(target) as temporary:
        (temporary / "x").write_text("1", encoding="utf-8")
        assert not target.exists()
    assert names(target.parent) == ["a"] and (target / "x").read_text(encoding="utf-8") == "1"


def test_existing_folder_is_refused_before_and_after_the_work(tmp_path):
    target = tmp_path / "a"
    with pytest.raises(Hw3Error, match="exists already"), atomic_folder(target):
        target.mkdir()
        (target / "mine").touch()  # somebody else was faster
    with pytest.raises(Hw3Error, match="exists already"), atomic_folder(target):
        pytest.fail("must be refused before anything is written")
    assert names(tmp_path) == ["a"] and names(target) == ["mine"]


def test_empty_folder_is_no_hindrance_but_a_file_is(tmp_path):
    (tmp_path / "a").mkdir()
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "x").touch()
    assert names(tmp_path / "a") == ["x"]
    (tmp_path / "b").touch()
    for replace in (True, False):
        with (
            pytest.raises(Hw3Error, match="a file of that name"),
            atomic_folder(tmp_path / "b", replace=replace),
        ):
            pytest.fail("must be refused before anything is written")


def test_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "a"
    with atomic_folder(target) as temporary:
        (temporary / "old").touch()
    with atomic_folder(target, replace=True) as temporary:
        (temporary / "new").touch()
        assert names(target) == ["old"]
    assert names(tmp_path) == ["a"] and names(target) == ["new"]
    with pytest.raises(ValueError), atomic_folder(target, replace=True) as temporary:
        raise ValueError
    assert names(tmp_path) == ["a"] and names(target) == ["new"]


def test_old_folder_returns_when_the_new_one_cannot_be_moved(tmp_path, monkeypatch):
    target, real = tmp_path / "a", os.rename
    target.mkdir()
    (target / "old").touch()

    def rename(source, to):
        if ".tmp" in str(source):
            raise OSError(errno.EACCES, "Permission denied", str(source))
        real(source, to)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(Hw3Error, match="permission denied"), atomic_folder(target, replace=True):
        pass
    assert names(tmp_path) == ["a"] and names(target) == ["old"]


# ------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, r"the disk is full \(\d.* free\)\. Free some space"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EROFS, "read-only file system. Choose another folder"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "permission denied"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
def test_reasons_are_named(tmp_path, writer, number, text, named):
    with pytest.raises(Hw3Error) as caught, writer(tmp_path / "down" / "a") as temporary:
        raise OSError(number, os.strerror(number), *[str(temporary)] * named)
    assert f"Cannot write in {tmp_path / 'down'}: " in str(caught.value)
    assert caught.match(text) and caught.match("Nothing half-written was left")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/elsewhere/input.png"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        OSError("no number"),
    ],
)
def test_errors_about_something_else_pass(tmp_path, error):
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "a"):
        raise error
    assert caught.value is error


def test_mistake_inside_the_new_folder_is_not_taken_for_a_bad_place(tmp_path):
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "a") as temporary:
        (temporary / "x").mkdir()
        (temporary / "x").mkdir()


@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
@pytest.mark.parametrize("below", ["a", "b/a"])
def test_file_where_a_folder_is_needed(tmp_path, writer, below):
    (tmp_path / "file").touch()
    with (
        pytest.raises(Hw3Error, match="file is a file where a folder was expected"),
        writer(tmp_path / "file" / below),
    ):
        pytest.fail("there is no place to write to")


def test_disk_really_full(tiny_disk):
    with (
        pytest.raises(Hw3Error, match=r"the disk is full \(0 bytes free\)"),
        atomic_path(tiny_disk / "a") as temporary,
    ):
        temporary.write_bytes(bytes(500_000))
    assert names(tiny_disk) == []


@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
@pytest.mark.parametrize("below", ["a", "b/a"])
def test_really_read_only(read_only_disk, writer, below):
    with pytest.raises(Hw3Error, match="read-only file system"), writer(read_only_disk / below) as temporary:
        temporary.write_bytes(b"1")


def test_dev_full():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(Hw3Error, match="the disk is full"),
        clear_write_errors(Path("/dev")),
        open("/dev/full", "w", encoding="utf-8") as f,
    ):
        f.write("1")


# ------------------------------------------------------------------------------------------------ permissions


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_what_is_written_has_the_permissions_that_the_umask_gives(tmp_path, umask, file, folder):
    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "new" / "a.bin") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as mkstemp does
        with atomic_folder(tmp_path / "b") as temporary:
            (temporary / "deep").mkdir()
            os.close(os.open(temporary / "deep" / "x", os.O_CREAT | os.O_WRONLY, 0o600))
            (temporary / "deep" / "link").symlink_to("/nowhere")
            (temporary / "deep" / "copy").write_text("")
            (temporary / "deep" / "copy").chmod(0o444)  # of a disk that is read only
    finally:
        os.umask(before)
    assert {mode(tmp_path / name) for name in ("new/a.bin", "b/deep/x", "b/deep/copy")} == {file}
    assert {mode(tmp_path / name) for name in ("new", "b", "b/deep")} == {folder}
    assert names(tmp_path) == ["b", "new"] and names(tmp_path / "new") == ["a.bin"]


# ------------------------------------------------------------------------------------------------ killed processes


KILLED = """
import os, signal, sys
from hw3lib.core import files as paths
with getattr(paths, sys.argv[1])(sys.argv[2]) as temporary:
    (temporary / "x" if sys.argv[1] == "atomic_folder" else temporary).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WAITING = """
import sys
from hw3lib.core import files as paths
with paths.atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("slow")
    print("written", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
@pytest.mark.parametrize("writer", ["atomic_path", "atomic_folder"])
def test_leftovers_of_a_killed_process_are_swept_at_the_next_write(tmp_path, writer):
    process = run(KILLED, writer, tmp_path / "a.bin")
    process.communicate()
    assert process.returncode == -9
    assert len(names(tmp_path)) == 1 and not (tmp_path / "a.bin").exists()
    with atomic_path(tmp_path / "other.bin") as temporary:
        temporary.touch()
    assert len(names(tmp_path)) == 2, "the leftovers of another target are not this one's business"
    with getattr(paths, writer)(tmp_path / "a.bin") as temporary:
        temporary.touch()
    assert names(tmp_path) == ["a.bin", "other.bin"]


def test_a_process_that_still_runs_is_left_alone(tmp_path):
    process = run(WAITING, tmp_path / "a")
    assert process.stdout.readline() == "written\n"
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("fast", encoding="utf-8")
    assert len(names(tmp_path)) == 2 and (tmp_path / "a").read_text(encoding="utf-8") == "fast"
    process.communicate("\n")
    assert process.returncode == 0
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text(encoding="utf-8") == "slow"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_killed_between_the_two_renames_of_a_replacement(tmp_path):
    target = tmp_path / "a"
    target.mkdir()
    (target / "old").touch()
    code = """
import os, signal, sys
from hw3lib.core import files as paths
real = os.rename
def rename(source, to):
    if ".tmp" in str(source):
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, to)
os.rename = rename
with paths.atomic_folder(sys.argv[1], replace=True) as temporary:
    (temporary / "new").touch()
"""
    run(code, target).communicate()
    assert not target.exists()
    with pytest.raises(Hw3Error, match="exists already"), atomic_folder(target):
        pytest.fail("the old folder is back by now")
    assert names(tmp_path) == ["a"] and names(target) == ["old"]


# ------------------------------------------------------------------------------------------------ places


def test_order_of_the_data_roots(tmp_path, monkeypatch):
    own = project_root() / "data"
    assert data_roots() == [own]
    monkeypatch.setenv("HW3_DATA", str(tmp_path))
    assert data_roots() == [tmp_path, own]
    assert data_roots("x") == [Path("x"), tmp_path, own]
    assert data_roots(tmp_path) == [tmp_path, own]
    assert data_roots("~/x")[0] == Path.home() / "x"
    monkeypatch.setenv("HW3_DATA", "")
    assert data_roots("") == [own]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder that hw3lib runs from, and another one in which a person works."""
    folder, work = tmp_path / "package", tmp_path / "work"
    (folder / "hw3lib" / "core").mkdir(parents=True)
    work.mkdir()
    monkeypatch.setattr(places, "__file__", str(folder / "hw3lib" / "core" / "places.py"))
    monkeypatch.chdir(work)
    return folder


def test_project_root_is_the_checkout_or_else_where_a_person_works(package, tmp_path):
    assert checkout() is None and project_root() == tmp_path / "work"
    (package / "pyproject.toml").write_text('[project]\nname = "another"\n')  # which some leave in site-packages
    assert checkout() is None and project_root() == tmp_path / "work"
    (package / "pyproject.toml").write_text('[project]\nname = "hw3lib"\n')
    assert checkout() == project_root() == package
    assert data_roots() == [package / "data"]


def test_nothing_is_written_into_a_checkout_or_a_folder_of_others(package, tmp_path, monkeypatch):
    (package / "pyproject.toml").write_text('[project]\nname = "hw3lib"\n')
    (package / "notebooks").mkdir()
    refused = {package}
    monkeypatch.setattr(places.os, "access", lambda path, mode: Path(path) not in refused)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert project_root() == tmp_path / "work" and course_folder() == package / "notebooks"
    assert data_roots() == [tmp_path / "work" / "data", package / "data"], "what is there is found there"
    refused.add(tmp_path / "work")
    assert project_root() == tmp_path / "home" / "hw3lib"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (5.26e9, "5.3 GB"), (2e13, "20.0 TB")],
)
def test_human_bytes(number, text):
    assert human_bytes(number) == text


def test_a_command_replaces_only_what_it_made_itself(tmp_path):
    def refused(replace):
        with pytest.raises(Hw3Error) as caught:
            refuse_existing(target, replace, "mark.json", "a detector")
        return str(caught.value)

    target = tmp_path / "out"
    refuse_existing(target, False, "mark.json", "a detector")
    target.mkdir()
    refuse_existing(target, False, "mark.json", "a detector")
    (target / "mine.txt").write_text("keep")
    assert "is not a detector (no mark.json in it), so it stays" in refused(True)
    (target / "mark.json").write_text("{}")
    assert "is a detector already" in refused(False) and "--force" in refused(False)
    refuse_existing(target, True, "mark.json", "a detector")
    target = target / "mine.txt"
    assert "is not a detector" in refused(True)


def test_what_would_never_end_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    assert all(map(is_no_regular_file, (tmp_path / "pipe", tmp_path / "link", "/dev/zero", tmp_path)))
    (tmp_path / "file").touch()
    (tmp_path / "good").symlink_to(tmp_path / "file")
    assert not any(map(is_no_regular_file, (tmp_path / "file", tmp_path / "good", tmp_path / "nothing")))


def test_no_record_of_a_file_whose_name_is_too_long(tmp_path):
    assert file_record(tmp_path / ("a" * 5000)) is None
