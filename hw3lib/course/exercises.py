"""Exercise notebooks, made from the chapters' sources: solutions out, hints and checks in; and their way to a student.

In a source, the cells of the section ``## Exercises`` are tagged ``exercise``; a cell with an answer is tagged
``answer-N`` besides, one that checks it ``check-N``. What stands between ``# BEGIN SOLUTION`` and ``# END SOLUTION`` in
an answer becomes ``raise NotImplementedError``, or behind ``# BEGIN SOLUTION: name`` ``name = ...``.
Its lines ``# HINT: text``, three an exercise, are what :func:`hw3lib.course.checks.hint` gives. Parameters and imports
that an exercise uses come along, so that an exercise notebook runs by itself in less than a minute.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hw3lib.core.files import atomic_path, expanded
from hw3lib.core.places import course_folder
from hw3lib.core.translation import CHAPTERS, ENGLISH, here, message, told
from hw3lib.errors import Hw3Error

from .translation import translated

CAPSTONE = "capstone"  # the last exercise notebook, of no chapter: rubrics, no solutions
_SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION(?:: (\w+))?\n(.*?)^ *# END SOLUTION *$", re.M | re.S)
_HINT = re.compile(r"^ *# HINT: (.+)\n", re.M)
_CHECK = re.compile(r"checks\.(\w+)\(")
_NUMBERED = re.compile(r"(answer|check)-(\d+)")


def numbered(cell: NotebookNode) -> tuple[str, int] | None:
    """``("answer", 2)`` for a cell tagged ``answer-2``, None for one without such a tag."""
    for tag in cell.metadata.get("tags", []):
        if match := _NUMBERED.fullmatch(str(tag)):
            return match[1], int(match[2])
    return None


def checks_of(cells: Sequence[NotebookNode]) -> dict[int, str]:
    """Names of the checks of a chapter's exercises, by their numbers; of one without a name there is none."""
    marked = {mark[1]: cell.source for cell in cells if (mark := numbered(cell)) and mark[0] == "check"}
    return {number: match[1] for number, source in marked.items() if (match := _CHECK.search(source))}


def located(reference: NotebookNode, submitted: NotebookNode) -> dict[int, int]:
    """Where in a submitted notebook the answers are: position of the cell by number of the exercise.

    An answer is known by its tag; where an editor has dropped the tags, by the cell's id, which is its tag in our
    notebooks; and where that is gone too by its place: it is the code cell before its check, whose text is the
    course's, or else the one behind the last text before the answer, and if there are several the one that defines what
    the answer is to define or the check reads. An answer that none of this finds is not in the result.
    """
    found: dict[int, int] = {}
    for mark_of in (numbered, _numbered_by_id):
        for position, cell in enumerate(submitted.cells):
            mark = mark_of(cell) if cell.get("cell_type") == "code" else None
            if mark and mark[0] == "answer" and position not in found.values():
                found.setdefault(mark[1], position)
    for number in {mark[1] for cell in reference.cells if (mark := numbered(cell))} - found.keys():
        place = _by_place(reference, submitted, number, set(found.values()))
        if place is not None:
            found[number] = place
    return found


def _numbered_by_id(cell: NotebookNode) -> tuple[str, int] | None:
    match = _NUMBERED.fullmatch(str(cell.get("id", "")))
    return (match[1], int(match[2])) if match else None


def _by_place(reference: NotebookNode, submitted: NotebookNode, number: int, taken: set[int]) -> int | None:
    """Position of an answer between the cells that are around it in the course's notebook."""
    texts = [_text(cell) for cell in submitted.cells]
    known = {_text(cell) for cell in reference.cells if (numbered(cell) or ("",))[0] != "answer"}
    marks = [numbered(cell) for cell in reference.cells]
    answer, check = marks.index(("answer", number)), marks.index(("check", number))
    after = next((texts.index(t) for c in reversed(reference.cells[:answer]) if (t := _text(c)) and t in texts), None)
    before = texts.index(_text(reference.cells[check])) if _text(reference.cells[check]) in texts else None
    if before is None:
        if after is None:
            return None
        before = next((at for at in range(after + 1, len(texts)) if texts[at] in known), len(texts))
    places = [
        at
        for at in range(0 if after is None or after >= before else after + 1, before)
        if submitted.cells[at].get("cell_type") == "code" and texts[at] not in known | {""} and at not in taken
    ]
    if not places:
        return None
    wanted = _names(reference.cells[answer].source, ast.Store) | _names(reference.cells[check].source, ast.Load)
    return next((at for at in reversed(places) if wanted & _names(submitted.cells[at].source, ast.Store)), places[-1])


def _text(cell: NotebookNode) -> str:
    return "\n".join(line.rstrip() for line in cell.source.strip().splitlines())


