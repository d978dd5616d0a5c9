"""Both READMEs say the same commands, name what exists, and show what the notebooks are now."""

import argparse
import importlib.util
import re

import numpy as np
import pytest
from PIL import Image

from hw3lib.cli.main import parser
from hw3lib.core.places import project_root

ROOT = project_root()
READMES = [ROOT / "README.md", ROOT / "README.zh-TW.md"]
TEXTS = [path.read_text(encoding="utf-8") for path in READMES]


def blocks(text):
    """Code blocks without their comments."""
    found = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    return [[re.split(r"\s+#|\s{3,}", line)[0].rstrip() for line in block.splitlines()] for block in found]


def headings(text):
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [len(marks) for marks in re.findall(r"^(#+) ", outside, re.M)]


@pytest.fixture(scope="module")
def notebook_table():
    path = ROOT / "docs" / "notebook_table.py"
    specification = importlib.util.spec_from_file_location("notebook_table", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_both_readmes_have_the_same_commands_and_headings():
    english, chinese = TEXTS
    assert blocks(english) == blocks(chinese)
    assert headings(english) == headings(chinese)
    assert len(blocks(english)) > 8


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: "en" if "You need" in text else "zh")
def test_what_is_linked_exists(text):
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if not t.startswith(("http", "#"))]
    assert len(targets) > 10
    assert [t for t in targets if not (ROOT / t).exists()] == []
    slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}
    assert {t[1:] for t in re.findall(r"\]\((#[^)]+)\)", text)} <= slugs


def test_every_command_in_the_readme_is_one_and_every_one_is_in_it():
    """All lines parse, with the words in capitals as they stand, and no command is left out."""
    top = parser()
    actions = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    seen = set()
    for line in sum(blocks(TEXTS[0]), []):
        words = line.removeprefix(".venv/bin/").split()
        if words[:1] != ["hw3"] or "|" in words:
            continue
        seen.add(words[1])
        if words[1] != "reproduce" and "|" not in line:
            top.parse_args(words[1:])
    assert seen | {"data"} == set(actions.choices)


def test_the_table_of_notebooks_is_what_the_notebooks_say(notebook_table):
    english = TEXTS[0]
    shown = english.split(notebook_table.BEGIN)[1].split(notebook_table.END)[0]
    assert shown == notebook_table.table(), "run python docs/notebook_table.py"
    for path, _, _, _, picture in notebook_table.rows():
        assert path.name in TEXTS[1]
        thumbnail = Image.open(ROOT / "docs" / "thumbnails" / f"{path.stem[:2]}.png").convert("RGB")
        assert thumbnail.size == picture.size, "run python docs/notebook_table.py"
        difference = np.abs(np.asarray(thumbnail, float) - np.asarray(picture, float)).mean()
        assert difference < 12, f"{path.stem} shows another picture now: run python docs/notebook_table.py"
