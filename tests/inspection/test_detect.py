"""``hw3 detect``: what it fits, scores and writes, what it refuses, and that nothing half-written stays."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score, roc_auc_score

from hw3lib.anomaly import Autoencoder, PatchCore, conformal_threshold, p_values
from hw3lib.anomaly.maps import overlay, upsample
from hw3lib.anomaly.metrics.metrics import PixelMetrics
from hw3lib.anomaly.registry import DETECTORS, load
from hw3lib.cli import main as cli
from hw3lib.cli.options import byte_count
from hw3lib.data import ImageStack, load_table, read_image
from hw3lib.data.folders.settings import CategorySettings, write_settings
from hw3lib.data.regions.masks import read_mask
from hw3lib.errors import Hw3Error
from hw3lib.inspection import fit as detect
from hw3lib.inspection import photographs
from hw3lib.inspection import score as scoring
from tests.helpers.shots import plate, shot

QUICK = (
    "--image-size",
    32,
    "--detector",
    "autoencoder",
    "-p",
    "num_steps",
    2,
    "-p",
    "batch_size",
    2,
    "-p",
    "loss",
    "l2",
)
pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


def hw3(*arguments: object) -> int:
    return cli.main(["detect", *map(str, arguments)])


def write_photographs(folder: Path, names: list[str], seed: int = 0, size: tuple[int, int] = (40, 32)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in names:
        Image.fromarray(rng.integers(60, 200, (size[1], size[0], 3), dtype=np.uint8)).save(folder / name)
    return folder


def stack(files: list[Path], side: int) -> np.ndarray:
    return ImageStack.load(pd.DataFrame({"image": files}), side).images


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Pictures of maps that differ by rounding: a step of colour, or an outline's pixel."""
    difference = np.abs(found.astype(int) - wanted).max(2)
    assert found.shape == wanted.shape and (difference > 1).mean() < 0.01


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Seven good photographs in two sizes and three formats, and what is none."""
    folder = write_photographs(tmp_path_factory.mktemp("photos") / "good", [f"{i}.png" for i in range(5)])
    write_photographs(folder, ["5.JPG", "6.tiff"], seed=1, size=(30, 50))
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_bytes(b"none")
    return folder


@pytest.fixture(scope="module")
def detector(good, tmp_path_factory) -> Path:
    """An autoencoder of 32 pixels, whose score is its map's maximum."""
    out = tmp_path_factory.mktemp("fitted") / "detector"
    assert hw3("fit", good, "--out", out, *QUICK, "--held-out", 0.4, "--false-alarm-rate", 0.3) == 0
    return out


@pytest.fixture
def today(tmp_path) -> Path:
    """Six photographs to score: one is damaged, one all white."""
    folder = write_photographs(tmp_path / "today", [f"{i}.png" for i in range(5)], seed=3, size=(48, 36))
    Image.new("RGB", (48, 36), "white").save(folder / "1.png")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:300])
    write_photographs(folder, ["4.jpg"], seed=4)
    return folder


def test_a_folder_of_photographs_becomes_the_detector_that_the_library_fits(good, tmp_path, capsys):
    out = tmp_path / "detector"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what FewGoodImages says, the threshold's sentence says
        assert hw3("fit", good, "--out", out, "--image-size", 64, "--ratio", 0.5, "--seed", 1) == 0
    files = [good / f"{i}.png" for i in range(5)] + [good / "5.JPG", good / "6.tiff"]
    wanted = PatchCore(image_size=64, ratio=0.5, seed=1)
    with pytest.warns(match="7 good images cannot keep"):
        wanted.fit(stack(files, 64))
    found = load(out)
    assert found.memory_bank == wanted.memory_bank == 224 and found.threshold_ == wanted.threshold_
    images = stack(files[:2], 64)
    assert np.array_equal(found.decision_function(images), wanted.decision_function(images))
    text = capsys.readouterr().out
    assert "7 good images" in text and "of 2 sizes, 40x32 to 30x50 pixels; each is resized to 64x64" in text
    assert "PatchCore learns from 7 of them, and scores each without its own patches" in text
    assert text.index("memory bank: 224 of 448 patches, 176 numbers each: 157.7 kB") < text.index("Scores above")
    assert str(wanted.thresholds_) in text
    assert "7 good images can promise 12.5 % at the least; 5 % takes 19, 12 more, and a memory bank of 428.0 kB" in text


