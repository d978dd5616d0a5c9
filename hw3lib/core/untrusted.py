"""YAML that is not trusted, as a person writes it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import yaml

from hw3lib.core.files import human_bytes, is_no_regular_file
from hw3lib.errors import Hw3Error

MOST_BYTES = 500_000_000  # of one text file, of annotations for example

_MOST_NODES = 100_000  # of a document once its aliases are filled in


class _Loader(yaml.SafeLoader):
    """YAML as people write it: ``1e-3`` is a number, and a key that stands twice is a mistake."""

    def get_single_node(self):
        node = super().get_single_node()
        if node is not None:
            _count(node, {}, set())
        return node

    def construct_mapping(self, node, deep=False):
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"{key.value!r} stands twice", key.start_mark
                        )
                    seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _count(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """Nodes below a node, each alias counted in full: a few lines of aliases of aliases can stand for billions."""
    if id(node) in above:
        raise yaml.YAMLError("an alias stands for something that holds it")
    if id(node) not in known:
        below = [] if isinstance(node, yaml.ScalarNode) else node.value
        above.add(id(node))
        parts = [part for entry in below for part in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_count(part, known, above) for part in parts)
        above.discard(id(node))
    if known[id(node)] > _MOST_NODES:
        raise yaml.YAMLError(f"it stands for more than {_MOST_NODES:,} values")
    return known[id(node)]


def parse(text: str) -> Any:
    """What a YAML document says: texts, numbers, lists and mappings.

    Raises:
        ValueError: it is no YAML, or not one of a sane size.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506, a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError(str(error)) from None  # its constructors trust what an explicit tag says
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_value(text: str) -> Any:
    """A value from the command line: a Python or YAML literal (``1e-3``, ``true``, ``[a, b]``) or text."""
    words = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
        return value
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        # YAML for lists and mappings only: it would take a plain "no" for False and "12:30" for a number.
        value = parse(text) if text.startswith(("[", "{")) else text
        json.dumps(value)
        return value
    except (ValueError, TypeError):  # also what JSON cannot hold: dates, sets, keys that are no texts
        return text


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """A UTF-8 text file.

    Raises:
        Hw3Error: missing, larger than ``most`` bytes, or another encoding.
    """
    try:
        if is_no_regular_file(path):
            raise Hw3Error(f"{path}: is no regular file")
        if path.stat().st_size > most:
            raise Hw3Error(f"{path}: {human_bytes(path.stat().st_size)}, expected at most {human_bytes(most)}")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Hw3Error(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Hw3Error(f"{path}: cannot be read as UTF-8 text: {error}") from None


def read_json_value(path: Path) -> Any:
    """What a JSON file holds, an object or not.

    Raises:
        Hw3Error: as :func:`read_text`, no JSON, or nested too deeply.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise Hw3Error(f"{path}: its JSON is nested too deeply") from None
    except ValueError as error:  # also an integer of too many digits
        raise Hw3Error(f"{path}: is not JSON: {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        Hw3Error: as :func:`read_json_value`, or no object.
    """
    found = read_json_value(path)
    if not isinstance(found, dict):
        raise Hw3Error(f"{path}: holds a {type(found).__name__}, expected a JSON object")
    return found
