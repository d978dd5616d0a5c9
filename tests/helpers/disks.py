"""Disks of their own for one test: a small one, and one that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def _mounted(kind: str, *options: str, at: Path) -> Iterator[Path]:
    """Mount something for one test; skips with the reason where that is not allowed."""
    at.mkdir()
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own for this test")
    done = subprocess.run(["mount", *options, kind, str(at)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own with 400 kB."""
    yield from _mounted("none", "-t", "tmpfs", "-o", "size=400k", at=tmp_path / "tiny")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own that cannot be written, not even by root."""
    yield from _mounted("none", "-t", "tmpfs", "-o", "ro,size=400k", at=tmp_path / "read_only")
