"""Detectors on pooled features beside scikit-learn's estimators and formulas on features read in another way."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf
from sklearn.ensemble import IsolationForest as SklearnIsolationForest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM as SklearnOneClassSVM

from hw3lib.anomaly import IsolationForest, Mahalanobis, NearestImages, OneClassSVM
from hw3lib.anomaly.detector import BACKBONE
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

SMALL = {"image_size": 64, "batch_size": 4, "device": "cpu"}
LEVELS = ["features.3", "features.5", "features.7"]  # the last stages of strides 8, 16 and 32


@pytest.fixture(scope="module")
def images(plates) -> tuple[np.ndarray, np.ndarray]:
    """Good images to learn from, and good and defective ones to score."""
    return plates(9, 0), np.concatenate([plates(3, 1), plates(3, 2, square=True)])


@pytest.fixture(scope="module")
def embeddings(images) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of both, float64, each feature of mean 0 and variance 1 over those to learn from."""
    with torch.no_grad():
        good, test = (backbones.load(BACKBONE).embed(torch.from_numpy(x)).numpy() for x in images)
    spread = good.std(0)
    return tuple((x - good.mean(0)).astype(float) / np.where(spread > 0, spread, 1) for x in (good, test))


def test_the_one_class_svm_scores_by_scikit_learns_support_vectors(images, embeddings):
    scores = OneClassSVM(**SMALL, nu=0.3).fit(images[0], held_out=0).decision_function(images[1])
    good, test = embeddings
    model = SklearnOneClassSVM(nu=0.3).fit(good)
    # The kernel expansion by hand; gamma="scale" is 1 / (features x variance).
    kernel = rbf_kernel(test, good[model.support_], gamma=1 / (good.shape[1] * good.var()))
    np.testing.assert_allclose(scores, -kernel @ model.dual_coef_[0], rtol=1e-3, atol=1e-5)
    assert len(set(scores[:3])) == 3


def test_the_isolation_forest_is_scikit_learns_with_the_seed(images, embeddings):
    detector = IsolationForest(**SMALL, trees=20, seed=3).fit(images[0], held_out=0)
    good, test = embeddings
    expected = -SklearnIsolationForest(n_estimators=20, random_state=3).fit(good).score_samples(test)
    np.testing.assert_allclose(detector.decision_function(images[1]), expected, rtol=0.02)  # a cut can fall on a value
    other = -SklearnIsolationForest(n_estimators=20, random_state=4).fit(good).score_samples(test)
    assert np.abs(detector.decision_function(images[1]) - expected).max() < np.abs(other - expected).max() / 3


@pytest.mark.parametrize("neighbours", [1, 3, 9, 50])
def test_the_distance_to_the_nearest_images_is_averaged(neighbours, images, embeddings):
    detector = NearestImages(**SMALL, neighbours=neighbours).fit(images[0], held_out=0)
    good, test = embeddings
    expected = np.sort(cdist(test, good), 1)[:, : min(neighbours, 9)].mean(1)
    np.testing.assert_allclose(detector.decision_function(images[1]), expected, rtol=1e-3)


def test_mahalanobis_sums_the_distances_of_three_levels(images):
    detector = Mahalanobis(**SMALL).fit(images[0], held_out=0)
    expected = np.zeros(6)
    with torch.no_grad():
        backbone = backbones.load(BACKBONE)
        maps = [backbone.forward_with_maps(torch.from_numpy(x), LEVELS)[1] for x in images]
    for level in LEVELS:
        good, test = (m[level].mean((2, 3)).numpy().astype(float) for m in maps)
        covariance, _ = ledoit_wolf(good)
        expected += cdist(test, good.mean(0)[None], "mahalanobis", VI=np.linalg.inv(covariance))[:, 0]
    np.testing.assert_allclose(detector.decision_function(images[1]), expected, rtol=1e-3)


def test_the_memory_is_the_images_that_were_learned(images):
    detector = NearestImages(**SMALL).fit(images[0], held_out=0.2, false_alarm_rate=0.5)
    assert detector.memory_bank == 7


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (OneClassSVM, {"nu": 0.0}, "one-class SVM: nu=0.0, expected a share above 0"),
        (OneClassSVM, {"nu": 1.5}, "one-class SVM: nu=1.5, expected a share above 0, at most 1"),
        (IsolationForest, {"trees": 0}, "isolation forest: trees=0, expected 1 or more"),
        (NearestImages, {"neighbours": 0}, "k-nearest neighbours: neighbours=0, expected 1 or more"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(kind, wrong, said):
    with pytest.raises(Hw3Error, match=said):
        kind(**wrong)
