"""Execute ``notebooks/sources/NN_*.py`` in the quick profile and write ``notebooks/NN_*.ipynb`` with their outputs.

The percent-format sources are what is edited. What changes from one execution to the next without meaning (times, cell
numbers drawn at random) is left out, so that a refresh changes only what truly changed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from hw3lib.errors import Hw3Error
from hw3lib.paths import atomic_path, project_root

METADATA = ("kernelspec", "language_info", "hw3lib")


def convert(source: Path) -> NotebookNode:
    """Notebook of a percent-format source, without outputs; cells are numbered in order."""
    import jupytext

    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags"}
    notebook.metadata = NotebookNode({k: v for k, v in notebook.metadata.items() if k in METADATA})
    notebook.nbformat_minor = 5
    return notebook


def execute(notebook: NotebookNode, folder: Path, timeout: int = 900) -> NotebookNode:
    """Run every cell in a kernel of this interpreter, with ``folder`` as the working directory.

    Raises:
        Hw3Error: a cell failed; its source and error are in the message.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from hw3lib.runner import this_kernel

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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hw3lib.notebooks", description=__doc__)
    parser.add_argument("numbers", nargs="*", help="which notebooks, as 01; all if none is given")
    chosen = parser.parse_args(arguments).numbers
    folder = project_root() / "notebooks"
    for source in sorted((folder / "sources").glob("[0-9][0-9]_*.py")):
        if chosen and source.name[:2] not in chosen:
            continue
        print(f"executing {source.name} ...", flush=True)
        try:
            notebook = execute(convert(source), folder)
        except Hw3Error as error:
            print(f"error: {source.name}: {error}", file=sys.stderr)
            return 1
        with atomic_path(folder / f"{source.stem}.ipynb") as temporary:
            nbformat.write(notebook, temporary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
