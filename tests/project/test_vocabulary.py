"""Texts and code use the field's terms, not words of this project's own; the glossary says where each is computed."""

import re

import pytest

from hw3lib.core.places import project_root

ROOT = project_root()
PRIVATE = {  # and the term instead
    "beyond luck": "statistically significant",
    "told apart": "significantly different",
    "drawn anew": "freshly drawn, drawn independently",
    "told of the true masks": "given the true masks",
    "told of masks": "given the true masks",
    " luck": "chance",
}
GLOSSARY = ROOT / "docs" / "glossary.md"


def texts():
    """Files of the package, the notebooks' sources, the pages and both READMEs."""
    found = [p for suffix in ("py", "pyi", "md") for p in sorted((ROOT / "hw3lib").rglob(f"*.{suffix}"))]
    found += [*sorted((ROOT / "notebooks" / "sources").glob("*.py")), *sorted((ROOT / "docs").rglob("*.md"))]
    return [*found, ROOT / "README.md", ROOT / "README.zh-TW.md"]


def private_words(text):
    """Private words of a text in lower case, also where a line, or a line of comments, ends within one."""
    running = re.sub(r"\s*\n\s*(?:# )?", " ", text.lower())
    return [word for word in PRIVATE if word in running]


@pytest.mark.parametrize("text", ["It is better\nbeyond luck.", "# not told\n# apart", "Told of the  \n true masks"])
def test_private_words_are_found_across_lines(text):
    assert private_words(text)


def test_private_words_do_not_come_back():
    assert len(texts()) > 100
    found = {str(path.relative_to(ROOT)): private_words(path.read_text(encoding="utf-8")) for path in texts()}
    assert not {path: {word: PRIVATE[word] for word in words} for path, words in found.items() if words}


def test_every_term_of_the_glossary_has_a_meaning_and_a_place():
    lines = GLOSSARY.read_text(encoding="utf-8").partition("\n## ")[0].splitlines()
    assert len(lines) <= 40
    terms = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    assert len(terms) > 15 and [term[0].lower() for term in terms] == sorted(term[0].lower() for term in terms)
    for term, meaning, place in terms:
        assert term and meaning and (ROOT / place.strip("`")).exists(), term
