"""hw3lib.runs.folder: what a run writes, whole or not at all, and readable by others."""

import json
import shutil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure
from PIL import Image

from hw3lib.core.fonts import MissingFont
from hw3lib.core.provenance import code_version
from hw3lib.data import digest, load_table
from hw3lib.errors import Hw3Error
from hw3lib.runs import folder
from hw3lib.runs.contract import ENDED, PHOTOGRAPHS, ChapterEnds
from hw3lib.runs.folder import RunFolder
from hw3lib.runs.step import COMMON_KEYS, Notebook, fingerprint


@pytest.fixture
def run(category, tmp_path):
    return RunFolder("01", load_table(category.parent, "widget"), "quick", str(tmp_path / "out"), seeds={"a": 3})


def test_metrics_have_the_common_keys_and_no_nan(run, category, tmp_path):
    run.metrics(images=np.int64(5), share=np.float32(0.5), missing=float("nan"), names=pd.Series({"x": 1}),
                rows=pd.DataFrame({"a": [1.0, np.nan]}), grid=np.eye(2, dtype=int))  # fmt: skip
    text = (tmp_path / "out/metrics.json").read_text()
    content = json.loads(text)
    assert set(COMMON_KEYS) <= set(content) and "NaN" not in text
    assert content["data_digest"] == digest(load_table(category.parent, "widget"))
    assert content["category"] == "widget" and content["seeds"] == {"a": 3} and content["seconds"] >= 0
    assert content["images"] == 5 and content["missing"] is None and content["names"] == {"x": 1}
    assert content["rows"] == [{"a": 1.0}, {"a": None}] and content["grid"] == [[1, 0], [0, 1]]


def test_metrics_say_the_code_version_that_the_runner_records(run, tmp_path, monkeypatch):
    run.metrics()
    said = json.loads((tmp_path / "out/metrics.json").read_text())["code"]
    assert said == code_version() and len(said) == 64
    code_version.cache_clear()  # the files may have changed since this process read them
    assert code_version() == fingerprint(Notebook(tmp_path, {}, (), ""), {}, "")["hw3lib"]
    # Another byte in any file is another version.
    package = tmp_path / "hw3lib"
    package.mkdir()
    (package / "a.py").write_text("x = 1")
    monkeypatch.setattr("hw3lib.core.provenance.__file__", str(package / "provenance.py"))
    seen = set()
    for text in ("x = 1", "x = 2"):
        (package / "a.py").write_text(text)
        code_version.cache_clear()
        seen.add(code_version())
    code_version.cache_clear()
    assert len(seen) == 2


def test_a_figure_that_pyplot_does_not_hold_is_shown_once(run, monkeypatch):
    shown = []
    monkeypatch.setattr("hw3lib.runs.folder.display", shown.append)
    apart, held = Figure(), plt.figure()
    run.figure(apart, "apart")
    assert not shown, "outside of a notebook there is nowhere to show it"
    monkeypatch.setattr("hw3lib.runs.folder.get_ipython", object)
    run.figure(apart, "apart")
    run.figure(held, "held")
    plt.close(held)
    assert [image.data[:4] for image in shown] == [b"\x89PNG"]


@pytest.mark.parametrize("fonts", [["a font"], []], ids=["a font", "no font"])
def test_a_figure_is_in_the_language_here_where_a_font_has_it(run, tmp_path, monkeypatch, fonts):
    monkeypatch.setenv("HW3_LANGUAGE", "zh-TW")
    monkeypatch.setattr("hw3lib.core.fonts.chinese_fonts", lambda: fonts)
    figure, (picture, bars) = plt.subplots(2, 1)
    picture.imshow(np.zeros((4, 4)))
    picture.set_title("true: dent\nsaid: good")
    bars.barh([0, 1], [3, 5], label="median")
    bars.set(yticks=[0, 1], yticklabels=["PaDiM", "k-nearest neighbours"], xlabel="image AUROC (95 % interval)")
    bars.set_title("whole image, equal\nbudget: 69%")
    bars.legend()
    if fonts:
        run.figure(figure, "both")
        assert bars.get_title() == "整張影像，預算相同：69%", "lines were broken for English"
    else:
        with pytest.warns(MissingFont, match="圖以英文呈現.*fonts-noto-cjk"):
            run.figure(figure, "both")
    names = [label.get_text() for label in bars.get_yticklabels()]
    shown = [picture.get_title(), bars.get_xlabel(), *names, bars.get_legend().get_texts()[0].get_text()]
    english = ["true: dent\nsaid: good", "image AUROC (95 % interval)", "PaDiM", "k-nearest neighbours", "median"]
    chinese = ["真實：dent\n判為：良品", "影像 AUROC（95 % 區間）", "PaDiM", "k 近鄰", "中位數"]
    assert shown == (chinese if fonts else english)
    assert [bar.get_width() for bar in bars.patches] == [3, 5] and bars.get_yticks().tolist() == [0, 1]
    with Image.open(tmp_path / "out/figures/both.png") as file:
        assert json.loads(file.info[PHOTOGRAPHS])[0]["title"] == english[0], "for a report in any language"
    plt.close(figure)


