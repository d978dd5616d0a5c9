"""At most three pages, within the words, whatever the names are; the same results give the same bytes."""

import re

import numpy as np
import pypdf
import pytest
from PIL import Image

from hw3lib.core.fonts import chinese_fonts, drawn_language
from hw3lib.core.optional import Missing
from hw3lib.core.translation import UNTRANSLATED
from hw3lib.errors import Hw3Error
from hw3lib.report import build, charts, pages
from hw3lib.report.document import Question, figure, text
from hw3lib.report.pictures import tile
from hw3lib.report.runs import Run
from hw3lib.report.sentences import count, within


def words_of(made):
    text = " ".join(page.extract_text() for page in pypdf.PdfReader(made.pdf).pages)
    return re.sub(r"\s+", " ", re.sub(r"\u200b|\u00ad\s*", "", text))


def test_a_report_has_three_pages_of_a4_at_most(small_report, large_report):
    for made in (small_report, large_report):
        found = pypdf.PdfReader(made.pdf).pages
        assert len(found) == made.pages <= 3
        for page in found:
            assert float(page.mediabox.width) == pytest.approx(210 / 25.4 * 72, abs=0.1)
            assert float(page.mediabox.height) == pytest.approx(297 / 25.4 * 72, abs=0.1)


def test_all_five_questions_are_answered_in_order(small_report):
    found = words_of(small_report)
    titles = ["1. The dataset", "2. Attempts", "3. The long tail", "4. Anomaly detection", "5. Detection and segment"]
    places = [found.index(title) for title in titles]
    assert places == sorted(places)


def test_paragraphs_keep_within_the_words_of_the_assignment(small_report, large_report):
    for made in (small_report, large_report):
        assert made.limits == {"2": 150, "3": 150, "4": 100, "5": 150}
        assert all(0 < made.words[number] <= limit for number, limit in made.limits.items()), made.words


def test_words_are_those_of_the_paragraphs(small_report):
    sections = small_report.html.read_text().split("<section>")[1:]
    for number, section in zip("12345", sections, strict=True):
        paragraphs = re.findall(r"<p>(.*?)</p>", section.split("</section>")[0])
        assert small_report.words[number] == len(re.sub(r"<[^>]+>", "", " ".join(paragraphs)).split())


def test_words_are_counted_and_sentences_left_out_whole(small_run):
    assert count("74.7 % correct, 95 %") == 5
    assert count("準確率 92.7 %（圖 3）。") == 3 + 2 + 4 + 1  # characters, and what is not Chinese as words
    sentences = [(0, "One has 2.5 % of it."), (2, "Two."), (1, "Three is"), (2, "")]
    run = Run(small_run)
    assert within(run, 9, sentences) == "One has 2.5 % of it. Two. Three is"
    assert within(run, 8, sentences) == "One has 2.5 % of it. Three is"
    assert within(run, 8, sentences, before="Before.") == within(run, 0, sentences) == "One has 2.5 % of it."


def test_what_concerns_the_builder_is_told_and_not_printed(make, tmp_path):
    name = "a detector whose name has very many words " * 7
    made = build(make(tmp_path / "r", detectors=(name, "PaDiM")))
    assert made.words["4"] > 100 and any(f"Question 4 has {made.words['4']} words" in note for note in made.notes)
    assert name.strip() in re.sub(r"<[^>]+>", "", made.html.read_text())
    assert "too many" not in words_of(made) and "too many" not in made.html.read_text()


def test_names_that_look_like_markup_are_printed_as_they_are(make, tmp_path):
    odd = ("metal_contamination", "a*b*_c_", "#panic()", "$x^2$ <i>", "@ref & [text]", '"quoted" \\', "`raw` // no")
    made = build(make(tmp_path / "r", category="own/#let_x", defects=odd, attempts=("baseline", "*1* _more_ #data")))
    found = re.sub(r"\s", "", words_of(made))
    for name in (*odd, "own/#let_x", "*1* _more_ #data"):
        assert re.sub(r"\s", "", name) in found
    page = made.html.read_text()
    assert "<i>" not in page and "&lt;i&gt;" in page


