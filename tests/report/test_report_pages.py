"""At most three pages, within the words, whatever the names are; the same results give the same bytes."""

import re

import pypdf
import pytest
from PIL import Image

from hw3lib.errors import Hw3Error
from hw3lib.report import build, pages
from hw3lib.report.document import Question, figure, text
from hw3lib.report.sentences import count, leading


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


def test_a_long_summary_loses_whole_sentences_and_the_report_says_so(large_report):
    assert large_report.words["2"] == 143  # 11 sentences of 13 words; 12 would be 156
    assert any("leaves out the last 29 sentences" in note for note in large_report.notes)
    assert "leaves out the last 29 sentences" in words_of(large_report)


def test_sentences_are_counted_and_kept_whole():
    assert count("74.7 % correct, 95 %") == 5
    given = "One has 2.5 % of it. 'Two' is e.g. short. Three."
    assert leading(given, 6) == ("One has 2.5 % of it.", 2)
    assert leading(given, 10) == ("One has 2.5 % of it. 'Two' is e.g. short.", 1)
    assert leading(given, 11) == (given, 0)
    assert leading(given, 5) == ("", 3)


def test_too_many_words_are_noted_not_cut(make, tmp_path):
    name = "a detector whose name has very many words " * 3
    made = build(make(tmp_path / "r", detectors=(name, "PaDiM")))
    assert made.words["4"] > 100
    assert any(f"Question 4 has {made.words['4']} words" in note for note in made.notes)
    assert name.strip() in re.sub(r"<[^>]+>", "", made.html.read_text())


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


def test_figures_shrink_until_three_pages_suffice(tmp_path):
    picture = wide(tmp_path / "a.png")
    questions = [Question(1, "T", [figure(picture, f"figure {i}", 170, 130) for i in range(8)])]
    made = pages.fit("t", questions, [], str, 0, 0)
    assert 0.4 <= made.scale < 1
    assert len(pypdf.PdfReader(stream(made.pdf)).pages) == made.pages == 3


def test_figures_grow_where_three_pages_have_room(tmp_path):
    picture = wide(tmp_path / "a.png")
    made = pages.fit("t", [Question(1, "T", [figure(picture, "one figure", 170, 60)])], [], str, 0, 0)
    assert made.scale == max(pages.SCALES) > 1 and made.pages == 1


def test_what_does_not_fit_however_small_the_figures_is_an_error(tmp_path):
    questions = [Question(1, "T", [text("word " * 6000)])]
    with pytest.raises(Hw3Error, match=r"needs \d+ pages .*may have 3"):
        pages.fit("t", questions, [], str, 0, 0)


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
