"""``hw3 report``, and notebook 06 as a program."""

import json

import jupytext
import pytest

from hw3lib import report
from hw3lib.cli.main import main
from hw3lib.cli.report import git_author
from hw3lib.core.places import project_root
from hw3lib.errors import Hw3Error


def hw3_report(*arguments):
    return main(["report", *map(str, arguments), "--debug"])


def test_the_command_says_pages_words_what_is_missing_and_where_it_is(make, tmp_path, capsys):
    make(tmp_path / "bolts-quick", without=("05",))
    assert hw3_report("bolts-quick", "--runs-dir", tmp_path, "--out", tmp_path / "bolts.pdf") == 0
    said = capsys.readouterr().out
    assert "bolts: 2 pages" in said and "question 4: 98 of 100" in said and "missing: 05" in said
    assert "bolts.pdf" in said and (tmp_path / "bolts.html").is_file() and (tmp_path / "bolts.json").is_file()


def test_without_a_name_the_newest_complete_run_is_taken(make, tmp_path, capsys):
    make(tmp_path / "only")
    assert hw3_report("--runs-dir", tmp_path) == 0
    assert (tmp_path / "only/report/report.pdf").is_file()


def test_the_author_is_gits_where_none_is_given_and_the_language_is_chosen(make, tmp_path, capsys, monkeypatch):
    make(tmp_path / "only")
    seen = []
    build = report.build
    monkeypatch.setattr(report, "build", lambda *given, **named: (seen.append(named), build(*given, **named))[1])
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Lin Mei")
    assert hw3_report("only", "--runs-dir", tmp_path, "--notes", tmp_path / "mine.md") == 0
    assert "mine.md was made" in capsys.readouterr().out and (tmp_path / "mine.md").is_file()
    assert hw3_report("only", "--runs-dir", tmp_path, "--author", "Chen An") == 0
    assert [(named["author"], named["language"]) for named in seen] == [("Lin Mei", "en"), ("Chen An", "en")]
    monkeypatch.setenv("PATH", "")
    assert git_author() is None


def test_an_unknown_run_is_refused(tmp_path):
    with pytest.raises(Hw3Error, match="no run 'x'"):
        hw3_report("x", "--runs-dir", tmp_path)


def run_notebook(**parameters):
    """Notebook 06 with these parameters, in this process."""
    notebook = jupytext.read(project_root() / "notebooks/sources/06_report.py")
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names.update(parameters)
    return names


@pytest.fixture
def headless(monkeypatch):
    monkeypatch.setenv("HW3_HEADLESS", "1")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda *a, **k: None)


def test_notebook_06_reports_the_run_it_stands_in(headless, make, category, tmp_path, capsys):
    folder = make(tmp_path / "runs/widget-quick", category="widget")
    run_notebook(category="widget", data=str(category.parent), out=str(folder / "06"))
    said = capsys.readouterr().out
    assert "at most three pages: True" in said and "within the words allowed: True" in said
    assert "numbers that differ from their file: 0" in said
    metrics = json.loads((folder / "06/metrics.json").read_text())
    assert metrics["pages"] == 2 and metrics["missing"] == [] and metrics["words"]["4"] == 98
    notebook = jupytext.read(project_root() / "notebooks/sources/06_report.py")
    for file in notebook.metadata["hw3lib"]["files"]:
        assert (folder / "06" / file).is_file(), file


def test_notebook_06_says_what_to_run_where_nothing_was_measured(headless, category, tmp_path, capsys):
    folder = tmp_path / "runs/empty"
    run_notebook(category="widget", data=str(category.parent), out=str(folder / "06"))
    said = capsys.readouterr().out
    assert "hw3 run 01 02 03 04 05 07 --category widget" in said and "missing: 05" in said
    metrics = json.loads((folder / "06/metrics.json").read_text())
    assert metrics["pages"] == 0 and metrics["missing"] == ["01", "02", "03", "04", "05", "07"]
    assert (folder / "06/figures/pages.png").is_file()


def test_notebook_06_refuses_a_run_on_another_category(headless, make, category, tmp_path):
    folder = make(tmp_path / "runs/bolts-quick")
    with pytest.raises(Hw3Error, match="the run is on bolts"):
        run_notebook(category="widget", data=str(category.parent), out=str(folder / "06"))
