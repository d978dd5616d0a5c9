"""hw3lib.anomaly.onnx: equal results, the check that guards them, clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from hw3lib.anomaly import Autoencoder, ChangedDetector, Costs, GANomaly, Mahalanobis, PaDiM, PatchCore, p_values
from hw3lib.anomaly.maps import upsample
from hw3lib.anomaly.onnx import export as export_module
from hw3lib.anomaly.onnx.detector import OnnxDetector
from hw3lib.anomaly.onnx.export import export
from hw3lib.anomaly.onnx.graphs import PatchCoreGraph
from hw3lib.errors import Hw3Error
from hw3lib.networks import onnx_file
from hw3lib.networks.nearest import product_slack

onnx = pytest.importorskip("onnx", reason="export needs onnx, onnxscript and onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")

QUICK = {"num_steps": 2, "device": "cpu", "image_size": 48, "batch_size": 2}
MAKE = {
    "patchcore": lambda: PatchCore(image_size=256, batch_size=2, device="cpu"),  # has more patches than are kept
    "padim": lambda: PaDiM(image_size=64, batch_size=2, dimensions=20, device="cpu"),
    "autoencoder": lambda: Autoencoder(working_size=32, **QUICK),  # shrinks its images
    "ganomaly": lambda: GANomaly(working_size=32, latent_size=8, channels=8, **QUICK),  # has no maps
}


def pictures(n: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (n, 3, side, side)).astype(np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function that gives a fitted detector, its ONNX file and what the check measured; each is exported once."""
    kept = {}

    def get(name: str):
        if name not in kept:
            detector = MAKE[name]()
            held_out = 0 if name == "ganomaly" else 0.4
            detector.fit(pictures(8, detector.image_size, 0), held_out=held_out, false_alarm_rate=0.3)
            file = tmp_path_factory.mktemp("onnx") / f"{name}.onnx"
            kept[name] = detector, file, export(detector, file)
        return kept[name]

    return get


@pytest.mark.parametrize("name", MAKE)
def test_onnxruntime_gives_the_scores_and_maps_of_the_detector_for_any_number_of_images(exported, name):
    detector, file, measured = exported(name)
    found = OnnxDetector(file, threads=1)
    assert measured.opset == onnx_file.OPSET and measured.size == file.stat().st_size
    assert 0 <= measured.scores <= 1e-5
    for n in (1, 5):
        images = pictures(n, detector.image_size, n)
        scores, maps = found.score(images)
        np.testing.assert_allclose(scores, detector.decision_function(images), rtol=1e-4)
        assert scores.dtype == np.float32 and found.has_maps == detector.has_maps == (maps is not None)
        if maps is not None:
            wanted = detector.anomaly_map(images)
            assert maps.dtype == np.float32
            np.testing.assert_allclose(maps, wanted, atol=1e-5 * np.abs(wanted).max())


def test_the_file_holds_threshold_and_p_values(exported):
    detector, file, _ = exported("autoencoder")
    found = OnnxDetector(file, threads=1)
    assert (found.name, found.image_size, found.threshold_) == ("Autoencoder", 48, detector.threshold_)
    assert found.thresholds_ == detector.thresholds_ and found.good_level_ == detector.good_level_
    assert np.array_equal(found.good_scores_, detector.good_scores_) and len(found.good_scores_) == 3
    assert np.array_equal(found.good_peaks_, detector.good_peaks_)
    scores = np.sort(np.r_[detector.good_scores_, detector.good_scores_ + 1e-3, detector.good_scores_ - 1e-3])
    assert np.array_equal(found.p_values(scores), p_values(detector.good_scores_, scores))
    images = np.concatenate([pictures(4, 48, 9), np.zeros((1, 3, 48, 48), np.uint8)])
    found.thresholds_ = replace(found.thresholds_, value=float(np.median(found.decision_function(images))))
    assert found.predict(images).sum() == 2


def test_a_detector_without_held_out_images_is_exported_without_threshold(exported):
    found = OnnxDetector(exported("ganomaly")[1], threads=1)
    assert found.thresholds_ is None and not len(found.good_scores_)
    for use in (lambda: found.predict(pictures(1, 48, 0)), lambda: found.p_values(np.zeros(1))):
        with pytest.raises(Hw3Error, match="GANomaly was fitted with held_out=0, so no good image sets a threshold"):
            use()


