"""Translations are of the English that there is now, keep what is not text, and use the glossary's terms."""

import ast
import os
import re
import textwrap
from collections import Counter

import nbformat
import pytest
from markdown_it import MarkdownIt
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hw3lib.cli.main import main
from hw3lib.core import translation as catalogues
from hw3lib.core.places import course_folder, project_root
from hw3lib.core.translation import (
    UNTRANSLATED,
    catalogue_path,
    here,
    languages,
    message,
    preferred,
    say,
    tell,
    texts,
    told,
)
from hw3lib.course import checks, exercises, grading, translate
from hw3lib.course.checks import progress
from hw3lib.course.checks.base import CheckFailed
from hw3lib.course.translation import retold, translated
from hw3lib.errors import Hw3Error

SOURCES = translate.sources()
ENGLISH = translate.english(SOURCES)
EVERY = [pytest.param(language, name, id=f"{language}-{name}") for language in languages()[1:] for name in ENGLISH]
ALL = [pytest.param(language, name, id=f"{language}-{name}") for language in languages()[1:] for name in SOURCES]
CODE = re.compile(r"``.+?``|`[^`]+`")
VALUE = re.compile(r"\{\w+\}")
FORMULA = re.compile(r"\$\{[^}]+\}|\$[^$]+\$")  # or what a page's script puts in
LINK = re.compile(r"\]\(((?:[^()]|\([^()]*\))+)\)")


@pytest.mark.parametrize(("language", "name"), EVERY)
def test_every_text_is_translated_from_the_english_of_now(language, name):
    path, english = catalogue_path(language, name), ENGLISH[name]
    said = f"{path.name}: run python -m hw3lib.course.translate, then translate or correct these"
    assert not translate.open_texts(translate.updated(path, language, english)), said
    assert set(english) == texts(language, name).keys(), f"{path.name}: run python -m hw3lib.course.translate"


def forget():
    for kept in (texts, catalogues._all, catalogues._patterns, catalogues._taken_apart):
        kept.cache_clear()


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """A language with one catalogue, as the command writes it."""
    monkeypatch.setattr(catalogues, "LOCALE", tmp_path)
    path = catalogue_path("zh-TW", "01_x")
    path.parent.mkdir(parents=True)
    path.write_text('msgid "Every defect is in the test split."\nmsgstr "瑕疵都在測試切分裡。"\n', encoding="utf-8")
    forget()
    yield path
    forget()


def test_a_stale_translation_is_found_marked_and_not_shown(catalogue, monkeypatch):
    now = "Every defect is in the test split, none in training."
    chapter = new_notebook(cells=[new_markdown_cell(f"## {now}\n\nNew.")])
    monkeypatch.setattr(translate, "english", lambda _: {"01_x": translate.texts_of([chapter])})
    assert translate.main() == 1
    kept = catalogue.read_text(encoding="utf-8")
    assert "#, fuzzy" in kept and '#| msgid "Every defect is in the test split."' in kept and "瑕疵都在" in kept
    assert translated(chapter, "zh-TW", "01_x").cells[0].source == f"## {UNTRANSLATED}{now}\n\n{UNTRANSLATED}New."
    kept = kept.replace("#, fuzzy\n", "").replace('"New."\nmsgstr ""', '"New."\nmsgstr "新的。"')
    catalogue.write_text(kept, encoding="utf-8")
    forget()
    assert translate.main() == 0
    made = translated(chapter, "zh-TW", "01_x")
    assert made.cells[0].source == "## 瑕疵都在測試切分裡。\n\n新的。"
    assert made.metadata["hw3lib"]["language"] == "zh-TW"


MARKDOWN = """\
# One

Two
three.

- four
  five
- six

| a | `b` |
|---|---|
| c | 1 |

$$x
= y$$

```python
z
```
End"""
CODE_CELL = """\
# NBVAL_CHECK_OUTPUT
# one
# two
def f(a):
    \"\"\"Doc.\"\"\"
    # BEGIN SOLUTION
    # HINT: three
    return "# no"  # four"""


def test_of_a_cell_the_texts_are_told_and_nothing_else():
    told_markdown = re.sub(r"[a-z]+", lambda m: m[0].upper(), MARKDOWN)
    for kept, joined in (("X\n= Y", "x\n= y"), ("PYTHON\nZ", "python\nz"), ("TWO\n", "TWO "), ("FOUR\n  ", "FOUR ")):
        told_markdown = told_markdown.replace(kept, joined)
    assert retold(new_markdown_cell(MARKDOWN), str.upper) == told_markdown
    told_code = CODE_CELL.replace("one\n# two", "ONE TWO").replace("Doc", "DOC")
    told_code = told_code.replace("three", "THREE").replace("four", "FOUR")
    assert retold(new_code_cell(CODE_CELL), str.upper) == told_code


@pytest.mark.parametrize("name", SOURCES)
def test_a_cell_whose_texts_stay_is_shown_as_it_was(name):
    for cell in (cell for notebook in SOURCES[name] for cell in notebook.cells if cell.cell_type == "markdown"):
        shown = [MarkdownIt().enable("table").render(text) for text in (cell.source, retold(cell, str))]
        assert shown[0].split() == shown[1].split()


