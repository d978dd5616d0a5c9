"""The wheel and the source distribution hold all that a user needs, in an environment that has no checkout."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from importlib import metadata

import pytest
import yaml

from hw3lib import __version__
from hw3lib.core.places import project_root

ROOT = project_root()
CHAPTERS = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))


def python(*arguments, executable=sys.executable, **kwargs):
    done = subprocess.run(
        [str(executable), *map(str, arguments)], capture_output=True, text=True, timeout=300, **kwargs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build = "import hatchling.build as b, sys; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    python("-c", build, "build_sdist", folder, cwd=ROOT)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    python("-c", build, "build_wheel", folder, cwd=folder / f"hw3lib-{__version__}")
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Python of a new environment with the wheel in it, and the dependencies of this one within reach."""
    folder = tmp_path_factory.mktemp("env")
    python("-m", "venv", "--without-pip", folder)
    place = next(folder.glob("lib/python*/site-packages"), folder / "Lib" / "site-packages")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(place)
    # A path in a .pth file is searched, but the .pth files in it are not read: the editable checkout stays out.
    (place / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return next(p for p in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if p.exists())


def test_the_wheel_holds_package_notebooks_exercises_and_licence(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    sources = {p.relative_to(ROOT).as_posix() for p in (ROOT / "hw3lib").rglob("*.py")}
    assert sources <= names
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "hw3lib" / "locale").rglob("*.po")} <= names
    assert {"hw3lib/py.typed", "hw3lib/inspection/app/page.html"} <= names
    for chapter in CHAPTERS:
        assert {f"hw3lib/course/notebooks/{chapter}", f"hw3lib/course/notebooks/exercises/ex{chapter}"} <= names
    assert not [name for name in names if "notebooks/sources" in name]
    assert f"hw3lib-{__version__}.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "runs/", "data/"))]


def test_the_metadata_names_the_licence_and_the_extras(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        about = Parser().parsestr(wheel.read(f"hw3lib-{__version__}.dist-info/METADATA").decode())
    assert (about["Version"], about["License-Expression"], about["License-File"]) == (__version__, "MIT", "LICENSE")
    assert about["License"] is None, "the whole text of the licence is in its file"
    assert about.get_all("Provides-Extra") == ["heic", "kaggle", "onnx", "yolo"]
    needed = [line for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    assert not [line for line in needed if line.startswith(("ultralytics", "opencv", "pytest", "ruff"))]


def test_the_sdist_holds_what_builds_tests_and_runs(built):
    top = built / f"hw3lib-{__version__}"
    names = {path.name for path in top.iterdir()}
    assert {"pyproject.toml", "Makefile", "environment.yml", "README.md", "CHANGELOG.md", "CITATION.cff"} <= names
    for folder, pattern in (("tests", "*.py"), ("benchmarks", "*.py"), ("docs", "*"), ("notebooks", "*"), (".ci", "*")):
        there = {path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern) if path.is_file()}
        there = {path for path in there if not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)}
        assert there and not {path for path in there if not (top / path).is_file()}


def test_an_installed_package_starts_a_course_and_runs_its_notebooks(installed, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    where = python("-c", "import hw3lib; print(hw3lib.__file__)", executable=installed, cwd=tmp_path, env=environment)
    assert str(ROOT) not in where
    cli = ("-m", "hw3lib.cli")
    assert __version__ in python(*cli, "--version", executable=installed, cwd=tmp_path, env=environment)
    python(*cli, "start", "mine", executable=installed, cwd=tmp_path, env=environment)
    assert sorted(p.name for p in (tmp_path / "mine").glob("ex*.ipynb")) == [f"ex{name}" for name in CHAPTERS]
    assert sorted(p.name for p in (tmp_path / "mine/chapters").iterdir()) == CHAPTERS
    python(*cli, "run", "01", executable=installed, cwd=tmp_path, env=environment)
    assert (tmp_path / "runs" / "synthetic-bottle-quick" / "01" / "metrics.json").is_file()
    assert (tmp_path / "data" / "synthetic" / "bottle").is_dir()
    beside = {path.name for path in installed.parents[1].glob("lib/python*/site-packages/*")}
    assert "hw3lib" in beside and not {"runs", "data"} & beside, "nothing is written beside the package"


def test_version_and_licence_are_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert metadata.version("hw3lib") == __version__, "install again: pip install -e ."
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert citation["license"] == (ROOT / "LICENSE").read_text().split()[0] == "MIT"


def test_the_runtime_is_the_same_package_without_notebooks(tmp_path):
    python("-c", "import hatchling.build as b, sys; b.build_wheel(sys.argv[1])", tmp_path, cwd=ROOT / "runtime")
    with zipfile.ZipFile(next(tmp_path.glob("hw3lib_runtime-*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "hw3lib").rglob("*.py")} <= names
    assert not any(name.endswith((".ipynb", ".pyc")) for name in names)
