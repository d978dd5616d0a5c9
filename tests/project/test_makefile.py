"""The Makefile with a substitute for Python, or for uv, that notes how it is called; nothing is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hw3lib.core.places import project_root

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

# Writes to $LOG what it is called with, makes environments of itself, and fails where $FAILS says.
PROGRAM = """#!/bin/sh
case "$*" in *version_info*) exit 0 ;; esac
for argument in "$@"; do printf '[%s]' "$argument"; done >> "$LOG"
echo >> "$LOG"
case "$*" in *venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;; esac
case "$*" in *"$FAILS"*) exit 1 ;; esac
"""
COURSE = "[-m][hw3lib.cli][run][--category][synthetic/bottle][--profile][quick]"
PIP = "[-m][pip][install]"


class Checkout:
    """A copy of the Makefile and of pyproject.toml, in reach of the substitute and a shell's programs alone."""

    def __init__(self, folder: Path, *programs: str):
        self.folder, self.log, bin_ = folder, folder / "log", folder / "bin"
        bin_.mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(project_root() / name, folder / name)
        for tool in ("sh", "cp", "echo", "mkdir", "rm", "sed", "touch", "tr"):
            (bin_ / tool).symlink_to(shutil.which(tool))
        for name in programs:
            (bin_ / name).write_text(PROGRAM)
            (bin_ / name).chmod(0o755)

    def make(self, *arguments: str, fails: str = "nothing") -> subprocess.CompletedProcess:
        environment = {"PATH": str(self.folder / "bin"), "LOG": str(self.log), "FAILS": fails}
        command = [shutil.which("make"), *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)

    def calls(self, *arguments: str, fails: str = "nothing") -> list[str]:
        """What the substitute is called with by ``make`` with these arguments."""
        self.log.unlink(missing_ok=True)
        done = self.make(*arguments, fails=fails)
        assert (done.returncode == 0) is (fails == "nothing"), done.stderr
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout", "python3")


SETUP = ["[-m][venv][--clear][.venv]", f"{PIP}[--quiet][pip>=25.1]", f"{PIP}[-e][.]"]


def test_course_installs_the_runtime_alone_once_and_runs_every_time(checkout):
    assert checkout.calls("course") == [*SETUP, COURSE]
    data = "my photographs/it's here"
    more = ("CATEGORY=own set", "PROFILE=full", "ARGS=--force -p seed 3", f"DATA={data}")
    run = f"[-m][hw3lib.cli][run][--category][own set][--profile][full][--data][{data}][--force][-p][seed][3]"
    assert checkout.calls("course", *more) == [run]
    assert checkout.calls("course", "LANGUAGE=zh-TW") == [f"{COURSE}[--language][zh-TW]"]


@pytest.mark.parametrize("fails", ["venv", "pip>=25.1", "-e ."])
def test_an_installation_that_failed_is_repeated(checkout, fails):
    assert COURSE not in checkout.calls("course", fails=fails)
    assert checkout.calls("course")[-2:] == [SETUP[-1], COURSE]
    assert checkout.calls("course") == [COURSE]


def test_an_installation_that_is_out_of_date_is_repeated(checkout):
    checkout.calls("course")
    later = (checkout.folder / ".venv" / ".installed").stat().st_mtime + 5
    os.utime(checkout.folder / "pyproject.toml", (later, later))
    assert SETUP[-1] in checkout.calls("course"), "pyproject.toml changed"
    os.utime(checkout.folder / "pyproject.toml", (1, 1))
    (checkout.folder / ".venv" / "bin" / "python").unlink()
    assert checkout.calls("course") == [*SETUP, COURSE], "the environment's Python is gone"


@pytest.mark.parametrize("extras", ["yolo onnx", "onnx,yolo"])
def test_extras_are_brought_by_the_same_command(checkout, extras):
    checkout.calls("course")
    install = f"{PIP}[-e][.][hw3lib[onnx]][hw3lib[yolo]]"
    assert checkout.calls("course", f"EXTRAS={extras}")[-2:] == [install, COURSE]
    assert checkout.calls("course", f"EXTRAS={extras}") == [COURSE]
    refused = checkout.make("course", "EXTRAS=yollo")
    assert refused.returncode != 0 and "EXTRAS=yollo: some of heic, kaggle, onnx and yolo" in refused.stderr


def test_test_installs_all_lints_and_ends_with_the_notebooks(checkout):
    *_, data, tests, notebooks = calls = checkout.calls("test", "JOBS=3")
    assert f"{PIP}[-e][.][hw3lib[heic,onnx,yolo]][--group][dev]" in calls
    assert {"[-m][ruff][check][.]", "[-m][ruff][format][--check][.]", "[-m][mypy]", "[.venv/bin/lint-imports]"} <= set(
        calls
    )
    assert len([call for call in calls if "deptry" in call]) == 2
    assert data == "[-m][hw3lib.cli][data][get][synthetic/bottle]"
    assert tests == "[-m][pytest][-n][3][--no-loadscope-reorder][--dist][loadfile]" and "[--nbval-lax]" in notebooks
    assert checkout.calls("course") == [COURSE], "what tests need includes what the course needs"


def test_a_torch_of_its_own_index(checkout, tmp_path):
    index = "[--extra-index-url][https://download.pytorch.org/whl/cpu]"
    assert checkout.calls("setup", "TORCH=cpu")[-1] == SETUP[-1] + index
    with_uv = Checkout(tmp_path / "uv", "python3", "uv").calls("setup", "TORCH=cpu")
    assert with_uv[-1] == "[pip][install][--compile-bytecode][--python][.venv/bin/python][-e][.][--torch-backend][cpu]"


def test_uv_is_used_where_it_is(tmp_path):
    calls = Checkout(tmp_path / "checkout", "python3", "uv").calls("course")
    venv = "[venv][--seed][--clear][--python][python3][.venv]"
    assert calls == [venv, "[pip][install][--compile-bytecode][--python][.venv/bin/python][-e][.]", COURSE]


def test_a_python_that_is_too_old(checkout):
    old = checkout.folder / "old python"
    asked = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{asked}" "$2"\n')
    old.chmod(0o755)
    done = checkout.make("course", f"PYTHON={old}")
    assert done.returncode != 0 and "Python 3.10 or newer needed: make PYTHON=" in done.stderr
    assert not (checkout.folder / ".venv").exists()


def test_help_names_every_target_and_variable(checkout):
    text = (checkout.folder / "Makefile").read_text()
    shown = checkout.make("help").stdout
    targets = re.search(r"^\.PHONY: (.+)$", text, re.M)[1].split()
    assert {"course", "test", "lint", "bench", "notebooks"} <= set(targets)
    assert [target for target in targets if target != "help" and f"make {target}" not in shown] == []
    assert [name for name in re.findall(r"^([A-Z]+) =", text.split("RUN =")[0], re.M) if f"{name}=" not in shown] == []


def test_clean_leaves_data_and_results(checkout):
    for name in ("data", "runs", ".venv", "build"):
        (checkout.folder / name).mkdir()
    assert checkout.make("clean").returncode == 0
    left = {path.name for path in checkout.folder.iterdir()}
    assert {"data", "runs"} <= left and not {".venv", "build"} & left


def test_it_is_read_in_a_minute():
    assert len((project_root() / "Makefile").read_text().splitlines()) <= 60
