"""Every number on the pages is that of its file, and there is no number besides."""

import csv
import html
import html.parser
import json
import re

import pypdf
import pytest

from hw3lib.report import Run, build
from hw3lib.report.compose import answers


def look_up(folder, file, pointer):
    """RFC 6901 by hand; a table is a list of its rows."""
    text = (folder / file).read_text(encoding="utf-8-sig")
    value = json.loads(text) if file.endswith("json") else list(csv.DictReader(text.splitlines()))
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


class Page(html.parser.HTMLParser):
    """Text outside and inside ``<data>``; tags and addresses."""

    def __init__(self, text):
        super().__init__()
        self.outside, self.inside, self.tags, self.addresses = [], [], [], []
        self.depth, self.skipped = 0, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href")]
        if tag == "data":
            self.depth += 1
            self.inside.append("")
        self.skipped = tag == "style"

    def handle_endtag(self, tag):
        self.depth -= tag == "data"
        self.skipped = False

    def handle_data(self, data):
        if self.depth:
            self.inside[-1] += data
        elif not self.skipped:
            self.outside.append(data)


def words_of(folder):
    """All that is said, before it is laid out, which takes longer."""
    run = Run(folder)
    return " ".join(run.plain(text) for question in answers(run) for text in question.texts())


def check(folder, made):
    assert len(made.numbers) > 50
    for row in made.numbers:
        value = look_up(folder, row["file"], row["pointer"])
        if row["spec"] == "quoted":
            assert row["printed"] in value
        elif row["spec"] == "s":
            assert row["printed"] == ("–" if value is None else value)
        elif value in (None, ""):
            assert row["printed"] == "–"
        else:
            expected = format(float(value) * row["scale"], row["spec"])
            sign = "+" if "+" in row["spec"] else ""
            assert row["printed"] == (expected if float(expected) else sign + expected.lstrip("+-"))
    assert json.loads(made.json.read_text())["numbers"] == made.numbers


def test_each_number_equals_its_file_at_its_pointer(small_run, small_report, large_run, large_report):
    check(small_run, small_report)
    check(large_run, large_report)


def test_a_number_that_was_changed_on_the_page_or_in_the_file_does_not_agree(small_run, small_report):
    reader = Run(small_run)
    assert all(reader.agrees(row) for row in small_report.numbers)
    kinds = {}
    for row in small_report.numbers:
        kinds.setdefault(row["spec"] if row["spec"] in ("s", "quoted") else "number", row)
    assert set(kinds) == {"s", "quoted", "number"}
    assert not any(reader.agrees(row | {"printed": "4711.5"}) for row in kinds.values())


def test_the_html_prints_the_traced_values_in_order_and_no_other_number(small_report):
    page = Page(small_report.html.read_text())
    titled = [small_report.numbers[0]["printed"]]  # the title, whose marks come first
    assert page.inside[:1] == titled
    assert page.inside == [row["printed"] for row in small_report.numbers]
    rest = re.sub(r"References.*?From run", " ", " ".join(page.outside), flags=re.S)
    known = (  # files, headings, the date of the run, measures, figures, tables, papers, how many formats
        r"0[1-5]/\w+\.csv|\b[1-5]\. [A-Z]|\(question 2\)|95 % |notebooks 01, 02, 03, 04, 05 and 07|finished 2025-10-09"
        r"|of 0\.5 |mAP50 |1:|hw3lib|(Figure|Table) \d+|\[\d+\]|in 1 formats"
    )
    assert re.findall(r"\S*\d\S*", re.sub(known, " ", rest)) == []


def test_the_pdf_prints_every_traced_value(large_report):
    pages = pypdf.PdfReader(large_report.pdf).pages
    text = re.sub(r"[\s\u200b\u00ad-]", "", "".join(page.extract_text() for page in pages))
    for row in large_report.numbers:
        assert re.sub(r"[\s-]", "", row["printed"]) in text, row


