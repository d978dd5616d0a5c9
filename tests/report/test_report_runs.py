"""What the report reads, what it refuses, and which run it takes."""

import json
import os
import re

import matplotlib.pyplot as plt
import pytest

from hw3lib.errors import Hw3Error
from hw3lib.report import build, chosen_run, find_run, newest_run
from hw3lib.report.runs import NOTHING, Run, escaped, printed
from tests.helpers.report_runs import write


def change(folder, number, **values):
    path = folder / number / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "value, scale, spec, expected",
    [
        (0.74666, 100, ".1f", "74.7"),
        (-0.0004, 100, "+.1f", "+0.0"),  # not -0.0
        (-0.0004, 1, ".3f", "0.000"),
        (-0.0006, 1, ".3f", "-0.001"),
        (30.0, 1, ".0f", "30"),
        (0.001, 1, "g", "0.001"),
        (None, 1, ".3f", NOTHING),
        (float("nan"), 1, ".3f", NOTHING),
        ("a\nb\ue000", 1, "s", "a b"),
        ("a\ud800b", 1, "s", "a b"),
    ],
)
def test_a_value_is_printed_as_its_rounding_says(value, scale, spec, expected):
    assert printed(value, scale, spec) == expected


def test_a_pointer_finds_keys_with_slashes_and_tildes_and_rows_of_tables(make, tmp_path):
    folder = make(tmp_path / "r", defects=("a/b", "c~d"))
    run = Run(folder)
    assert run.value("01/metrics.json", f"/classes/{escaped('a/b')}") == 17
    assert run.value("01/metrics.json", f"/classes/{escaped('c~d')}") == 16
    assert run.value("01/classes.csv", "/1/defect") == "a/b"
    assert run.value("01/classes.csv", "/1/test") == 17
    with pytest.raises(Hw3Error, match="there is no /classes/e"):
        run.value("01/metrics.json", "/classes/e")


