"""The Makefile with a stand-in for Python that notes how it is called; nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hw3lib.core.places import project_root

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

TOOLS = ("sh", "cp", "find", "mkdir", "rm", "sed", "touch")

# Answers the questions that the Makefile asks, writes every other call to $LOG, makes environments of itself.
PYTHON = r"""#!/bin/sh
case "$*" in
    *starts*) echo starts; exit 0 ;;
    *"print("*) echo "VERSION"; exit 0 ;;
    *"import pip"*) exit "${NO_PIP:-0}" ;;
    *"version_info < (3, 10)"*) exit OLD ;;
    *"import venv"*) exit NO_VENV ;;
esac
for argument in "$@"; do printf '[%s]' "$argument"; done >> "$LOG"
echo >> "$LOG"
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"pip install"*) exit "${PIP_FAILS:-0}" ;;
esac
"""


class Checkout:
    """A copy of the Makefile, with the stand-in as the only Python to be found: nothing can be installed."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "log"
        folder.mkdir(exist_ok=True)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(project_root() / name, folder / name)
        self.python = self.write_python("python3")
        for tool in TOOLS:
            (folder / "bin" / tool).symlink_to(shutil.which(tool))

    def write_python(self, name: str, version: str = "3.12.1", old: int = 0, no_venv: int = 0) -> Path:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        text = PYTHON.replace("VERSION", version).replace("OLD", str(old)).replace("NO_VENV", str(no_venv))
        path.write_text(text)
        path.chmod(0o755)
        return path

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        clean = {"PATH": str(self.folder / "bin"), "LOG": str(self.log), **environment}
        command = [shutil.which("make"), *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=clean)

    def calls(self) -> list[str]:
        """What the stand-in was called with since the last time this was asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


VENV = "[-m][venv][--clear][.venv]"
INSTALL = "[-m][pip][install][--disable-pip-version-check]"


def test_course_installs_once_and_runs_every_time(checkout):
    python = f"PYTHON={checkout.python}"
    first = checkout.make("course", python)
    assert first.returncode == 0, first.stderr
    run = "[-m][hw3lib.cli.main][run][--category][synthetic/bottle][--profile][quick]"
    assert checkout.calls() == [VENV, f"{INSTALL}[-e][.]", run]
    assert f"making .venv with Python 3.12.1 at {checkout.python}" in first.stdout

    data = "my photographs/it's here"
    second = checkout.make(
        "course", python, f"DATA={data}", "CATEGORY=own set", "PROFILE=full", "ARGS=--force -p seed 3"
    )
    assert second.returncode == 0, second.stderr
    run = f"[-m][hw3lib.cli.main][run][--category][own set][--profile][full][--data][{data}][--force][-p][seed][3]"
    assert checkout.calls() == [run]


def test_installation_is_repeated_where_it_must_be(checkout):
    python = f"PYTHON={checkout.python}"
    broken = checkout.make("setup", python, PIP_FAILS="1")
    assert broken.returncode != 0
    assert checkout.calls() == [VENV, f"{INSTALL}[-e][.]"]
    assert checkout.make("setup", python).returncode == 0
    assert checkout.calls() == [f"{INSTALL}[-e][.]"], "an installation that failed is repeated"
    checkout.make("setup", python)
    assert checkout.calls() == []

    later = (checkout.folder / ".venv" / ".installed").stat().st_mtime + 5
    os.utime(checkout.folder / "pyproject.toml", (later, later))
    checkout.make("setup", python)
    assert checkout.calls() == [f"{INSTALL}[-e][.]"], "pyproject.toml changed"
    os.utime(checkout.folder / "pyproject.toml", (1, 1))

    (checkout.folder / ".venv" / "bin" / "python").unlink()
    assert checkout.make("setup", python).returncode == 0
    assert checkout.calls() == [VENV, f"{INSTALL}[-e][.]"], "the environment's Python vanished"

    checkout.make("setup", python, NO_PIP="1")
    assert checkout.calls() == [], "pip is asked for only when there is something to install"
    (checkout.folder / ".venv" / ".installed").unlink()
    checkout.make("setup", python, NO_PIP="1")
    assert checkout.calls() == [VENV, f"{INSTALL}[-e][.]"], "an environment without pip was not finished"


def test_torch_from_its_own_index(checkout):
    done = checkout.make("setup", "TORCH=cpu")
    assert done.returncode == 0, done.stderr
    index = "https://download.pytorch.org/whl/cpu"
    torch = f"{INSTALL}[-r][.venv/torch.txt][--index-url][{index}]"
    assert checkout.calls() == [VENV, torch, f"{INSTALL}[-e][.]"]
    names = [line.split(">")[0] for line in (checkout.folder / ".venv" / "torch.txt").read_text().splitlines()]
    assert names == ["torch", "torchvision"]
    checkout.make("setup", "TORCH=cpu")
    assert checkout.calls() == []
    checkout.make("setup")
    assert checkout.calls() == [f"{INSTALL}[-e][.]"]


def test_test_runs_ruff_pytest_and_nbval(checkout):
    for name in ("notebooks/01_a.ipynb", "notebooks/exercises/01_a.ipynb"):
        (checkout.folder / name).parent.mkdir(exist_ok=True)
        (checkout.folder / name).touch()
    done = checkout.make("test")
    assert done.returncode == 0, done.stderr
    parallel = "[-m][pytest][-n][2][--dist]"
    nbval = f"{parallel}[loadscope][--nbval-lax][--nbval-current-env][--nbval-cell-timeout=900][notebooks/01_a.ipynb]"
    assert checkout.calls() == [
        VENV, f"{INSTALL}[-e][.[dev]]", "[-m][ruff][check][.]", "[-m][ruff][format][--check][.]",
        "[-m][mypy]", "[-m][hw3lib.cli.main][data][get][synthetic/bottle]", f"{parallel}[loadfile]", nbval,
    ]  # fmt: skip
    checkout.make("course")
    assert INSTALL not in "".join(checkout.calls()), "what tests need includes what the course needs"


def test_python_is_searched_for(checkout):
    checkout.write_python("python3.13", version="", old=1)  # as a manager of versions leaves them: does not start
    checkout.write_python("python3.12", "3.12.9", no_venv=1)
    checkout.write_python("python3.11", "3.11.7")
    done = checkout.make("setup")
    assert f"making .venv with Python 3.11.7 at {checkout.folder / 'bin' / 'python3.11'}" in done.stdout


@pytest.mark.parametrize("name", ["python3", "a python"])
def test_python_too_old(checkout, name):
    python = checkout.write_python(name, "3.8.18", old=1)
    done = checkout.make("course", f"PYTHON={python}")
    assert done.returncode != 0
    assert f"Python 3.10 or newer is needed, found 3.8.18 at {python}: install" in done.stderr
    assert "make PYTHON=/path/to/python3.12" in done.stderr
    assert checkout.calls() == [] and not (checkout.folder / ".venv").exists()


def test_python_without_venv(checkout):
    python = checkout.write_python("python3", "3.11.2", no_venv=1)
    done = checkout.make("course", f"PYTHON={python}")
    assert done.returncode != 0 and "module venv" in done.stderr and "apt install python3.11-venv" in done.stderr
    assert checkout.calls() == []


def test_python_that_is_not_there(checkout):
    done = checkout.make("course", "PYTHON=/no/such/python")
    assert done.returncode != 0 and "none was found at /no/such/python" in done.stderr


@pytest.mark.parametrize(("version", "good"), [("3.79", False), ("3.81", True), ("3.82", True), ("4.4.1", True)])
def test_make_too_old(checkout, version, good):
    done = checkout.make("help", f"MAKE_VERSION={version}")
    assert (done.returncode == 0) is good
    assert (f"GNU make 3.81 or newer is needed, found {version}" in done.stderr) is not good


def test_a_space_in_the_path_of_the_checkout(tmp_path):
    done = Checkout(tmp_path / "my course").make("help")
    assert done.returncode != 0 and "has a space in it" in done.stderr and "my course" in done.stderr


def test_clean_leaves_data_and_results(checkout):
    for name in ("data", "runs", ".venv", "hw3lib", "tests", "benchmarks"):
        (checkout.folder / name / "__pycache__").mkdir(parents=True)
    assert checkout.make("clean").returncode == 0
    left = {path.name for path in checkout.folder.iterdir()}
    assert {"data", "runs"} <= left and ".venv" not in left
    assert not (checkout.folder / "hw3lib" / "__pycache__").exists()


def test_help_names_every_target(checkout):
    text = (checkout.folder / "Makefile").read_text()
    targets = text.split(".PHONY:")[1].splitlines()[0].split()
    shown = checkout.make("help").stdout
    assert {"course", "test", "lint", "bench", "notebooks"} <= set(targets)
    assert [target for target in targets if target != "help" and f"make {target}" not in shown] == []
