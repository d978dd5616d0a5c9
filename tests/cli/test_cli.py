"""The command line: values, summary, data commands, exit codes. Notebooks are executed in test_runner.py."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hw3lib import __version__
from hw3lib.cli import main as cli
from hw3lib.core.untrusted import parse_value
from hw3lib.errors import Hw3Error
from hw3lib.runs import run as runner
from hw3lib.runs import step as execution
from hw3lib.runs import summary


@pytest.fixture(autouse=True)
def no_other_data(monkeypatch, tmp_path):
    """Neither the developer's HW3_DATA nor data/ of the checkout may be looked into or written to."""
    monkeypatch.delenv("HW3_DATA", raising=False)
    monkeypatch.setattr("hw3lib.core.places.project_root", lambda: tmp_path / "project")


def hw3(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-3", 0.001), ("-2", -2), ("True", True), ("true", True), ("None", None), ("null", None),
        ("[a, 1]", ["a", 1]), ("{a: 1}", {"a": 1}), ("no", "no"), ("resnet18", "resnet18"),
        ("12:30", "12:30"), ("'3'", "3"), ("", ""), ("1j", "1j"), ("[", "["),
    ],
)  # fmt: skip
def test_values_from_the_command_line(text, value):
    assert parse_value(text) == value and type(parse_value(text)) is type(value)


def test_key_figures():
    first = {"images": 292, "defect_classes": 3, "image_size": [900, 900], "seconds": 1}
    assert summary.key_figures("01", first) == "292 images, 3 defect classes, 900x900"
    board = [
        {"attempt": "transfer", "accuracy": 0.95, "ci_low": 0.9, "ci_high": 0.981},
        {"attempt": "scratch", "accuracy": 0.5, "ci_low": 0.4, "ci_high": 0.6},
    ]
    second = {"leaderboard": board, "best": "transfer", "baseline": "scratch"}
    expected = "best transfer 0.950 (0.900 to 0.981), baseline scratch 0.500 (0.400 to 0.600)"
    assert summary.key_figures("02", second) == expected
    assert summary.key_figures("04", {"device": "cpu", "detectors": [1, 2], "threshold": 0.51234}) == (
        "2 detectors, threshold 0.512"
    )
    assert summary.key_figures("02", {"best": "x", "leaderboard": []}) == "best x, 0 leaderboard"
    gains = {"ratio": 10, "gain_low": -0.03, "gain_high": 0.06}
    third = {
        "methods": [
            {"method": "plain", "ratio": 10, "balanced_accuracy": 0.5},
            {"method": "a", "balanced_accuracy": 0.51, "gain": 0.01, **gains},
            {"method": "b", "balanced_accuracy": 0.52, "gain": 0.02, **gains},
            {"method": "c", "balanced_accuracy": 0.52, "gain": 0.02 + 1e-17, **gains},
        ]
    }
    expected = "plain 0.500 at 1:10, best b +2.0 points (-3.0 to +6.0)"
    assert summary.key_figures("03", third) == expected
    fourth = [{"detector": d, "image_auroc": 0.9, "auroc_low": 0.8, "auroc_high": 1.0} for d in ("PaDiM", "PatchCore")]
    expected = "PatchCore image AUROC 0.900 (0.800 to 1.000), 2 detectors"
    assert summary.key_figures("04", {"best": "PatchCore", "detectors": fourth}) == expected
    fifth = {
        "formats": [{}, {}],
        "sam": [{"prompt": "box", "iou_before": 0.5, "iou_after": 0.75}, {"prompt": "click"}],
        "detection": [
            {"model": m, "map50_before": 0.0, "map50_after": v} for m, v in (("FCOS", 0.1), ("YOLOv8n", 0.2))
        ],
        "left_out": {},
    }
    expected = "2 formats, SAM's IoU with a box 0.500 to 0.750, mAP50 of YOLOv8n 0.000 to 0.200"
    assert summary.key_figures("05", fifth) == expected
    fifth |= {"left_out": {"yolo": "YOLO needs a package"}}
    assert summary.key_figures("05", fifth) == f"{expected}, left out: yolo, as the notebook and the report say"
    none = {"formats": [{}], "sam": None, "detection": None, "left_out": {"sam": "no masks", "detection": "no masks"}}
    assert summary.key_figures("05", none) == "1 formats, not measured: no masks"
    seventh = {"line": [{"stopped": 9, "photographs": 11}, {"stopped": 7, "photographs": 8}], "drift": {"alarm": 18}}
    assert (
        summary.key_figures("07", seventh)
        == "16 of 19 defects stopped, alarm 18 photographs after the lamp began to age"
    )
    assert summary.key_figures("07", seventh | {"drift": {"alarm": None}}) == "16 of 19 defects stopped, no alarm"
    assert summary.key_figures("01", {}) == ""
    assert summary.key_figures("05", {"formats": [], "sam": [], "detection": [], "left_out": "x"})[-10:] == "left_out x"
    assert summary.key_figures("01", {"note": "\ud800"}) == "note \\ud800"


