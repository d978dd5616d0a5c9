"""PaDiM beside numpy in double precision: a Gaussian at each position, its distance, its map."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from hw3lib.anomaly import PaDiM
from hw3lib.errors import Hw3Error

SMALL = {"image_size": 64, "batch_size": 4, "smoothing": 0.0, "device": "cpu"}
LAYERS = ["features.2", "features.3", "features.5"]


def distances(good: np.ndarray, test: np.ndarray, regularisation: float) -> np.ndarray:
    """Mahalanobis distance at each position, ``(n, h, w)``, of patches ``(n, h, w, channels)``."""
    n, height, width, channels = test.shape
    found = np.empty((n, height, width))
    for y in range(height):
        for x in range(width):
            covariance = np.cov(good[:, y, x].T) + regularisation * np.eye(channels)
            inverse, mean = np.linalg.inv(covariance), good[:, y, x].mean(0)
            found[:, y, x] = [mahalanobis(patch, mean, inverse) for patch in test[:, y, x]]
    return found


@pytest.mark.parametrize("regularisation", [0.01, 1.0])
def test_the_map_is_the_mahalanobis_distance_at_each_position(regularisation, plates, patches_by_hand, upsampled):
    good, test = plates(9, 0), np.concatenate([plates(2, 1), plates(2, 2, square=True)])
    detector = PaDiM(**SMALL, dimensions=12, regularisation=regularisation, seed=1).fit(good, held_out=0)
    channels = detector._channels.numpy()
    patches = [patches_by_hand(images, LAYERS)[..., channels] for images in (good, test)]
    assert patches[0].shape == (9, 8, 8, 12)  # the grid of stride 8
    expected = upsampled(distances(*patches, regularisation), 64)
    scores, maps = detector.score(test)
    np.testing.assert_allclose(maps, expected, rtol=2e-3)
    np.testing.assert_allclose(scores, expected.max((1, 2)), rtol=2e-3)


def test_channels_are_drawn_by_the_seed_without_repetition(plates):
    drawn = []
    for seed in (0, 0, 1):
        detector = PaDiM(**SMALL, dimensions=100, seed=seed).fit(plates(4, 0), held_out=0)
        drawn.append(detector._channels.tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 100 and set(drawn[0]) < set(range(24 + 40 + 112))


def test_all_channels_are_taken_if_there_are_fewer_than_asked_for(plates):
    detector = PaDiM(**SMALL, dimensions=1000).fit(plates(4, 0), held_out=0)
    assert detector._channels.tolist() == list(range(24 + 40 + 112))


def test_channels_are_kept_when_saved_not_drawn_again(plates):
    detector = PaDiM(**SMALL, dimensions=5).fit(plates(4, 0), held_out=0)
    other = PaDiM(**SMALL, dimensions=5, seed=9)
    other._torch_device = detector._torch_device
    other._restore(detector._state())
    other.n_good_ = detector.n_good_
    assert np.array_equal(other.anomaly_map(plates(2, 1)), detector.anomaly_map(plates(2, 1)))


def test_a_defect_is_seen_where_it_lies(plates):
    detector = PaDiM(**SMALL).fit(plates(9, 0), held_out=0)
    peaks = detector.anomaly_map(plates(4, 2, square=True)).reshape(4, -1).argmax(1)
    assert all(20 <= place < 44 for peak in peaks for place in divmod(int(peak), 64))  # the square: 24 to 40


@pytest.mark.parametrize("wrong", [{"dimensions": 0}, {"regularisation": 0.0}])
def test_a_setting_that_makes_no_sense_is_refused_by_name(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(Hw3Error, match=f"PaDiM: .*{name}={value}.* expected 1 or more and above 0"):
        PaDiM(**wrong)