def _names(source: str, context: type[ast.expr_context]) -> set[str]:
    """Names that a cell's code defines (``ast.Store``) or reads (``ast.Load``)."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(re.findall(r"^(?:def |class )?(\w+)", source, re.M))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}  # a function's arguments are its own
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)} - own
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return names | (defined if context is ast.Store else set())


def without_solution(source: str) -> str:
    """An answer's code with its solution replaced by ``raise NotImplementedError``, or by ``name = ...``.

    Raises:
        Hw3Error: no solution is marked, there are not three hints, or what is left is no Python.
    """
    replaced, found = _SOLUTION.subn(
        lambda m: f"{m[1]}{f'{m[2]} = ...' if m[2] else 'raise NotImplementedError'}", source
    )
    if not found:
        raise Hw3Error(f"an answer without '# BEGIN SOLUTION' and '# END SOLUTION':\n{source}")
    if len(hints(source)) != 3:
        raise Hw3Error(f"an answer with {len(hints(source))} lines '# HINT: ...', expected 3:\n{source}")
    try:
        ast.parse(replaced)
    except SyntaxError as error:
        raise Hw3Error(f"without its solution this is no Python ({error}):\n{source}") from None
    return replaced


def marked(source: str) -> str:
    """An answer's code with its solution marked as nbgrader marks it, and without hints."""

    def region(m: re.Match[str]) -> str:
        empty = f"{m[1]}{m[2]} = ...\n" if m[2] else ""
        return f"{empty}{m[1]}### BEGIN SOLUTION\n{_HINT.sub('', m[3])}{m[1]}### END SOLUTION"

    return _SOLUTION.sub(region, source)


def hints(source: str) -> list[str]:
    """Hints of an answer, from a question to think about to almost the answer."""
    return _HINT.findall(source)


def rubric(notebook: NotebookNode, number: int) -> list[str]:
    """What a teacher gives points for in an exercise: the list behind ``**Rubric**`` in the text before its answer."""
    text = ""
    for cell in notebook.cells:
        mark = numbered(cell)
        if mark == ("answer", number):
            break
        text = "" if mark else text + (cell.source if cell.cell_type == "markdown" else "")
    points = re.findall(r"^- (.+(?:\n  .+)*)", text.partition("**Rubric**")[2], re.M)
    return [" ".join(point.split()) for point in points]


def written(source: str) -> str:
    """The texts that an answer gives to names, without executing it."""
    try:
        nodes = [node.value for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return "\n\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@dataclass(frozen=True)
class Guidance:
    """What helps with an exercise: its hints, and its solution as code."""

    hints: list[str]
    solution: str


def guidance(check: str, language: str = ENGLISH) -> Guidance:
    """Hints, in a language, and solution of the exercise that ``checks.<check>`` checks, as its chapter has them.

    Raises:
        Hw3Error: no chapter has them.
    """
    for path in sorted(course_folder().glob("[0-9][0-9]_*.ipynb")):
        cells = {mark: cell.source for cell in nbformat.read(path, as_version=4).cells if (mark := numbered(cell))}
        for (kind, number), source in cells.items():
            answer = cells.get(("answer", number), "")
            if kind == "check" and f"checks.{check}(" in source and hints(answer):
                told_hints = [told(hint, language, path.stem) for hint in hints(answer)]
                return Guidance(told_hints, _SOLUTION.sub(lambda m: _HINT.sub("", m[3]).rstrip(), answer))
    raise Hw3Error(f"no notebook in {course_folder()} has hints on {check}; `make notebooks` makes them")


def exercise_notebook(chapter: NotebookNode, name: str) -> NotebookNode:
    """The exercises of a chapter as a notebook of their own, without solutions and outputs.

    Args:
        chapter: the notebook of a source, see :func:`hw3lib.course.build.convert`.
        name: of the chapter, ``"04_anomaly_detection"``.

    Raises:
        Hw3Error: an answer without a check or the other way round, or without a marked solution.
    """
    title = re.match(r"# (\d+)\. (.+)", chapter.cells[0].source)
    if not title:
        raise Hw3Error(f"{name}: the first cell has no title '# N. Title'")
    kept = [c for c in chapter.cells if "exercise" in c.metadata.get("tags", [])]
    marks = [mark for cell in kept if (mark := numbered(cell))]
    count = len({number for _, number in marks})
    expected = [(kind, number) for number in range(1, count + 1) for kind in ("answer", "check")]
    if marks != expected:
        raise Hw3Error(f"{name}: expected the cells {expected}, each answer before its check, found {marks}")
    intro = f"""\
        # Exercises to chapter {title[1]}: {title[2]}

        {count} exercises to [the chapter](../{name}.ipynb), which folds their solutions away. Replace each
        `raise NotImplementedError` or `...`, run the cell, then the check below it: it tries your answer on
        freshly drawn cases and says what is missing. `checks.hint()` gives the next of three hints on the exercise
        that you checked last, `checks.solution()` a solution once yours has passed."""
    cells = [new_markdown_cell(textwrap.dedent(intro), id="title")]
    code = [cell.source for cell in kept if cell.cell_type == "code"]
    cells += [cell for cell in chapter.cells if cell.id == "install"]
    cells += [_used(chapter, code, "parameters"), _used(chapter, code, "setup")]
    for number, cell in enumerate(kept):
        mark = numbered(cell)
        make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        source = without_solution(cell.source) if mark and mark[0] == "answer" else cell.source
        tags = [t for t in cell.metadata.get("tags", []) if t != "exercise"]
        source = source.removeprefix("# NBVAL_CHECK_OUTPUT\n")
        made = make(source, id="-".join(map(str, mark)) if mark else f"cell-{number:02d}")
        if tags:
            made.metadata["tags"] = tags
        cells.append(made)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "hw3lib": {"chapter": name}}
    return new_notebook(cells=[cell for cell in cells if cell.source], metadata=metadata)