def test_summary_keeps_the_rows_of_notebooks_that_were_not_run(tmp_path):
    def outcome(name, status):
        return execution.Outcome(name, status, 1.0, tmp_path / name[:2], {})

    summary.write_summary(tmp_path, [outcome("91_a", "ran"), outcome("92_b", "ran")])
    summary.write_summary(tmp_path, [outcome("92_b", "failed")])
    rows = [line.split(",")[:2] for line in (tmp_path / "summary.csv").read_text(encoding="utf-8-sig").splitlines()]
    assert rows == [["notebook", "status"], ["91_a", "ran"], ["92_b", "failed"]]


def test_help_is_quick_and_shows_examples():
    command = [sys.executable, "-X", "importtime", "-m", "hw3lib.cli.main"]
    times = []
    for _ in range(3):
        start = os.times()
        done = subprocess.run([*command, "--help"], capture_output=True, text=True)
        end = os.times()  # of the processor: another program may have the other cores
        times.append(end.children_user + end.children_system - start.children_user - start.children_system)
    assert done.returncode == 0 and "Examples:\n  hw3 doctor" in done.stdout
    for heavy in ("torch", "papermill", "pandas", "numpy", "nbformat"):
        assert f" {heavy}\n" not in done.stderr
    assert min(times) < 0.5


def test_a_command_imports_no_other_and_its_help_nothing_heavy():
    heavy = ("torch", "pandas", "numpy", "yaml", "hw3lib.cli.detect", "hw3lib.cli.doctor")
    code = f"import sys; from hw3lib.cli.main import parser; parser(['run']); print(sys.modules.keys() & set({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
    code = (
        f"import sys; from hw3lib.cli.main import parser; parser(); print(*sorted(sys.modules.keys() & set({heavy})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "hw3lib.cli.detect hw3lib.cli.doctor\n"


def test_the_package_is_the_command():
    done = subprocess.run([sys.executable, "-m", "hw3lib.cli", "--version"], capture_output=True, text=True)
    assert done.stdout == f"hw3 {__version__}\n" and done.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        *([name] for name in cli.COMMANDS),
        *(["data", x] for x in ("list", "make", "get", "check")),
        *(["detect", x] for x in ("fit", "score", "export")),
    ],
)
def test_every_command_has_a_description_and_examples(words, capsys):
    with pytest.raises(SystemExit) as stop:
        hw3(*words, "--help")
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"Examples:\n  hw3 {' '.join(words)}" in shown
    before_options = shown.split("\n\n")[1]
    assert before_options.endswith(".") and before_options[0].isupper()


def test_version(capsys):
    with pytest.raises(SystemExit):
        hw3("--version")
    assert capsys.readouterr().out == f"hw3 {__version__}\n"


