"""The chapters on a category that lacks something: each ends well, and says what it left out."""

import nbformat
import pytest

from hw3lib.anomaly import detector
from hw3lib.classify.guided import classifier
from hw3lib.core.places import project_root
from hw3lib.course.build import convert
from hw3lib.data.parts import FEWEST_TO_COMPARE, FEWEST_TO_FIT
from hw3lib.report import build
from hw3lib.runs.run import run_notebooks

CHAPTERS = ("02", "03", "05")


@pytest.fixture
def chapters(tmp_path):
    """A folder with notebooks that have not been executed, as their sources say."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for source in (project_root() / "notebooks/sources").glob("[0-9][0-9]_*.py"):
        nbformat.write(convert(source), folder / f"{source.stem}.ipynb")
    return folder


def test_the_numbers_of_images_that_are_said_are_those_that_are_asked_for():
    assert (FEWEST_TO_FIT, FEWEST_TO_COMPARE) == (detector.FEWEST, classifier.FEWEST_GOOD)


def test_good_images_alone_end_three_chapters_in_a_sentence(tmp_path, make_category, chapters):
    make_category(tmp_path / "data/widget", {"train/good": 10}, size=(64, 64))
    places = {"notebooks_dir": chapters, "runs_dir": tmp_path / "runs", "data": tmp_path / "data", "name": "r"}
    outcomes = run_notebooks(CHAPTERS, category="widget", echo=lambda text: None, **places)
    assert [outcome.status for outcome in outcomes] == ["ran"] * 3, [outcome.message for outcome in outcomes]
    nothing = {"02": ("leaderboard", "classify"), "03": ("methods", "balance"), "05": ("formats", "annotate")}
    for outcome in outcomes:
        key, done = nothing[outcome.notebook[:2]]
        assert outcome.metrics[key] is None
        why = f"there is no image of a defect beside 10 good images, so there is nothing to {done}"
        assert outcome.metrics["left_out"] == {key: why}
        executed = nbformat.read(outcome.folder / "notebook.ipynb", as_version=4)
        said = "".join(output.get("text", "") for cell in executed.cells for output in cell.get("outputs", []))
        assert f"{why[0].upper()}{why[1:]}." in said.replace("\n", " ")
    made = build(tmp_path / "runs" / "r")
    assert {"02: leaderboard", "03: methods", "05: formats"} < set(made.missing)