def test_figures_and_tables(run, tmp_path):
    figure, axes = plt.subplots(dpi=72)
    axes.plot([1, 2])
    run.figure(figure, "line")
    assert figure.dpi == 72, "the notebook shows it at its own resolution"
    assert run.table(pd.DataFrame({"a": [1]}), "numbers")["a"].tolist() == [1]
    plt.close(figure)
    assert (tmp_path / "out/figures/line.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "out/numbers.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbf"), "Excel takes a file without the mark for the machine's own encoding"
    assert written.decode("utf-8-sig").splitlines() == [",a", "0,1"]
    assert list(pd.read_csv(tmp_path / "out/numbers.csv", index_col=0)) == ["a"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["figures", "numbers.csv"]


def test_unknown_profile(category):
    with pytest.raises(Hw3Error, match="profile='slow'"):
        RunFolder("01", load_table(category.parent, "widget"), "slow")


def test_a_chapter_says_what_it_leaves_out_and_goes_on(category, tmp_path, capsys):
    shutil.rmtree(category / "ground_truth")
    run = RunFolder("04", load_table(category.parent, "widget"), "quick", str(tmp_path / "out"))
    run.announce()
    assert capsys.readouterr().out == "No defective image has a mask: pixel AUROC and AUPRO cannot be measured.\n"
    run.metrics(left_out={"yolo": "it is not here"})
    said = json.loads((tmp_path / "out/metrics.json").read_text())["left_out"]
    assert said == {"aupro": "no defective image has a mask: pixel AUROC and AUPRO cannot be measured"} | {
        "yolo": "it is not here"
    }


def test_a_chapter_that_leaves_out_nothing_says_nothing(run, tmp_path, capsys):
    run.announce()
    run.metrics()
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "out/metrics.json").read_text())["left_out"] == {}


def test_a_chapter_with_nothing_to_do_writes_why_and_ends(tmp_path, make_category, capsys):
    make_category(tmp_path / "widget", {"train/good": 5})
    run = RunFolder("02", load_table(tmp_path, "widget"), "quick", str(tmp_path / "out"))
    with pytest.raises(ChapterEnds, match="Chapter 02 ends here") as raised:
        run.announce(n_splits=10, test_size=0.2, random_state=3)
    assert raised.value._render_traceback_() == ["Chapter 02 ends here."]
    assert "so there is nothing to classify." in capsys.readouterr().out
    content = json.loads((tmp_path / "out/metrics.json").read_text())
    assert content[ENDED] is True and set(COMMON_KEYS) <= set(content)
    assert (content["leaderboard"], content["best"], content["baseline"]) == (None, None, None)
    assert content["left_out"]["leaderboard"].endswith("so there is nothing to classify")


def test_a_notebook_displays_tables_in_the_language_here_and_half_told_ones_as_they_are(monkeypatch):
    table = pd.DataFrame(
        {"image_auroc": [0.5, 1.0], "paper": ["every class equally often in a batch", "Yun et al. 2019, on images"]},
        index=pd.Index(["good", "color"], name="defect"),
    )
    before = table.copy()
    shell = InteractiveShell()
    monkeypatch.setattr(folder, "get_ipython", lambda: shell)
    for language, heads in (("en", ["image_auroc", "paper"]), ("zh-TW", ["影像 AUROC", "論文"])):
        monkeypatch.setenv("HW3_LANGUAGE", language)
        folder.tell_tables()
        shown = shell.display_formatter.format(table)[0]
        assert all(f"<th>{head}</th>" in shown["text/html"] and head in shown["text/plain"] for head in heads)
    assert "每個批次中各類別出現的次數相同" in shown["text/html"] and "Yun et al. 2019, on images" in shown["text/html"]
    assert "<th>良品</th>" in shown["text/html"] and "<th>瑕疵</th>" in shown["text/html"]
    told = folder.told(table.reset_index().pivot(columns="defect", values=["image_auroc"]))
    assert told.columns.tolist() == [("影像 AUROC", "color"), ("影像 AUROC", "良品")]
    pd.testing.assert_frame_equal(table, before)