def test_run_hands_everything_over(monkeypatch, capsys, tmp_path):
    calls = []
    good = execution.Outcome(
        "01_a", "ran", 12.34, tmp_path / "01", {"images": 3, "defect_classes": 1, "image_size": [9, 8]}
    )
    bad = execution.Outcome("02_b", "failed", 1.0, tmp_path / ".02.work", {}, "02_b: failed in cell In [3]: oh")

    def fake(chosen, **options):
        calls.append((chosen, options))
        options["echo"]("[1/1] 01_a: running")
        return [good, bad] if chosen else [good]

    monkeypatch.setattr(runner, "run_notebooks", fake)
    assert hw3("run") == 0
    assert capsys.readouterr().err == ""
    chosen, options = calls.pop()
    options.pop("echo")
    assert chosen == [] and options == {
        "category": "synthetic/bottle", "data": None, "profile": "quick", "parameters": {}, "name": None,
        "timeout": 1800, "force": False, "jobs": None, "out": None, "notebooks_dir": None,
    }  # fmt: skip
    more = [
        "-p",
        "seed",
        "3",
        "-p",
        "lr",
        "1e-3",
        "--timeout",
        "0",
        "--profile",
        "full",
        "--force",
        "--data",
        "a b",
    ]
    assert hw3("run", "1", "02", *more) == 1
    chosen, options = calls.pop()
    assert chosen == ["1", "02"] and options["parameters"] == {"seed": 3, "lr": 0.001} and options["data"] == "a b"
    assert options["timeout"] is None and options["force"] and options["profile"] == "full"
    shown = capsys.readouterr()
    assert "02_b: failed in cell In [3]: oh" in shown.err
    lines = shown.out.splitlines()
    assert lines[0] == "[1/1] 01_a: running"
    assert lines[2].split() == ["notebook", "status", "seconds", "key", "figures", "results"]
    row = lines[4]
    assert row.startswith("01_a      ran     12.3     3 images, 1 defect class, 9x8  ") and row.endswith("01")


def test_errors_for_the_user(monkeypatch, capsys):
    def refuse(*_, **__):
        raise Hw3Error("lamp.png: is dark")

    monkeypatch.setattr(runner, "run_notebooks", refuse)
    assert hw3("run") == 2
    assert capsys.readouterr().err == "error: lamp.png: is dark\n"
    for words in (["--debug", "run"], ["run", "--debug"]):
        with pytest.raises(Hw3Error):
            hw3(*words)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_notebooks", interrupt)
    assert hw3("run") == 130
    assert "the same command goes on from there" in capsys.readouterr().err


def test_data_check(category, capsys):
    root = category.parent
    assert hw3("data", "check", "widget", "--data", root) == 0
    assert capsys.readouterr().out.startswith("widget: 16 images (5 train, 11 test), 3 classes")
    picture = category / "test" / "dent" / "000.png"
    picture.write_bytes(picture.read_bytes()[:100])
    (category / "ground_truth" / "dent" / "001_mask.png").unlink()
    assert hw3("data", "check", "widget", "--data", root) == 1
    shown = capsys.readouterr().out
    assert str(picture) in shown and "WARNING missing mask" in shown and "dent/001.png" in shown
    assert "1 errors, 1 warnings" in shown
    assert hw3("data", "check", "widgot", "--data", root) == 2
    assert "did you mean 'widget'?" in capsys.readouterr().err


def test_data_list(category, capsys):
    assert hw3("data", "list", "--data", category.parent) == 0
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["widget"] == ["16", str(category.parent)]
    assert rows["synthetic/wood"] == ["-", "missing; hw3 data make synthetic/wood"]
    assert rows["zipper"] == ["-", "missing; hw3 data get zipper"]
    assert len(rows) == 2 + 4 + 15 + 1


def test_data_make_and_get(monkeypatch, capsys, tmp_path):
    made = []

    def make(category, root, profile, seed, *, progress, force):
        made.append((category.removeprefix("synthetic/"), Path(root), profile, seed, force))
        return Path(root) / category

    monkeypatch.setattr("hw3lib.data.synthetic.make", make)
    assert hw3("data", "make", "all", "--data", tmp_path, "--seed", "4") == 0
    assert made == [(name, tmp_path, "quick", 4, False) for name in ("carpet", "wood", "bottle", "capsule")]
    made.clear()
    assert hw3("data", "make", "synthetic/wood", "--profile", "full", "--force") == 0
    assert made == [("wood", tmp_path / "project" / "data", "full", 0, True)]
    capsys.readouterr()

    asked = {}
    monkeypatch.setattr(
        "hw3lib.data.fetch.sources.get", lambda name, data, **rest: asked.update(rest, data=data) or tmp_path
    )
    assert hw3("data", "get", "bottle", "--accept-license", "--archive", "b.tar.xz", "--data", tmp_path) == 0
    assert asked["accept_license"] is True and asked["archive"] == "b.tar.xz" and asked["data"] == str(tmp_path)
    assert capsys.readouterr().out == f"{tmp_path / 'bottle'}\n"
    assert hw3("data", "get", "bottle") == 0
    assert asked["accept_license"] is False and asked["archive"] is None


