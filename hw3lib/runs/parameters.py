"""Parameters of notebooks: the literals of their cells, and values that a person gives in their place."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw3lib.core.kinds import is_kind, kind_of, said
from hw3lib.core.text import did_you_mean
from hw3lib.errors import Hw3Error

from .step import Notebook

STANDARD = ("category", "data", "profile", "out")  # set by the runner, so not by -p


def read_literals(path: Path, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Names and values of a cell, and the kind that each value is of.

    Raises:
        Hw3Error: it holds more than plain literals.
    """
    values, kinds = {}, {}
    try:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, annotation, value = node.targets[0].id, None, node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                name, annotation, value = node.target.id, node.annotation, node.value
            else:
                continue
            values[name] = ast.literal_eval(value)
            kinds[name] = kind_of(values[name], annotation)
        json.dumps(values)
    except (SyntaxError, ValueError, TypeError) as error:
        raise Hw3Error(f"{path}: its cell tagged 'parameters' may hold plain literals only ({error})") from error
    return values, kinds


def check_parameters(given: Mapping[str, Any], notebooks: Sequence[Notebook]) -> None:
    """Refuse parameters before anything is executed.

    Raises:
        Hw3Error: one that none of the notebooks has, or a value of another kind than the default of one that has it.
    """
    known = sorted({name for notebook in notebooks for name in notebook.parameters} - set(STANDARD))
    for name, value in given.items():
        if name in STANDARD:
            raise Hw3Error(f"parameter {name!r} is set by the option --{'name' if name == 'out' else name}")
        if name not in known:
            near = did_you_mean(name, known) or "."
            raise Hw3Error(f"unknown parameter {name!r}{near} Known here: {', '.join(known) or 'none'}")
        for notebook in notebooks:
            kind = notebook.kinds.get(name, Any)
            if name in notebook.parameters and not is_kind(value, kind):
                quoted = f"; a text is quoted twice: -p {name} \"'{value}'\"" if kind is str else ""
                raise Hw3Error(
                    f"parameter {name!r}: found {value!r}, expected {said(kind)}: in {notebook.path.stem} its default "
                    f"is {notebook.parameters[name]!r}{quoted}"
                )
