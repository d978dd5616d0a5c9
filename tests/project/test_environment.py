"""environment.yml and pyproject.toml name the same packages with the same ranges."""

import re

import yaml
from packaging.requirements import Requirement

from hw3lib.core.places import project_root

CONDA_NAMES = {"torch": "pytorch"}


def _pyproject() -> dict[str, str]:
    # Python 3.10 has no TOML reader; the two lists are written one quoted requirement a line.
    text = (project_root() / "pyproject.toml").read_text()
    found = {"python": re.search(r'requires-python = "(.+)"', text)[1]}
    for name in ("dependencies", "dev"):
        block = re.search(rf"^{name} = \[\n(.*?)^\]", text, re.S | re.M)[1]
        for line in re.findall(r'^\s+"(.+)",$', block, re.M):
            requirement = Requirement(line)
            found[CONDA_NAMES.get(requirement.name, requirement.name)] = str(requirement.specifier)
    return {k: _sorted(v) for k, v in found.items()}


def _environment() -> dict[str, str]:
    found = {}
    for entry in yaml.safe_load((project_root() / "environment.yml").read_text())["dependencies"]:
        lines = [line for line in entry["pip"] if not line.startswith("-")] if isinstance(entry, dict) else [entry]
        for line in lines:
            requirement = Requirement(line)
            found[requirement.name] = str(requirement.specifier)
    del found["pip"]
    return {k: _sorted(v) for k, v in found.items()}


def _sorted(specifier: str) -> str:
    return ",".join(sorted(specifier.split(",")))


def test_conda_and_pip_users_get_the_same_packages():
    expected = _pyproject()
    assert len(expected) > 20
    assert _environment() == expected


def test_environment_installs_the_package_itself():
    dependencies = yaml.safe_load((project_root() / "environment.yml").read_text())["dependencies"]
    assert "-e ." in dependencies[-1]["pip"]
