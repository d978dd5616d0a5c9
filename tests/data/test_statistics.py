"""hw3lib.data.statistics against masks whose area, place and parts are known."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.data import (
    class_counts,
    defect_statistics,
    image_dimensions,
    imbalance_ratio,
    load_table,
    mean_mask,
)


def test_counts_and_ratio(category):
    table = load_table(category.parent, "widget")
    counts = class_counts(table)
    assert counts.to_dict("index") == {
        "good": {"train": 5, "test": 4, "total": 9},
        "dent": {"train": 0, "test": 4, "total": 4},
        "scratch": {"train": 0, "test": 3, "total": 3},
    }
    assert list(counts.index) == ["good", "dent", "scratch"]
    assert imbalance_ratio(table) == 3
    assert image_dimensions(table).to_dict("records") == [{"width": 40, "height": 32, "mode": "RGB", "images": 16}]


@pytest.fixture
def measured(tmp_path):
    """Statistics of one mask given as an array."""

    def measure(mask):
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "m.png")
        table = pd.DataFrame({"image": ["i.png"], "defect": ["dent"], "mask": [str(tmp_path / "m.png")]})
        return defect_statistics(table).iloc[0]

    return measure


def test_rectangle(measured):
    mask = np.zeros((50, 100), bool)
    mask[10:20, 40:60] = True
    m = measured(mask)
    assert m["area"] == 200 / 5000 and m["regions"] == 1 and m["largest"] == m["area"]
    assert (m["x"], m["y"]) == pytest.approx((0.5, 0.3))
    assert (m["width"], m["height"]) == (0.2, 0.2)


def test_diagonal_neighbours_are_one_region_and_separate_parts_two(measured):
    mask = np.zeros((20, 20), bool)
    mask[2, 2] = mask[3, 3] = True
    assert measured(mask)["regions"] == 1
    mask[10:14, 10:14] = True
    m = measured(mask)
    assert m["regions"] == 2 and m["largest"] == 16 / 400


def test_empty_mask(measured):
    m = measured(np.zeros((20, 20), bool))
    assert m["area"] == 0 and m["regions"] == 0 and np.isnan(m["x"])


def test_category_without_masks(category):
    table = load_table(category.parent, "widget").assign(mask=None)
    assert len(defect_statistics(table)) == 0
    assert mean_mask(table) == {}


def test_mean_mask(category):
    maps = mean_mask(load_table(category.parent, "widget"), 8)
    assert set(maps) == {"dent", "scratch"}
    assert all(m.shape == (8, 8) and m.min() >= 0 and 0 < m.max() <= 1 for m in maps.values())


def test_real_bottle(real_data):
    table = load_table(real_data, "bottle")
    stats = defect_statistics(table)
    assert len(stats) == 63
    assert imbalance_ratio(table) == pytest.approx(229 / 20)
    # A broken rim lies on the rim: its box reaches beyond the middle of the picture, its centre need not.
    assert stats["area"].between(0.003, 0.3).all() and stats["x"].between(0.15, 0.85).all()