def test_of_a_category_the_good_training_images_are_learned_from(category, tmp_path, capsys):
    assert hw3("fit", category, "--out", tmp_path / "detector", *QUICK) == 0
    assert "5 good images" in capsys.readouterr().out and load(tmp_path / "detector").n_good_ == 4


def test_a_detector_does_not_depend_on_the_device_that_fitted_it(good, tmp_path):
    assert hw3("fit", good, "--out", tmp_path / "detector", *QUICK, "--device", "cpu") == 0
    assert load(tmp_path / "detector").device == "auto"


def test_results_are_those_of_the_library_and_a_damaged_image_does_not_stop_the_rest(detector, today, tmp_path, capsys):
    assert hw3("score", detector, today, "--out", tmp_path / "results") == 1
    table = pd.read_csv(tmp_path / "results" / "results.csv")
    columns = ["file", "score", "p_value", "anomalous", "threshold", "warning", "reason", "verdict", "types"]
    assert list(table) == columns
    assert list(table["file"]) == [str(today / name) for name in ("0.png", "1.png", "2.png", "3.png", "4.jpg", "4.png")]
    unread = table.iloc[3]
    assert unread["reason"] == "is truncated: the PNG has no end chunk; copy or download it again"
    assert unread[["score", "p_value", "anomalous", "warning"]].isna().all()
    table = table.drop(index=3).reset_index(drop=True)
    assert table["reason"].isna().all()
    files = [today / name for name in ("0.png", "1.png", "2.png", "4.jpg", "4.png")]
    model = load(detector)
    scores = model.decision_function(stack(files, 32))
    np.testing.assert_allclose(table["score"], scores, rtol=1e-6)  # in batches of others
    np.testing.assert_allclose(table["p_value"], p_values(model.good_scores_, scores), rtol=1e-5)
    assert table["p_value"].nunique() > 1 and table["p_value"].min() == table["p_value"][1] == 0.25
    assert table["anomalous"].tolist() == (scores > model.threshold_).tolist() and table["anomalous"].nunique() == 2
    assert np.array_equal(table["threshold"].to_numpy(np.float32), np.full(5, model.threshold_, np.float32))
    failed = pd.read_csv(tmp_path / "results" / "failed.csv")
    assert list(failed["file"]) == [str(today / "3.png")]
    out, err = capsys.readouterr()
    assert f"failed: {today / '3.png'}: is truncated: the PNG has no end chunk" in err
    assert "1 image could not be read: results.csv says why" in out
    assert (
        f"{int((scores > model.threshold_).sum())} of 5 images are anomalous" in out and str(model.thresholds_) in out
    )
    assert out.count(str(today / "4")) == 2 and f"p = {table['p_value'].min():.3g}" in out


def test_without_damaged_images_the_exit_code_is_0_and_no_failures_are_listed(detector, good, tmp_path):
    assert hw3("score", detector, good / "0.png", good / "6.tiff", "--out", tmp_path / "results") == 0
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["results.csv"]


def test_overlays_and_maps_have_each_image_s_own_resolution(detector, today, tmp_path):
    hw3("score", detector, today, "--out", tmp_path / "results", "--overlays", "--tiff")
    model = load(detector)
    for name, file in (("1.png", today / "1.png"), ("4.jpg", today / "4.jpg")):  # 4.png and 4.jpg share a stem
        image = read_image(file)
        wanted = upsample(model.anomaly_map(stack([file], 32))[0], image.shape[:2])
        values = np.asarray(Image.open(tmp_path / "results" / "maps" / f"{name}.tiff"))
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, wanted, rtol=1e-5)
        drawn = np.asarray(Image.open(tmp_path / "results" / "overlays" / f"{name}.png"))
        same(drawn, overlay(image, wanted, model.scale_, model.map_threshold_))
    assert len(list((tmp_path / "results" / "overlays").iterdir())) == 5


