"""The tests themselves: none takes anything from another."""

import ast

from hw3lib.core.places import project_root


def imported(tree: ast.AST) -> set[str]:
    """Every part of a module's name that is imported, and every name that is imported from one."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            names |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return names


def test_no_test_imports_a_test_and_what_several_use_is_in_helpers():
    folder = project_root() / "tests"
    modules = {path.stem for path in folder.rglob("*.py") if path.stem == "conftest" or path.stem.startswith("test_")}
    assert len(modules) > 100
    for path in folder.rglob("*.py"):
        found = imported(ast.parse(path.read_text(encoding="utf-8"))) & modules
        assert not found, f"{path.relative_to(folder)} imports {', '.join(sorted(found))}"
