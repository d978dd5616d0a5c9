"""The benchmark of detectors runs from files to table."""

import re

import pandas as pd
import pytest

from benchmarks.accuracy import detection
from hw3lib.annotate.boxes.fcos import Fcos
from hw3lib.errors import Hw3Error


def test_the_detection_benchmark_prints_accuracy_before_and_after(tmp_path, make_category, monkeypatch, capsys):
    monkeypatch.setattr(detection, "project_root", lambda: tmp_path)
    make_category(tmp_path / "widget", {"train/good": 1, "test/good": 4, "test/dent": 4, "test/scratch": 4})
    chosen = {"plain": Fcos(size=32, epochs=1)}
    detection.main("widget", str(tmp_path), n_splits=2, chosen=chosen)
    out = capsys.readouterr().out
    assert "7 images to train on, 5 to test on, 2 splits" in out
    assert len(re.findall(r"^  split \d  plain .* 32 px, 1 epochs", out, re.M)) == 2
    assert re.search(r"^  plain +[\d.]+ -> [\d.]+, paired gain ", out, re.M)
    written = pd.read_csv(tmp_path / "runs/benchmark-detection/widget/quick.csv")
    assert written["model"].tolist() == ["plain"] * 2 and written["text"].isna().all()
    with pytest.raises(Hw3Error, match="unknown models: yolo; expected plain"):
        detection.main("widget", str(tmp_path), names=["yolo"], chosen=chosen)


@pytest.mark.parametrize("profile", detection.PROFILES)
def test_every_profile_compares_four_models(profile):
    models = detection.models("bottle", profile)
    assert len(models) == 4
    assert {model.train for name, model in models.items() if "embeddings" in name} == {"embeddings"}
    assert min(model.size for model in models.values()) == (640 if profile == "full" else 256)