def test_the_test_images_of_a_category_are_scored_and_their_labels_give_the_auroc(category, detector, tmp_path, capsys):
    assert hw3("score", detector, category, "--out", tmp_path / "results", "--tiff") == 0
    table = pd.read_csv(tmp_path / "results" / "results.csv")
    test = load_table(category.parent, category.name).query("split == 'test'")
    assert list(table["file"]) == list(test["image"])
    auroc = roc_auc_score(test["is_defect"], table["score"])
    said = f"image AUROC {100 * auroc:.1f} % on 4 good and 7 defective images"
    out = capsys.readouterr().out
    assert said in out and f"F1 {f1_score(test['is_defect'], table['anomalous']):.3f} (" in out
    good, dents = table["score"][~test["is_defect"].to_numpy()], table["score"][(test["defect"] == "dent").to_numpy()]
    dent = np.mean([(score > good) + 0.5 * (score == good) for score in dents])
    assert re.search(rf"image AUROC by type: .*dent {dent:.3f} \([01]\.\d+ to [01]\.\d+\) of {len(dents)} images", out)
    counted = PixelMetrics()
    for row in test.itertuples():
        mask = read_mask(row.mask) if row.is_defect else np.zeros((row.height, row.width), bool)
        counted.update(mask, upsample(load(detector).anomaly_map(stack([row.image], 32))[0], mask.shape))
    said = (
        rf"AUPRO {counted.aupro():.3f} \(.*\) and AUPIMO {counted.aupimo().mean():.3f} \(.*\) on 7 images with a mask"
    )
    assert re.search(said, out)
    assert (tmp_path / "results" / "maps" / "test" / "dent" / "000.tiff").is_file()


def test_a_damaged_test_image_of_a_category_is_listed_and_the_rest_scored(category, detector, tmp_path, capsys):
    (category / "test/dent/001.png").write_bytes(b"")
    (category / "train/good/001.png").write_bytes(b"")  # not to be scored
    assert hw3("score", detector, category, "--out", tmp_path / "results") == 1
    table = pd.read_csv(tmp_path / "results" / "results.csv")
    assert len(table) == 11 and table["score"].notna().sum() == 10
    assert table.set_index("file")["reason"].dropna().to_dict() == {
        str(category / "test/dent/001.png"): "is empty (0 bytes); expected an image"
    }
    assert list(pd.read_csv(tmp_path / "results" / "failed.csv")["file"]) == [str(category / "test/dent/001.png")]


def test_another_false_alarm_rate_sets_another_threshold(detector, today, tmp_path):
    model = load(detector)
    scored = scoring.score(detector, [today], tmp_path / "a", overlays=True, false_alarm_rate=0.6, echo=str)
    assert scored.threshold == conformal_threshold(model.good_scores_, 0.6).value < model.threshold_
    model.set_false_alarm_rate(0.6)
    chosen = load(detector).threshold_at(0.6)
    assert (load(detector).colours(chosen), load(detector).map_limit(chosen)) == (model.scale_, model.map_threshold_)
    assert model.map_threshold_ < load(detector).map_threshold_
    file = today / "1.png"
    drawn = np.asarray(Image.open(tmp_path / "a" / "overlays" / "1.png.png"))
    wanted = overlay(read_image(file), model.anomaly_map(stack([file], 32))[0], model.scale_, model.map_threshold_)
    same(drawn, wanted)


def test_a_given_threshold_is_taken_and_said(detector, today, tmp_path, capsys):
    scores = load(detector).decision_function(stack([today / "0.png", today / "1.png"], 32))
    limit = float(scores.mean())
    hw3(
        "score", detector, today / "0.png", today / "1.png", "--out", tmp_path / "a", "--threshold", limit, "--overlays"
    )
    assert pd.read_csv(tmp_path / "a" / "results.csv")["anomalous"].sum() == 1
    assert "the threshold was given; " in capsys.readouterr().out
    model = load(detector)
    assert model.map_limit(model.threshold_at(value=limit)) == limit  # an autoencoder's score is its map's maximum
    model.good_peaks_ = model.good_peaks_ * 2
    above = (model.good_scores_ > limit).sum()
    assert (model.good_peaks_ > model.map_limit(model.threshold_at(value=limit))).sum() == min(above, 2)


