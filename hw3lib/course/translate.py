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
from hw3lib.core.text import plural
from hw3lib.core.translation import COMMANDS, MARKED, MESSAGES, PAGES, SHOWN, catalogue_path, languages, pieces
from hw3lib.imbalance import METHODS
from hw3lib.report.names import NAMES
from hw3lib.report.runs import CATALOGUE
from hw3lib.views.tables import HEADS

from . import build, exercises
from .translation import retold

PACKAGE = Path(__file__).parents[1]
DRAWN = ("views/plots/*.py", *(f"views/widgets/{name}.py" for name in ("[bcegrs]*", "controls")))
PRINTED = (  # sentences and tables that chapters print; of the latter's names see hw3lib.report.names
    *("core/intervals.py", "data/check.py", "imbalance/longtail.py", "imbalance/result.py"),
    *("anomaly/comparison.py", "anomaly/thresholds.py", "annotate/measurement.py", "annotate/instances.py"),
    *("annotate/summary.py", "annotate/boxes/study.py", "classify/student_reports/comparison.py"),
    *("classify/guided/types.py", "classify/guided/recognition.py", "inspection/monitor.py"),
    "inspection/corrections/update.py",
)
SAID = (  # what commands print that students use
    *(f"cli/{name}.py" for name in ("start", "run", "grade", "doctor", "report", "data")),
    *("runs/step.py", "runs/summary.py", "core/optional.py"),
)
ERRORS = (  # of which students meet some
    *("course/exercises.py", "course/grading.py", "runs/run.py", "report/runs.py", "data/folders/find.py"),
    *("data/fetch/sources.py", "data/synthetic/__init__.py", "core/files.py"),
)
_LABELS = {"label", "title", "xlabel", "ylabel", "xticklabels", "yticklabels", "description", "without"}
_LOOK = {"loc", "textcoords", "xycoords", "flex_flow", "layout", "va"}
_OPTIONS = {"command", "group", "option", "parameter"}
_HEADS = (  # of tables that commands print, and what became of a notebook
    *("notebook", "status", "seconds", "results", "category", "images", "where", "ran", "failed", "unchanged"),
    *("{0}: {1} in {2} s", "{0}: {1} after {2} s", "a font that has them, and none of {0} is here"),
    "a font that has {0}, and none here has",
)
_JOINED = (  # what joins others, and single words in sentences and tables
    *("{0} and {1}", "{0}, {1}", "{0}; {1}", "{0}: {1}", "{0}.", "{0} ({1} to {2})", "{0} points ({1} to {2})"),
    *("On {0}.", "On {0}, {1}", "It stops {0} and {1}.", "Figures are in English: {0}", "strategy {0}", "{0} head"),
    *("{0} epochs", "{0} at rate {1}", "batches of {0}", "then {0} at {1}", "{0} on {1}", "{0} need {1}"),
    *("{0} needs {1}", "True", "False", "held", "refuted", "equivalent", "helps", "hurts", "nothing", "Anomalous"),
    *("head", "medium", "tail", "head {0}", "medium {0}", "tail {0}", "method", "all", "keep", "unsure", "train"),
    *("test", "images", "class", "attempt", "hits", "misses", "wrong", "baseline", "as photographed", "as it is"),
    *("turned {0}", "mirrored", "SAM is left out, as said above", "false alarms", "{0} (interval not estimable)"),
    *(f"{{0}} held-out {what}{end}" for what in ("good photograph", "defect", "labelled defect") for end in ("", "s")),
)
_CALLS = {"nothing", "set_title", "set_ylabel", "set_xlabel", "text", "annotate", "legend", "zip", "_unit_axes"}


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


def _said(node: ast.AST, errors: bool = True) -> Iterator[str]:
    """Texts of two words or more, f-strings with a word or of two values, and words to choose from; no docstrings.

    What commands say of their options is left out, and where no errors are asked for what is raised.
    """
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        or isinstance(node, ast.Raise)
        and not errors
    ):
        return
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _OPTIONS:
        return
    if isinstance(node, ast.keyword) and node.arg in _LOOK:
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"[a-z]{2,}\W* \W*\w", node.value):
        yield from () if node.value[0] == "<" else (node.value,)
    if isinstance(node, ast.IfExp):
        words = [part.value for part in (node.body, node.orelse) if isinstance(part, ast.Constant)]
        yield from (word for word in words if isinstance(word, str) and word.isalpha())
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.JoinedStr):
        values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        text = _numbered(node)
        if re.search(r"[a-z]{2,}\W* |[ (][a-z]{2,}", text) or re.fullmatch(r"\{0\}\W+\{1\}", text):
            yield from () if text[0] == "<" else (text,)
        children = [value.value for value in values]
    for child in children:
        yield from _said(child, errors)