@pytest.mark.parametrize(
    "number, pointer, value, shown",
    [
        ("01", ("images",), 4711, "4711"),
        ("02", ("leaderboard", 0, "accuracy"), 0.91234, "91.2"),
        ("03", ("methods", 1, "gain"), 0.33333, "+33.3"),
        ("04", ("detectors", 0, "image_auroc"), 0.98765, "0.988"),
        ("05", ("sam", 0, "iou_after"), 0.87654, "0.877"),
        ("07", ("drift", "alarm"), 4321, "4321"),
    ],
)
def test_a_changed_result_changes_the_report(make, small_report, tmp_path, number, pointer, value, shown):
    folder = make(tmp_path / "bolts-quick")
    path = folder / number / "metrics.json"
    content = json.loads(path.read_text())
    place = content
    for step in pointer[:-1]:
        place = place[step]
    place[pointer[-1]] = value
    path.write_text(json.dumps(content))
    made = build(folder)
    assert shown in Page(made.html.read_text()).inside
    assert shown not in Page(small_report.html.read_text()).inside


def test_the_best_attempt_is_marked(small_report):
    marked = re.findall(r'<tr class="marked">(.*?)</tr>', small_report.html.read_text())
    assert "2 transfer</data> (best): <data" in marked[0] and " stays as ImageNet left it" in marked[0]
    assert "70.1" in marked[0] and "+12.5" in marked[0]


def test_classes_that_were_left_out_are_named(make, small_report, tmp_path):
    folder = make(tmp_path / "bolts-quick")
    path = folder / "02/metrics.json"
    path.write_text(
        json.dumps(
            json.loads(path.read_text())
            | {"left_out": {"classes": "too few images to learn from some and test on others: cracked (2)"}}
        )
    )
    made = build(folder)
    check(folder, made)
    page = Page(made.html.read_text())
    assert "2" in page.inside and "cracked (" in "".join(page.outside)
    assert "Too few images to learn from" in made.html.read_text()
    assert "Too few images to learn from" not in small_report.html.read_text()


def test_the_cells_of_every_table_by_hand(small_report):
    tables = re.findall(r"<tbody>(.*?)</tbody>", small_report.html.read_text(), re.S)
    cells = [
        [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row)] for row in table.split("\n") if row]
        for table in tables
    ]
    dataset, attempts, methods, detectors, line, formats, sam, detection = cells
    assert dataset[:2] == [["good", "43", "18", "61", "–"], ["bent", "0", "17", "17", "1.23"]]
    assert attempts[0] == [
        "2 transfer (best): simple_cnn stays as ImageNet left it; a new last layer learns.",
        *("64", "0.001", "16", "30", "70.1 (60.3 to 79.9)", "+12.5 (+1.3 to +23.8)*"),
    ]
    assert attempts[2][0].startswith("baseline: ") and attempts[2][-1] == "–"
    assert methods[0] == ["plain", "48.3 (39.1 to 58.0)", "–", "18.3"]
    assert methods[1] == ["SMOTE", "47.2 (38.0 to 57.0)", "+1.1 (-6.1 to +8.0)", "19.3"]
    assert detectors[0] == ["PatchCore", "0.923 (0.854 to 0.974)", "0.978", "0.818", "35"]
    assert detectors[1][3] == "–"
    assert line == [["bent", "11", "82 (52 to 95)"], ["metal_contamination", "12", "77 (48 to 89)"]]
    assert formats == [["COCO", "34", "0.997"]]
    assert sam == [["box", "0.612", "0.723", "+0.111 (+0.051 to +0.170)"]]
    assert detection == [["YOLO-World", "0.021", "0.413"]]


def test_of_many_rows_the_best_the_worst_and_those_to_compare_with_are_shown(large_report):
    text = re.sub(r"<[^>]+>", " ", large_report.html.read_text())
    names = [row["printed"] for row in large_report.numbers if row["pointer"].endswith("/method")]
    assert {"plain", "DeepSMOTE", "class-balanced loss", "answer number 13 to imbalance"} <= set(names)
    assert "answer number 5 to imbalance" not in names
    attempts = [row["printed"] for row in large_report.numbers if row["pointer"].endswith("/attempt")]
    assert "baseline" in attempts and len(attempts) == 10  # the best in the text, too
    for file in ("02/leaderboard.csv", "03/methods.csv", "04/detectors.csv"):
        assert file in text


