"""The site, by Sphinx; ``make docs`` (docs/build.py) builds it in each language.

Pages lie where they are read in the repository, so Sphinx reads the whole of it, and this file says which. What a page
of the site has besides is put in as it is read: another language, the table of contents, badges, and the repository's
address in links to files that are no pages. Nothing is executed but imports, and nothing fetched.
"""

import json
import os
import re
from pathlib import Path

import nbformat
from sphinx.application import Sphinx

import hw3lib
from hw3lib.core.translation import ENGLISH, languages
from hw3lib.course.build import REPOSITORY, badges
from hw3lib.course.translation import translated

ROOT = Path(__file__).resolve().parents[1]
LANGUAGE = os.environ.get("HW3_LANGUAGE", ENGLISH)
NAMES = {ENGLISH: "English", "zh-TW": "正體中文"}  # of the languages
SECTIONS = {  # of the table of contents, and their pages
    "Notebooks": ["notebooks/[0-9]*.ipynb"],
    "Exercises": ["notebooks/exercises/ex*.ipynb", "notebooks/exercises/capstone.ipynb"],
    "Guide": ["docs/*.md"],
    "Project": ["CONTRIBUTING.md", "CHANGELOG.md"],
    "API reference": ["docs/api/hw3lib.rst"],
}
CHINESE = dict(zip(SECTIONS, ("Notebook", "練習", "指南", "專案", "API 參考"), strict=True))
FALLBACK = "```{note}\n本頁尚無中文版，以下為英文。\n```\n"
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")

project = html_title = "hw3lib"
author = project_copyright = "The hw3lib authors"
version = release = hw3lib.__version__
language = LANGUAGE.replace("-", "_")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
include_patterns = [f"{root_doc}.md", *sum(SECTIONS.values(), []), "docs/api/*.rst"]
exclude_patterns = [*(f"**.{name}.md" for name in NAMES), ".*", "build", "data", "hw3lib", "mutants", "runs", "tests"]
# Exercises begin one level below their chapter's heading; the names of attributes are looked for everywhere.
suppress_warnings = ["myst.header", "ref.python"]

nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 4
myst_url_schemes = {
    **dict.fromkeys(("http", "https", "mailto")),
    "repository": (f"{REPOSITORY}/blob/HEAD" if REPOSITORY else ROOT.as_uri()) + "/{{path}}",
    "site": "{{path}}",
}

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
_PARTS = ("brand", "search", "scroll-start", "navigation", "scroll-end")
html_sidebars = {"**": [*(f"sidebar/{part}.html" for part in _PARTS), "languages.html"]}
html_context = {"here": LANGUAGE, "languages": {code: NAMES[code] for code in languages()}, "english": ENGLISH}


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put into a page, as it is read, what it has on the site alone."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".ipynb":
        notebook = translated(nbformat.reads(source[0], as_version=4), LANGUAGE, path.stem.removeprefix("ex"))
        notebook.cells = [cell for cell in notebook.cells if cell.get("id") != "install"]
        title, _, rest = notebook.cells[0].source.partition("\n")
        notebook.cells[0].source = f"{title}\n\n{badges(path.relative_to(ROOT))}\n{rest}"
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _joined(_linked(app, path, cell.source))
        source[0] = json.dumps(notebook)
    elif path.suffix == ".md":
        own = path.with_suffix(f".{LANGUAGE}.md")
        text = (own if own.is_file() else path).read_text(encoding="utf-8")
        if LANGUAGE != ENGLISH and not own.is_file() and f"## {NAMES[LANGUAGE]}" not in text:
            text = re.sub(r"(?<=\n)\n", f"\n{FALLBACK}\n", text, count=1)  # behind the title
        source[0] = _joined(_linked(app, path, text)) + (_contents(app) if docname == root_doc else "")


def _contents(app: Sphinx) -> str:
    """What is in the navigation, of the pages that there are."""
    text = ""
    for section, patterns in SECTIONS.items():
        names = [path.relative_to(ROOT).with_suffix("").as_posix() for p in patterns for path in sorted(ROOT.glob(p))]
        if pages := [name for name in names if name in app.env.found_docs]:
            caption = section if LANGUAGE == ENGLISH else CHINESE[section]
            text += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```\n"])
    return text


def _linked(app: Sphinx, path: Path, text: str) -> str:
    """A page's text, whose links to files that are no pages lead to the repository, those to another language there."""

    def link(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(path.parent / match[1]))
        name, _, code = target.stem.partition(".")
        code = code or ENGLISH
        if not target.exists() or target.suffix == ".png":
            return match[0]  # Sphinx warns of what is missing
        page = target.with_name(name).relative_to(ROOT).as_posix()
        if target.suffix in (".md", ".ipynb") and page in app.env.found_docs:
            if code == LANGUAGE or not target.with_name(f"{name}.{LANGUAGE}.md").exists() and code == ENGLISH:
                return os.path.relpath(ROOT / f"{page}{target.suffix}", path.parent) + (match[2] or "")
            up = "../" * len(path.relative_to(ROOT).parents[1:])
            folder = f"{'' if LANGUAGE == ENGLISH else '../'}{'' if code == ENGLISH else f'{code}/'}"
            return f"site:{up}{folder}{page}.html{match[2] or ''}"
        return f"repository:{target.relative_to(ROOT).as_posix()}"

    return _LINK.sub(link, text)


def _joined(text: str) -> str:
    """Lines that end and begin with Chinese are joined without the space that a line's end would be."""
    return re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])", "", text)


def list_external(app: Sphinx, error: Exception | None) -> None:
    """Write the addresses outside that pages link to; whether they still answer is for ``sphinx -b linkcheck``."""
    if error:
        return
    found: dict[str, set[str]] = {}
    for docname in app.env.found_docs:
        for node in app.env.get_doctree(docname).findall(lambda n: n.tagname == "reference"):
            if str(node.get("refuri", "")).startswith("http"):
                found.setdefault(node["refuri"], set()).add(docname)
    lines = [f"{uri}\t{' '.join(sorted(pages))}\n" for uri, pages in sorted(found.items())]
    (Path(app.outdir) / "external_links.txt").write_text("".join(lines), encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.connect("build-finished", list_external)