def _numbered(node: ast.AST) -> str:
    """A text, or an f-string with its values numbered; of anything else a value alone."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    values = [part for part in parts if not isinstance(part, ast.Constant)]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else f"{{{values.index(part)}}}" for part in parts)


def _called(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    """Calls of functions and methods of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
            yield node


def _texts(node: ast.AST) -> Iterator[ast.AST]:
    """Texts and f-strings in an expression, the parts of the latter not by themselves."""
    if isinstance(node, ast.Constant | ast.JoinedStr):
        yield node
    inside = (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.keyword))
    for child in (part for part in inside if not (isinstance(node, ast.JoinedStr) and isinstance(part, ast.Constant))):
        yield from _texts(child)


def _labels(tree: ast.AST) -> Iterator[str]:
    """What figures and controls are labelled with, single words, too."""
    places = [argument for call in _called(tree, _CALLS) for argument in call.args]
    places += [word.value for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg in _LABELS]
    for node in (node for place in places for node in _texts(place)):
        if re.search("[a-z]{2}", text := _numbered(node)):
            yield text


def _counted(tree: ast.AST) -> Iterator[str]:
    """Things that are counted, one and several."""
    for call in _called(tree, {"counted", "_count"}):
        one = _numbered(call.args[1])
        yield from (f"{{0}} {one}", f"{{0}} {plural(2, one)}")


def _printed(tree: ast.AST) -> Iterator[str]:
    """What is given to ``say``: a text, or several values."""
    for call in _called(tree, {"say"}):
        if len(call.args) > 1:
            yield f"{_numbered(call.args[0])} {{0}}"


def _tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(notebooks: Iterable[NotebookNode]) -> list[str]:
    """What chapters print, draw and offer to click: lines and sentences with their values numbered."""
    cells = [cell for notebook in notebooks for cell in notebook.cells if cell.cell_type == "code"]
    cells = [cell for cell in cells if "exercise" not in cell.metadata.get("tags", [])]
    found = [text for tree in (ast.parse(cell.source) for cell in cells) for text in (*_printed(tree), *_said(tree))]
    for path in (path for pattern in DRAWN for path in sorted(PACKAGE.glob(pattern))):
        found += [*_said(_tree(path), errors=False), *_labels(_tree(path)), *_counted(_tree(path))]
    for path in (PACKAGE / name for name in PRINTED):
        found += [*_said(_tree(path), errors=False), *_counted(_tree(path))]
    for method in METHODS.values():  # in a table; what is published is named as it is
        found += [text for text in (method.differs, method.paper) if text and not re.search(r"\d{4}, ", text)]
    return list(dict.fromkeys([*_pieces(found), *_JOINED, *HEADS]))


def commands() -> list[str]:
    """What the commands of students print, and the errors that they meet."""
    found = ["error: {0}"]
    for tree in (_tree(PACKAGE / name) for name in SAID):
        found += [re.sub(" needs?$", "", text) for text in _said(tree)]
        found += [*_printed(tree), *_counted(tree)]
    found += _HEADS
    for tree in (_tree(PACKAGE / name) for name in ERRORS):
        found += [text for node in ast.walk(tree) if isinstance(node, ast.Raise) for text in _said(node)]
    return _pieces(found)


def app() -> list[str]:
    """Texts of the app's pages, and what it says of a photograph or refuses."""
    folder = PACKAGE / "inspection" / "app"
    pages = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.html"))]
    marked = [text for page in pages for text in MARKED.findall(page)]
    said = [text for name in ("inspection", "server", "pages") for text in _said(_tree(folder / f"{name}.py"))]
    return list(dict.fromkeys([*marked, *_pieces(said)]))


def _pieces(found: Iterable[str]) -> list[str]:
    """Lines and sentences of texts, each once, their values numbered from 0; those with a word that no report has."""
    every: dict[str, None] = {}
    known = set(of_report())
    for piece in (piece for text in found for piece in pieces(re.sub(r"(?<=\}) (?=[A-Z][a-z])", "\n", text))):
        piece = re.sub(r"(?<=\S)\.$", "", piece) if piece[:1].islower() else piece  # inside of another sentence
        values = list(dict.fromkeys(re.findall(r"\{(\d+)\}", piece)))
        every[re.sub(r"\{(\d+)\}", lambda place: f"{{{values.index(place[1])}}}", piece)] = None  # noqa: B023
    known |= {text for text in every if f"{text} {{0}}" in every}  # what is followed by a value
    return [
        text
        for text in every
        if re.search("[A-Za-z]{2}", text)
        and "://" not in text
        and not re.match("[a-z]+_|<|default-src|text/", text)
        and text not in known
    ]


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
    seen = shown(notebooks[0] for notebooks in every.values())
    printed = [text for text in commands() if text not in seen]
    asked = [text for text in app() if text not in seen]
    return found | {MESSAGES: said, CATALOGUE: of_report(), SHOWN[0]: seen, COMMANDS[0]: printed, PAGES[0]: asked}


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
