"""hw3lib.classify.guided.features: regions and statistics of distances whose answer is known beforehand."""

import numpy as np
import pytest
import torch

from hw3lib.classify.guided.distances import FeatureScale, find_regions
from hw3lib.classify.guided.features import describe_regions
from hw3lib.classify.guided.memory import PatchComparison


@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 15), (15, 0), (15, 15), (8, 3)])
@pytest.mark.parametrize("share", [0.1, 1 / 3, 1.0])
def test_a_region_is_centred_on_the_peak_and_moved_inside_at_the_border(y, x, share):
    distance = np.ones((1, 16, 16))
    distance[0, y, x] = 9
    x0, y0, x1, y1 = find_regions(distance, share)[0]
    assert min(x0, y0) >= 0 and max(x1, y1) <= 1 + 1e-12
    assert (x1 - x0, y1 - y0) == pytest.approx((share, share))
    middle = np.clip((np.array([x, y]) + 0.5) / 16, share / 2, 1 - share / 2)
    assert np.array([x0 + x1, y0 + y1]) / 2 == pytest.approx(middle)


def test_a_broad_anomaly_outweighs_a_single_patch():
    distance = np.zeros((1, 16, 16))
    distance[0, 2, 2], distance[0, 9:13, 9:13] = 10, 8
    assert (find_regions(distance, 0.25)[0] > 0.4).all()


def test_statistics_count_the_patches_above_the_levels_of_good_images():
    normal = np.linspace(0, 1, 10_001)
    scale = FeatureScale.of(normal.reshape(1, 73, 137))
    assert scale.floor == pytest.approx(0.99)
    distance = np.zeros((2, 10, 10))
    distance[1].flat[:7] = [0.995, 0.9995, 0.99995, 1.1, 1.3, 1.6, 2.0]
    nothing, some = scale.statistics(distance)
    assert np.expm1(nothing[:6]) == pytest.approx(0)
    assert np.expm1(some[:6]) == pytest.approx([7, 6, 5, 4, 3, 2])
    assert np.exp(some[6]) == pytest.approx(2) and (np.diff(some[6:]) <= 0).all()


def test_patches_and_stage_are_read_where_the_image_is_anomalous_and_everywhere_where_it_is_not():
    distance = torch.full((2, 8, 8), 0.5)
    distance[1, 2, 6] = 10
    residual, coarse = torch.full((2, 3, 8, 8), -1.0), torch.full((2, 4, 2, 2), -1.0)
    residual[:, :, 2, 6], coarse[:, :, 0, 1] = 5, 7
    compared = PatchComparison(distance, residual, [residual, coarse], torch.arange(10.0).view(2, 5))
    found = describe_regions(compared, FeatureScale.of(np.linspace(0, 1, 1001)))
    assert found["patches"][0] == pytest.approx(-1 + 6 / 64) and found["patches"][1] == pytest.approx(5, abs=0.05)
    assert found["stage"][0] == pytest.approx(-1 + 8 / 4) and found["stage"][1] == pytest.approx(7, abs=0.05)
    assert found["whole"].tolist() == compared.embedding.tolist() and found["statistics"].shape == (2, 13)
