"""Everything that a device is chosen for runs on one without float64, Apple's MPS, and finds what the CPU finds."""

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from emulated_mps import DEVICE, OnMps, emulated_mps

from hw3lib.annotate.boxes.fcos import Fcos
from hw3lib.annotate.instances import Instance, from_masks
from hw3lib.annotate.masks.finetune import CLICK, FineTuning, fine_tune
from hw3lib.annotate.masks.light import LightSegmenter
from hw3lib.annotate.masks.sam import Segmenter
from hw3lib.annotate.masks.sam_network import SamNetwork, Size
from hw3lib.anomaly.registry import DETECTORS, load
from hw3lib.classify import Attempt, fit_splits, run_attempt
from hw3lib.classify.explain import explain_attempt
from hw3lib.classify.guided.classifier import DefectGuided, extract_features, good_images
from hw3lib.data import classification_images, load_table, repeated_splits
from hw3lib.imbalance.comparison import compare_methods
from hw3lib.imbalance.methods.heads import Recipe
from hw3lib.imbalance.oversamplers.deepsmote import DeepSmote
from hw3lib.networks.devices import autocast, pick_device, pooled_mean
from hw3lib.networks.nearest import NearestNeighbours

DETECTOR_CASES = {
    "ocsvm": {},
    "iforest": {"trees": 5},
    "knn": {},
    "mahalanobis": {},
    "autoencoder": {"num_steps": 2, "train_batch_size": 4, "working_size": 32, "latent_size": 8},
    "svdd": {"num_steps": 2, "train_batch_size": 4, "hidden_size": 16, "latent_size": 8},
    "svdd, whole images": {"num_steps": 2, "train_batch_size": 4, "latent_size": 8, "arch": None},
    "ganomaly": {"num_steps": 2, "train_batch_size": 4, "working_size": 32, "latent_size": 8, "channels": 4},
    "cutpaste": {"num_steps": 2, "train_batch_size": 2},
    "synthetic": {"num_steps": 2, "train_batch_size": 2, "hidden_size": 8},
    "padim": {"dimensions": 10},
    "patchcore": {},
    "subspace": {},
    "dino": {"arch": "tf_efficientnet_lite0"},
    "patchcore, odd side": {"image_size": 72},  # maps of 9 and 5 places: one is no multiple of the other
    "padim, odd side": {"image_size": 72, "dimensions": 10},
}


@pytest.fixture
def mps(monkeypatch):
    """The emulated device, as it is where hw3lib was imported before PyTorch."""
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    AcceleratorState._reset_state(True)  # another test of this process has taken the CPU, which accelerate remembers
    with emulated_mps(monkeypatch) as fell_back:
        yield fell_back
    AcceleratorState._reset_state(True)


@pytest.fixture
def photographs() -> np.ndarray:
    rng = np.random.default_rng(0)
    waves = 128 + 40 * np.sin(np.arange(72) / 4) + rng.uniform(-10, 10, (12, 3, 1, 1))
    return (waves + rng.normal(0, 4, (12, 3, 72, 72))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def table(tmp_path, make_category) -> pd.DataFrame:
    make_category(tmp_path / "widget", {"train/good": 8, "test/good": 6, "test/dent": 6, "test/scratch": 6}, (64, 64))
    return load_table(tmp_path, "widget")


def test_the_device_refuses_what_apples_refuses(mps):
    """Or else the rest of these tests would say nothing."""
    here, there = torch.ones(3, device="mps"), torch.ones(3)
    for refused in (
        here.double,
        lambda: here.to(torch.float64),
        lambda: here.mean(dtype=torch.float64),
        lambda: there.double().to(DEVICE),
        lambda: torch.zeros(2, dtype=torch.float64, device="mps"),
        lambda: torch.tensor([1.0], dtype=torch.float64, device=DEVICE),
        lambda: torch.nn.Linear(2, 2).double().to("mps"),
    ):
        with pytest.raises(TypeError, match="doesn't support float64"):
            refused()
    with pytest.raises(RuntimeError, match="same device"):
        here + there
    with pytest.raises(TypeError, match="numpy"):
        here.numpy()
    assert here.device == (here + 2.5).device == DEVICE and (here * torch.tensor(2.0)).tolist() == [2, 2, 2]
    assert type(here.cpu()) is torch.Tensor and pick_device("auto").type == "mps"


def test_operators_that_it_lacks_are_errors_without_the_fallback(mps, monkeypatch):
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "0")
    given = torch.eye(3, device="mps"), torch.ones(3, device="mps"), torch.ones(3, 3, device="mps")
    with pytest.raises(NotImplementedError, match="aten::ormqr"):
        torch.ormqr(*given)
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    assert torch.ormqr(*given).device == DEVICE and mps == {"ormqr"}