def test_nothing_is_downloaded_before_the_licence_is_accepted(capsys):
    assert hw3("data", "get", "zipper") == 2
    assert "CC BY-NC-SA 4.0" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough(category):
    """``hw3 data list | true``: no traceback, and none at exit either."""
    environment = os.environ | {"PYTHONUNBUFFERED": "", "HW3_DATA": str(category.parent)}
    command = [sys.executable, "-m", "hw3lib.cli.main", "data", "list"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(write)
    assert done.stderr == ""


@pytest.fixture
def bottle(monkeypatch, tmp_path):
    """The bottle report cut down to seconds, 24 images to run it on, and no way to torchvision's weights."""
    import numpy as np
    from PIL import Image

    from hw3lib.classify.student_reports.reports import REPORTS
    from hw3lib.networks import backbones

    for i in range(8):
        for place in ("train/good", "test/good", "test/dent", "test/crack"):
            (tmp_path / "data/bottle" / place).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([i, *place.encode()]).integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data/bottle" / place / f"{i}.png")

    def change(**settings):
        def smaller(row):
            arch = "simple_cnn" if row.attempt.strategy == "scratch" else row.attempt.arch
            return replace(row, attempt=replace(row.attempt, **{"arch": arch, **settings}))

        report = REPORTS["bottle"]
        monkeypatch.setitem(REPORTS, "bottle", replace(report, rows=tuple(map(smaller, report.rows))))

    def refuse(name, **_):
        raise Hw3Error(f"no ImageNet weights for {name!r}.")

    change(image_size=32, epochs=2, batch_size=8)
    monkeypatch.setattr(backbones, "available", lambda: [])
    monkeypatch.setattr(backbones, "load", refuse)
    monkeypatch.setattr("hw3lib.runs.kernel.project_root", lambda: tmp_path / "project")
    return change


def reproduce(tmp_path, *more):
    return hw3("reproduce", "bottle", "--data", tmp_path / "data", "--repeats", "2", *more)


def test_reproduce_prints_table_findings_and_folder(bottle, tmp_path, capsys):
    assert reproduce(tmp_path, "--rows", 3, 4, "--seed", 5, "--name", "mine") == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == f"bottle report on bottle in {tmp_path / 'data'}"
    at = next(i for i, line in enumerate(lines) if line.startswith("#  attempt"))
    assert lines[at - 2].startswith("[3/3] 4  ResNet18 from scratch, lower rate: ")
    assert [line.split()[0] for line in lines[at + 2 : at + 5]] == ["1", "3", "4"]
    assert "88 (53 to 98)" in lines[at + 4]
    assert "a lower rate and more epochs help" in shown.out and "a pretrained network helps" not in shown.out
    folder = tmp_path / "project/runs/mine"
    assert lines[-1] == f"results: {folder}" and (folder / "reproduce.csv").is_file()
    assert '"seed": 5' in (folder / "metrics.json").read_text()


def test_reproduce_hands_everything_over(bottle, tmp_path, monkeypatch):
    from hw3lib.classify.student_reports import run as reproduction

    def fake(report, table, **options):
        del options["echo"], options["draw"]
        calls.append((report.name, table.attrs["category"], options))
        raise Hw3Error("enough")

    calls = []
    monkeypatch.setattr(reproduction, "reproduce", fake)
    assert hw3("reproduce", "wood", "--data", tmp_path / "data", "--category", "bottle", "--substitute") == 2
    options = {"repeats": 10, "seed": 0, "allow_substitutes": True, "numbers": [], "name": None, "progress": False}
    options["out"] = None
    assert calls == [("wood", "bottle", options | {"beyond": None})]


def test_reproduce_runs_the_guided_classifier_last_when_asked(bottle, tmp_path, monkeypatch):
    from hw3lib.classify.guided import classifier as guided
    from hw3lib.classify.student_reports import run as reproduction
    from hw3lib.data import classification_images

    def fake_reproduce(report, table, *, beyond, **options):
        images = classification_images(table)
        beyond(images, ["a split"], tmp_path / "kept", 3)
        raise Hw3Error("enough")

    def fake_run(method, images, good, splits, *, keep, seed):
        calls.append((method, splits, keep, seed))
        assert len(good) and not good["is_defect"].any() and not good["image"].isin(images["image"]).any()

    calls = []
    monkeypatch.setattr(reproduction, "reproduce", fake_reproduce)
    monkeypatch.setattr(guided, "run_guided", fake_run)
    assert hw3("reproduce", "bottle", "--data", tmp_path / "data", "--category", "bottle", "--guided") == 2
    assert calls == [(guided.DefectGuided(), ["a split"], tmp_path / "kept", 3)]


def test_reproduce_stops_where_weights_are_missing(bottle, tmp_path, capsys):
    assert reproduce(tmp_path) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ImageNet weights are missing, and the bottle report needs them (rows: 2):\n")
    assert "--substitute: EfficientNet-Lite1 for ResNet34 stands in" in shown.err and "[1/" not in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["botle"], "unknown report 'botle'; did you mean 'bottle'? There are carpet, wood, bottle, capsule"),
        (["bottle", "--category", "botle"], "unknown category 'botle' in {data}; did you mean 'bottle'?"),
        (["bottle", "--category", "zipper"], "zipper is not in {data}"),
        (["bottle", "--rows", "5"], "row 5: the bottle report has the rows 1, 2, 3, 4"),
        (["bottle", "--repeats", "1"], "repeats=1: expected 2 or more"),
        (["bottle", "--seed", "-1"], "seed=-1: expected 0 or more"),
        (["bottle", "--name", "a/b"], "the run's name is 'a/b'"),
    ],
)
def test_reproduce_refuses_what_makes_no_sense(bottle, tmp_path, capsys, words, said):
    assert hw3("reproduce", *words, "--data", tmp_path / "data") == 2
    assert capsys.readouterr().err.startswith("error: " + said.format(data=tmp_path / "data"))


