"""The notebooks are what their sources say, were executed, and keep the course's rules."""

import ast
import json
import re

import nbformat
import pytest

from hw3lib.core.places import project_root
from hw3lib.course.build import convert

FOLDER = project_root() / "notebooks"
SOURCES = sorted((FOLDER / "sources").glob("*.py"))
NUMBERED = [pytest.param(s, id=s.stem) for s in SOURCES]


def executed(source):
    return nbformat.read(FOLDER / f"{source.stem}.ipynb", as_version=4)


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def test_there_is_one_notebook_a_source():
    assert len(SOURCES) >= 2
    assert [p.stem for p in sorted(FOLDER.glob("*.ipynb"))] == [s.stem for s in SOURCES]


@pytest.mark.parametrize("source", NUMBERED)
def test_notebook_has_the_cells_of_its_source(source):
    pairs = [[(c.id, c.cell_type, c.source, c.metadata) for c in n.cells] for n in (convert(source), executed(source))]
    assert pairs[0] == pairs[1], f"make notebooks was not run after {source.name} was edited"
    assert executed(source).metadata["hw3lib"] == convert(source).metadata["hw3lib"]


@pytest.mark.parametrize("source", NUMBERED)
def test_notebook_was_executed_in_order_and_without_errors(source):
    cells = code(executed(source))
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    kinds = {o.output_type for c in cells for o in c.outputs}
    assert "error" not in kinds
    assert not [o.text for c in cells for o in c.outputs if o.get("name") == "stderr"]
    for cell in cells:
        if "NBVAL_CHECK_OUTPUT" in cell.source:
            assert cell.outputs, f"a checked cell without output:\n{cell.source}"


@pytest.mark.parametrize("source", NUMBERED)
def test_every_figure_is_shown_once(source):
    for cell in code(executed(source)):
        pictures = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        assert len(pictures) <= 1, cell.source
        assert pictures or "run.figure(" not in cell.source, cell.source


@pytest.mark.parametrize("source", [*NUMBERED[1:5], NUMBERED[6]])
def test_behind_every_figure_it_says_why(source):
    waiting = ""
    for cell in convert(source).cells:
        if cell.cell_type == "code" and "run.figure(" in cell.source:
            assert not waiting, f"no **Why** behind {waiting}"
            waiting = cell.source
        elif cell.cell_type == "markdown" and "**Why**" in cell.source:
            waiting = ""
    assert not waiting


@pytest.mark.parametrize("source", NUMBERED)
def test_notebook_is_small_and_names_no_place_of_one_machine(source):
    path = FOLDER / f"{source.stem}.ipynb"
    assert path.stat().st_size < 2e6
    text = re.sub(r'"image/png": "[^"]+"', "", path.read_text())
    assert str(project_root()) not in text
    assert not re.search(r"(/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\Users)", text)


@pytest.mark.parametrize("source", NUMBERED)
def test_one_parameters_cell_with_literals_only(source):
    tagged = [c for c in code(executed(source)) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    nodes = ast.parse(tagged[0].source).body
    values = {(n.target if isinstance(n, ast.AnnAssign) else n.targets[0]).id: ast.literal_eval(n.value) for n in nodes}
    assert values["profile"] == "quick" and values["out"] is None and values["data"] is None
    assert values["category"] == "synthetic/bottle" and values["seed"] == 0


@pytest.mark.parametrize("source", NUMBERED)
def test_title_objectives_checkpoint_exercises_and_summary(source):
    text = "\n".join(c.source for c in executed(source).cells if c.cell_type == "markdown")
    assert text.startswith(f"# {int(source.name[:2])}. ")
    assert 3 <= len(re.findall(r"^- \*\*\w+\*\*", text, re.M)) <= 5
    assert "Predict" in text
    for heading in ("## Checkpoint", "## Exercises", "## What to remember", r"\*\*Next:\*\*"):
        assert re.search(heading, text)
    assert json.dumps(executed(source).metadata["hw3lib"]["files"]).count("metrics.json") == 1


def statements(source):
    """A syntax tree of each code cell of a source, and its lines that are code."""
    for cell in code(convert(source))[1:]:  # the first installs the course where it is not
        lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        yield ast.parse(cell.source), lines


@pytest.mark.parametrize("source", NUMBERED)
def test_no_cell_has_more_than_twenty_lines_of_code(source):
    assert not [lines for _, lines in statements(source) if len(lines) > 20]


@pytest.mark.parametrize("source", NUMBERED)
def test_no_import_goes_deeper_than_a_room(source):
    for tree, _ in statements(source):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("hw3lib.") or node.module.count(".") == 1, node.module
            elif isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("hw3lib")]


@pytest.mark.parametrize("source", NUMBERED)
def test_what_can_be_measured_is_no_question_of_the_notebook(source):
    branches = [n for tree, _ in statements(source) for n in ast.walk(tree) if isinstance(n, ast.If | ast.Try)]
    assert len(branches) <= 2, [ast.unparse(node).splitlines()[0] for node in branches]
