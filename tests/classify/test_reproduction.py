"""A report's rows from end to end on tiny images: what is run, told, written and drawn."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.classify import Attempt, check_attempt, run_attempt
from hw3lib.classify.student_reports import result as reproduced
from hw3lib.classify.student_reports import run as reproduction
from hw3lib.classify.student_reports.reports import REPORTS
from hw3lib.classify.student_reports.verdicts import fit_to, splits
from hw3lib.core.intervals import Interval
from hw3lib.core.places import project_root
from hw3lib.data import load_table
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones
from hw3lib.views.plots import student_reports
from hw3lib.views.plots.student_reports import figure
from tests.helpers import launched_report
from tests.helpers.tiny_report import LITE, tiny


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """Noise of 32 px in three classes, 8 images to test with in each."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for place in ("train/good", "test/good", "test/dent", "test/scratch"):
        (root / "widget" / place).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(
                root / "widget" / place / f"{i}.png"
            )
    return load_table(root, "widget")


@pytest.fixture
def without_torchvision_weights(monkeypatch):
    """The Lite networks have their weights, and a torchvision network has none."""
    load = backbones.load

    def refuse(name, *, pretrained=True, **rest):
        if pretrained and name not in backbones.LITE:
            raise Hw3Error(f"no ImageNet weights for {name!r}.")
        return load(name, pretrained=pretrained, **rest)

    found = [{"name": name, "weights": "found", "where": ""} for name in backbones.LITE]
    monkeypatch.setattr(backbones, "available", lambda: found)
    monkeypatch.setattr(backbones, "load", refuse)


def reproduce(table, tmp_path, report=None, **options):
    said = []
    done = reproduction.reproduce(
        report or tiny(),
        table,
        draw=student_reports.figure,
        **{"repeats": 2, "runs_dir": tmp_path / "runs", "echo": said.append, "numbers": [1, 3, 4]} | options,
    )
    return done, said


def test_a_report_runs_and_writes_everything(table, tmp_path, without_torchvision_weights):
    done, said = reproduce(table, tmp_path, numbers=(), allow_substitutes=True)
    assert done.folder == tmp_path / "runs" / "reproduce-bottle-widget"
    assert done.rows["row"].tolist() == ["1", "2", "3", "4"]
    assert done.rows["substituted"].tolist() == [False, True, False, False]
    assert done.rows.loc[1, "attempt"] == "EfficientNet-Lite1 for ResNet34, pretrained"
    assert done.rows["reported"].tolist() == [0.375, 0.5, 0.25, 0.875]
    assert done.rows["gain"].isna().tolist() == [True, False, False, False]
    assert done.hypotheses["substituted"].tolist() == [True, False, False]

    base, best = done.results[1], done.results[4]
    assert Interval.read(done.rows.loc[3], "accuracy", "ci", "share") == best.interval()
    assert Interval.read(done.rows.loc[3], "gain", kind="difference") == replace(
        best.gain(base),
        p_equivalent=math.nan,  # which tables do not hold
    )
    assert done.hypotheses["difference"].iloc[-1] == best.gain(base).value
    assert done.rows.loc[3, "seconds"] == pytest.approx(sum(best.seconds))

    assert (done.folder / "figures" / "reproduce.png").read_bytes().startswith(b"\x89PNG")
    written = pd.read_csv(done.folder / "reproduce.csv", dtype={"row": str})
    pd.testing.assert_frame_equal(written, done.rows, check_dtype=False)
    findings = pd.read_csv(done.folder / "hypotheses.csv")
    assert findings["verdict"].tolist() == done.hypotheses["verdict"].tolist()
    metrics = json.loads((done.folder / "metrics.json").read_text())
    assert metrics["report"] == "bottle" and metrics["category"] == "widget" and metrics["repeats"] == 2
    assert metrics["substitutes"] == {"ResNet34": "EfficientNet-Lite1"} and metrics["seeds"] == {"seed": 0}
    assert [row["attempt"] for row in metrics["rows"]] == done.rows["attempt"].tolist()
    assert metrics["rows"][0]["gain"] is None and metrics["reported"]["4"] == {"accuracy": 0.875}
    assert len(metrics["hypotheses"]) == 3

    assert said[0] == (
        "each repeat draws 24 of 24 images: 19 to train on, 5 to test on (the report: 32 and 8, 10 a class)"
    )
    assert [f"- {text}" in said for text in done.report.assumptions] == [True] * 3
    told = said.index("ImageNet weights are missing: EfficientNet-Lite1 for ResNet34 stands in")
    assert [line[:8] for line in said[told + 1 :]] == ["[1/4] 1 ", "[2/4] 2 ", "[3/4] 3 ", "[4/4] 4 "]
    assert "reported 38 (14 to 69) %" in said[told + 1]