@pytest.mark.parametrize("case", DETECTOR_CASES)
def test_every_detector_fits_scores_and_is_saved_and_loaded(case, photographs, tmp_path, mps):
    given = {"image_size": 64, "smoothing": 1 / 64, "batch_size": 4} | DETECTOR_CASES[case]
    images = photographs[:, :, : given["image_size"], : given["image_size"]]
    kind = DETECTORS[case.partition(",")[0]]
    expected = kind(**given, device="cpu").fit(images, false_alarm_rate=0.4).score(images)
    fitted = kind(**given, device="auto").fit(images, false_alarm_rate=0.4)
    found = fitted.score(images)
    assert any(isinstance(value, OnMps) for value in fitted._state().values()) or fitted._backbone.mean.device == DEVICE
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
    fitted.save(tmp_path / "detector")
    for device in ("auto", "cpu"):
        again = load(tmp_path / "detector", device=device).score(images)
        np.testing.assert_allclose(again.scores, found.scores, rtol=1e-5, atol=1e-6)
        assert (again.maps is None) == (found.maps is None)
        assert found.maps is None or np.allclose(again.maps, found.maps, rtol=1e-4, atol=1e-5)


def test_the_search_for_nearest_vectors_is_as_exact_and_answers_on_the_device(mps):
    bank, queries = torch.randn(300, 20), torch.randn(40, 20)
    distances, indices = NearestNeighbours(bank.to("mps")).query(queries.to("mps"), 3)
    assert distances.device == indices.device == DEVICE
    expected = NearestNeighbours(bank).query(queries, 3)
    assert torch.equal(distances.cpu(), expected[0]) and torch.equal(indices.cpu(), expected[1])


def test_maps_are_averaged_down_to_any_size(mps):
    maps = torch.rand(2, 3, 9, 9)
    for size in ((3, 3), (5, 5)):
        found = pooled_mean(maps.to("mps"), size)
        assert found.device == DEVICE
        assert torch.equal(found.cpu(), torch.nn.functional.adaptive_avg_pool2d(maps, size))


LITE = {"arch": "tf_efficientnet_lite0", "image_size": 64, "batch_size": 8, "epochs": 1}
ATTEMPTS = {
    "from scratch": {"arch": "simple_cnn", "image_size": 32, "flip": True, "rotation": 10.0, "colour_jitter": 0.1},
    "head": {"strategy": "transfer", "head": "multi-scale", "flip": True, "views": 2},
    "last stages": {"strategy": "two-stage", "fine_tune_epochs": 1, "fine_tune_stages": 2},
    "adapters": {"strategy": "adapters"},
    "LoRA": {"strategy": "lora", "image_size": 32},
}


@pytest.mark.parametrize("case", ATTEMPTS)
def test_a_classifier_is_trained(case, table, mps):
    images = classification_images(table)
    attempt = Attempt(case, **LITE | ATTEMPTS[case])
    splits = repeated_splits(images, 2, 0.3, 0)
    result = run_attempt(attempt, images, splits, device="mps")
    assert len(result.probabilities) == 2 and np.isfinite(result.probabilities).all()


def test_a_classifier_is_explained(table, mps):
    images = classification_images(table)
    attempt, splits = Attempt("small", image_size=32, batch_size=8, epochs=1), repeated_splits(images, 2, 0.3, 0)
    assert next(iter(fit_splits(attempt, images, splits, device="mps"))).images.device == DEVICE
    assert np.isfinite(explain_attempt(attempt, images, splits, device="mps").maps).all()