@pytest.mark.parametrize("option", [("--threshold", "nan"), ("--threshold", "inf"), ("--false-alarm-rate", "1.5")])
def test_thresholds_that_are_none_are_refused(detector, today, tmp_path, capsys, option):
    assert hw3("score", detector, today, "--out", tmp_path / "results", *option) == 2
    assert "expected a" in capsys.readouterr().err and not (tmp_path / "results").exists()


def test_a_detector_without_held_out_images_needs_a_threshold(good, tmp_path, capsys):
    out = tmp_path / "detector"
    assert hw3("fit", good, "--out", out, *QUICK, "--held-out", 0) == 0
    assert "there will be no threshold" in capsys.readouterr().out
    assert hw3("score", out, good, "--out", tmp_path / "a") == 2
    assert "or give a threshold to score with (--threshold)" in capsys.readouterr().err
    assert hw3("score", out, good, "--out", tmp_path / "a", "--threshold", 1, "--overlays") == 2
    assert "nothing says which values of a map are normal" in capsys.readouterr().err
    assert hw3("score", out, good, "--out", tmp_path / "a", "--threshold", 1) == 0
    assert pd.read_csv(tmp_path / "a" / "results.csv")["p_value"].isna().all()


def test_memory_does_not_grow_with_the_number_of_images(detector, tmp_path, monkeypatch):
    folder = write_photographs(tmp_path / "many", [f"{i:02d}.png" for i in range(11)])
    read, ahead, sizes = [], [], []
    decode, judge = photographs.decode_squares, Autoencoder.score

    def decoding(path, side, reading):
        read.append(path)
        return decode(path, side, reading)

    def scoring_(self, images):
        ahead.append(len(read) - sum(sizes))
        sizes.append(len(images))
        return judge(self, images)

    monkeypatch.setattr(photographs, "decode_squares", decoding)
    monkeypatch.setattr(Autoencoder, "score", scoring_)
    assert scoring.score(detector, [folder], tmp_path / "results", echo=str).images == 11
    assert sizes == [2, 2, 2, 2, 2, 1] and max(ahead) <= 4  # a batch, and the next one that is decoded meanwhile


def test_what_is_interrupted_leaves_no_results(detector, good, tmp_path, monkeypatch):
    judge, calls = Autoencoder.score, []

    def interrupted(self, images):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(self, images)

    monkeypatch.setattr(Autoencoder, "score", interrupted)
    assert hw3("score", detector, good, "--out", tmp_path / "a" / "results", "--overlays") == 130
    assert len(calls) == 3 and not list(tmp_path.iterdir())


