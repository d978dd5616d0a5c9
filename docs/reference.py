"""Write the reference of all modules as HTML: ``make docs``.

python docs/reference.py [FOLDER]

pdoc alone leaves out what a room's face does not name; here every module has its page.
"""

import pkgutil
import sys
from pathlib import Path

import pdoc

import hw3lib

ROOT = Path(__file__).resolve().parents[1]


def modules() -> list[str]:
    """Names of all modules and packages; ``__main__`` is a program."""
    found = pkgutil.walk_packages(hw3lib.__path__, "hw3lib.")
    return ["hw3lib", *sorted(module.name for module in found if not module.name.endswith("__main__"))]


def main(folder: str | None = None) -> None:
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*modules(), output_directory=Path(folder) if folder else ROOT / "build" / "api")


if __name__ == "__main__":
    main(*sys.argv[1:])
