"""Folders are looked through once, and what is not asked for is counted by kind and place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hw3lib.core.listing import list_files


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def is_png(path: str) -> bool:
    return path.lower().endswith(".png")


def of_a_system(folder: Path) -> str:
    return f"folder {folder.name}" if folder.name[0] in "@_" else ""


def names(found) -> list[str]:
    return [Path(path).relative_to(found.folder).as_posix() for path in found.files]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given = ("b.png", "A.PNG", "c.heic", "notes.txt", "README", ".DS_Store", "night/1.png", "night/late/2.png")
    return put(tmp_path / "photos", *given, "night/x.CR2", ".cache/3.png", "@eaDir/4.png", "__MACOSX/5.png")


def test_what_is_not_asked_for_is_counted_by_kind_and_place(folder):
    found = list_files(folder, is_png, passed_over=of_a_system)
    assert names(found) == ["A.PNG", "b.png"] and found.deeper == 2
    assert dict(found.others) == {
        ("", ".heic"): 1, ("", ".txt"): 1, ("", "without a suffix"): 1, ("", "hidden"): 1,
        ("", "folder .cache"): 1, ("", "folder @eaDir"): 1, ("", "folder __MACOSX"): 1,
        ("night", ".png"): 1, ("night", ".cr2"): 1, ("night/late", ".png"): 1,
    }  # fmt: skip
    said = found.say("photos", "--recursive takes them")
    assert said.startswith("photos: not looked at: 7 files and 3 folders: 1 .heic, 1 .txt, 1 folder .cache, ")
    assert said.endswith(", 1 without a suffix, 1 .cr2 in night, 2 more; --recursive takes them")
    assert "--recursive" not in list_files(put(folder.parent / "flat", "a.png", "b.txt"), is_png).say(
        hint="--recursive"
    )


def test_sub_folders_are_entered_on_request(folder):
    found = list_files(folder, is_png, recursive=True, passed_over=of_a_system)
    assert names(found) == ["A.PNG", "b.png", "night/1.png", "night/late/2.png"] and found.deeper == 0
    assert ("night", ".png") not in found.others and found.others["night", ".cr2"] == 1


def test_nothing_is_said_where_everything_is_looked_at(tmp_path):
    assert list_files(put(tmp_path, "a.png", "b/c.png"), is_png, recursive=True).say() == ""


def test_loops_of_links_end_and_a_folder_is_entered_once_under_its_own_name(tmp_path):
    put(tmp_path / "other", "3.png")
    folder = put(tmp_path / "photos", "1.png", "b/2.png")
    (folder / "b" / "up").symlink_to(folder)
    (folder / "a").symlink_to(folder / "b")
    (folder / "c").symlink_to(tmp_path / "other")
    assert names(list_files(folder, is_png, recursive=True)) == ["1.png", "b/2.png", "c/3.png"]
    found = list_files(folder, is_png, recursive=True, links=False)
    assert names(found) == ["1.png", "b/2.png"] and found.others["", "link"] == 2 and found.others["b", "link"] == 1


def test_a_folder_that_cannot_be_read_is_counted(tmp_path, monkeypatch):
    folder, scan = put(tmp_path, "a.png", "secret/b.png"), os.scandir

    def refuse(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list_files(folder, is_png, recursive=True)
    assert names(found) == ["a.png"] and dict(found.others) == {("", "folder secret that cannot be read"): 1}
    assert found.unreadable == [(str(folder / "secret"), "this folder cannot be read (Permission denied)")]
    assert found.say("photos") == "photos: not looked at: 1 folder: 1 folder secret that cannot be read"


def test_a_link_to_where_it_lies_is_told_and_not_entered(tmp_path):
    good = put(tmp_path / "widget", "good/1.png", "good/night/2.png", "dent/3.png", "masks/dent/3.png") / "good"
    (good / "loop").symlink_to("..")
    (good / "night" / "far").symlink_to(tmp_path)
    (good / "night" / "self").symlink_to(good)
    found = list_files(good, is_png, recursive=True)
    assert names(found) == ["1.png", "night/2.png"]
    assert dict(found.others) == {
        ("", "folder loop (a link to where it lies)"): 1,
        ("night", "folder far (a link to where it lies)"): 1,
        ("night", "folder self (a link to where it lies)"): 1,
    }
    (tmp_path / "entry").symlink_to(good)
    assert names(list_files(tmp_path / "entry", is_png, recursive=True)) == ["1.png", "night/2.png"]


def test_neither_is_one_that_leads_there_from_elsewhere(tmp_path):
    folder = put(tmp_path / "widget", "good/1.png", "dent/3.png") / "good"
    put(tmp_path / "other", "2.png")
    (folder / "other").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "widget")
    assert names(list_files(folder, is_png, recursive=True)) == ["1.png", "other/2.png"]


def test_links_that_lead_nowhere_and_names_that_are_no_text_are_files(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone")
    try:
        (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"")
        (tmp_path / os.fsdecode(b"\xff.t\xff")).write_bytes(b"")
    except OSError:
        pytest.skip("this system's names are text")
    found = list_files(tmp_path, is_png)
    assert len(found.files) == 2
    assert "1 .t\\udcff" in found.say()
