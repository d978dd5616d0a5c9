"""Any name of a class, an image or a category goes through the commands; none of them writes into a category."""

import csv
import json
import re
import unicodedata
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from PIL import Image

from hw3lib.annotate import FORMATS
from hw3lib.annotate.dataset import file_names
from hw3lib.cli.main import main
from hw3lib.core.fonts import literal, pretty
from hw3lib.core.text import class_name, file_name, slug
from hw3lib.data import load_table
from hw3lib.data.folders.find import refuse_inside_category
from hw3lib.errors import Hw3Error
from hw3lib.inspection.photographs import find_photographs
from hw3lib.report import build
from hw3lib.runs.run import run_notebooks
from tests.helpers.report_runs import make_run

ODD = (
    *(" lead", "trail ", "裂紋（大）", "【劃痕】", "a,b", 'quo"te', "it's", "#1", "100%", "🙂", "new\nline", "[x] {y}"),
    *("-dash", "=1+1", "a$b$c", "<b>&amp;", "back\\slash", "*star*", "null", "1.0", "a: b", "|pipe", "cre\u0300me"),
)


@pytest.fixture
def odd(category: Path) -> Path:
    """A category whose classes and images have every odd name."""
    for number, name in enumerate(ODD, 1):
        for kind, ending, source in (
            ("test", "", "test/dent/000.png"),
            ("ground_truth", "_mask", "ground_truth/dent/000_mask.png"),
        ):
            place = category / kind / name
            place.mkdir(parents=True)
            for at in range(2):
                with Image.open(category / source) as image:
                    pixels = np.roll(np.asarray(image), (at, number), (0, 1))
                Image.fromarray(pixels).save(place / f"{name}{at or ''}{ending}.png")
    return category


def test_every_name_goes_through_every_export_and_comes_back(odd, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["annotate", "widget", "--data", str(tmp_path), "--format", *FORMATS, "--out", str(out), "--preview"]
    with pytest.warns(UserWarning):  # no font has all of these characters
        assert main(words) == 0, capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert all(row["exact"] for row in summary["formats"]), summary["formats"]
    assert set(summary["classes"]) == {"dent", "scratch", *map(class_name, ODD)}
    with (out / "yolo/data.yaml").open(encoding="utf-8") as file:
        assert set(yaml.safe_load(file)["names"].values()) == set(summary["classes"])
    for path in out.rglob("*.png"):
        assert not re.search(r'[\\:*?"<>|\x00-\x1f]', path.name) and path.stem == path.stem.strip()
        assert path.name == unicodedata.normalize("NFC", path.name)


def test_every_name_goes_through_check_and_results(odd, tmp_path, capsys):
    assert main(["data", "check", "widget", "--data", str(tmp_path)]) == 0, capsys.readouterr()
    detector, results = str(tmp_path / "d"), tmp_path / "r"
    assert main(["detect", "fit", str(odd), "--out", detector, "--detector", "padim", "--image-size", "32"]) == 0
    assert main(["detect", "score", detector, str(odd), "--out", str(results), "--overlays"]) == 0
    with (results / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    table = load_table(tmp_path, "widget")
    assert files == list(table.loc[table["split"] == "test", "image"])
    assert len(list((results / "overlays").rglob("*.png"))) == len(files)


def test_every_name_goes_into_the_report(tmp_path):
    names = [class_name(name) for name in ODD]
    for at in range(0, len(names), 8):
        made = build(make_run(tmp_path / str(at), category=slug("a,b <b>$x$"), defects=tuple(names[at : at + 8])))
        page = made.html.read_text(encoding="utf-8")
        assert made.pages <= 3 and "<b>&amp;amp;" not in page
        for name in names[at : at + 8]:
            shown = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            shown = shown.replace('"', "&quot;").replace("'", "&#x27;").replace("_", "_<wbr>")
            assert shown in page, name


def test_dollars_are_no_formula():
    assert pretty("a$b_c$") == r"a\$b c\$" and literal("a$") == r"a\$"


def test_classes_that_differ_in_spaces_alone_are_one(category):
    (category / "test/dent ").mkdir()
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(category / "test/dent /900.png")
    (category / "ground_truth/dent ").mkdir()
    Image.fromarray(np.full((32, 40), 255, np.uint8)).save(category / "ground_truth/dent /900_mask.png")
    table = load_table(category.parent, "widget")
    assert (table["defect"] == "dent").sum() == 5 and table["mask"].notna().sum() == 8
    (note,) = table.attrs["problems"]
    assert (note["severity"], note["kind"]) == ("note", "same class") and "'dent '" in note["message"]


def test_names_of_files_differ_where_their_images_do(category):
    for name in ("a:b", "a|b", "a_b"):
        (category / f"test/good/{name}.png").write_bytes((category / "test/good/000.png").read_bytes())
    names = file_names(load_table(category.parent, "widget"))
    assert len({name.lower() for name in names}) == len(names)


@pytest.mark.parametrize(
    "text, expected",
    [("synthetic/bottle", "synthetic-bottle"), ("my bolts", "my bolts"), ("裂紋", "裂紋"), ("v1.2+b", "v1.2+b")],
)
def test_a_sound_name_is_the_name_of_its_run(text, expected):
    assert slug(text) == expected


@pytest.mark.parametrize(
    "text", ["..", "a(1)", "a[1]", " a", "a ", "裂紋（大）", "🙂", "a\nb", "x" * 300, "-a", "長" * 100]
)
def test_any_other_name_becomes_one_that_a_folder_can_have(text):
    made = slug(text)
    assert re.fullmatch(r"\w[\w.+ -]*", made) and made == made.strip(" .") and len(made.encode()) <= 130
    assert made != slug(text + "!") and made == slug(unicodedata.normalize("NFD", text))


def test_file_names_of_any_text():
    assert file_name(' a/b\\c:d*e?f"g<h>i|j\n.') == "a_b_c_d_e_f_g_h_i_j"
    assert file_name(" ") == file_name("...") == "_"


@pytest.mark.parametrize("name", ["裂紋（大）【x】", "a,b 'q' #1 100%"])
def test_a_run_is_named_after_any_category(category, name, monkeypatch):
    """Also where the folder's name has its accents apart."""
    category.rename(category.parent / unicodedata.normalize("NFD", f"é{name}"))
    first = nbformat.v4.new_code_cell(
        "category = ''\ndata = None\nprofile = ''\nout = None", metadata={"tags": ["parameters"]}
    )
    body = (
        "from hw3lib.data import get, load_table\nfrom hw3lib.runs.folder import RunFolder\n"
        "table = load_table(get(category, data), category)\n"
        "RunFolder('91', table, profile, out).metrics(images=len(table))"
    )
    (category.parent / "notebooks").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(body)])
    nbformat.write(notebook, category.parent / "notebooks/91_a.ipynb")
    (outcome,) = run_notebooks(
        category=f"é{name}",
        data=category.parent,
        notebooks_dir=category.parent / "notebooks",
        runs_dir=category.parent / "runs",
        echo=lambda _: None,
    )
    assert outcome.status == "ran", outcome.message
    assert outcome.folder.parent.name == f"{slug(f'é{name}')}-quick" and outcome.metrics["category"] == f"é{name}"


