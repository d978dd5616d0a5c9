"""``python -m hw3lib.course.translate``: bring the catalogues of translations up to date with ``notebooks/sources``.

English stands in the sources alone. After an edit of them a translation whose English is the same is kept; the one
nearest to a text that was edited is marked as fuzzy, with the English that it was made of beside it; what nobody uses
is dropped. What is left to do is listed: correct it in ``hw3lib/locale/*/LC_MESSAGES/*.po`` and remove ``#, fuzzy``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po
from nbformat import NotebookNode

from hw3lib.core.files import atomic_path
from hw3lib.core.places import project_root
from hw3lib.core.translation import catalogue_path, languages
from hw3lib.report.names import NAMES
from hw3lib.report.runs import CATALOGUE

from . import build, exercises
from .translation import retold

MESSAGES = "messages"  # the catalogue of what checks and predictions print


def sources() -> dict[str, list[NotebookNode]]:
    """Every notebook of the course by the name of its catalogue, made from the sources: a chapter and its exercises."""
    folder = project_root() / "notebooks" / "sources"
    found: dict[str, list[NotebookNode]] = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.py")):
        chapter = build.convert(path)
        found[path.stem] = [chapter, exercises.exercise_notebook(chapter, path.stem)]
    capstone = build.convert(folder / "exercises" / f"{exercises.CAPSTONE}.py")
    return found | {exercises.CAPSTONE: [exercises.capstone_notebook(capstone)]}


def texts_of(notebooks: Iterable[NotebookNode]) -> list[str]:
    """The English texts of notebooks, in their order, each once."""
    found: dict[str, None] = {}

    def keep(text: str) -> str:
        found.setdefault(text)
        return text

    for notebook in notebooks:
        for cell in notebook.cells:
            retold(cell, keep)
    return list(found)


def messages(notebooks: Iterable[NotebookNode]) -> list[str]:
    """What checks, hints, predictions and pages for students say, and what is to be predicted; values are numbered."""
    here = Path(__file__).parent
    found: dict[str, None] = {}
    for path in (*sorted((here / "checks").glob("*.py")), here / "predictions.py", here / "feedback.py"):
        found.update(dict.fromkeys(_said(ast.parse(path.read_text(encoding="utf-8")))))
    for notebook in notebooks:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                found.update(dict.fromkeys(re.findall(r'^ *predict\("(.+?)"', cell.source, re.M)))
    return list(found)


def _said(node: ast.AST) -> Iterator[str]:
    """Texts of two words or more, f-strings with a word or of two values, and words to choose from; no docstrings."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"[a-z]{2,}\W* \W*\w", node.value):
        yield from () if node.value[0] == "<" else (node.value,)
    if isinstance(node, ast.IfExp):
        words = [part.value for part in (node.body, node.orelse) if isinstance(part, ast.Constant)]
        yield from (word for word in words if isinstance(word, str) and word.isalpha())
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.JoinedStr):
        values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        text = "".join(
            f"{{{values.index(part)}}}" if isinstance(part, ast.FormattedValue) else str(ast.literal_eval(part))
            for part in node.values
        )
        if re.search(r"[a-z]{2,}\W* |[ (][a-z]{2,}", text) or re.fullmatch(r"\{0\}\W+\{1\}", text):
            yield from () if text[0] == "<" else (text,)
        children = [value.value for value in values]
    for child in children:
        yield from _said(child)


def of_report() -> list[str]:
    """What the report says, by :meth:`hw3lib.report.runs.Run.say`; names, and why chapters left something out."""
    package = Path(__file__).parents[1]
    found: dict[str, None] = {}
    for path in sorted((package / "report").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "say":
                found.setdefault(str(ast.literal_eval(node.args[0])))
    found.update(dict.fromkeys(NAMES))
    found.update(dict.fromkeys(_said(ast.parse((package / "data" / "parts.py").read_text(encoding="utf-8")))))
    return list(found)


def english(every: Mapping[str, list[NotebookNode]]) -> dict[str, list[str]]:
    """The texts of each catalogue, from what :func:`sources` gives."""
    found = {name: texts_of(notebooks) for name, notebooks in every.items()}
    said = messages(notebook for notebooks in every.values() for notebook in notebooks)
    return found | {MESSAGES: said, CATALOGUE: of_report()}


def updated(path: Path, language: str, keys: Iterable[str]) -> Catalog:
    """The catalogue of a file, brought up to date: what is new has no translation, what was edited a fuzzy one."""
    locale = language.replace("-", "_")
    about = f"# {language}: translations of {path.stem}"
    catalogue = Catalog(locale, header_comment=about, project="hw3lib", version=" ", last_translator=" ", fuzzy=False)
    if path.is_file():
        with path.open("rb") as file:
            catalogue = read_po(file, locale)
    template = Catalog()
    for key in keys:
        template.add(key)
    catalogue.update(template, update_creation_date=False)
    return catalogue


def open_texts(catalogue: Catalog) -> list[str]:
    """English texts that have no translation, or one that is fuzzy."""
    return [str(message.id) for message in catalogue if message.id and (message.fuzzy or not message.string)]


def main() -> int:
    code = 0
    for name, keys in english(sources()).items():
        for language in languages()[1:]:
            path = catalogue_path(language, name)
            catalogue = updated(path, language, keys)
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                write_po(file, catalogue, width=100, ignore_obsolete=True, include_previous=True)
            for text in open_texts(catalogue):
                print(f"{path.name}: to be translated: {text}")
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