def without_docstrings(source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body[0].value.value = ""
    return ast.dump(tree)


@pytest.mark.parametrize(("language", "name"), ALL)
def test_a_translated_notebook_computes_the_same(language, name):
    for notebook in SOURCES[name]:
        pairs = list(zip(notebook.cells, translated(notebook, language, name).cells, strict=True))
        for cell, other in pairs:
            assert (cell.id, cell.cell_type, cell.metadata) == (other.id, other.cell_type, other.metadata)
            if cell.cell_type == "code":
                assert without_docstrings(cell.source) == without_docstrings(other.source)
            marks = [re.findall(r"^ *# (?:NBVAL|BEGIN|END|HINT).*?(?=:|$)", c.source, re.M) for c in (cell, other)]
            assert marks[0] == marks[1]


def structure(text):
    """What a text's code, formulas, links and numbers are, and the elements that Markdown makes of it."""
    formulas, plain = FORMULA.findall(text), FORMULA.sub("", text)
    tokens = [child.type for token in MarkdownIt().parse(plain) for child in token.children or []]
    elements = Counter(kind for kind in tokens if kind.endswith("_open"))
    numbers = re.findall(r"\d+(?:[.,]\d+)+|\d\d+", LINK.sub("", CODE.sub("", plain)))
    return elements, sorted(CODE.findall(plain)), sorted(formulas), sorted(LINK.findall(plain)), Counter(numbers)


@pytest.mark.parametrize(("language", "name"), EVERY)
def test_code_formulas_links_numbers_and_emphasis_are_kept(language, name):
    for english, text in texts(language, name).items():
        assert structure(english) == structure(text), text
        assert sorted(VALUE.findall(english)) == sorted(VALUE.findall(text)), text
        left = [MarkdownIt().renderInline(CODE.sub("", one)).count("**") for one in (english, text)]
        assert left[0] == left[1], f"bold that does not begin or end: {text}"


def test_a_folder_in_another_language_has_its_texts_hints_and_links(tmp_path, monkeypatch, capsys):
    assert main(["start", str(tmp_path / "mine"), "--language", "zh-TW"]) == 0
    first = nbformat.read(tmp_path / "mine" / "ex01_dataset_statistics.ipynb", as_version=4)
    assert first.cells[0].source.startswith("# 第 1 章練習") and "(chapters/01_" in first.cells[0].source
    chapter = nbformat.read(tmp_path / "mine" / "chapters" / "01_dataset_statistics.ipynb", as_version=4)
    everything = "\n".join(cell.source for notebook in (first, chapter) for cell in notebook.cells)
    assert "## 一個產品類別就是一張表格" in everything and UNTRANSLATED not in everything
    assert '"test"])  # 有瑕疵的切分' in everything
    monkeypatch.setattr(progress, "TRIED", ["fair_split"])
    capsys.readouterr()
    for place in ("mine", "mine/chapters"):
        monkeypatch.chdir(tmp_path / place)
        checks.hint()
        assert capsys.readouterr().out.startswith("提示 1／3：兩次呼叫 sample")
    with pytest.raises(CheckFailed) as failed:
        checks.imbalance_ratio(lambda labels: 0)
    shown = failed.value._render_traceback_()[0]
    assert re.match(r"還不對：標籤計數為 \{.*\}：預期 [\d.]+，得到 0.*；比較最大類別與最小類別的大小", shown)
    (tmp_path / "mine" / "ex01_dataset_statistics.ipynb").write_text("{")
    assert here() == "zh-TW"


@pytest.mark.parametrize("name", SOURCES)
def test_a_translated_submission_is_graded_as_one_in_english(name):
    reference = SOURCES[name][-1]
    submitted = translated(reference, "zh-TW", name)
    known = grading.as_given(reference, submitted, name)
    assert [len(cells) for cells in grading.answers(known, submitted)] == [
        len(cells) for cells in grading.answers(reference, reference)
    ]
    assert grading.as_given(reference, new_notebook(metadata={"hw3lib": {"language": ["?"]}}), name) is reference


def test_a_message_is_taken_apart_by_what_accounts_for_most_of_it(catalogue):
    keys = {"{0}: expected {1}; {2}": "{0}：預期 {1}；{2}", "{0}, {1}": "{0}，{1}", "a table of {0}": "{0} 的表格"}
    keys |= {"the ratio": "比值", "wrong; try {0}": "錯了；試試 {0}", "expected nothing": "沒有預期"}
    lines = [f'msgid "{english}"\nmsgstr "{chinese}"\n' for english, chinese in keys.items()]
    catalogue.with_name("messages.po").write_text("\n".join(lines), encoding="utf-8")
    said = message("a table of [1, 2], the ratio: expected [3, 4]; wrong; try a, b", "zh-TW")
    assert said == "[1, 2] 的表格，比值：預期 [3, 4]；錯了；試試 a, b"
    assert message("nothing fits, not this", "zh-TW") == "nothing fits, not this"
    assert message("the ratio", "en") == "the ratio"


def test_a_run_in_another_language_gets_its_chapters(monkeypatch):
    seen = []
    run = "hw3lib.runs.run.run_notebooks"
    monkeypatch.setenv("HW3_LANGUAGE", "")
    told_in = []
    monkeypatch.setattr(
        run,
        lambda *_, notebooks_dir=None, **__: (
            seen.append(read(notebooks_dir or course_folder())) or told_in.append(exercises.tell("the ratio"))
        ),
    )
    monkeypatch.setattr("hw3lib.runs.summary.failures", lambda outcomes: [])
    monkeypatch.setattr("hw3lib.runs.summary.summary_table", lambda outcomes: "")
    assert [main(["run", "--language", language]) for language in languages()] == [0, 0]
    assert told_in == ["the ratio", "比值"]
    assert seen[0].keys() == seen[1].keys() == {p.name for p in course_folder().glob("*.ipynb")}
    assert "## 有哪些類別" in seen[1]["01_dataset_statistics.ipynb"] and seen[0] != seen[1]


def test_what_chapters_and_commands_print_is_in_the_language_here(tmp_path, monkeypatch, capsys):
    printed = (
        "imbalance ratio of all images:      3.2",
        "On 2 sets. Its lead over A and B is not significant. " + "x " * 60,
    )
    monkeypatch.setenv("HW3_LANGUAGE", "en")
    say(printed[0])
    say("every parent pair is of one class:", True)
    say(printed[1], width=100)
    assert capsys.readouterr().out == (
        f"{printed[0]}\nevery parent pair is of one class: True\n{textwrap.fill(printed[1], 100)}\n"
    )
    monkeypatch.setenv("HW3_LANGUAGE", "zh-TW")
    say(printed[0])
    say("every parent pair is of one class:", True)
    say("On /a. Its lead over PaDiM and isolation forest is not significant.")
    assert capsys.readouterr().out == (
        "所有影像的不平衡比：3.2\n每對父代都屬同一類：是\n根據 /a。它領先 PaDiM 與 隔離森林，但不顯著。\n"
    )
    assert main(["grade", str(tmp_path / "none")]) == 2
    assert (
        capsys.readouterr().err
        == f"錯誤：{tmp_path / 'none'}：沒有這個資料夾；預期一個含有繳交筆記本（.ipynb）的資料夾，可分子資料夾\n"
    )
    monkeypatch.delenv("HW3_LANGUAGE")
    monkeypatch.setenv("LC_ALL", "zh_TW.UTF-8")
    assert preferred() == "zh-TW" and main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("錯誤：") and "HW3_LANGUAGE" not in os.environ
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert preferred() == "en"
    assert main(["start", str(tmp_path / "mine"), "--language", "zh-TW"]) == 0
    assert capsys.readouterr().out.endswith(f"打開它們：jupyter lab {tmp_path / 'mine'}\n")


def read(folder):
    return {p.name: p.read_text(encoding="utf-8") for p in folder.glob("*.ipynb")}


def test_a_sentence_of_which_words_are_unknown_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("HW3_LANGUAGE", "zh-TW")
    half = "23 good photographs joined the 40 of a sentence that no catalogue has"
    assert tell(half) == half
    assert tell("good photographs") != "good photographs"  # a piece of it that is known


def test_a_language_without_translations_is_refused():
    with pytest.raises(Hw3Error, match="'fr'; expected one of en, zh-TW"):
        told("Summary", "fr", "01_dataset_statistics")


def glossary():
    """English terms with their Chinese ones, from the glossary."""
    text = (project_root() / "docs" / "glossary.md").read_text(encoding="utf-8").partition("## 正體中文")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {english: chinese.split("、") for english, chinese in rows[2:]}


def test_terms_are_those_of_the_glossary_everywhere():
    terms = glossary()
    assert len(terms) > 40 and list(terms) == sorted(terms, key=str.lower)
    wrong = []
    for name in ENGLISH:
        for english, text in texts("zh-TW", name).items():
            plain = VALUE.sub("", CODE.sub("", english))
            for term, chinese in terms.items():
                used = re.search(rf'(?<![\w.("\[]){re.escape(term)}s?(?![\w.)("\[]\S|")', plain, re.I)
                if used and not any(one in text for one in chinese):
                    wrong.append(f"{name}: {term}, {' or '.join(chinese)}: {text}")
    assert not wrong, "\n".join(wrong)


ELSEWHERE = "數據 圖像 算法(?<!演算法) 默認 信息 網絡 閾值 軟件 代碼 置信 概率 方差 掩碼 魯棒 過擬合 目標檢測 變量 缺陷"


def test_no_term_is_that_of_another_place():
    for name in ENGLISH:
        text = catalogue_path("zh-TW", name).read_text(encoding="utf-8")
        assert not [word for word in ELSEWHERE.split() if re.search(word, text)], name