def test_all_rows_run_on_the_same_splits(table, tmp_path):
    done, _ = reproduce(table, tmp_path)
    first, *others = done.results.values()
    assert len(others) == 2
    for other in others:
        assert all(np.array_equal(a, b) for a, b in zip(first.test, other.test, strict=True))


def test_the_baseline_always_runs(table, tmp_path):
    done, said = reproduce(table, tmp_path, numbers=[4])
    assert done.rows["row"].tolist() == ["1", "4"] and said[0].startswith("row 1 runs too")
    assert done.hypotheses["hypothesis"].tolist() == ["the best row beats the baseline"]
    _, said = reproduce(table, tmp_path, numbers=[1])
    assert not any(line.startswith("row 1 runs too") for line in said)


def test_a_second_run_goes_on_from_what_is_kept(table, tmp_path):
    done, _ = reproduce(table, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in (done.folder / "kept").iterdir()}
    assert len(before) == 4  # rows 1 and 3 are the same attempt once they are tiny
    again, _ = reproduce(table, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in (done.folder / "kept").iterdir()} == before
    pd.testing.assert_frame_equal(again.rows, done.rows)


def test_another_seed_gives_other_splits(table, tmp_path):
    (one, _), (two, _) = (reproduce(table, tmp_path, seed=seed, name=f"s{seed}", numbers=[1]) for seed in (0, 1))
    assert not all(np.array_equal(a, b) for a, b in zip(one.results[1].test, two.results[1].test, strict=True))


def test_a_method_beyond_the_report_is_the_last_row(table, tmp_path):
    def guided(images, splits, keep, seed):
        assert keep.name == "kept" and seed == 0
        return run_attempt(Attempt("defect-guided", image_size=32, epochs=1, batch_size=8), images, splits)

    done, said = reproduce(table, tmp_path, numbers=[1], beyond=guided)
    last = done.rows.iloc[-1]
    assert last["row"] == "+" and last["attempt"] == "defect-guided" and np.isnan(last["reported"])
    assert not np.isnan(last["gain"]) and said[-1].startswith("[2/2] +  defect-guided")
    shown = reproduced.table_text(done)
    assert "\n+  defect-guided  " in shown and "+ goes beyond the report." in shown
    assert "goes beyond" not in reproduced.table_text(reproduce(table, tmp_path, numbers=[1])[0])


@pytest.mark.parametrize("name", ["a/b", "", ".."])
def test_a_name_that_is_no_folder_name_is_refused(table, tmp_path, name):
    if name == "":
        assert reproduce(table, tmp_path, name=name, numbers=[1])[0].folder.name == "reproduce-bottle-widget"
        return
    with pytest.raises(Hw3Error, match="the run's name is"):
        reproduce(table, tmp_path, name=name)


def test_nothing_to_classify_is_refused_and_a_class_too_small_is_left_out(table, tmp_path):
    good = table[~table["is_defect"]].reset_index(drop=True)
    with pytest.raises(Hw3Error, match="widget: there is no image of a defect beside 16 good images"):
        reproduce(good, tmp_path)
    assert not list(tmp_path.iterdir())
    rare = table[(table["defect"] != "scratch") | ~table["defect"].duplicated()].reset_index(drop=True)
    done, said = reproduce(rare, tmp_path, numbers=[1])
    assert "left out, too few images to learn from some and test on others: scratch (1)" in said
    assert len(done.rows)


def test_nothing_is_written_when_weights_are_missing(table, tmp_path, without_torchvision_weights):
    with pytest.raises(Hw3Error, match="--substitute"):
        reproduce(table, tmp_path, numbers=())
    assert not (tmp_path / "runs").exists()