def test_only_what_the_command_made_is_replaced_and_only_on_request(detector, good, tmp_path, capsys):
    results, fitted = tmp_path / "results", tmp_path / "detector"
    shutil.copytree(detector, fitted)
    assert hw3("score", fitted, good, "--out", results) == 0
    before = (fitted / "state.safetensors").read_bytes()
    assert hw3("score", fitted, good, "--out", results) == 2
    assert hw3("fit", good, "--out", fitted, *QUICK, "--seed", 7) == 2
    err = capsys.readouterr().err
    assert err.count("--force to replace it") == 2 and (fitted / "state.safetensors").read_bytes() == before
    assert hw3("score", fitted, good / "0.png", "--out", results, "--force") == 0
    assert len(pd.read_csv(results / "results.csv")) == 1
    assert hw3("fit", good, "--out", fitted, *QUICK, "--seed", 7, "--force") == 0
    assert (fitted / "state.safetensors").read_bytes() != before
    photos = write_photographs(tmp_path / "photos", ["a.png"])
    for command in (("fit", good, "--out", photos, *QUICK), ("score", fitted, good, "--out", photos)):
        assert hw3(*command, "--force") == 2
    assert capsys.readouterr().err.count("so it stays") == 2 and (photos / "a.png").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--detector", "patchcor"), "unknown detector 'patchcor'; did you mean 'patchcore'?"),
        (("--detector", "padim", "--ratio", "0.1"), "padim has no parameter 'ratio'; it has image_size"),
        (("-p", "ratio", "much"), "PatchCore: ratio: found 'much', expected a number"),
        (("-p", "neighbours", "12.5"), "PatchCore: neighbours: found 12.5, expected an integer"),
        (("-p", "nieghbours", "3"), "patchcore has no parameter 'nieghbours'; did you mean 'neighbours'? it has"),
        (("--ratio", "2"), "ratio=2.0, expected a share"),
        (("--false-alarm-rate", "0"), "false_alarm_rate=0.0: expected a share"),
        (("--held-out", "1.5"), "held_out=1.5, expected a share"),
        (("--image-size", "64", "--memory-limit", "50kB", "--ratio", "1"), "memory_limit is 50.0 kB"),
    ],
)
def test_wrong_options_of_fit_are_refused_and_nothing_is_written(good, tmp_path, capsys, options, said):
    assert hw3("fit", good, "--out", tmp_path / "detector", *options) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_folders_without_good_images_are_refused(tmp_path, capsys):
    def refused(folder: Path) -> str:
        assert hw3("fit", folder, "--out", tmp_path / "detector", *QUICK) == 2
        return capsys.readouterr().err

    assert "no such folder" in refused(tmp_path / "none")
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    write_photographs(tmp_path / "empty" / "inside", ["a.png"])
    assert "no image found" in (text := refused(tmp_path / "empty"))
    assert "not looked at: 1 file: 1 .png in inside; --recursive takes the images of sub-folders too" in text
    one = write_photographs(tmp_path / "one", ["a.png"])
    assert "found 1 good image, expected at least 4" in refused(one)
    write_photographs(one, ["b.png", "c.png", "d.png"])
    (one / "b.png").write_bytes(b"text")
    assert "1 good image of 4 cannot be read" in (text := refused(one)) and str(one / "b.png") in text
    write_photographs(tmp_path / "untrained" / "test" / "good", ["a.png"])
    assert "a category without good training images" in refused(tmp_path / "untrained")