def capstone_notebook(source: NotebookNode) -> NotebookNode:
    """The capstone as a notebook, from its source, see :func:`hw3lib.course.build.convert`; it has no solutions."""
    for cell in source.cells:
        if mark := numbered(cell):
            cell.metadata.pop("jupyter", None)
            cell["id"] = "-".join(map(str, mark))
    source.metadata["language_info"], source.metadata["hw3lib"] = {"name": "python"}, {"chapter": CAPSTONE}
    return source


def _used(chapter: NotebookNode, code: list[str], tag: str) -> NotebookNode:
    """Of the chapter's parameters, or of the imports in its set-up, those that the code of the exercises uses."""
    names = set().union(*(_names(source, ast.Load) for source in code))
    names |= {"machine"} if "torch" in names else set()  # which is prepared before PyTorch is loaded
    lines = []
    for source in (cell.source for cell in chapter.cells if tag in cell.metadata.get("tags", [])):
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                node.names = [name for name in node.names if (name.asname or name.name).split(".")[0] in names]
                lines += [ast.unparse(node)] if node.names else []
            elif (tag == "parameters" and _names(ast.unparse(node), ast.Store) & names) or (
                isinstance(node, ast.Expr) and _names(ast.unparse(node), ast.Load) == {"machine"} & names
            ):
                lines += source.splitlines()[node.lineno - 1 : node.end_lineno]  # with its comment
    return new_code_cell("\n".join(lines), id=tag, metadata={"tags": [tag]})


def solved(exercises: NotebookNode, chapter: NotebookNode) -> NotebookNode:
    """The exercise notebook with the chapter's solutions put in, for the tests that solve it."""
    answers = {mark: cell.source for cell in chapter.cells if (mark := numbered(cell))}
    result = nbformat.from_dict(exercises)
    for cell in result.cells:
        if (mark := numbered(cell)) and mark[0] == "answer":
            cell.source = answers[mark]
    return result


def folder() -> Path:
    """Where the exercise notebooks are."""
    return course_folder() / "exercises"


def start(target: str | Path, language: str = ENGLISH) -> tuple[list[Path], list[Path]]:
    """Copy the exercise notebooks and their chapters into a student's folder; what is there already is never touched.

    The chapters come without outputs, so that :func:`hw3lib.course.predict` can ask for them.

    Args:
        target: the folder.
        language: of texts and comments, one of :func:`hw3lib.core.translation.languages`.

    Returns:
        The new exercise notebooks, and those that were there and are left as they are.

    Raises:
        Hw3Error: there are no exercises, there is no such language, or the folder cannot be written.
    """
    target = expanded(target)
    sources = [*sorted(folder().glob("ex[0-9][0-9]_*.ipynb")), *folder().glob(f"{CAPSTONE}.ipynb")]
    if not sources:
        raise Hw3Error(f"no exercise notebooks in {folder()}; `make notebooks` makes them from notebooks/sources")
    if target.resolve() == folder().resolve():
        raise Hw3Error(f"{target} holds the exercises themselves; name a folder of your own")
    made: list[Path] = []
    kept: list[Path] = []
    for source in sources:
        chapter = source.name.removeprefix("ex")
        if source.stem != CAPSTONE:
            _copied(course_folder() / chapter, target / CHAPTERS / chapter, language)
        path = target / source.name
        (made if _copied(source, path, language, (f"../{chapter}", f"{CHAPTERS}/{chapter}")) else kept).append(path)
    return made, kept


def tell(text: str) -> str:
    """What a check or a prediction says, in the language of the student's folder that this runs in."""
    return message(text, here())


def _copied(source: Path, path: Path, language: str, link: tuple[str, str] = ("", "")) -> bool:
    """Copy a notebook without outputs, its link to its chapter changed; False if the file is there already."""
    if path.exists() or path.is_symlink():
        return False
    notebook = translated(nbformat.read(source, as_version=4), language, source.stem.removeprefix("ex"))
    for cell in notebook.cells:
        cell.source = cell.source.replace(*link)
        if cell.cell_type == "code":  # what came out is to be predicted first
            cell.outputs, cell.execution_count = [], None
    with atomic_path(path) as temporary:
        nbformat.write(notebook, temporary)
    return True