@pytest.mark.parametrize("text", ["{", "", '{"category": ', "[1, 2]"])
def test_a_damaged_metrics_file_is_named_with_what_to_do(make, tmp_path, text):
    folder = make(tmp_path / "r")
    (folder / "03/metrics.json").write_text(text)
    with pytest.raises(Hw3Error, match=r"03.metrics\.json.*hw3 run 03 --force"):
        build(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_of_different_categories_are_no_report(make, tmp_path):
    folder = make(tmp_path / "r")
    change(folder, "02", category="screws")
    with pytest.raises(Hw3Error, match="different categories.*02: screws.*03: bolts"):
        build(folder)


def test_results_of_different_images_are_no_report(make, tmp_path):
    folder = make(tmp_path / "r")
    change(folder, "04", data_digest="cd" * 32)
    with pytest.raises(Hw3Error, match="different images.*04: cdcd"):
        build(folder)


def test_a_mixture_of_profiles_is_noted(make, tmp_path):
    folder = make(tmp_path / "r")
    change(folder, "04", profile="full")
    made = build(folder)
    assert any("different profiles" in note and "04 full" in note for note in made.notes)
    assert "different profiles" in made.html.read_text()


def test_a_number_that_is_missing_or_no_number_is_refused_with_its_place(make, tmp_path):
    folder = make(tmp_path / "r")
    board = json.loads((folder / "02/metrics.json").read_text())["leaderboard"]
    change(folder, "02", leaderboard=[board[0] | {"accuracy": "high"}, *board[1:]])
    with pytest.raises(Hw3Error, match=r"02.metrics\.json: /leaderboard/0/accuracy is 'high'; expected a number"):
        build(folder)
    del board[1]["ci_low"]
    change(folder, "02", leaderboard=board)
    with pytest.raises(Hw3Error, match="there is no /leaderboard/1/ci_low"):
        build(folder)


@pytest.mark.parametrize("classes", [3, {"good": None, "dent": 1}])
def test_values_of_another_kind_are_refused_with_what_to_do(make, tmp_path, classes):
    folder = make(tmp_path / "r")
    change(folder, "01", classes=classes)
    with pytest.raises(Hw3Error, match=r"r: a metrics\.json there holds something else.*--force"):
        build(folder)


def test_a_damaged_figure_is_named(make, tmp_path):
    folder = make(tmp_path / "r")
    (folder / "04/figures/heat_maps.png").write_bytes(b"no picture")
    with pytest.raises(Hw3Error, match=r"heat_maps\.png: no readable picture.*hw3 run 04 --force"):
        build(folder)


def test_nothing_measured_is_no_report(tmp_path):
    with pytest.raises(Hw3Error, match="no results to report.*hw3 run"):
        build(tmp_path)


@pytest.mark.parametrize("number", ["01", "02", "03", "04", "05", "07"])
def test_a_missing_chapter_is_named_and_the_rest_is_reported(make, tmp_path, number):
    made = build(make(tmp_path / "r", without=(number,)))
    assert number in made.missing
    text = made.html.read_text()
    assert f"notebook {number} has not been run (hw3 run {number})" in text
    assert text.count("has not been run") == 1
    assert made.pages <= 3


def test_chapters_beside_missing_ones_invent_nothing(make, tmp_path):
    made = build(make(tmp_path / "r", without=("01", "02", "03", "05", "07")))
    assert {row["file"] for row in made.numbers} == {"04/metrics.json"}
    assert [what for what in made.missing if len(what) == 2] == ["01", "02", "03", "05", "07"]


def test_a_missing_figure_and_empty_lists_are_named(make, tmp_path):
    folder = make(tmp_path / "r")
    (folder / "04/figures/heat_maps.png").unlink()
    change(folder, "05", sam=[], detection=[], formats=[])
    made = build(folder)
    assert set(made.missing) == {"04/figures/heat_maps.png", "05: sam", "05: detection", "05: formats"}
    text = made.html.read_text()
    assert "Not measured: SAM before and after fine-tuning" in text
    assert "No annotation format was written" in text


def test_why_something_was_not_measured_is_printed(make, tmp_path):
    folder = make(tmp_path / "r")
    why = "IoU needs true masks and there are none"
    change(folder, "05", sam=None, detection=None, left_out={"sam": why, "detection": why}, origin="anomaly maps")
    made = build(folder)
    assert set(made.missing) == {"05: sam", "05: detection"}
    text = made.html.read_text()
    assert text.count(f"because {why}.") == 2 and "made from anomaly maps for a person to correct" in text
    assert "Annotations made from the masks" not in text


GOOD_ONLY = {
    "02": {"leaderboard": None, "best": None, "baseline": None, "left_out": {"leaderboard": "there is 1 class alone"}},
    "03": {"methods": None, "left_out": {"methods": "there is nothing to balance"}},
    "05": {"formats": None, "sam": None, "detection": None, "left_out": {"formats": "there is nothing to annotate"}},
}


def test_chapters_that_had_nothing_to_do_say_why_and_lack_no_figure(make, tmp_path):
    folder = make(tmp_path / "r", without=tuple(GOOD_ONLY), defects=())
    for number, values in GOOD_ONLY.items():
        write(folder, number, "bolts", values)
    made = build(folder)
    assert set(made.missing) == {"02: leaderboard", "03: methods", "05: formats"} and not made.notes
    text = re.sub("<[^>]*>", "", made.html.read_text())
    for why in ("there is 1 class alone", "there is nothing to balance", "there is nothing to annotate"):
        assert text.count(f"Not possible: {why}.") == 1
    assert "Here good has" not in text  # a tail of a single class
    assert all(Run(folder).agrees(number) for number in made.numbers)


def test_without_good_training_images_question_4_says_so(make, tmp_path):
    folder = make(tmp_path / "r", without=("04",))
    why = {"detectors": "good training images: 3, and a detector needs 4 or more to learn from"}
    write(folder, "04", "bolts", {"detectors": None, "threshold": None, "false_alarm_rate": None, "left_out": why})
    made = build(folder)
    assert made.missing == ["04: detectors"]
    text = re.sub("<[^>]*>", "", made.html.read_text())
    assert f"Not possible: {why['detectors']}." in text and "can redraw them" in text


def test_detectors_that_good_images_alone_cannot_rank_are_given_with_their_false_alarms(make, tmp_path):
    folder = make(tmp_path / "r")
    rows = json.loads((folder / "04/metrics.json").read_text())["detectors"]
    nulls = dict.fromkeys(("image_auroc", "auroc_low", "auroc_high", "pixel_auroc", "aupro", "detection_rate"))
    rows = [row | nulls | {"false_alarm_rate": 0.1 * i} for i, row in enumerate(rows)]
    change(folder, "04", detectors=rows, left_out={"image_auroc": "there is no image of a defect"})
    made = build(folder)
    text = re.sub("<[^>]*>", "", made.html.read_text())
    assert "ranks first" not in text and "There is no image of a defect." in text
    assert "false alarms, set on 11 good images held out, stop 0 to 20 %" in text
    assert "false alarms, %" in text and "image AUROC" not in text and not made.missing
    assert all(Run(folder).agrees(number) for number in made.numbers)


def test_what_else_a_chapter_left_out_is_printed_beside_what_it_measured(make, tmp_path):
    folder = make(tmp_path / "r")
    said = {number: f"chapter {number} had 3 images without masks" for number in ("01", "02", "03", "04", "05", "07")}
    for number, why in said.items():
        change(folder, number, left_out={"masks": why})
    made = build(folder)
    text = re.sub("<[^>]*>", "", made.html.read_text())
    assert all(f"C{why[1:]}." in text for why in said.values()) and not made.missing and made.pages <= 3


def test_what_a_table_lacks_is_printed_and_what_brings_it_is_told(make, tmp_path):
    folder = make(tmp_path / "r")
    assert "Left out: " not in build(folder).html.read_text()
    left_out = {"sam": "SAM needs weights", "yolo": "YOLO needs version 8"}
    change(folder, "05", sam=None, left_out=left_out, advice={"sam": "To have it: ask", "yolo": "To have it: pip"})
    made = build(folder)
    text = re.sub("<[^>]*>", "", made.html.read_text())
    assert "SAM before and after fine-tuning, because SAM needs weights." in text
    assert "Left out: YOLO needs version 8." in text and "To have it" not in text
    assert made.notes == ["To have it: ask", "To have it: pip"]


def test_a_line_is_told_with_what_the_monitor_noticed(make, tmp_path):
    folder = make(tmp_path / "r")

    def said(**values):
        change(folder, "07", **values)
        made = build(folder)
        assert all(Run(folder).agrees(number) for number in made.numbers) and not made.missing and made.pages <= 3
        return re.sub("<[^>]*>", "", made.html.read_text())

    text = said()
    assert "A simulated line of 317 photographs" in text and "noticed the lamp 19 photographs after" in text
    assert "tells it after 53." in text and "metal_contamination: 6 of 8 were said to be new." in text
    text = said(drift={"alarm": None, "stopped_alone": None, "light": None}, unseen={"type": None})
    assert "The monitor did not notice the lamp." in text and "tells it" not in text and "to be new" not in text


def test_a_line_that_could_not_run_says_why(make, tmp_path):
    folder = make(tmp_path / "r", without=("07",))
    write(folder, "07", "bolts", {"line": None, "unseen": None, "drift": None, "left_out": {"line": "no good ones"}})
    made = build(folder)
    assert made.missing == ["07: line"] and "Not possible: no good ones." in re.sub(
        "<[^>]*>", "", made.html.read_text()
    )


def test_names_that_no_font_can_draw_are_reported(make, tmp_path, monkeypatch):
    from matplotlib import font_manager

    folder = make(tmp_path / "r", defects=("刮傷", "bent"))
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [f for f in manager.ttflist if f.name.startswith("DejaVu")])
    with plt.rc_context({"font.family": ["sans-serif"]}):
        (said,) = build(folder).notes
    assert "need a font that has 傷 刮" in said and "fonts-noto-cjk" in said