def test_two_builds_of_the_same_run_are_the_same_bytes(small_run, small_report, tmp_path):
    again = build(small_run, tmp_path)
    for name in ("pdf", "html", "json"):
        assert getattr(again, name).read_bytes() == getattr(small_report, name).read_bytes(), name


def test_the_date_is_that_of_the_results(small_report):
    assert "finished2025-10-09" in words_of(small_report).replace(" ", "")
    assert pypdf.PdfReader(small_report.pdf).metadata.creation_date.year == 2025


def wide(path):
    Image.new("RGB", (400, 400), "blue").save(path)
    return path


def of(number, tmp_path):
    content = wide(tmp_path / "a.png").read_bytes()
    lines = [{"label": "", "tiles": [tile(content)]}]
    return [Question(1, "T", [figure(lines, f"figure {i}", key=f"f{i}") for i in range(number)])]


def test_letters_and_pictures_are_as_large_as_three_pages_allow(tmp_path):
    made = pages.fit("t", [(of(19, tmp_path), ())], [], str, 0, 0)
    assert 0 < made.room < 1
    assert len(pypdf.PdfReader(stream(made.pdf)).pages) == made.pages == 3
    one = pages.fit("t", [(of(1, tmp_path), ())], [], str, 0, 0)
    assert (one.room, one.pages) == (1, 1)


def test_the_first_alternative_that_has_room_is_taken_and_none_is_an_error(tmp_path):
    long = [Question(1, "T", [text("word " * 6000)])]
    made = pages.fit("t", [(long, ()), (of(1, tmp_path), ()), (of(2, tmp_path), ())], [], str, 0, 0)
    assert made.alternative == 1
    with pytest.raises(Hw3Error, match="needs more than 3 pages however small"):
        pages.fit("t", [(long, ())], [], str, 0, 0)


