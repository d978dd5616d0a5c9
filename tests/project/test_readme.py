"""Both READMEs say the same commands; they and the pages in docs name what exists, and show what is there now."""

import argparse
import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import MODULES
from hw3lib.cli.main import parser
from hw3lib.core.places import project_root

ROOT = project_root()
READMES = [ROOT / "README.md", ROOT / "README.zh-TW.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [path.read_text(encoding="utf-8") for path in READMES]
LONGEST = 170  # lines of a README
ROOTS = ("hw3lib", "tests", "docs", "benchmarks", "notebooks")  # folders below which a path in a text is looked up


def blocks(text):
    """Code blocks without their comments."""
    found = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    return [[re.split(r"\s+#|\s{3,}", line)[0].rstrip() for line in block.splitlines()] for block in found]


def headings(text):
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [len(marks) for marks in re.findall(r"^(#+) ", outside, re.M)]


def slugs(text):
    """What links to headings end in, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def spans(text):
    """What stands in back quotes, on one line or two, outside of blocks."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]


def script(name):
    """A script of docs/ as a module."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def commands():
    """The parsers of hw3's commands, by name."""
    return next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)).choices


def test_both_readmes_have_the_same_commands_and_headings():
    english, chinese = TEXTS
    assert blocks(english) == blocks(chinese)
    assert headings(english) == headings(chinese)
    assert len(blocks(english)) > 8


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_a_readme_is_read_in_some_minutes(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_is_linked_exists(path):
    text = path.read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith("http")]
    assert len(targets) > 10 or path not in READMES
    for target in targets:
        file, _, heading = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if heading:
            assert heading in slugs(linked.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_a_page_names_exists(path):
    """Paths of the project, modules that are started, benchmarks, commands."""
    text = path.read_text(encoding="utf-8")
    lines = [*spans(text), *(line.removeprefix(".venv/bin/") for line in sum(blocks(text), []))]
    for line in lines:
        if re.fullmatch(rf"({'|'.join(ROOTS)})(/[\w.]+)*/?", line):
            assert (ROOT / line).exists(), line
        if re.fullmatch(r"hw3lib(\.\w+)+", line):
            assert importlib.util.find_spec(line), line
        if module := re.search(r"-m ((?:hw3lib|tests|benchmarks)[\w.]*)", line):
            assert importlib.util.find_spec(module[1]), line
        if bench := re.match(r'make bench ARGS="([^"]+)', line):
            assert set(re.split(r" --", bench[1])[0].split()) <= set(MODULES), line
        if line.startswith("hw3 "):
            assert line.split()[1] in commands(), line


def test_every_command_in_the_readme_is_one_and_every_one_is_in_it():
    assert parsed(READMES[0]) | {"data"} == set(commands())


@pytest.mark.parametrize("path", PAGES[2:], ids=lambda path: path.name)
def test_every_command_in_the_docs_is_one(path):
    assert parsed(path) or "hw3 " not in "".join(sum(blocks(path.read_text(encoding="utf-8")), []))


def parsed(path: Path) -> set[str]:
    """Commands whose lines on a page parse, with the words in capitals as they stand."""
    top, seen = parser(), set()
    for line in sum(blocks(path.read_text(encoding="utf-8")), []):
        words = shlex.split(line.removeprefix(".venv/bin/"))
        if words[:1] == ["hw3"] and "|" not in words:
            seen.add(words[1])
            top.parse_args(words[1:])
    return seen


def test_the_staircase_is_drawn_from_the_imports_as_they_are_and_every_room_is_described():
    staircase = script("staircase")
    drawn = Image.open(staircase.PICTURE).info["Description"]
    assert drawn == staircase.as_text(staircase.arrows()), "run python docs/staircase.py"
    rooms = {path.name for path in (ROOT / "hw3lib").iterdir() if (path / "__init__.py").is_file()}
    assert {name for floor in staircase.floors() for name in floor} == rooms | {"errors"}
    assert set(staircase.PURPOSES) == rooms | {"errors"}
    described = set(re.findall(r"^\| `(\w+)/`", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.M))
    assert described == rooms


def test_the_table_of_notebooks_is_what_the_notebooks_say():
    notebook_table = script("notebook_table")
    english = TEXTS[0]
    shown = english.split(notebook_table.BEGIN)[1].split(notebook_table.END)[0]
    assert shown == notebook_table.table(), "run python docs/notebook_table.py"
    for path, _, _, _, picture in notebook_table.rows():
        assert path.name in TEXTS[1]
        thumbnail = Image.open(ROOT / "docs" / "thumbnails" / f"{path.stem[:2]}.png").convert("RGB")
        assert thumbnail.size == picture.size, "run python docs/notebook_table.py"
        difference = np.abs(np.asarray(thumbnail, float) - np.asarray(picture, float)).mean()
        assert difference < 12, f"{path.stem} shows another picture now: run python docs/notebook_table.py"