def test_scoring_needs_no_torch(exported, tmp_path):
    detector, file, _ = exported("autoencoder")
    np.save(tmp_path / "images.npy", pictures(3, 48, 5))
    program = (
        "import sys, numpy as np; from hw3lib.anomaly.onnx.detector import OnnxDetector; "
        f"np.save('scores.npy', OnnxDetector({str(file)!r}, threads=1).decision_function(np.load('images.npy'))); "
        "print([name for name in ('torch', 'sklearn', 'pandas') if name in sys.modules])"
    )
    root = Path(export_module.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(root)}
    )
    assert done.stdout == "[]\n", done.stderr
    wanted = detector.decision_function(pictures(3, 48, 5))
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), wanted, rtol=1e-5)


@pytest.mark.parametrize(("length", "smoothing"), [(7, 4.0), (7, 0.0), (40, 2.5)])
def test_enlarging_and_the_gaussian_with_its_reflecting_border_are_one_matrix(length, smoothing):
    raw = np.random.default_rng(0).normal(size=(length, length)).astype(np.float32)
    matrix = export_module._finishing_matrix(length, 40, smoothing).numpy()
    wanted = upsample(raw, 40)
    wanted = gaussian_filter(wanted, smoothing) if smoothing else wanted
    np.testing.assert_allclose(matrix @ raw @ matrix.T, wanted, atol=2e-6)


def searcher(bank: np.ndarray) -> PatchCoreGraph:
    return PatchCoreGraph(torch.nn.Identity(), lambda images: images, torch.from_numpy(bank), 3, lambda d, *_: d)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_search_finds_the_nearest_vector_up_to_the_bound_on_a_product_s_error(offset):
    rng = np.random.default_rng(0)
    bank = (rng.normal(size=(300, 12)) + offset).astype(np.float32)
    queries = (rng.normal(size=(200, 12)) + offset).astype(np.float32)
    graph = searcher(bank)
    flat = torch.from_numpy(queries) - graph.mean
    distance, nearest = graph.search(flat)
    squared = ((queries[:, None].astype(np.float64) - bank) ** 2).sum(2)
    length, largest = (vectors.norm(dim=1).double() for vectors in (flat, graph.bank))
    centring = 8 * 2.0**-24 * (length + largest.max()) ** 2
    slack = (product_slack(length, largest.max(), 12) + centring).numpy()
    assert (squared[np.arange(200), nearest.numpy()] <= squared.min(1) + 2 * slack).all()
    assert (nearest.numpy() == squared.argmin(1)).mean() > 0.99
    np.testing.assert_allclose(distance.numpy(), np.sqrt(squared[np.arange(200), nearest.numpy()]), rtol=1e-5)
    assert slack.max() < 1e-2  # centring keeps the bound low, wherever the vectors lie


def test_results_that_differ_leave_no_file(tmp_path, monkeypatch):
    detector = MAKE["autoencoder"]().fit(pictures(8, 48, 0))
    kept = export_module._finishing_matrix
    monkeypatch.setattr(export_module, "_finishing_matrix", lambda length, side, smoothing: kept(length, side, 0.0))
    (tmp_path / "a.onnx").write_bytes(b"before")
    with pytest.raises(Hw3Error, match=r"a\.onnx: not written.*scores differ by up to .* and maps by up to"):
        export(detector, tmp_path / "a.onnx")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.onnx", b"before")]


def test_detectors_of_scikit_learn_are_refused_with_the_reason(tmp_path):
    detector = Mahalanobis(image_size=32, device="cpu").fit(pictures(6, 32, 0))
    with pytest.raises(Hw3Error, match="Mahalanobis cannot be exported.*scikit-learn computes its scores"):
        export(detector, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_detector_that_has_learned_nothing_is_refused(tmp_path):
    with pytest.raises(Hw3Error, match="has not learned anything yet"):
        export(PatchCore(), tmp_path / "a.onnx")


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(Hw3Error, match="Export to ONNX needs the package onnxscript, which is not installed"):
        export(PatchCore(), tmp_path / "a.onnx")


def test_a_missing_onnxruntime_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Hw3Error, match="needs the package onnxruntime, which is not installed"):
        OnnxDetector(tmp_path / "a.onnx")