def blanks(picture):
    """Of each column of a page, the share of its height that is the largest stretch without ink."""
    page = np.asarray(picture.convert("L"))[60:-60] < 250
    found = []
    for column in np.split(page, [page.shape[1] // 2], axis=1):
        ink = np.flatnonzero(np.r_[True, column.any(1), True])
        found.append(np.diff(ink).max() / len(column))
    return found


@pytest.mark.parametrize("without", [(), ("05",), ("02", "03"), ("01", "02", "03", "05")])
def test_no_page_is_left_a_third_empty(make, tmp_path, without):
    made = build(make(tmp_path / "r", without=without), dpi=60)
    for content in made.pictures:
        with Image.open(stream(content)) as page:
            left, right = blanks(page)
            assert (left + right) / 2 < 1 / 3, (without, left, right)


def test_figures_are_numbered_and_referred_to_and_papers_cited_with_their_addresses(small_report):
    page = re.sub(r"<[^>]+>", "", small_report.html.read_text())
    for kind in ("Figure", "Table"):
        numbers = [int(n) for n in re.findall(rf"{kind} (\d+)\. ", page)]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 3
        referred = {
            int(n)
            for found in re.findall(r"\(((?:Figure|Table) \d+.*?)\)", page)
            for n in re.findall(rf"{kind} (\d+)", found)
        }
        assert referred == set(numbers)
    body, _, listed = page.partition("References")
    cited = {int(n) for found in re.findall(r"\[([\d, ]+)\]", body) for n in found.split(", ")}
    assert cited == {int(n) for n in re.findall(r"\[(\d+)\] [A-Z]", listed)} and len(cited) > 10
    assert "doi:10.1109/TNNLS.2021.3136503" in listed and "arXiv:2002.10826" in listed


def test_letters_are_at_least_seven_points_on_paper(large_report):
    sizes = set()
    for page in pypdf.PdfReader(large_report.pdf).pages:
        page.extract_text(
            visitor_text=lambda words, _, tm, __, size: sizes.add(abs(size * tm[3])) if words.strip() else None
        )
    assert min(sizes) >= 7
    assert charts.POINTS >= 7  # drawn as curves, in the width in which they are printed


def test_the_author_is_named_or_a_line_is_left(small_report, small_run, tmp_path):
    assert "Author: ____" in words_of(small_report)
    made = build(small_run, tmp_path, author="林 美")
    assert "Author: 林 美" in words_of(made) and pypdf.PdfReader(made.pdf).metadata.author == "林 美"


def test_own_words_are_made_once_kept_and_printed(small_run, tmp_path):
    file = tmp_path / "mine.md"
    made = build(small_run, tmp_path / "a", notes=file)
    headings = file.read_text()
    assert headings.count("## ") == 3 and any("mine.md was made" in note for note in made.notes)
    assert "What surprised me" not in words_of(made)  # headings alone are no words
    file.write_text(headings.replace("me\n", "me\n\nThat *all* of `it`\nfits.\n\n- one\n- two\n", 1))
    written = file.read_bytes()
    made = build(small_run, tmp_path / "a", notes=file)
    said = words_of(made)
    assert "In my own words What surprised me That *all* of `it` fits. • one • two" in said
    assert "another week" not in said and file.read_bytes() == written and not made.notes
    file.write_text("word " * 301)
    assert any("has 301 words; half a page holds 300" in n for n in build(small_run, tmp_path / "a", notes=file).notes)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Hw3Error, match="mine.md: cannot be read as text in UTF-8"):
        build(small_run, tmp_path / "b", notes=file)


@pytest.mark.skipif(not chinese_fonts(), reason="no font with Chinese characters")
def test_a_chinese_report_is_whole_within_its_characters_and_embeds_its_font(small_run, large_run, tmp_path):
    for run in (small_run, large_run):
        made = build(run, tmp_path / run.name, language="zh-TW")
        assert made.pages <= 3 and UNTRANSLATED not in made.html.read_text()
        assert all(0 < made.words[n] <= limit for n, limit in made.limits.items()), made.words
        assert all(Run(run).agrees(number) for number in made.numbers)
        said = words_of(made)
        assert "1. 資料集" in said and "參考文獻" in said and '<html lang="zh-TW">' in made.html.read_text()
        fonts = {
            str(f["/BaseFont"]): f
            for p in pypdf.PdfReader(made.pdf).pages
            for f in (font.get_object() for font in p["/Resources"]["/Font"].values())
        }
        chinese = [f for name, f in fonts.items() if "CJK" in name or "TC" in name or "Hei" in name]
        assert chinese and all(
            "/FontFile3" in f["/DescendantFonts"][0].get_object()["/FontDescriptor"]
            or "/FontFile2" in f["/DescendantFonts"][0].get_object()["/FontDescriptor"]
            for f in chinese
        )


def test_without_a_chinese_font_a_sentence_says_what_to_install_and_nothing_is_written(
    small_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("hw3lib.core.fonts.chinese_fonts", list)
    with pytest.raises(Missing, match="fonts-noto-cjk"):
        build(small_run, tmp_path / "out", language="zh-TW")
    assert not (tmp_path / "out").exists()
    assert drawn_language("zh-TW") == drawn_language("en") == "en"  # in which chapter 06 builds it then
    with pytest.raises(Hw3Error, match="language is 'fr'"):
        build(small_run, tmp_path / "out", language="fr")


def stream(content):
    import io

    return io.BytesIO(content)


def test_pages_are_drawn_on_request(small_run, small_report, tmp_path):
    made = build(small_run, tmp_path, dpi=36)
    assert len(made.pictures) == made.pages and small_report.pictures == []
    with Image.open(stream(made.pictures[0])) as picture:
        assert abs(picture.width - 210 / 25.4 * 36) < 2


@pytest.mark.parametrize("out, stem", [("a.pdf", "a"), ("b.html", "b"), ("folder", "folder/report")])
def test_out_is_a_file_or_a_folder(small_run, tmp_path, out, stem):
    made = build(small_run, tmp_path / out)
    assert [made.pdf, made.html, made.json] == [tmp_path / f"{stem}.{kind}" for kind in ("pdf", "html", "json")]
    assert all(path.is_file() for path in (made.pdf, made.html, made.json))


def test_out_that_is_another_file_is_refused(small_run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Hw3Error, match="expected a folder, or a name that ends in"):
        build(small_run, tmp_path / "notes.txt")
