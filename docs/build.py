"""Build the site in each language, in build/site: ``make docs``.

python docs/build.py [FOLDER]

The reference has a page a room: what its face names, and the modules that lie in it. A warning is an error, and so is a
link inside of the site that leads nowhere. external_links.txt lists the others, which are not fetched.
"""

import os
import pkgutil
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import hw3lib
from hw3lib.core.translation import ENGLISH, languages

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "docs" / "api"


def main(folder: str | Path = ROOT / "build" / "site") -> int:
    shutil.rmtree(folder, ignore_errors=True)
    reference()
    builds = []
    for language in languages():
        out = Path(folder).resolve() / ("" if language == ENGLISH else language)
        trees = ROOT / "build" / "doctrees" / language
        command = [sys.executable, "-m", "sphinx", "-qW", "--keep-going", "-c", "docs", "-d", trees, ".", out]
        builds.append((out, subprocess.Popen(command, cwd=ROOT, env=os.environ | {"HW3_LANGUAGE": language})))
    for out, build in builds:
        if build.wait() == 0:
            shutil.copy(out / "README.html", out / "index.html")
    return max(build.returncode for _, build in builds)


def reference() -> None:
    """Write the pages of the reference, which Sphinx fills with the docstrings."""
    shutil.rmtree(API, ignore_errors=True)
    API.mkdir()
    inside = [module.name for module in pkgutil.walk_packages(hw3lib.__path__, "hw3lib.") if module.ispkg]
    for room in ["hw3lib", *inside]:
        (API / f"{room}.rst").write_text(page(room), encoding="utf-8")


def page(room: str) -> str:
    """The page of a room, as reStructuredText."""
    package = import_module(room)
    modules = [m for m in pkgutil.iter_modules(package.__path__, f"{room}.") if not m.name.endswith("__main__")]
    lines = [room, "=" * len(room), "", f".. automodule:: {room}", "   :no-members:", ""]
    if names := [face(package, name) for name in sorted(getattr(package, "__all__", []))]:
        lines += [f"``from {room} import`` {', '.join(names)}", ""]
    lines += [".. toctree::", "   :titlesonly:", "", *(f"   {m.name}" for m in modules if m.ispkg), ""]
    for module in (m.name for m in modules if not m.ispkg):
        lines += [module, "-" * len(module), "", f".. automodule:: {module}", ""]
    return "\n".join(lines)


def face(package: object, name: str) -> str:
    """A name of a room's face, as a link to where it is defined if it is a class or a function."""
    home = getattr(getattr(package, name), "__module__", None)
    return f":obj:`{name} <{home}.{name}>`" if home else f"``{name}``"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
