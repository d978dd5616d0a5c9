"""What a process that was killed at a bad moment left is gone after the next run, even if that has nothing to write."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hw3lib.classify import Attempt, run_attempt
from hw3lib.core import files as paths
from hw3lib.core.files import atomic_folder
from hw3lib.core.saved import save_tensors
from hw3lib.data import classification_images, load_table, repeated_splits
from hw3lib.data.synthetic import PROFILES, make

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")


@pytest.fixture
def leave(monkeypatch):
    """The function that names what a process that has ended left of a path."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    def name(path: Path, kind: str) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(paths.os, "getpid", lambda: process.pid)
            return paths._temporary_name(path, kind)

    return name


def test_of_a_generated_category_that_was_replaced(tmp_path, monkeypatch, leave):
    monkeypatch.setitem(PROFILES, "quick", {"size": 32, "train_good": 1, "test": 1})
    folder = make("synthetic/wood", tmp_path, workers=1)
    made = sorted(tmp_path.rglob("*"))
    old = leave(folder, "old")
    (old / "train").mkdir(parents=True)
    make("synthetic/wood", tmp_path, workers=1)
    assert sorted(tmp_path.rglob("*")) == made
    folder.rename(old)
    make("synthetic/wood", tmp_path, workers=1)
    assert sorted(tmp_path.rglob("*")) == made


def test_of_the_checkpoints_of_a_training_whose_outcome_is_kept(tmp_path, category, leave):
    images = classification_images(load_table(category.parent, "widget"))
    attempt = Attempt("tiny", image_size=32, batch_size=4, epochs=1)
    splits = repeated_splits(images, 2, 0.3)[:1]
    kept = tmp_path / "kept"
    run_attempt(attempt, images, splits, keep=kept, device="cpu")
    (outcome,) = kept.iterdir()
    checkpoint = outcome.with_suffix(".all.pt")
    checkpoint.touch()
    leave(checkpoint, "tmp").touch()
    run_attempt(attempt, images, splits, keep=kept, device="cpu")
    assert list(kept.iterdir()) == [outcome]


def test_of_what_was_written_whole_in_a_folder_that_was_not_whole_yet(tmp_path, leave):
    outer = leave(tmp_path / "detector", "tmp")
    for folder in (outer, leave(outer, "tmp"), leave(outer, "old")):
        folder.mkdir()
    with atomic_folder(tmp_path / "detector") as folder:
        (folder / "a.json").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["detector"]


def test_tensors_that_cannot_be_written_raise_the_error_of_the_system(tmp_path):
    with pytest.raises(OSError) as caught:
        save_tensors({"a": torch.zeros(100)}, tmp_path / "no folder" / "a.safetensors")
    assert caught.value.errno == errno.ENOENT
    save_tensors({"a": torch.zeros(100)}, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size > 400