def test_the_guided_classifier_describes_photographs(table, mps):
    images = classification_images(table)
    method = DefectGuided(arch="tf_efficientnet_lite0", image_size=64, region_size=64, memory=200, good_images=6)
    images = images.groupby("defect").head(2).reset_index(drop=True)
    seen = extract_features(method, images, good_images(table, images), device="mps")
    assert np.isfinite(seen.maps).all()


def test_a_network_is_described_in_float32_where_there_is_no_autocast(mps, monkeypatch):
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda device: device == "cpu")
    with autocast(DEVICE, "float32"):
        assert (torch.ones(2, 2, device="mps") @ torch.ones(2, 2, device="mps")).dtype == torch.float32


def test_methods_against_imbalance_are_compared(table, mps):
    images = classification_images(table)
    splits = repeated_splits(images, 2, 0.34, 0)
    recipe = Recipe(steps=1, batch_size=8)
    given = {"image_size": 64, "views": 2, "ratios": (2,), "recipe": recipe}
    compare_methods(images, splits, methods=("plain", "FixMatch", "cutmix"), **given, device="mps")


def test_deepsmote_makes_images(mps):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (12, 3, 32, 32), dtype=np.uint8)
    labels = np.array([0] * 8 + [1] * 4)
    model = DeepSmote(image_size=32, latent_dim=4, width=2, steps=2, k_neighbors=2, device="mps")
    made, answers = model.fit_resample(images, labels)
    assert len(made) == 16 and (answers == 1).sum() == 8


def small_sam() -> Segmenter:
    size = Size(
        image_size=64, embed_dims=(8, 16, 16, 32), depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2), hidden_size=32,
        mlp_dim=32, decoder_heads=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SamNetwork.build(size)
    return Segmenter(network, "small", device="mps")


@pytest.fixture
def dents() -> tuple[list[np.ndarray], list[Instance]]:
    rng = np.random.default_rng(0)
    images, instances = [], []
    for row in range(4):
        mask = np.zeros((48, 64), bool)
        mask[10:30, 8 + row : 30 + row] = True
        image = rng.integers(60, 90, (48, 64, 3), dtype=np.uint8)
        image[mask] = 230
        images.append(image)
        instances.append(Instance.from_mask(row, "dent", mask))
    return images, instances


@pytest.mark.parametrize("prompt", ["box", CLICK])
def test_sam_segments_and_is_fine_tuned(prompt, dents, mps):
    images, instances = dents
    segmenter = small_sam()
    embeddings = {row: segmenter.embed(image) for row, image in enumerate(images)}
    assert segmenter.network.device == DEVICE
    tuned, history = fine_tune(segmenter, embeddings, instances, FineTuning(num_epochs=1, lr=1e-3, prompt=prompt))
    assert np.isfinite(history.epochs["loss"].iloc[-1])
    found = tuned.predict(embeddings[0], boxes=np.array([[8, 10, 30, 30]]))
    assert found.masks.shape == (1, 48, 64)
    found = tuned.predict(embeddings[0], points=np.array([[[20.5, 20]]]), labels=np.array([[1]]))
    assert found.masks.shape == (1, 48, 64)


def test_the_light_segmenter_learns(photographs, mps):
    masks = [np.eye(64, dtype=bool)] * 4
    segmenter = LightSegmenter(image_size=64, num_steps=1, batch_size=2, device="mps")
    features = segmenter.features(photographs[:4, :, :64, :64])
    assert segmenter.fit(features, masks).predict(features, [(48, 64)] * 4)[0].shape == (48, 64)


def test_a_detector_of_boxes_trains_where_it_may_and_leaves_mps_alone(table, mps):
    """FCOS has a device of its own choice; without CUDA that is the CPU."""
    table = table[table["split"] == "test"].reset_index(drop=True)
    detector = Fcos(size=32, epochs=1).fit(table, from_masks(table), range(12))
    assert next(detector._network.parameters()).device.type == "cpu"