def test_empty_leaderboards_and_lists_do_not_stop_the_report(make, tmp_path):
    folder = make(tmp_path / "r")
    change(folder, "03", methods=[])
    change(folder, "04", detectors=[])
    assert "04: detectors" in build(folder).missing


def test_a_run_is_found_by_name_by_folder_and_by_its_date(make, tmp_path):
    runs = tmp_path / "runs"
    old, new = make(runs / "old"), make(runs / "new")
    half, other = make(runs / "half", without=("04",)), make(runs / "other", category="screws")
    for seconds, folder in enumerate((old, new, half, other)):
        for number in ("01", "02", "03", "04"):
            path = folder / number / "metrics.json"
            if path.is_file():
                os.utime(path, (2e9 + seconds, 2e9 + seconds))
    assert find_run(None, runs) == other
    assert newest_run(runs, "bolts") == new
    assert find_run("half", runs) == half
    assert find_run(str(old), tmp_path / "none") == old
    with pytest.raises(Hw3Error, match="no run 'x'.*there are half, new, old, other"):
        find_run("x", runs)
    with pytest.raises(Hw3Error, match="hw3 run"):
        find_run(None, tmp_path / "none")


def test_a_mixed_run_is_not_the_newest(make, tmp_path):
    good, mixed = make(tmp_path / "good"), make(tmp_path / "mixed")
    change(mixed, "02", category="screws")
    assert newest_run(tmp_path) == good


def test_notebook_06_takes_the_run_it_is_told_or_stands_in_or_the_newest_of_its_category(make, tmp_path, monkeypatch):
    named = make(tmp_path / "runs/bolts-quick", category="bolts")
    monkeypatch.setattr("hw3lib.report.runs.project_root", lambda: tmp_path)
    assert chosen_run("bolts-quick", tmp_path / "runs/other/06", "nuts") == named
    assert chosen_run(None, tmp_path / "runs/other/06", "bolts") == tmp_path / "runs/other"
    assert chosen_run(None, None, "bolts") == named
    assert chosen_run(None, None, "nuts") == tmp_path / "runs/interactive"


def test_a_run_on_another_category_than_the_one_asked_for_is_no_report(small_run, tmp_path):
    with pytest.raises(Hw3Error, match="the run is on bolts, and category is 'nuts': set category to 'bolts'"):
        build(small_run, tmp_path / "out", category="nuts")
    assert not (tmp_path / "out").exists()
    assert build(small_run, tmp_path / "out", category="bolts").category == "bolts"


def test_a_figure_beyond_all_floats_is_refused_in_a_report(tmp_path):
    (tmp_path / "01").mkdir()
    (tmp_path / "01/metrics.json").write_text(json.dumps({"category": "a", "images": 10**400}))
    run = Run(tmp_path)
    with pytest.raises(Hw3Error, match="expected a number"):
        run.mark("01/metrics.json", "/images", ".1f", 100.0)