def test_the_definition_uses_the_numbers_of_the_category(small_report):
    text = html.unescape(re.sub(r"<[^>]+>", "", small_report.html.read_text()))
    assert "good has 61 images and metal_contamination, the rarest, 16: an imbalance ratio of 3.8." in text
    assert "Classifiers recognise 53 % of DeepSMOTE's images, 60 % of copies and 49 % of unseen real ones" in text
    assert "+1.1 (-6.1 to +8.0) points of balanced accuracy, not significant among all methods" in text


def test_the_verdict_follows_the_interval_and_its_p_value(make, tmp_path):
    folder = make(tmp_path / "r")
    path = folder / "03/metrics.json"
    content = json.loads(path.read_text())
    for low, high, expected in (
        (0.01, 0.09, "points of balanced accuracy, significant among all methods"),
        (-0.09, -0.01, "significantly worse than plain training"),
    ):
        content["methods"][1] |= {"gain": (low + high) / 2 + 0.2, "gain_low": low, "gain_high": high}
        path.write_text(json.dumps(content))
        assert expected in words_of(folder)
    content["methods"][1]["gain_p"] = 0.2  # that of many
    path.write_text(json.dumps(content))
    assert "not significant among all methods" in words_of(folder)


def test_sentences_are_true_of_tables_that_would_make_others_false(make, tmp_path):
    folder = make(tmp_path / "r")

    def said(notebook, key, value):
        path = folder / notebook / "metrics.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {key: value}))
        return words_of(folder)

    assert "all 3 classes have 18 images each: there is no long tail." in said(
        "01", "classes", {"good": 18, "dent": 18, "hole": 18}
    )
    tied = said("01", "classes", {"good": 30, "dent": 18, "hole": 18})
    assert "good has 30 images and each of 2 classes, the rarest ones, 18" in tied
    methods = json.loads((folder / "03/metrics.json").read_text())["methods"]
    worse = [row | ({} if row.get("gain") is None else {"gain": -0.02}) for row in methods]
    assert "no method exceeds plain training; SMOTE comes nearest: -2.0" in said("03", "methods", worse)
    detectors = json.loads((folder / "04/metrics.json").read_text())["detectors"]
    level = said("04", "detectors", [row | {"image_auroc": 1.0} for row in detectors])
    assert f"is one of {len(detectors)} that rank first" in level and "ranks first" not in level
    board = json.loads((folder / "02/metrics.json").read_text())["leaderboard"]
    reason = said("02", "leaderboard", [board[0] | {"strategy": "guided"}, *board[1:]])
    assert (
        "Why: a defect is a small part of its image" in reason and "among all attempts the gain is statistic" in reason
    )
    rows = [{"finding": "pretraining helps", "difference": 0.01, "low": -0.01, "high": 0.03, "verdict": "equivalent"}]
    assert "Equivalent, within 5 points, with and without: pretraining." in said("02", "hypotheses", rows)
    unsure = said("02", "leaderboard", [board[0] | {"gain_p": 0.3}, *board[1:]])
    assert "Why: 57 training images are too few to learn filters from" in unsure and "chance may have made it" in unsure
    assert "No change pays here: the baseline itself" in said("02", "best", "baseline")


def test_html_needs_nothing_else_and_no_script(small_report):
    text = small_report.html.read_text()
    page = Page(text)
    assert "script" not in page.tags and "link" not in page.tags
    papers = [a for a in page.addresses if not re.match(r"data:image/(png|svg\+xml);base64,", a)]
    assert len(page.addresses) - len(papers) > 5
    assert papers and all(re.match(r"https://(doi\.org|arxiv\.org|proceedings\.mlr\.press)/", a) for a in papers)
    assert "prefers-color-scheme: dark" in text and "url(" not in text