def test_what_is_too_large_for_an_onnx_file_is_refused_before_anything_is_written(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_LARGEST", 1000)
    with pytest.raises(Hw3Error, match="ONNX file holds less than"):
        export(exported("autoencoder")[0], tmp_path / "a.onnx")


def test_files_that_are_no_detector_are_refused(exported, tmp_path):
    with pytest.raises(Hw3Error, match="no such file"):
        OnnxDetector(tmp_path / "none.onnx")
    _, file, _ = exported("autoencoder")
    (tmp_path / "cut.onnx").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(Hw3Error, match=r"cut\.onnx: cannot be read as an ONNX model"):
        OnnxDetector(tmp_path / "cut.onnx")
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(Hw3Error, match=r"other\.onnx: an ONNX model, but not a detector"):
        OnnxDetector(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 3, 47, 48), np.uint8), np.zeros((1, 3, 48, 48), np.float32), np.zeros((0, 3, 48, 48), np.uint8)],
    ids=["size", "dtype", "none"],
)
def test_images_of_another_kind_are_refused(exported, images):
    with pytest.raises(Hw3Error, match=r"expected uint8 \(N, 3, 48, 48\)"):
        OnnxDetector(exported("autoencoder")[1], threads=1).score(images)


def test_products_travel_with_the_file(exported, tmp_path):
    detector = Autoencoder(working_size=32, **QUICK)
    groups = np.arange(12) // 3
    detector.fit(pictures(12, 48, 0), groups=groups, held_out=0.5, false_alarm_rate=0.4)
    export(detector, tmp_path / "grouped.onnx")
    found = OnnxDetector(tmp_path / "grouped.onnx", threads=1)
    assert np.array_equal(found.good_groups_, detector.good_groups_)
    assert np.array_equal(found.peak_groups_, detector.peak_groups_)
    scores = np.linspace(detector.good_scores_[0], detector.good_scores_[-1], 7)
    assert np.array_equal(found.p_values(scores), detector.p_values(scores))
    assert OnnxDetector(exported("autoencoder")[1], threads=1).good_groups_ is None


def test_a_threshold_by_costs_and_a_changed_detector_are_told_by_the_file(tmp_path):
    detector = Autoencoder(working_size=32, **QUICK).fit(pictures(8, 48, 0), held_out=0.4, false_alarm_rate=0.3)
    detector.know_defects(np.zeros((2, 3, 48, 48), np.uint8))
    detector.set_costs(Costs(10, 1))
    export(detector, tmp_path / "costs.onnx")
    found = OnnxDetector(tmp_path / "costs.onnx", threads=1)
    assert found.thresholds_ == detector.thresholds_ and "2 known defects" in str(found.thresholds_)
    assert found.scale_ == detector.scale_ and found.map_threshold_ == detector.map_threshold_
    model = onnx.load(tmp_path / "costs.onnx")
    entry = next(e for e in model.metadata_props if e.key == "hw3.promise")
    kept = json.loads(entry.value)
    entry.value = json.dumps(kept | {"probe_": [2 * score for score in kept["probe_"]]})
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.warns(ChangedDetector, match=r"other\.onnx: This is no longer the detector"):
        changed = OnnxDetector(tmp_path / "other.onnx", threads=1)
    with pytest.raises(Hw3Error, match="has no p-values"):
        changed.p_values(np.zeros(1))


def test_metadata_of_another_size_than_the_model_takes_are_refused(exported, tmp_path):
    model = onnx.load(exported("autoencoder")[1])
    next(e for e in model.metadata_props if e.key == "hw3.image_size").value = "1000000"
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(Hw3Error, match=r"large\.onnx: its metadata are not those of a detector .*image_size=1000000"):
        OnnxDetector(tmp_path / "large.onnx")


def test_a_library_that_says_nothing_of_its_error_is_named(monkeypatch, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(Hw3Error, match=r"cannot be read as an ONNX model \(RuntimeError\)"):
        OnnxDetector(tmp_path / "a.onnx")