def test_rows_that_cannot_run_are_reported_together_before_any_is_trained(table, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduction, "run_attempt", None)
    report = tiny()
    first, _, third, fourth = report.rows
    third = replace(third, attempt=replace(third.attempt, batch_size=20))
    fourth = replace(fourth, attempt=replace(fourth.attempt, arch="alexnet", image_size=16))
    with pytest.raises(Hw3Error) as caught:
        reproduce(table, tmp_path, replace(report, rows=(first, third, fourth)))
    told = str(caught.value).splitlines()
    assert (
        told[0] == "2 of 3 rows of the bottle report cannot run here:" and told[3] == "--rows 1: only the rows that can"
    )
    assert told[1].startswith("- row 3: ") and "batch_size=20 is more than the 19 images" in told[1]
    assert told[2].startswith("- row 4: ") and "alexnet does not take images of image_size=16" in told[2]
    assert not (tmp_path / "runs").exists()


def test_all_rows_of_the_longest_report_can_run_on_a_small_category():
    """18 images a class, as the quick profile makes them: the largest batch, of 64, fits into 86 images."""
    report = REPORTS["capsule"]
    table = pd.DataFrame({"defect": np.repeat(report.classes, 18)})
    pairs = splits(report, table)
    assert len(pairs[0][0]) == 86
    attempts = {row.number: fit_to(row.attempt, report, table, pairs) for row in report.rows}
    assert len(attempts) == 10
    for attempt in attempts.values():
        # Parts and batches do not depend on the network: a small one, so that this takes no minute.
        check_attempt(replace(attempt, arch=LITE, image_size=32), table, pairs)


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's rendezvous needs a POSIX system")
def test_several_processes_run_one_report_and_the_first_tells_and_writes(table, tmp_path):
    data = Path(table["image"].iloc[0]).parents[3]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [launched_report.__file__, data, tmp_path / "runs", tmp_path / "out"]
    places = os.pathsep.join(filter(None, [str(project_root()), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": places, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"out.{rank}").read_text()) for rank in (0, 1))
    assert first["accuracy"] == second["accuracy"] and len(first["accuracy"]) == 3
    assert [line[:5] for line in first["said"][-3:]] == ["[1/3]", "[2/3]", "[3/3]"] and second["said"] == []
    folder = tmp_path / "runs/reproduce-bottle-widget"
    assert sorted(file.name for file in folder.iterdir() if file.is_file()) == [
        ".lock", "hypotheses.csv", "metrics.json", "reproduce.csv",
    ]  # fmt: skip
    assert [file.suffix for file in (folder / "kept").iterdir()] == [".json"] * 4


@pytest.fixture
def capsule(table, tmp_path) -> reproduced.Reproduction:
    """All ten rows of the longest report, substituted, with made-up figures."""
    report = REPORTS["capsule"]
    rows = pd.DataFrame(
        {
            "row": str(row.number),
            "attempt": substitute_name(row.attempt),
            **row.interval().columns("reported"),
            "accuracy": 0.5,
            "ci_low": 0.4,
            "ci_high": 0.612,
            "gain": np.nan if row.number == 1 else -0.1234,
            "gain_low": -0.3,
            "gain_high": 0.1,
            "n_splits": 10,
            "seconds": 1234.0,
            "substituted": row.number > 1,
        }
        for row in report.rows
    )
    hypotheses = pd.DataFrame(
        [("512 px help", 9, 4, 0.2, 0.1, 0.3, "held", True), ("normalising helps", 7, 6, 0, -0.1, 0.1, "open", False)],
        columns=["hypothesis", "better", "worse", "difference", "low", "high", "verdict", "substituted"],
    )
    substitutes = {"EfficientNet_v2_l": "EfficientNet-Lite2"}
    return reproduced.Reproduction(report, "synthetic/capsule", rows, hypotheses, substitutes, {}, tmp_path)


def substitute_name(attempt: Attempt) -> str:
    from hw3lib.classify.student_reports.verdicts import substitute

    return substitute(attempt).name


def test_the_table_is_aligned_and_no_wider_than_a_terminal(capsule):
    lines = reproduced.table_text(capsule).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[2].split()[-3:] == ["baseline", "1234", "s"]
    assert lines[10].endswith("75 (55 to 88)  50 (40 to 61)  -12 (-30 to +10)  1234 s")
    assert len({line.index("50 (40 to 61)") for line in lines[2:12]}) == 1
    assert "mean of 10 splits" in lines[12]
    assert lines[-1] == "Substituted: EfficientNet-Lite2 for EfficientNet_v2_l stands in."
    assert "Substituted" not in reproduced.table_text(replace(capsule, substitutes={}))


def test_findings_say_where_a_network_was_substituted(capsule):
    lines = reproduced.findings_text(capsule).splitlines()
    assert lines[2].split() == ["512", "px", "help", "9", "-", "4", "+20", "(+10", "to", "+30)", "held", "*"]
    assert lines[3].endswith("open") and lines[4].endswith("verdicts for all 2 findings (Holm).")
    assert lines[5] == "* with a substituted network"
    plain = replace(capsule, hypotheses=capsule.hypotheses.assign(substituted=False))
    assert "*" not in reproduced.findings_text(plain)
    none = replace(capsule, hypotheses=capsule.hypotheses.iloc[:0])
    assert "None of the report's findings" in reproduced.findings_text(none)


def test_the_figure_shows_every_row_and_says_what_was_substituted(capsule):
    drawn = figure(capsule)
    axes = drawn.axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert len(labels) == 10 and labels[0] == "1  EfficientNet-Lite0 for ResNet18,\n32 px"
    assert "EfficientNet-Lite2 for EfficientNet_v2_l stands in" in axes.get_title(loc="left")
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "reported", "ours", "ours, network substituted", "our baseline",
    ]  # fmt: skip
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert len(dots) == 20
    assert [float(dot.get_xdata()[0]) for dot in dots[::2]] == capsule.rows["reported"].tolist()
    texts = {text.get_text() for text in axes.texts}
    assert {"75%", "50%"} <= texts
    # Nothing is cut off: every label lies inside the figure once it is laid out.
    drawn.draw_without_rendering()
    box = drawn.bbox
    for text in [*axes.get_yticklabels(), *axes.texts, axes.xaxis.label, *drawn.legends[0].get_texts()]:
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
    plain = figure(replace(capsule, substitutes={}, rows=capsule.rows.assign(substituted=False)))
    assert "stand" not in plain.axes[0].get_title(loc="left")
    assert "substituted" not in str([text.get_text() for text in plain.legends[0].get_texts()])


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Nothing of the developer's is looked into; the first root is ``tmp_path/a``, the second ``tmp_path/b``."""
    monkeypatch.setenv("HW3_DATA", str(tmp_path / "b"))
    monkeypatch.setattr("hw3lib.core.places.project_root", lambda: tmp_path / "project")
    made = []
    monkeypatch.setattr(reproduction, "get", lambda name, data, **_: made.append((name, data)) or tmp_path / "made")
    return made


def found(tmp_path, category=None, data="a"):
    said = []
    place = reproduction.locate("wood", category, data and str(tmp_path / data), said.append)
    return place, said


def test_the_real_category_comes_before_the_generated_one(tmp_path, places):
    (tmp_path / "a/synthetic/wood/test/good").mkdir(parents=True)
    (tmp_path / "b/wood/test/good").mkdir(parents=True)
    assert found(tmp_path) == ((tmp_path / "b", "wood"), [])


def test_the_generated_category_stands_in_and_is_said(tmp_path, places):
    (tmp_path / "b/synthetic/wood/test/good").mkdir(parents=True)
    place, said = found(tmp_path)
    assert place == (tmp_path / "b", "synthetic/wood") and places == []
    assert len(said) == 1 and said[0].startswith(f"wood is not in {tmp_path / 'a'}, {tmp_path / 'b'}, ")
    assert said[0].endswith("; synthetic/wood stands in")


def test_the_generated_category_is_made_if_it_is_missing(tmp_path, places):
    assert found(tmp_path)[0] == (tmp_path / "made", "synthetic/wood")
    assert found(tmp_path, "synthetic/carpet", None)[0] == (tmp_path / "made", "synthetic/carpet")
    assert places == [("synthetic/wood", str(tmp_path / "a")), ("synthetic/carpet", None)]


@pytest.mark.parametrize(("inside", "said"), [("wood", "too high"), ("", "too low")])
def test_a_folder_on_the_wrong_level_is_not_answered_by_generated_images(tmp_path, places, inside, said):
    (tmp_path / "a/deep" / inside / "test/good").mkdir(parents=True)
    with pytest.raises(Hw3Error, match=said):
        found(tmp_path, data="a" if inside else "a/deep")
    assert places == []
