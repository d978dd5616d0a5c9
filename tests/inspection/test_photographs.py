"""No photograph of a folder is silently left out: not looked at, not read, or not there any more."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.anomaly.registry import load
from hw3lib.classify.guided.types import DefectTypes
from hw3lib.cli import main as cli
from hw3lib.data import load_table
from hw3lib.data.pixels import images as decoding
from hw3lib.data.pixels.reading import PLAIN
from hw3lib.inspection import photographs
from hw3lib.inspection import score as scoring
from hw3lib.inspection.inspector import learn_types
from tests.helpers.heic import HEIC

SMALL = ("--image-size", 32, "--detector", "autoencoder", "-p", "num_steps", 2, "-p", "batch_size", 2)
pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


def hw3(*arguments: object) -> int:
    return cli.main([*map(str, arguments)])


def photograph(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(60, 200, (32, 40, 3), dtype=np.uint8)).save(path)
    return path


def table_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Six good photographs, one more in a sub-folder, and a raw one."""
    folder = tmp_path_factory.mktemp("photos") / "good"
    for i in range(6):
        photograph(folder / f"{i}.png", i)
    photograph(folder / "night" / "6.png", 6)
    (folder / "7.NEF").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def detector(good, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("fitted") / "detector"
    assert hw3("detect", "fit", good, "--out", out, *SMALL, "--held-out", 0.4, "--false-alarm-rate", 0.4) == 0
    return out


@pytest.fixture
def today(tmp_path) -> Path:
    """Two photographs, two more below, one of them behind a link, and what is none."""
    folder = tmp_path / "today"
    for number, name in enumerate(("0.png", "1.png", "line 2/0.png", "line 2/late/3.png")):
        photograph(folder / name, number)
    (folder / "line 2" / "up").symlink_to(folder)
    (folder / "IMG_0001.DNG").write_bytes(b"")
    return folder


def test_what_fit_does_not_look_at_is_said_and_taken_on_request(good, tmp_path, capsys):
    assert hw3("detect", "fit", good, "--out", tmp_path / "a", *SMALL) == 0
    said = capsys.readouterr().out
    assert f"{good}: not looked at: 2 files: 1 .nef, 1 .png in night; --recursive takes the images of sub" in said
    assert "6 good images" in said
    assert hw3("detect", "fit", good, "--out", tmp_path / "b", *SMALL, "--recursive") == 0
    said = capsys.readouterr().out
    assert "7 good images" in said and "not looked at: 1 file: 1 .nef\n" in said


def test_what_score_does_not_look_at_is_said_and_taken_on_request(detector, today, tmp_path, capsys):
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "a") == 0
    said = capsys.readouterr().out
    up = "1 folder up (a link to where it lies) in line 2"
    others = f"1 .dng, 1 .png in line 2, {up}, 1 .png in line 2/late"
    assert f"not looked at: 3 files and 1 folder: {others}; --recursive" in said
    assert len(table_of(tmp_path / "a")) == 2
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "b", "--recursive", "--overlays") == 0
    files = ["0.png", "1.png", "line 2/0.png", "line 2/late/3.png"]
    assert list(table_of(tmp_path / "b")["file"]) == [str(today / name) for name in files]
    overlays = tmp_path / "b" / "overlays"
    assert sorted(p.relative_to(overlays).as_posix() for p in overlays.rglob("*.png")) == files
    assert f"not looked at: 1 file and 1 folder: 1 .dng, {up}\n" in capsys.readouterr().out


def test_its_own_results_are_not_scored_again(detector, today, tmp_path, capsys):
    assert hw3("detect", "score", detector, today, "--out", today / "results", "--overlays") == 0
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "b", "--recursive") == 0
    assert len(table_of(tmp_path / "b")) == 4 and "1 folder results (results of hw3)" in capsys.readouterr().out


