"""hw3lib.anomaly.detectors.subspace and dino: residuals and cosine distances by hand, and a painted square is found."""

import numpy as np
import pytest
import torch

from hw3lib.anomaly import AnomalyDINO, PatchCore, Subspace, image_metrics
from hw3lib.anomaly.detectors.subspace import top_mean
from hw3lib.errors import Hw3Error

SMALL = {"image_size": 64, "device": "cpu"}


@pytest.fixture
def images() -> np.ndarray:
    """Good ones: a plate of grey with noise; the last four have a bright square."""
    rng = np.random.default_rng(0)
    made = rng.integers(90, 130, (16, 3, 64, 64)).astype(np.uint8)
    made[12:, :, 24:40, 24:40] = 250
    return made


def patches_of(detector, monkeypatch, good, other):
    """Instead of a network's: as many images as rows, float32 ``(n, patches, channels)``."""
    given = iter([good, other])
    monkeypatch.setattr(detector, "_patches", lambda _: torch.tensor(next(given), dtype=torch.float32)[:, None])


def test_the_residual_is_the_distance_from_the_plane_of_good_patches(monkeypatch):
    rng = np.random.default_rng(1)
    plane = np.array([[1.0, 0, 1], [0, 1, 0]]) / [[np.sqrt(2)], [1]]
    good = rng.normal(0, 3, (4, 50, 2)) @ plane + [5, 6, 7] + rng.normal(0, 0.01, (4, 50, 3))
    away = np.array([1, 0, -1]) / np.sqrt(2)
    other = np.array([[5, 6, 7] + 2 * away + 4 * plane[0], [5, 6, 7] - away * 3])[None]
    detector = Subspace(**SMALL)
    detector._torch_device = torch.device("cpu")
    patches_of(detector, monkeypatch, good, other)
    detector._fit(np.zeros((4, 3, 64, 64), np.uint8), False)
    assert detector._components.shape == (2, 3)
    scores, maps = detector._score(torch.zeros(1, 3, 64, 64))
    np.testing.assert_allclose(maps.flatten(), [2, 3], atol=0.02)
    assert scores.item() == pytest.approx(3, abs=0.02)  # a hundredth of two patches is one


def test_as_many_components_as_hold_the_share(monkeypatch):
    good = np.diag([10.0, 3, 1])[[0, 1, 2] * 2] * np.repeat([1, -1], 3)[:, None]  # variances 100, 9 and 1 of 110
    for share, kept in ((0.9, 1), (0.95, 2), (0.995, 3)):
        detector = Subspace(variance=share, **SMALL)
        detector._torch_device = torch.device("cpu")
        patches_of(detector, monkeypatch, good[None], good[None])
        detector._fit(np.zeros((1, 3, 64, 64), np.uint8), False)
        assert len(detector._components) == kept


def test_the_mean_of_the_largest():
    values = torch.tensor([[4.0, 1, 3, 2], [0, 0, 8, 0]])
    assert top_mean(values, 0.5).tolist() == [3.5, 4] and top_mean(values, 0.01).tolist() == [4, 8]


def test_cosine_distances_of_all_good_patches(images):
    detector = AnomalyDINO(arch="tf_efficientnet_lite0", top=0.1, **SMALL).fit(images[:12], held_out=0)
    assert detector.memory_bank == 12 * 4 * 4
    with torch.no_grad():
        good, other = (detector._features(torch.from_numpy(part)).flatten(0, 2) for part in (images[:12], images[12:]))
    expected = (1 - other @ good.T).min(1).values.view(4, 16)
    scores, maps = detector._score(torch.from_numpy(images[12:]))
    np.testing.assert_allclose(maps.flatten(1), expected, atol=1e-6)
    np.testing.assert_allclose(scores, expected.topk(2, dim=1).values.mean(1), atol=1e-6)


@pytest.mark.parametrize("kind", [Subspace, AnomalyDINO])
def test_a_bright_square_is_found_where_it_is(images, kind):
    detector = kind(arch="tf_efficientnet_lite0", **SMALL).fit(images[:8], held_out=0)
    scored = detector.score(images[8:])
    assert image_metrics(np.arange(8) >= 4, scored.scores).auroc == 1
    for found in scored.maps[4:]:
        row, column = np.unravel_index(np.argmax(found), found.shape)
        assert 20 <= row < 44 and 20 <= column < 44


@pytest.mark.parametrize("wrong", [{"variance": 1.0}, {"variance": 0.0}, {"top": 0.0}, {"top": 1.5}])
def test_shares_that_are_none_are_refused(wrong):
    with pytest.raises(Hw3Error, match=f"SubspaceAD: .*{next(iter(wrong))}="):
        Subspace(**wrong)


@pytest.mark.parametrize("wrong", [{"top": 0.0}, {"neighbours": 9}, {"whiten": True}])
def test_what_is_patchcores_is_refused(wrong):
    assert PatchCore(**{k: v for k, v in wrong.items() if k != "top"})
    with pytest.raises(Hw3Error, match=f"AnomalyDINO: .*{next(iter(wrong))}="):
        AnomalyDINO(**wrong)
