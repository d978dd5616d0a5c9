"""environment.yml brings Python and pip, and leaves the rest to the package itself."""

import re
from importlib import metadata

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from hw3lib.core.places import project_root

ROOT = project_root()
DEPENDENCIES = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]


def test_the_rest_is_what_the_package_needs_without_extras():
    python, *rest = DEPENDENCIES
    assert rest == ["pip", {"pip": ["-e ."]}]
    needed = [Requirement(line) for line in metadata.requires("hw3lib") or []]
    runtime = {r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})}
    assert {"torch", "timm", "typst"} <= runtime
    assert not runtime & {"ultralytics", "opencv-python"}, "AGPL-3.0, unasked"


def test_its_python_is_the_newest_that_was_tried():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tried = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    newest = max(tried, key=Version)
    assert DEPENDENCIES[0] == f"python ={newest}"
    supported = SpecifierSet(re.search(r'requires-python = "(.+)"', text)[1])
    assert all(version in supported for version in tried)