def test_what_is_no_detector_is_refused(detector, good, tmp_path, capsys):
    def refused(place: Path, *options: str) -> str:
        assert hw3("score", place, good, "--out", tmp_path / "results", *options) == 2
        assert not (tmp_path / "results").exists()
        return capsys.readouterr().err

    assert "no saved detector" in refused(good) and "no saved detector" in refused(tmp_path / "none")
    damaged = tmp_path / "damaged"
    shutil.copytree(detector, damaged)
    content = bytearray((damaged / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (damaged / "state.safetensors").write_bytes(content)
    assert "is damaged, its SHA-256 is not the one" in refused(damaged)
    pytest.importorskip("onnxruntime")
    assert "cannot be read as an ONNX model" in refused(good / "0.png")


def test_folders_without_images_to_score_are_refused(detector, tmp_path, capsys):
    for place, said in ((tmp_path, "no image found"), (tmp_path / "none", "no such folder")):
        assert hw3("score", detector, place, "--out", tmp_path / "results") == 2
        assert said in capsys.readouterr().err


def test_a_detector_without_maps_scores_but_draws_nothing(good, tmp_path, capsys):
    assert hw3("fit", good, "--out", tmp_path / "knn", "--detector", "knn", "--image-size", 32) == 0
    for option in ("--overlays", "--tiff"):
        assert hw3("score", tmp_path / "knn", good, "--out", tmp_path / "a", option) == 2
        assert "has no anomaly map to draw or save" in capsys.readouterr().err
    assert hw3("score", tmp_path / "knn", good, "--out", tmp_path / "a") == 0


def test_images_of_one_name_in_two_folders_do_not_overwrite_each_other(tmp_path):
    a = write_photographs(tmp_path / "a", ["0.png", "1.png"])
    b = write_photographs(tmp_path / "b", ["0.png", "1.JPG"])
    found = photographs.find_photographs([a, b], str)
    assert [p.name for p in found] == ["000001-0.png", "000002-1.png", "000003-0.png", "000004-1.JPG"]
    assert [p.name for p in photographs.find_photographs([a], str)] == ["0", "1"]


_SCORE = """
import sys
from hw3lib.cli.main import main
main(["detect", "score", sys.argv[1], sys.argv[2], "--out", sys.argv[3]])
print("BROUGHT", [name for name in ("torch", "torchvision", "transformers", "matplotlib") if name in sys.modules])
"""


def brought_by(program: str, *arguments: Path) -> str:
    """The last line that a program prints in a process of its own."""
    ran = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert not ran.returncode, ran.stderr
    return ran.stdout.splitlines()[-1]


def test_an_exported_detector_scores_as_its_folder_does(detector, today, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    file = tmp_path / "detector.onnx"
    assert (
        hw3("export", detector, "--out", file, "--check", today.parent / "today" / ".." / "ok") == 2
    )  # no such folder
    write_photographs(tmp_path / "ok", ["0.png", "1.png"])
    assert hw3("export", detector, "--out", file, "--check", tmp_path / "ok") == 0
    assert "Autoencoder, opset 20" in (text := capsys.readouterr().out) and "on 2 images of" in text
    hw3("score", detector, today, "--out", tmp_path / "a", "--overlays")
    hw3("score", file, today, "--out", tmp_path / "b", "--overlays")
    a, b = (pd.read_csv(tmp_path / name / "results.csv") for name in "ab")
    np.testing.assert_allclose(a["score"], b["score"], rtol=1e-5)
    only = ["score", "warning", "verdict"]  # the folder alone knows which sizes good photographs have
    assert a.drop(columns=only).equals(b.drop(columns=only))
    same(*(np.asarray(Image.open(tmp_path / name / "overlays" / "1.png.png")) for name in "ab"))
    assert brought_by(_SCORE, file, today, tmp_path / "c") == "BROUGHT []"
    assert (tmp_path / "c" / "results.csv").read_bytes() == (tmp_path / "b" / "results.csv").read_bytes()
    assert hw3("export", detector, "--out", file) == 2 and "exists already" in capsys.readouterr().err
    assert hw3("export", detector, "--out", tmp_path / "detector.pt") == 2
    assert "ends in .onnx" in capsys.readouterr().err


def test_every_detector_of_the_library_is_offered(capsys):
    with pytest.raises(SystemExit):
        hw3("fit", "--help")
    assert ", ".join(DETECTORS) in " ".join(capsys.readouterr().out.split())


def test_sizes_in_bytes():
    read = byte_count
    assert [read(text) for text in ("4GB", "1.5 mb", "500", "7b")] == [4 * 10**9, 1_500_000, 500, 7]
    for text in ("much", "-1GB", "4GiB"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a size"):
            read(text)


def test_what_good_images_can_promise_and_how_many_a_lower_rate_takes():
    def said(n: int, asked: float, share: float, bank: int = 0) -> str:
        return detect._more_images(conformal_threshold(np.arange(float(n)), asked), asked, share, bank)

    assert said(8, 0.05, 0.2) == (
        "8 held-out good images can promise 11.1 % at the least; 5 % takes 19 held out, 95 in all; 2 % takes 49 held "
        "out, 245 in all; 1 % takes 99 held out, 495 in all"
    )
    assert said(40, 0.1, 0, 4000) == (
        "40 good images can promise 2.44 % at the least; 5 % takes 19, which are there; 2 % takes 49, 9 more, and a "
        "memory bank of 4.9 kB; 1 % takes 99, 59 more, and a memory bank of 9.9 kB"
    )
    assert said(1999, 0.001, 0.2) == "1999 held-out good images can promise 0.05 % at the least"


@pytest.fixture
def bad(tmp_path) -> Path:
    """Three photographs of defects, of which one looks like a good one."""
    folder = write_photographs(tmp_path / "bad", ["0.png"], seed=8)
    Image.new("RGB", (48, 36), "white").save(folder / "1.png")
    Image.new("RGB", (48, 36), "red").save(folder / "2.png")
    return folder


SETTINGS = (*QUICK, "--held-out", 0.4, "--false-alarm-rate", 0.3)


def test_known_defects_are_told_with_a_curve_and_teach_nothing(good, detector, bad, tmp_path, capsys):
    out = tmp_path / "known"
    assert hw3("fit", good, "--out", out, *SETTINGS, "--bad", bad) == 0
    model, text = load(out), capsys.readouterr().out
    files = [bad / f"{i}.png" for i in range(3)]
    np.testing.assert_allclose(model.bad_scores_, np.sort(model.decision_function(stack(files, 32))), rtol=1e-5)
    assert model.thresholds_ == load(detector).thresholds_  # they choose nothing
    missed = (model.bad_scores_ <= model.threshold_).sum()
    assert f"3 known defects in {bad}, of which nothing is learned: {100 * missed / 3:.3g} % pass (" in text
    assert text.count("  a threshold of ") == 5
    curve = pd.read_csv(out / "misses.csv")
    assert list(curve) == ["threshold", "alarms", "alarms_low", "alarms_high", "misses", "misses_low", "misses_high"]
    assert len(curve) == 7 and curve["alarms"].is_monotonic_decreasing and curve["misses"].is_monotonic_increasing
    with Image.open(out / "misses.png") as picture:
        assert picture.size[0] > 300


def test_costs_choose_the_threshold_that_is_kept_and_obeyed(good, bad, tmp_path, capsys):
    out, costs = tmp_path / "costly", ("--cost-miss", 1000, "--cost-alarm", 1, "--defect-share", 0.5)
    assert hw3("fit", good, "--out", out, *SETTINGS, "--bad", bad, *costs) == 0
    model = load(out)
    said = str(model.thresholds_)
    assert said in capsys.readouterr().out and "costs least on 3 known defects and 3 held-out good images" in said
    assert hw3("score", out, bad, "--out", tmp_path / "results") == 0
    assert said in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "results/results.csv")
    assert table["anomalous"].all() and table["threshold"][0] == pytest.approx(model.threshold_)
    scores = model.decision_function(stack([Path(file) for file in table["file"]], 32))
    np.testing.assert_allclose(table["p_value"], p_values(model.good_scores_, scores), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cost-miss", 2), "--cost-miss and --cost-alarm: found one of them, expected both"),
        (("--cost-miss", 2, "--cost-alarm", 1), "need known defects to weigh; give a folder of some with --bad"),
        (("--cost-miss", 0, "--cost-alarm", 1), "cost of a miss: 0.0, expected above 0"),
        (("--bad", "BAD", "--held-out", 0), "--bad: no good image has a score to compare defects with"),
        (("--bad", "none"), "none: no such folder"),
        (("--folds", 3, "--held-out", 0.2), "not allowed with"),
    ],
)
def test_costs_and_defects_that_cannot_be_weighed_are_refused(good, bad, tmp_path, capsys, options, said):
    chosen = [bad if option == "BAD" else option for option in options]
    try:
        code = hw3("fit", good, "--out", tmp_path / "refused", *QUICK, *chosen)
    except SystemExit as error:  # of argparse
        code = error.code
    assert code == 2 and said in capsys.readouterr().err and not (tmp_path / "refused").exists()


def test_folds_let_all_photographs_teach_and_set_the_threshold(good, tmp_path, capsys):
    assert hw3("fit", good, "--out", tmp_path / "folded", *QUICK, "--folds", 2, "--false-alarm-rate", 0.3) == 0
    text = capsys.readouterr().out
    assert "Autoencoder learns from 7 of them, and 2 times from all but a part, to set the threshold" in text
    assert (
        "7 good images, each photograph of another product, scored by a detector that had not learned from it" in text
    )
    assert load(tmp_path / "folded").n_good_ == len(load(tmp_path / "folded").good_scores_) == 7


def test_errors_show_the_traceback_on_request(detector, tmp_path):
    with pytest.raises(Hw3Error):
        hw3("score", detector, tmp_path / "none", "--out", tmp_path / "results", "--debug")


@pytest.fixture(scope="module")
def shots(tmp_path_factory) -> Path:
    """Eight plates, each photographed three times."""
    folder, rng = tmp_path_factory.mktemp("shots") / "good", np.random.default_rng(0)
    folder.mkdir()
    for product in range(8):
        made = plate(rng)
        for i in range(3):
            shot(made, rng).save(folder / f"p{product}_{i}.png")
    return folder


def test_products_that_are_photographed_several_times_are_told_of(shots, tmp_path, capsys):
    assert hw3("fit", shots, "--out", tmp_path / "detector", *QUICK) == 0
    out = capsys.readouterr().out
    assert "24 of 24 photographs have a near twin: is the same product photographed several times?" in out
    assert "--groups" in out and "each photograph of another product" in out
    assert load(tmp_path / "detector").thresholds_.photographs is None


@pytest.mark.parametrize("said", ["^(p[0-9])_", "list.csv", "near"])
def test_whole_products_are_held_out_and_counted(shots, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["image,group", *(f"{file.name},{file.name[:2]}" for file in shots.iterdir())]
    Path("list.csv").write_text("\n".join(lines), encoding="utf-8")
    rates = ("--held-out", 0.5, "--false-alarm-rate", 0.3)
    assert hw3("fit", shots, "--out", "detector", *QUICK, *rates, "--groups", said) == 0
    out = capsys.readouterr().out
    assert "they show 8 products" in out and "learns from 12 of them, 12 are held out" in out
    assert "set on 12 held-out photographs of 4 good products" in out and "near twin" not in out
    assert "4 held-out good products can promise 20 % at the least" in out
    found = load("detector")
    assert len(np.unique(found.good_groups_)) == 4 and found.thresholds_.n == 4
    assert hw3("score", "detector", shots, "--out", "results") == 0
    assert str(found.thresholds_) in capsys.readouterr().out
    table = pd.read_csv("results/results.csv")
    scores = found.decision_function(stack([Path(file) for file in table["file"]], 32))
    np.testing.assert_allclose(table["p_value"], found.p_values(scores), rtol=1e-5)


def test_products_that_cannot_be_told_are_refused_before_anything_is_learned(shots, tmp_path, capsys):
    for said, why in [
        ("^(x)", "finds no product in 24 of 24 file names"),
        ("none.csv", "no such file"),
        ("^x", "bracket"),
    ]:
        assert hw3("fit", shots, "--out", tmp_path / "detector", *QUICK, "--groups", said) == 2
        assert why in capsys.readouterr().err
    assert not (tmp_path / "detector").exists()


def test_a_category_that_says_its_products_needs_no_option(shots, tmp_path, capsys):
    shutil.copytree(shots, tmp_path / "plates/train/good")
    write_settings(tmp_path / "plates", CategorySettings(groups="^(p[0-9])_"))
    assert hw3("fit", tmp_path / "plates", "--out", tmp_path / "detector", *QUICK) == 0
    assert "they show 6 products" in capsys.readouterr().out
    assert hw3("fit", tmp_path / "plates", "--out", tmp_path / "other", *QUICK, "--groups", "_([0-9])") == 0
    assert "they show 3 products" in capsys.readouterr().out


def test_copies_of_a_photograph_count_once(good, tmp_path, capsys):
    folder = Path(shutil.copytree(good, tmp_path / "good"))
    with Image.open(folder / "1.png") as image:
        image.save(folder / "9.bmp")
    assert hw3("fit", folder, "--out", tmp_path / "detector", *QUICK) == 0
    assert "8 good images" in (out := capsys.readouterr().out) and "they show 7 products" in out


@pytest.mark.parametrize(
    ("milliseconds", "chosen", "said"),
    [(1e6, 256, "the photographs fill no larger one"), (1e-6, 224, "takes more than")],
)
def test_a_size_is_chosen_by_a_time_and_kept_with_the_detector(tmp_path, capsys, milliseconds, chosen, said):
    write_photographs(tmp_path / "good", [f"{i}.png" for i in range(6)], size=(300, 280))
    options = ("--image-size", "auto", "--milliseconds", milliseconds, *QUICK[2:])
    assert hw3("fit", tmp_path / "good", "--out", tmp_path / "detector", *options) == 0
    out = capsys.readouterr().out
    assert f"--image-size auto: {chosen}, " in out and said in out
    assert f"narrower than {300 / chosen:.1f} pixels of a photograph" in out and f"resized to {chosen}x{chosen}" in out
    assert load(tmp_path / "detector").image_size == chosen


def test_a_size_that_is_none_is_refused(good, tmp_path, capsys):
    with pytest.raises(SystemExit):
        hw3("fit", good, "--out", tmp_path / "detector", "--image-size", "large")
    assert "'large' is no size; expected a number of pixels, or auto" in capsys.readouterr().err
