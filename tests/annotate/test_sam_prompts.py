"""hw3lib.annotate.prompts: boxes stay near, clicks fall where they claim to."""

import numpy as np
import pytest

from hw3lib.annotate.instances import Instance
from hw3lib.annotate.prompts import interior_click, interior_point, jittered_box, random_clicks


@pytest.fixture
def ring():
    """A ring: its centre is a hole."""
    y, x = np.mgrid[:100, :120]
    radius = np.hypot(y - 50, x - 60)
    return Instance.from_mask(0, "hole", (radius < 30) & (radius > 12))


def test_the_interior_point_is_the_middle_of_a_rectangle_and_lies_on_a_ring(ring):
    mask = np.zeros((20, 30), bool)
    mask[5:10, 8:13] = True
    assert interior_point(mask) == (10, 7)
    assert interior_point(np.ones((5, 5), bool)) == (2, 2)  # the edge of the image is a border
    x, y = interior_click(ring)
    radius = np.hypot(y - 50, x - 60)
    assert ring.mask[int(y), int(x)] and 19 <= radius <= 23


def test_a_jittered_box_moves_by_no_more_than_it_may_and_stays_inside(ring):
    rng = np.random.default_rng(0)
    tight = np.array(ring.xyxy)
    boxes = np.array([jittered_box(ring, 4.0, rng) for _ in range(300)])
    moved = np.abs(boxes - tight)
    assert moved.max() <= 20 / 4 + 1e-4 and moved.max() > 4.5  # 20 pixels of the square are 5 of the image
    corner = Instance.from_mask(0, "dent", np.pad(np.ones((6, 4), bool), ((0, 50), (0, 50))))
    boxes = np.array([jittered_box(corner, 1.0, rng) for _ in range(300)])
    assert boxes.min() >= 0 and (boxes[:, 2] - boxes[:, 0] >= 2).all() and (boxes[:, 3] - boxes[:, 1] >= 3).all()


def test_clicks_are_on_the_instance_and_beside_everything_defective(ring):
    rng = np.random.default_rng(1)
    others = ring.mask.copy()
    others[:, :20] = True
    places = set()
    for _ in range(200):
        points, labels = random_clicks(ring, others, 2, rng)
        assert points.shape == (3, 2) and labels.tolist() == [1, 0, 0]
        x, y = points[0].astype(int)
        places.add((x, y))
        assert ring.mask[y, x]
        left, top, right, bottom = ring.xyxy
        for x, y in points[1:].astype(int):
            assert not others[y, x] and not (left <= x < right and top <= y < bottom)
    assert len(places) > 50


def test_a_defect_that_fills_its_image_has_no_click_beside_it():
    full = Instance.from_mask(0, "dent", np.ones((10, 10), bool))
    points, labels = random_clicks(full, full.mask, 1, np.random.default_rng(0))
    assert labels.tolist() == [1, 1] and (points[0] == points[1]).all()
