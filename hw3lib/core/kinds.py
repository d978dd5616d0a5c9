"""Whether a value that a person gave is of the kind that a type hint, or a default, asks for."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    NoneType: "null",
    dict: "a mapping",
}
_NAMES = {"bool": bool, "int": int, "float": float, "str": str, "None": NoneType, "dict": dict, "list": list}


def is_kind(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind: an integer is a number too, and ``True`` is none.

    Args:
        kind: a type hint; one that is not understood fits everything.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(is_kind(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if kind in (list, tuple) or origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and (not parts or all(is_kind(entry, parts[0]) for entry in value))
    if kind is int or kind is float:
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in _WORDS else True


def said(kind: Any) -> str:
    """A kind in words: ``an integer or null``."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(said, parts))
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if kind in (list, tuple) or origin in (list, tuple, Sequence):
        return "a list" + (f", each entry {said(parts[0])}" if parts else "")
    return _WORDS.get(kind, "a value")


def kind_of(default: Any, annotation: ast.expr | None = None) -> Any:
    """The kind of value that may take the place of a default: that of the default, or what is written beside it.

    Args:
        annotation: of its assignment, of the kinds ``int | None``; anything else is not understood.
    """
    if annotation is not None and (written := _written(annotation)) is not None:
        return written
    if default is None:
        return Any
    if isinstance(default, list | tuple):
        kinds = {type(entry) for entry in default}
        return list[float if kinds == {int, float} else kinds.pop()] if kinds and kinds <= set(_WORDS) else list  # type: ignore[misc]
    return type(default)


def _written(annotation: ast.expr) -> Any:
    """The type hint that a syntax tree stands for, or None."""
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return NoneType
    if isinstance(annotation, ast.Name):
        return _NAMES.get(annotation.id)
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        left, right = _written(annotation.left), _written(annotation.right)
        return None if left is None or right is None else Union[left, right]  # noqa: UP007, they are values
    return None
