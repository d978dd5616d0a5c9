"""docs/examples: whole scripts, one feature each, that run from a category to a result."""

import json
import re
import runpy
from pathlib import Path

import pytest
from PIL import Image

from hw3lib.core.places import project_root

EXAMPLES = sorted((project_root() / "docs" / "examples").glob("*.py"))
LONGEST = {"inspect_phone_photographs": 70}  # lines; of any other 20


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_category) -> Path:
    """Folder that holds ``widget``: 12 images a class to test with, large enough for a long tail."""
    root = tmp_path_factory.mktemp("data")
    counts = {"train/good": 12, **{f"test/{name}": 12 for name in ("good", "dent", "scratch")}}
    make_category(root / "widget", counts, size=(48, 40))
    return root


@pytest.fixture
def example(data, tmp_path, monkeypatch, capsys):
    """Runs an example in an empty folder, and gives what it printed."""

    def printed(name: str, *arguments: str) -> str:
        script = next(path for path in EXAMPLES if path.stem == name)
        monkeypatch.setenv("HW3_DATA", str(data))
        monkeypatch.setattr("sys.argv", [script.name, *(arguments or ["widget"])])
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return printed


def test_there_are_eight_and_each_is_short_says_how_to_start_it_and_imports_rooms_alone():
    assert len(EXAMPLES) == 8
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST.get(path.stem, 20), path.name
        assert f"python docs/examples/{path.name}" in text
        imported = re.findall(r"^from (hw3lib\S*) import", text, re.M)
        assert imported and all(m.count(".") <= 1 or m == "hw3lib.cli.main" for m in imported), path.name


def test_dataset_statistics(example):
    out = example("dataset_statistics")
    assert re.search(r"^good +12 +12 +24$", out, re.M) and re.search(r"^dent +0 +12 +12$", out, re.M)
    assert "largest class over smallest: 2.0" in out
    assert "'dent': 0.025, 'scratch': 0.025" in out  # squares of 48 of 48x40 pixels
    assert "widget" in out


def test_correct_an_inspector(example):
    out = example("correct_an_inspector")
    assert "good photographs joined the 12 before" in out and "version 2 is in use" in out
    assert re.search(r"^(48 photographs, \d+ of them anomalous|Production has drifted)", out, re.M)


def test_inspect_phone_photographs(example, tmp_path):
    out = example("inspect_phone_photographs", "20", "320")
    assert "every photograph has its row, the card and the plot are there, and both versions are kept" in out
    assert re.search(r"^tomorrow: \d of 3 defects and \d of 3 good stopped$", out, re.M)
    assert len(list((tmp_path / "phone").rglob("*.jpg"))) == 20


def test_compare_attempts(example):
    out = example("compare_attempts")
    assert re.search(r"gain [+-]\d+\.\d points \([+-]\d+\.\d to [+-]\d+\.\d\)", out)
    assert "from scratch" in out and "pretrained" in out


def test_balance_a_long_tail(example):
    out = example("balance_a_long_tail")
    assert "copy-paste" in out.splitlines()[0]
    assert [out.count(name) for name in ("logit adjustment", "plain")] >= [2, 2]


def test_fit_and_score_a_detector(example, tmp_path):
    out = example("fit_and_score_a_detector")
    assert "of 36 called anomalous; heat maps (36, 128, 128)" in out
    assert 0.5 < float(re.search(r"image AUROC ([\d.]+)", out)[1]) <= 1
    assert (tmp_path / "example-detector").is_dir()


def test_annotate_to_coco(example, tmp_path):
    out = example("annotate_to_coco")
    assert "24 instances on 36 images" in out and "read again: the same" in out
    files = list((tmp_path / "example-coco").rglob("*.json"))
    assert sum(len(json.loads(file.read_text())["annotations"]) for file in files) == 24


def test_write_a_report(example, tmp_path):
    """From the results of one chapter; the others are named as missing."""
    run = tmp_path / "run"
    (run / "01" / "figures").mkdir(parents=True)
    metrics = {"notebook": "01", "category": "widget", "profile": "quick", "seconds": 1.5, "seeds": {}, "versions": {}}
    metrics |= {"device": "cpu", "data_digest": "ab12", "images": 48, "train": 12, "test": 36, "image_size": [48, 40]}
    metrics |= {"classes": {"good": 24, "dent": 12, "scratch": 12}, "defect_classes": 2}
    (run / "01" / "metrics.json").write_text(json.dumps(metrics))
    Image.new("RGB", (60, 40), "grey").save(run / "01" / "figures" / "samples.png")
    out = example("write_a_report", str(run))
    assert re.search(r"^widget: [1-3] pages in example-report/report.pdf", out, re.M)
    assert re.search(r"^missing: .*02", out, re.M)
    assert (tmp_path / "example-report/report.pdf").read_bytes().startswith(b"%PDF")