def test_reproduce_refuses_too_few_images(bottle, category, capsys):
    assert hw3("reproduce", "bottle", "--data", category.parent, "--category", "widget", "--rows", "1") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: cannot split 11 images with test_size=2") and "'scratch': 3" in err


def test_reproduce_refuses_a_batch_larger_than_the_set(bottle, tmp_path, capsys):
    bottle(batch_size=64)
    assert reproduce(tmp_path, "--rows", 1) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "64" in err and "19" in err and "batch_size" in err


def test_reproduce_tells_of_a_loss_that_is_not_finite(bottle, tmp_path, capsys):
    bottle(lr=1e30, optimiser="sgd", epochs=5)
    assert reproduce(tmp_path, "--rows", 1) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "1e+30" in err and "Traceback" not in err


def test_the_real_bottle(real_data, capsys):
    assert hw3("data", "check", "bottle", "--data", real_data) == 0
    shown = capsys.readouterr().out
    assert "292 images (209 train, 83 test)" in shown and "nothing wrong" in shown


@pytest.mark.parametrize(
    "command",
    [["compare", "{}", "{}"], ["sweep", "{}"], ["grade", "{}"], ["detect", "fit", "{}", "--out", "detector"]],
)
def test_home_of_an_unknown_user(command, capsys, monkeypatch, tmp_path):
    # Path.expanduser raises RuntimeError there.
    monkeypatch.chdir(tmp_path)
    assert hw3(*(word.format("~nobody-of-this-name/x") for word in command)) == 2
    assert "~nobody-of-this-name/x" in capsys.readouterr().err
