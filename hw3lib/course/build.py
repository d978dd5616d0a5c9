"""Execute ``notebooks/sources/NN_*.py`` in the quick profile into ``notebooks/NN_*.ipynb``, and make the exercises.

The percent-format sources are what is edited. A refresh changes only what truly changed: a notebook whose cells are the
same, and whose outputs differ in nothing but times, stays as it is on the disk, byte for byte.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from PIL import Image

from hw3lib.core import optional
from hw3lib.core.files import atomic_path
from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error
from hw3lib.runs.kernel import this_kernel

from . import exercises

REPOSITORY = ""  # its address on GitHub, once it has one: badges and the cell that installs the course lead there
METADATA = ("kernelspec", "language_info", "hw3lib")
TIMINGS = "timings"  # tag of a cell whose output shows how long something took, in numbers or in a picture
_SECONDS = re.compile(r"\d+(\.\d+)?(?= ?(s|ms|seconds|minutes)\b)")


def badges(path: Path) -> str:
    """Markdown of the badges that open a notebook, whose path in the repository is given, in Binder and in Colab.

    Empty without :data:`REPOSITORY`.
    """
    if not REPOSITORY:
        return ""
    place = REPOSITORY.removeprefix("https://github.com/")
    binder = f"https://mybinder.org/v2/gh/{place}/HEAD?urlpath=lab/tree/{path.as_posix()}"
    colab = f"https://colab.research.google.com/github/{place}/blob/HEAD/{path.as_posix()}"
    images = ("https://mybinder.org/badge_logo.svg", "https://colab.research.google.com/assets/colab-badge.svg")
    return f"[![Binder]({images[0]})]({binder}) [![Colab]({images[1]})]({colab})"


def install_cell() -> NotebookNode:
    """A cell, folded away, that installs the course from :data:`REPOSITORY` where it is not, as in Colab."""
    source = (
        'from importlib.util import find_spec\n\nif find_spec("hw3lib") is None:\n'
        f'    get_ipython().run_line_magic("pip", "install --quiet git+{REPOSITORY}")'
    )
    return new_code_cell(source, id="install", metadata={"jupyter": {"source_hidden": True}, "tags": ["install"]})


def convert(source: Path) -> NotebookNode:
    """Notebook of a percent-format source, without outputs; cells are numbered in order.

    Behind the title comes :func:`install_cell`, where there is an address to install from.
    """
    import jupytext  # of developers alone

    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell["metadata"] = NotebookNode({k: v for k, v in cell["metadata"].items() if k == "tags"})
        if (mark := exercises.numbered(cell)) and mark[0] == "answer":
            cell["metadata"]["jupyter"] = {"source_hidden": True}  # folded away until the reader wants it
    first = next((cell for cell in notebook.cells if "setup" in cell["metadata"].get("tags", [])), None)
    if first:  # imports: not the first thing to see
        first["metadata"]["jupyter"] = {"source_hidden": True}
    if REPOSITORY:
        notebook.cells.insert(1, install_cell())
    notebook.metadata = NotebookNode({k: v for k, v in notebook.metadata.items() if k in METADATA})
    notebook.nbformat_minor = 5
    return notebook


def require_models(source: Path) -> None:
    """See that models and published weights are here for a chapter that would otherwise leave them out.

    Raises:
        Hw3Error: some are missing or damaged; the message says what to do.
    """
    if re.search(r"\bhw3lib\b.*\bannotate\b", source.read_text(encoding="utf-8")):
        for name in ("sam", "yolo", "yolo-weights"):
            optional.require(name)


def execute(notebook: NotebookNode, folder: Path, timeout: int = 900) -> NotebookNode:
    """Run every cell in a kernel of this interpreter, with ``folder`` as the working directory.

    Raises:
        Hw3Error: a cell failed; its source and error are in the message.
    """
    os.environ["HW3_HEADLESS"] = "1"
    with this_kernel():
        client = NotebookClient(
            notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise Hw3Error(f"a cell failed:\n{error}") from None
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("needs_background", None)
    info = notebook.metadata.get("language_info", {})
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    # The patch version of Python differs between machines and means nothing to a reader.
    notebook.metadata["language_info"] = {"name": info.get("name", "python")}
    return notebook


def same_but_for_times(old: NotebookNode, new: NotebookNode) -> bool:
    """Whether two executions of a notebook show the same.

    Cells and metadata are equal; so are the outputs, but for durations in text, and for cells tagged ``timings``.
    Pictures are compared by their pixels.
    """
    if old.metadata != new.metadata or len(old.cells) != len(new.cells):
        return False
    for before, after in zip(old.cells, new.cells, strict=True):
        keys = ("id", "cell_type", "source", "metadata", "execution_count")
        if any(before.get(key) != after.get(key) for key in keys):
            return False
        if TIMINGS not in after.metadata.get("tags", []) and _shown(before) != _shown(after):
            return False
    return True


def _shown(cell: NotebookNode) -> list:
    """What a cell's outputs show, in a form that can be compared."""
    found: list[tuple] = []
    for output in cell.get("outputs", []):
        if "text" in output:
            found.append((output.get("name"), _SECONDS.sub("-", output.text)))
        for kind, data in output.get("data", {}).items():
            if kind == "image/png":
                pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
                found.append((kind, pixels.shape, pixels.tobytes()))
            else:
                found.append((kind, _SECONDS.sub("-", data) if isinstance(data, str) else data))
    return found


def write_executed(path: Path, notebook: NotebookNode) -> bool:
    """Write a notebook unless the one that is there shows the same; True if it was written."""
    if path.is_file() and same_but_for_times(nbformat.read(path, as_version=4), notebook):
        return False
    with atomic_path(path) as temporary:
        nbformat.write(notebook, temporary)
    return True


def write_exercises(source: Path, folder: Path) -> None:
    """Make the exercise notebook of a source."""
    made = exercises.exercise_notebook(convert(source), source.stem)
    with atomic_path(folder / f"ex{source.stem}.ipynb") as temporary:
        nbformat.write(made, temporary)


def write_capstone(folder: Path) -> None:
    """Make the capstone of its source."""
    made = exercises.capstone_notebook(convert(folder / "sources" / "exercises" / f"{exercises.CAPSTONE}.py"))
    with atomic_path(folder / "exercises" / f"{exercises.CAPSTONE}.ipynb") as temporary:
        nbformat.write(made, temporary)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hw3lib.course.build", description=__doc__)
    parser.add_argument("numbers", nargs="*", help="which notebooks, as 01; all if none is given")
    parser.add_argument("--exercises", action="store_true", help="only make the exercises; execute nothing")
    options = parser.parse_args(arguments)
    folder = project_root() / "notebooks"
    write_capstone(folder)
    for source in sorted((folder / "sources").glob("[0-9][0-9]_*.py")):
        if options.numbers and source.name[:2] not in options.numbers:
            continue
        try:
            write_exercises(source, folder / "exercises")
            if options.exercises:
                continue
            require_models(source)
            print(f"executing {source.name} ...", flush=True)
            notebook = execute(convert(source), folder)
        except Hw3Error as error:
            print(f"error: {source.name}: {error}", file=sys.stderr)
            return 1
        if not write_executed(folder / f"{source.stem}.ipynb", notebook):
            print("  nothing changed but times; left as it is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
