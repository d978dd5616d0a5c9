"""Notebooks in other languages.

Of a Markdown cell each heading, paragraph, item and cell of a table is a text of its own, of a code cell each comment
and each docstring of one line. What is around them, code, formulas, marks of headings and lists, is the same in every
language. Where translations come from: :mod:`hw3lib.core.translation`.
"""

from __future__ import annotations

import ast
import io
import re
import tempfile
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from hw3lib.core.places import course_folder
from hw3lib.core.translation import ENGLISH, message, texts, told

Tell = Callable[[str], str]  # a text, in another language
_MARK = re.compile(r"(\s*(?:#{1,6} |[-*] |\d+\. |> )?)(.*)")
_COMMENT = re.compile(r"(# (?:HINT: )?)(.*)")
_PREDICTED = re.compile(r'^ *predict\("(.+?)".*\)$', re.M)
_DIRECTIVE = re.compile(r"# (NBVAL_|BEGIN SOLUTION|END SOLUTION|noqa|fmt:|type:)")


def translated(notebook: NotebookNode, language: str, name: str) -> NotebookNode:
    """A notebook in a language; its outputs stay as they are, and what it computes.

    Args:
        notebook: a chapter, its exercises, or the capstone.
        language: one of :func:`hw3lib.core.translation.languages`.
        name: of the chapter, ``"04_anomaly_detection"``, or ``"capstone"``.

    Raises:
        Hw3Error: there are no translations into the language.
    """
    if language == ENGLISH:
        return notebook
    texts(language, name)
    made = nbformat.from_dict(notebook)
    made.metadata.setdefault("hw3lib", NotebookNode())["language"] = language
    for cell in made.cells:
        cell.source = retold(cell, lambda text: told(text, language, name))
        if cell.cell_type == "code":  # the question is a key, and stays in English
            cell.source = _PREDICTED.sub(lambda m: f"{m[0]}  # {message(m[1], language)}", cell.source)
    return made


def retold(cell: NotebookNode, tell: Tell) -> str:
    """A cell's source with each of its texts as ``tell`` gives it."""
    return (_code if cell.cell_type == "code" else _markdown)(cell.source, lambda t: tell(t) if _is_text(t) else t)


def _is_text(text: str) -> bool:
    return any(character.isalpha() for character in text)


def _markdown(source: str, tell: Tell) -> str:
    lines: list[tuple[str, str, bool]] = []  # mark of a heading or an item, text, and whether it is one
    end = ""  # of the code or the formula that is open
    for line in source.splitlines():
        mark, text = _MARK.fullmatch(line).groups()  # type: ignore[union-attr]
        if end or text.startswith(("```", "$$")):
            opens = not end
            end = end or text[: 2 if text[0] == "$" else 3]
            lines.append((mark, text, False))
            if text.endswith(end) and not (opens and text in ("$$", "```")) and not (opens and end == "```"):
                end = ""
        elif text and not mark.strip() and text[0] != "|" and lines and lines[-1][2] and lines[-1][1][:1] != "|":
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {text}", True)
        else:
            lines.append((mark, text, bool(text)))
    return "\n".join(mark + (_row(text, tell) if is_text else text) for mark, text, is_text in lines)


def _row(text: str, tell: Tell) -> str:
    if text[0] != "|":
        return tell(text)
    return "|".join(f" {tell(cell.strip())} " if _is_text(cell) else cell for cell in text.split("|"))


def _code(source: str, tell: Tell) -> str:
    lines = source.splitlines()
    remarks = [(remark, tell(remark[-1])) for remark in sorted(_remarks(source, lines))]
    for (first, last, start, end, _), text in reversed(remarks):
        lines[first : last + 1] = [lines[first][:start] + text + lines[last][end:]]
    return "\n".join(lines)


def _remarks(source: str, lines: list[str]) -> Iterator[tuple[int, int, int, int, str]]:
    """Comments and docstrings of one line: first and last line, start in the first, end in the last, text."""
    docstrings = {
        node.body[0].lineno - 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
    }
    open_: tuple[int, int, int, int, str] | None = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        row, column = token.start[0] - 1, token.start[1]
        if token.type == tokenize.STRING and row in docstrings and row == token.end[0] - 1:
            yield row, row, column + 3, token.end[1] - 3, token.string[3:-3]
        if token.type != tokenize.COMMENT or _DIRECTIVE.match(token.string):
            continue
        mark, text = _COMMENT.fullmatch(token.string).groups()  # type: ignore[union-attr]
        found = (row, row, column + len(mark), token.end[1], text)
        alone = not lines[row][:column].strip() and mark == "# "
        if open_ and alone and open_[1] == row - 1 and open_[2] == found[2]:
            open_ = (open_[0], row, open_[2], token.end[1], f"{open_[4]} {text}")
            continue
        if open_:
            yield open_
            open_ = None
        if alone:
            open_ = found
        else:
            yield found
    if open_:
        yield open_


@contextmanager
def chapters(language: str) -> Iterator[Path | None]:
    """A folder of the chapters in a language, for :func:`hw3lib.runs.run.run_notebooks`, as long as the block
    lasts; None: those of the course."""
    if language == ENGLISH:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in course_folder().glob("[0-9][0-9]_*.ipynb"):
            made = translated(nbformat.read(path, as_version=4), language, path.stem)
            nbformat.write(made, Path(folder) / path.name)
        yield Path(folder)
