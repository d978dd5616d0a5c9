"""What an import costs, and brings: one name costs one name, faces are unambiguous, and nothing imports in a circle."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import grimp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import hw3lib

PACKAGE = Path(hw3lib.__file__).parent
STUBS = sorted(PACKAGE.rglob("__init__.pyi"))
HEAVY = {"torch", "torchvision", "transformers", "accelerate", "timm"}


def brought_by(program: str, *arguments: str, cwd: Path | None = None) -> set[str]:
    """Top-level names of the modules that a fresh interpreter holds at the end of a program."""
    told = "import atexit, sys\natexit.register(lambda: print('BROUGHT', *{m.split('.')[0] for m in sys.modules}))\n"
    ran = subprocess.run([sys.executable, "-c", told + program, *arguments], capture_output=True, text=True, cwd=cwd)
    assert "BROUGHT" in ran.stdout, ran.stderr
    return set(ran.stdout.rpartition("BROUGHT")[2].split())


def test_one_detector_brings_torch_and_nothing_as_heavy():
    brought = brought_by("from hw3lib.anomaly import PatchCore")
    assert "torch" in brought
    others = {"pandas", "matplotlib", "sklearn", "numba", "seaborn", "IPython", "sympy"}
    assert not brought & ((HEAVY | others) - {"torch"})


LIGHT = {
    "the face": "from hw3lib import Hw3Error, ImageStack, load_table, read_image",
    "core": "from hw3lib.core import atomic_path, auroc_interval, balanced_accuracy; import hw3lib.core.saved",
    "tables": "from hw3lib.data import load_table, check_category, get, repeated_splits",
    "annotations": "import hw3lib.data.regions.annotations; from hw3lib.annotate import read_instances",
    "runs": "from hw3lib.runs import RunFolder; import hw3lib.runs.compare, hw3lib.runs.run",
    "report": "from hw3lib.report import build, newest_run, Run",
    "names of detectors": "from hw3lib.anomaly import DETECTORS; assert 'padim' in [*DETECTORS] and 'knn' in DETECTORS",
    "names of formats": "from hw3lib.annotate import FORMATS; assert 'coco' in FORMATS",
    "thresholds": "from hw3lib.anomaly import conformal_threshold; conformal_threshold(range(99))",
    "image metrics": "from hw3lib.anomaly import image_metrics; image_metrics([True, False], [1.0, 0.0])",
    "an exported inspector": "from hw3lib.classify.guided.exported import OnnxTypes; import hw3lib.inspection.watch",
    "an ONNX file": "from hw3lib.anomaly import OnnxDetector; from hw3lib.inspection import score",
}


@pytest.mark.parametrize("program", LIGHT.values(), ids=LIGHT)
def test_what_needs_no_network_brings_no_torch(program):
    assert not brought_by(program) & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["data", "list"],
        ["data", "check", "widget"],
        ["report", "--help"],
        ["detect", "--help"],
    ],
    ids=" ".join,
)
def test_commands_start_without_torch(arguments, category):
    command = "import sys; from hw3lib.cli.main import main; main(sys.argv[1:])"
    data = ["--data", str(category.parent)] if arguments[0] == "data" else []
    assert not brought_by(command, *arguments, *data, cwd=category.parent) & HEAVY


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.relative_to(PACKAGE.parent).as_posix())
def test_a_face_says_the_same_whatever_was_imported_before(stub):
    package = importlib.import_module(".".join(stub.parent.relative_to(PACKAGE.parent).parts))
    submodules = {p.stem for p in stub.parent.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    found = list(_exported(stub))
    names = [name for _, name in found]
    assert sorted(names) == sorted(set(package.__all__) - {"__version__"}) == sorted(set(names))
    for module, name in found:
        assert module is None or name not in submodules, f"{name} is a function or class, and a module"
        assert getattr(package, name) is not None


def _exported(stub: Path) -> Iterator[tuple[str | None, str]]:
    """``(module, name)`` of a stub's names; the module is None for a submodule itself."""
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def test_a_notebook_imports_one_room_a_line():
    sources = sorted((PACKAGE.parent / "notebooks" / "sources").glob("*.py"))
    assert len(sources) == 7
    for source in sources:
        deep = re.findall(r"^\s*(?:from|import) hw3lib(?:\.\w+){2,}.*", source.read_text(), flags=re.M)
        assert not deep, f"{source.name}: {deep}"


def test_nothing_imports_in_a_circle():
    graph = grimp.build_graph("hw3lib", exclude_type_checking_imports=True)
    modules = sorted(graph.modules)
    place = {module: i for i, module in enumerate(modules)}
    pairs = [(place[a], place[b]) for a in modules for b in graph.find_modules_directly_imported_by(a)]
    rows, columns = np.array(pairs).T
    matrix = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(modules), len(modules)))
    _, circle = connected_components(matrix, connection="strong")
    circles = [[m for m in modules if circle[place[m]] == c] for c in np.flatnonzero(np.bincount(circle) > 1)]
    assert not circles


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_no_module_takes_a_name_from_the_face_of_its_own_room():
    """Behind a lazy face a circle would be hidden from the test above; a module of the room is no name."""
    wrong = []
    for path, tree in _trees():
        parts = path.relative_to(PACKAGE).parts
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not node.level and len(parts) > 1 and path.name != "__init__.py":
                package = (node.module or "").split(".")
                if package[0] == "hw3lib" and tuple(package[1:]) == parts[: len(package) - 1]:
                    folder = PACKAGE.joinpath(*package[1:])
                    names = [a.name for a in node.names if not _is_module(folder, a.name)]
                    wrong += [f"{path.relative_to(PACKAGE)}: {name}" for name in names if name != "__version__"]
    assert not wrong


def _is_module(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


def test_an_import_inside_a_function_says_why():
    """Commands apart: that each brings only what it runs is what the others are for."""
    silent = []
    for path, tree in _trees():
        if path.parent.name == "cli":
            continue
        with path.open("rb") as file:
            said = {t.start[0] for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT}
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
        lines = {n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)}
        firsts = {line for line in lines if line - 1 not in lines}  # a comment speaks for the lines below it too
        silent += [f"{path.relative_to(PACKAGE)}:{line}" for line in sorted(firsts) if not {line, line - 1} & said]
    assert not silent
