"""An environment for a subprocess in which installed packages cannot be imported, as if they were not there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hw3lib.core.places import project_root

# Finders answer for such a module what they answer for one that is not installed. Refusing it by an ImportError would
# not do: whoever asks importlib.util.find_spec whether a package is there would get that error instead of None.
SITE = """
import os
import sys

BLOCKED = set(os.environ["HW3_TEST_WITHOUT"].split(","))


class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def required(*extras: str) -> set[str]:
    """Distributions that hw3lib with some extras requires, directly or not, as far as they are installed."""
    seen: set[tuple[str, str]] = set()
    todo = [("hw3lib", extra) for extra in ("", *extras)]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            lines = metadata.requires(one[0]) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": one[1]}):
                todo += [(canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras)]
    return {name for name, _ in seen} - {"hw3lib"}


def alone_brought_by(extra: str) -> set[str]:
    """Top-level modules that are installed for this extra and for nothing that hw3lib needs without it."""
    return _modules(required(extra) - required())


def not_required() -> set[str]:
    """Top-level modules of all that is installed and that hw3lib does not need."""
    return _modules(set().union(*_installed().values()) - required() - {"hw3lib"})


def _modules(distributions: set[str]) -> set[str]:
    return {module for module, names in _installed().items() if names <= distributions}


@cache
def _installed() -> Mapping[str, set[str]]:
    """Distributions by the top-level modules that they bring; it takes seconds to read."""
    found = metadata.packages_distributions()
    return {module: {canonicalize_name(name) for name in names} for module, names in found.items()}


def run(
    folder: Path, blocked: Iterable[str], *arguments: str, environment: dict[str, str] | None = None, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """``python ARGUMENTS`` without the blocked modules, weights and network; ``folder`` holds what does that."""
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE)
    nowhere = "http://127.0.0.1:9"  # a port that nothing answers
    env = {key: value for key, value in os.environ.items() if key not in ("HW3_WEIGHTS", "HW3_DATA", "no_proxy")}
    env |= {
        "PYTHONPATH": os.pathsep.join([str(site), str(project_root())]),
        "HW3_TEST_WITHOUT": ",".join(sorted(blocked)),
        "TORCH_HOME": str(folder / "torch"),
        "HF_HOME": str(folder / "huggingface"),
        "MPLBACKEND": "Agg",
        "HW3_HEADLESS": "1",
        "https_proxy": nowhere,
        "http_proxy": nowhere,
    }
    env |= environment or {}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=600)