def out_of_fit(category, out):
    return ["detect", "fit", str(category), "--out", out]


def out_of_score(category, out):
    return ["detect", "score", "none", str(category), "--out", out]


def out_of_export(category, out):
    return ["detect", "export", "none", "--out", f"{out}.onnx"]


def out_of_annotate(category, out):
    return ["annotate", "widget", "--data", str(category.parent), "--format", "coco", "--out", out]


def out_of_report(category, out):
    return ["report", str(make_run(category.parent / "run")), "--out", out]


def out_of_import(category, out):
    return ["data", "import", str(category / "test/dent"), "--out", out]


@pytest.mark.parametrize(
    "words", [out_of_fit, out_of_score, out_of_export, out_of_annotate, out_of_report, out_of_import]
)
@pytest.mark.parametrize("place", ["made", "test/good/made", "test/made"])
def test_no_command_writes_into_a_category(category, capsys, words, place, monkeypatch):
    if words is out_of_score:  # which loads the detector first
        detector = str(category.parent / "d")
        assert (
            main(["detect", "fit", str(category), "--out", detector, "--detector", "padim", "--image-size", "32"]) == 0
        )
        asked = [detector if word == "none" else word for word in words(category, str(category / place))]
    else:
        asked = words(category, str(category / place))
    before = sorted(category.rglob("*"))
    assert main(asked) == 2
    said = capsys.readouterr().err
    assert f"lies in the category {category}" in said and "choose a place outside, such as" in said
    assert sorted(category.rglob("*")) == before


def test_a_run_does_not_write_into_a_category(category):
    (category.parent / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell(
        "category = ''\ndata = None\nprofile = ''\nout = None", metadata={"tags": ["parameters"]}
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), category.parent / "notebooks/91_a.ipynb")
    with pytest.raises(Hw3Error, match="the run's folder .*lies in the category"):
        run_notebooks(
            category="widget",
            data=category.parent,
            notebooks_dir=category.parent / "notebooks",
            runs_dir=category / "runs",
        )
    assert not (category / "runs").exists()


def test_what_lies_in_a_category_and_what_does_not(category, tmp_path):
    own = tmp_path / "own"
    (category / "test/dent").rename(tmp_path / "dent")
    own.mkdir()
    (tmp_path / "dent").rename(own / "dent")
    (tmp_path / "link").symlink_to(category)
    for out, read in ((tmp_path / "link/x", ()), (category, ()), (own / "x", (own,)), (own, (own,))):
        with pytest.raises(Hw3Error, match="lies in the category"):
            refuse_inside_category(out, *read)
    for out, read in ((tmp_path / "x", (category,)), (own / "x", ()), (own / "dent-detector", (own / "dent",))):
        refuse_inside_category(out, *read)
    assert str(tmp_path / "widget-x") in str(pytest.raises(Hw3Error, refuse_inside_category, category / "x").value)


def test_photographs_are_told_of_under_the_path_that_was_given(category, tmp_path):
    (tmp_path / "link").symlink_to(category)
    (tmp_path / "good").symlink_to(category / "train/good")
    found = find_photographs([tmp_path / "link", tmp_path / "good"], lambda _: None)
    assert len(found) == 16
    assert {str(p.path.parent) for p in found if p.label and p.label.is_defect} == {
        f"{tmp_path}/link/test/{n}" for n in ("dent", "scratch")
    }
    assert {str(p.path.parent) for p in found if p.label is None} == {str(tmp_path / "good")}


def test_a_category_given_by_its_path_is_answered(category, capsys):
    assert main(["run", "--category", str(category)]) == 2
    said = capsys.readouterr().err
    assert str(category.parent) in said and "--data" in said and "'widget'" in said


def test_commands_tell_that_something_is_passed_over(category, tmp_path, capsys):
    (category / "test/900.png").write_bytes((category / "test/good/000.png").read_bytes())
    words = ["annotate", "widget", "--data", str(tmp_path), "--format", "coco", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "widget: warnings: images beside the class folders; `hw3 data check` says more" in capsys.readouterr().out