def test_export_says_it_of_the_images_that_it_is_checked_with(detector, today, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    assert hw3("detect", "export", detector, "--out", tmp_path / "a.onnx", "--check", today) == 0
    said = capsys.readouterr().out
    assert "not looked at: 3 files" in said and "on 2 images of" in said
    assert hw3("detect", "export", detector, "--out", tmp_path / "b.onnx", "--check", today, "--recursive") == 0
    assert "on 4 images of" in capsys.readouterr().out


def test_of_a_category_as_well(category, detector, tmp_path, capsys):
    photograph(category / "test/dent/late/9.png", 9)
    photograph(category / "train/good/late/8.png", 8)
    (category / "test/good/clip.mp4").write_bytes(b"")
    assert hw3("detect", "score", detector, category, "--out", tmp_path / "a") == 0
    said = capsys.readouterr().out
    assert "its 11 test images, 7 of them defective, are scored; its 5 training images are not" in said
    assert "not looked at: 3 files: 1 .png in test/dent/late, 1 .mp4 in test/good, 1 .png in train/good/late" in said
    assert hw3("detect", "score", detector, category, "--out", tmp_path / "b", "--recursive") == 0
    assert "its 12 test images, 8 of them defective" in capsys.readouterr().out
    assert str(category / "test/dent/late/9.png") in set(table_of(tmp_path / "b")["file"])
    assert hw3("detect", "fit", category, "--out", tmp_path / "c", *SMALL, "--recursive") == 0
    assert "6 good images" in (said := capsys.readouterr().out) and "train/good/late" not in said


def test_labelled_defects_and_annotations_say_it_too(category, detector, tmp_path, capsys, monkeypatch):
    photograph(category / "test/dent/late/9.png", 9)
    heard: list[str] = []
    monkeypatch.setattr(DefectTypes, "learned", lambda *_, **__: None)
    learn_types(category, PLAIN, echo=heard.append)
    assert heard[0] == f"{category}: not looked at: 1 file: 1 .png in test/dent/late"
    options = ("--data", category.parent, "--format", "coco", "--out", tmp_path / "out")
    assert hw3("annotate", category.name, *options) == 0
    assert "widget: not looked at: 1 file: 1 .png in test/dent/late" in capsys.readouterr().out


UNREADABLE = {
    "damaged.png": lambda path: path.write_bytes(photograph(path).read_bytes()[:1500]),
    "empty.jpg": lambda path: path.write_bytes(b""),
    "text.png": lambda path: path.write_text("none"),
    "link.png": lambda path: path.symlink_to(path.with_name("nothing")),
    "large.png": lambda path: Image.new("1", (20_000, 6_000)).save(path),
    "folder.png": lambda path: os.mkfifo(path),
}


def test_each_photograph_that_cannot_be_read_is_a_row_with_its_reason(detector, today, tmp_path, capsys):
    for name, make in UNREADABLE.items():
        make(today / name)
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "results") == 1
    table = table_of(tmp_path / "results")
    unread = table[table["score"].isna()]
    assert sorted(Path(name).name for name in unread["file"]) == sorted(UNREADABLE) and len(table) == 8
    assert unread["reason"].notna().all() and unread["anomalous"].isna().all() and unread["threshold"].notna().all()
    reasons = {Path(row.file).name: row.reason for row in unread.itertuples()}
    assert "at most 100 million are taken" in reasons["large.png"] and "no regular file" in reasons["folder.png"]
    assert reasons["link.png"] == "is a link to a file that is not there"
    shutil.copytree(today, tmp_path / "widget" / "good", symlinks=True, ignore=lambda *_: ["folder.png", "line 2"])
    photograph(tmp_path / "widget" / "dent" / "0.png")
    os.mkfifo(tmp_path / "widget" / "good" / "folder.png")
    in_category = load_table(tmp_path, "widget", strict=False).attrs["unreadable"]
    assert {Path(row["image"]).name: row["reason"] for row in in_category} == reasons
    assert reasons["empty.jpg"] == "is empty (0 bytes); expected an image"
    assert list(pd.read_csv(tmp_path / "results" / "failed.csv")["file"]) == list(unread["file"])
    assert "6 images could not be read: results.csv says why" in capsys.readouterr().out


