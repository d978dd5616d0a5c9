"""The site of docs/conf.py: built of a few pages, in Chinese; what it refuses; badges; examples in docstrings."""

import doctest
import html
import importlib
import os
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from hw3lib.core.places import project_root
from hw3lib.course import build

ROOT = project_root()
WITH_EXAMPLES = [path for path in sorted((ROOT / "hw3lib").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


def sphinx(root: Path, out: Path, language: str, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sphinx", "-qW", "--keep-going", "-c", "docs", "-d", str(out / "trees"), *options]
    environment = os.environ | {"HW3_LANGUAGE": language, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, ".", str(out / "site")], cwd=root, env=environment, capture_output=True, encoding="utf-8"
    )


def test_pages_and_a_notebook_are_built_in_chinese_without_a_warning(tmp_path):
    pages = "README.md,docs/*.md,notebooks/01_dataset_statistics.ipynb"
    done = sphinx(ROOT, tmp_path, "zh-TW", "-D", f"include_patterns={pages}")
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    start, notebook, commands, glossary = (
        html.unescape((site / page).read_text(encoding="utf-8"))
        for page in ("README.html", "notebooks/01_dataset_statistics.html", "docs/commands.html", "docs/glossary.html")
    )
    assert 'href="../README.html' in start and f'{(ROOT / "Dockerfile").as_uri()}"' in start
    assert "<h1>1. 資料集統計<" in notebook
    assert "mybinder.org" not in notebook and "image/png" not in notebook  # there is no address to lead to
    assert "本頁尚無中文版" in commands and "本頁尚無中文版" not in start + notebook + glossary
    assert "https://arxiv.org" in (site / "external_links.txt").read_text(encoding="utf-8")


def test_links_that_lead_nowhere_are_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in ("conf.py", "_static", "_templates"):
        path = ROOT / "docs" / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / "docs" / name)
    (tmp_path / "docs" / "page.md").write_text("# Page\n\n## Here\n", encoding="utf-8")
    links = "[](docs/page.md#here), [a](docs/no_page.md), [b](#no_heading), [c](docs/page.md#no_part)"
    (tmp_path / "README.md").write_text(f"# Start\n\n{links}\n", encoding="utf-8")
    done = sphinx(tmp_path, tmp_path / "out", "en")
    assert done.returncode and done.stderr.count("WARNING") == 3, done.stderr
    assert all(name in done.stderr for name in ("no_page", "no_heading", "no_part"))


def test_without_an_address_nothing_leads_there():
    source = ROOT / "notebooks" / "sources" / "01_dataset_statistics.py"
    assert build.badges(Path("a.ipynb")) == ""
    assert all("find_spec" not in cell.source for cell in build.convert(source).cells)


def test_with_an_address_notebooks_have_badges_and_first_install_the_course_where_it_is_not(monkeypatch):
    monkeypatch.setattr(build, "REPOSITORY", "https://github.com/someone/hw3lib")
    called = []
    shell = type("Shell", (), {"run_line_magic": lambda self, *arguments: called.append(arguments)})
    for found in (None, ModuleSpec("hw3lib", None)):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, found=found: found)
        exec(build.install_cell().source, {"get_ipython": shell})
    assert called == [("pip", "install --quiet git+https://github.com/someone/hw3lib")]
    for source in sorted((ROOT / "notebooks" / "sources").glob("[0-9][0-9]_*.py")):
        cells = [cell for cell in build.convert(source).cells if cell.cell_type == "code"]
        assert cells[0].source == build.install_cell().source and "find_spec" not in cells[1].source
    made = build.badges(Path("notebooks", "01.ipynb"))
    assert "mybinder.org/v2/gh/someone/hw3lib/HEAD?urlpath=lab/tree/notebooks/01.ipynb" in made
    assert "colab.research.google.com/github/someone/hw3lib/blob/HEAD/notebooks/01.ipynb" in made


def test_some_docstrings_have_examples():
    assert len(WITH_EXAMPLES) > 7


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings_give_what_they_say(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    failed, tried = doctest.testmod(module)
    assert tried and not failed
