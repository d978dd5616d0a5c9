"""What a category holds besides its images is said in one sentence."""

from __future__ import annotations

import json
import shutil

import pytest

from hw3lib.data import load_table
from hw3lib.data.folders.settings import FILE
from hw3lib.data.overlooked import list_images, overlooked


def said(category, folder=None, **options) -> str:
    return overlooked(load_table(category.parent, category.name, strict=False), folder, **options)


def test_nothing_is_said_of_a_category_as_it_is_published(category):
    for name in ("license.txt", "readme.txt", "manifest.json"):
        (category / name).write_text("")
    (category / FILE).write_text(json.dumps({}))
    assert said(category) == ""


def test_files_beside_below_and_of_other_kinds_are_counted(category):
    shutil.copy(category / "test/good/000.png", category / "beside.png")
    (category / "test/dent/late").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(category / "test/good/000.png", category / "test/dent/late" / name)
    (category / "train/good/raw.nef").write_bytes(b"")
    (category / "test/scratch/notes.txt").write_text("")
    assert said(category, "widget") == (
        "widget: not looked at: 5 files: 1 .png, 2 .png in test/dent/late, 1 .txt in test/scratch, 1 .nef in train/good"
    )
    also = {str(category / "test/dent/late/a.png")}
    assert "1 .png in test/dent/late" in said(category, "widget", also=also)


def test_what_the_table_s_problems_name_is_not_said_twice(category):
    (category / "test/dent/001.png").write_bytes(b"")
    (category / "ground_truth/dent/000_mask.png").rename(category / "ground_truth/dent/orphan.png")
    assert said(category) == ""


def test_the_simple_layout_too(category, tmp_path):
    simple = tmp_path / "simple"
    for name, place in (("good", "train/good"), ("dent", "test/dent")):
        shutil.copytree(category / place, simple / name)
    (simple / "dent" / "IMG_1.ARW").write_bytes(b"")
    assert said(simple, "simple") == "simple: not looked at: 1 file: 1 .arw in dent"


@pytest.mark.parametrize("suffix", [".PNG", ".jfif", ".gif", ".jp2", ".pgm", ".ppm", ".avif", ".heic", ".HIF"])
def test_which_files_are_taken_for_images(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"")
    assert len(list_images(tmp_path).files) == 1


@pytest.mark.parametrize("suffix", [".tga", ".eps", ".ico", ".psd", ".raw", ".dng", ".pdf", ".mp4"])
def test_which_files_are_not(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"")
    found = list_images(tmp_path)
    assert not found.files and found.others["", suffix] == 1


def test_what_a_system_or_a_command_has_written_is_not_taken_for_photographs(tmp_path):
    for name in ("a.png", "results/overlays/a.png", "line/theirs/b.png", "line/@eaDir/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "results" / "results.csv").write_bytes(b"\xef\xbb\xbffile,score,p_value\n")
    (tmp_path / "line" / "theirs" / "results.csv").write_bytes(b"width,height\n")  # of another program
    found = list_images(tmp_path, recursive=True)
    assert found.files == [str(tmp_path / name) for name in ("a.png", "line/theirs/b.png")]
    assert found.others["", "folder results (results of hw3)"] == found.others["line", "folder @eaDir"] == 1


def test_masks_are_no_photographs(tmp_path):
    for name in ("a.png", "late/b.png", "masks/bent/a.png", "masks/bent/b.png", "late/Ground Truth/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = list_images(tmp_path, recursive=True)
    assert found.files == [str(tmp_path / name) for name in ("a.png", "late/b.png")]
    assert found.others == {("", "folder masks (2 masks)"): 1, ("late", "folder Ground Truth (1 mask)"): 1}
    assert list_images(tmp_path / "masks" / "bent").files, "where they are asked for"
