"""Every range in pyproject.toml begins somewhere, uv.lock lies inside of them, and nbval compares with this pytest."""

import os
import subprocess
import sys
from functools import cache
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hw3lib.core.places import project_root

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it there
    import tomli as tomllib

# The only places that a lock for everyone may name.
PYPI = ("https://pypi.org/simple", "https://files.pythonhosted.org/")


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((project_root() / name).read_text(encoding="utf-8"))


def _requirements() -> list[Requirement]:
    """What pyproject.toml asks for: at run time, by extra, and for development; not the package itself."""
    project = _read("pyproject.toml")["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    lists += _read("pyproject.toml").get("dependency-groups", {}).values()
    found = [Requirement(line) for lines in lists for line in lines if isinstance(line, str)]
    return [requirement for requirement in found if requirement.name != project["name"]]


def _locked() -> list[dict[str, Any]]:
    return _read("uv.lock")["package"]


def _recorded() -> set[tuple[str, str]]:
    """Name and range of everything that the lock was made for."""
    (own,) = (package for package in _locked() if package["name"] == "hw3lib")
    lists = [own["metadata"]["requires-dist"], *own["metadata"].get("requires-dev", {}).values()]
    entries = [Requirement(entry["name"] + entry.get("specifier", "")) for entries in lists for entry in entries]
    return {(entry.name, str(entry.specifier)) for entry in entries if entry.name != own["name"]}


def test_every_range_has_a_lower_bound():
    requirements = _requirements()
    assert len(requirements) > 40
    open_below = [str(r) for r in requirements if not any(s.operator in (">=", "==", "~=") for s in r.specifier)]
    assert not open_below, f"no lower bound, so that it was never tried: {open_below}"


def test_a_package_has_the_same_range_wherever_it_is_named():
    ranges: dict[str, set[str]] = {}
    for requirement in _requirements():
        ranges.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert not {name: found for name, found in ranges.items() if len(found) > 1}


def test_the_lock_was_made_for_these_ranges():
    assert _read("uv.lock")["requires-python"] == _read("pyproject.toml")["project"]["requires-python"]
    asked = {(canonicalize_name(r.name), str(r.specifier)) for r in _requirements()}
    assert _recorded() == asked, "pyproject.toml has changed: run uv lock"


def test_locked_versions_are_inside_the_ranges():
    locked: dict[str, set[str]] = {}
    for package in _locked():
        locked.setdefault(package["name"], set()).add(package.get("version", ""))
    for requirement in _requirements():
        versions = locked[canonicalize_name(requirement.name)]
        outside = [version for version in versions if not requirement.specifier.contains(version)]
        assert not outside, f"{requirement}: locked is {outside}"


def test_the_lock_names_no_place_but_pypi():
    for package in _locked():
        if package["name"] != "hw3lib":
            assert package["source"] == {"registry": PYPI[0]}, package["name"]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert all(file["url"].startswith(PYPI[1]) and file["hash"] for file in files), package["name"]


@pytest.mark.parametrize("stored, code", [("42\n", 0), ("41\n", 1)])
def test_nbval_finds_a_wrong_output_under_this_pytest(tmp_path, stored, code):
    output = new_output("stream", name="stdout", text=stored)
    cell = new_code_cell("# NBVAL_CHECK_OUTPUT\nprint(6 * 7)", outputs=[output], execution_count=1)
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "planted.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "planted.ipynb"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("41" in done.stdout) == (code == 1)


def test_the_runtime_asks_for_the_versions_that_hw3lib_asks_for():
    whole, small = _read("pyproject.toml")["project"], _read("runtime/pyproject.toml")["project"]
    assert set(small["dependencies"]) <= {*whole["dependencies"], *whole["optional-dependencies"]["onnx"]}
    assert not any("torch" in each for each in small["dependencies"])
    assert all(small[key] == whole[key] for key in ("scripts", "requires-python", "license"))