def test_with_an_onnx_file_too(detector, today, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    assert hw3("detect", "export", detector, "--out", tmp_path / "a.onnx") == 0
    (today / "1.png").write_bytes(b"")
    assert hw3("detect", "score", tmp_path / "a.onnx", today, "--out", tmp_path / "results") == 1
    table = table_of(tmp_path / "results")
    assert list(table["reason"].isna()) == [True, False] and list(table["score"].isna()) == [False, True]


def test_a_photograph_that_vanishes_meanwhile_is_a_row(detector, today, tmp_path, monkeypatch):
    find = photographs.find_photographs

    def find_and_remove(*arguments):
        found = find(*arguments)
        (today / "1.png").unlink()
        return found

    monkeypatch.setattr(scoring, "find_photographs", find_and_remove)
    done = scoring.score(detector, [today], tmp_path / "results", overlays=True, echo=str)
    assert [Path(file).name for file, _ in done.failed] == ["1.png"] and done.images == 1
    assert "No such file" in table_of(tmp_path / "results")["reason"][1]


def test_one_that_vanishes_before_it_is_drawn_keeps_its_score_and_a_warning(detector, today, tmp_path, monkeypatch):
    score = type(load(detector)).score

    def score_and_remove(self, images):
        (today / "1.png").unlink()
        return score(self, images)

    monkeypatch.setattr(type(load(detector)), "score", score_and_remove)
    done = scoring.score(detector, [today], tmp_path / "results", overlays=True, echo=str)
    table = table_of(tmp_path / "results")
    assert table["score"].notna().all() and done.images == 2 and not done.failed
    assert "not drawn: " in table["warning"][1] and [Path(f).name for f, _ in done.warnings] == ["1.png"]
    assert [p.name for p in (tmp_path / "results" / "overlays").iterdir()] == ["0.png"]


def test_without_any_that_can_be_read_there_are_rows_all_the_same(detector, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    assert hw3("detect", "score", detector, tmp_path / "a.png", "--out", tmp_path / "results") == 1
    assert len(table_of(tmp_path / "results")) == 1


def test_heic_is_scored_like_others_or_a_row_that_names_the_extra(detector, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_0001.HEIC").write_bytes(HEIC)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
        patch.setitem(__import__("sys").modules, "pi_heif", None)
        assert hw3("detect", "score", detector, tmp_path / "photos", "--out", tmp_path / "a") == 1
        assert "EXTRAS=heic" in table_of(tmp_path / "a")["reason"][0]
    pytest.importorskip("pi_heif")
    assert hw3("detect", "score", detector, tmp_path / "photos", "--out", tmp_path / "b") == 0
    assert table_of(tmp_path / "b")["score"].notna().all()


def test_names_that_are_no_text_are_written_with_escapes(detector, today, tmp_path):
    try:
        shutil.copy(today / "0.png", today / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this system's names are text")
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "results") == 0
    assert r"\udcff.png" in " ".join(table_of(tmp_path / "results")["file"])


def test_results_open_in_a_spreadsheet_of_any_language(detector, today, tmp_path):
    photograph(today / "螺絲.png")
    (today / "壞.png").write_bytes(b"")
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "results") == 1
    for name in ("results.csv", "failed.csv"):
        assert (tmp_path / "results" / name).read_bytes().startswith(b"\xef\xbb\xbffile,"), "the mark, once"


def test_damage_beyond_the_header_is_found_wherever_it_is_decoded(today):
    content = (today / "0.png").read_bytes()
    (today / "0.png").write_bytes(content[:400] + content[-12:])  # with an end, so that its header says nothing
    from concurrent.futures import ThreadPoolExecutor

    from hw3lib.data.pixels.reading import PLAIN

    found = photographs.find_photographs([today], str)
    with ThreadPoolExecutor() as pool:
        (batch,) = photographs.read_batches(found, 16, 4, pool, PLAIN)
    assert list(batch.broken) == [0] and batch.images is not None and len(batch.images) == 1
    assert decoding.decode_image(today / "1.png", 16).pixels.shape == (16, 16, 3)


def test_fit_refuses_classes_of_which_none_is_good(tmp_path, capsys):
    folder = tmp_path / "defonly"
    for number, name in enumerate(("bent/0.png", "bent/1.png", "scratch/0.png", "scratch/1.png", "masks/bent/0.png")):
        photograph(folder / name, number)
    photograph(folder / "results" / "0.png")
    (folder / "results" / "results.csv").write_text("file,score\n")  # ours, and no class
    for options in ((), ("--recursive",)):
        assert hw3("detect", "fit", folder, "--out", tmp_path / "out", *SMALL, *options) == 2
        assert (
            f"{folder}: found bent, scratch; none holds good products: `hw3 data settings {folder} --good NAME`, or "
            "give the folder of good photographs"
        ) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    shutil.rmtree(folder / "masks")  # which may be sub-folders of good photographs, if one says so
    assert hw3("detect", "fit", folder, "--out", tmp_path / "out", *SMALL) == 2
    assert "found bent, scratch; none holds good products" in (said := capsys.readouterr().err)
    assert "--recursive takes the images of sub-folders too" in said
    assert hw3("detect", "fit", folder, "--out", tmp_path / "out", *SMALL, "--recursive") == 0


def test_masks_are_neither_learned_from_nor_scored(good, detector, tmp_path, capsys):
    folder = shutil.copytree(good, tmp_path / "photos")
    photograph(folder / "masks" / "0.png")
    photograph(folder / "masks" / "dent" / "1.png")
    assert hw3("detect", "score", detector, folder, "--out", tmp_path / "results", "--recursive") == 0
    assert len(table_of(tmp_path / "results")) == 7
    assert "not looked at: 1 file and 1 folder: 1 .nef, 1 folder masks (2 masks)\n" in capsys.readouterr().out
    assert len(photographs.good_photographs(folder / "night", recursive=True, echo=str)[0]) == 1


def unreadable(folder: Path, monkeypatch) -> None:
    scan = os.scandir

    def refuse(path="."):
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_a_class_that_cannot_be_read_is_a_row(category, detector, tmp_path, monkeypatch, capsys):
    scratch = category / "test" / "scratch"
    there = len(list(scratch.iterdir()))
    unreadable(scratch, monkeypatch)
    assert hw3("detect", "score", detector, category, "--out", tmp_path / "results") == 1
    table = table_of(tmp_path / "results")
    why = "this folder cannot be read (Permission denied)"
    assert table.set_index("file")["reason"].dropna().to_dict() == {str(scratch): why}
    assert len(table) == 11 - there + 1 and table["score"].notna().sum() == 11 - there
    said = capsys.readouterr()
    assert "not looked at: 1 folder: 1 folder scratch that cannot be read in test\n" in said.out
    assert "1 folder could not be read" in said.out and f"{11 - there} images for" in said.out
    assert f"failed: {scratch}: {why}" in said.err


@pytest.mark.parametrize("place", ["train/good", "ground_truth/scratch"])
def test_one_that_is_not_scored_is_none(category, detector, tmp_path, monkeypatch, place):
    unreadable(category / place, monkeypatch)
    assert hw3("detect", "score", detector, category, "--out", tmp_path / "results") == 0
    assert len(table_of(tmp_path / "results")) == 11


def test_nor_is_a_sub_folder_unless_it_is_asked_for(detector, today, tmp_path, monkeypatch):
    unreadable(today / "line 2", monkeypatch)
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "a") == 0
    assert hw3("detect", "score", detector, today, "--out", tmp_path / "b", "--recursive", "--overlays") == 1
    failed = table_of(tmp_path / "b").set_index("file")["reason"].dropna()
    assert failed.to_dict() == {str(today / "line 2"): "this folder cannot be read (Permission denied)"}


def test_alone_it_is_refused_with_its_reason(detector, today, tmp_path, monkeypatch, capsys):
    unreadable(today, monkeypatch)
    for command in (("score", detector, today), ("fit", today, *SMALL)):
        assert hw3("detect", *command, "--out", tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert f"{today}: this folder cannot be read (Permission denied)" in said and "no image" not in said


def test_no_link_leads_out_of_the_class(category, detector, tmp_path, capsys):
    good = category / "train" / "good"
    (good / "loop").symlink_to("..")
    (good / "top").symlink_to(category)
    (good / "dent").symlink_to(category / "test" / "dent")
    assert len(photographs.good_photographs(category, recursive=True)[0]) == 5
    assert "1 folder loop (a link to where it lies) in train/good" in capsys.readouterr().out
    (good / "dent").unlink()
    assert len(photographs.find_photographs([good], str, recursive=True)) == 5


def test_defects_in_train_are_counted(category, capsys):
    photograph(category / "train" / "dent" / "0.png", 0)
    photograph(category / "train" / "dent" / "1.png", 1)
    assert len(photographs.good_photographs(category)[0]) == 5
    assert f"{category}: 2 defective images in train left out" in capsys.readouterr().out
