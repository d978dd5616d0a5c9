"""hw3lib.views.plots.masks: figures show the masks and the table that they are given, and nothing is cut off."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest

from hw3lib.errors import Hw3Error
from hw3lib.views.plots.masks import learning_curve, segmentations


@pytest.fixture
def bottles():
    images = [np.full((40, 60, 3), 90, np.uint8), np.full((50, 50, 3), 90, np.uint8)]
    truths = [np.zeros(image.shape[:2], bool) for image in images]
    for truth in truths:
        truth[10:20, 10:30] = True
    return images, truths


@pytest.fixture
def table():
    rows = [("SAM", prompt, 0, 0.4, np.nan, np.nan) for prompt in ("box", "click", "detector")]
    rows += [("anomaly map", "none", 0, 0.3, 0.28, 0.33)]
    for n in (5, 10, 20):
        rows += [("SAM", prompt, n, 0.4 + n / 60, 0.3, 0.9) for prompt in ("box", "click", "detector")]
        rows += [("LR-ASPP", "none", n, n / 50, 0.01, 0.5)]
    return pd.DataFrame(rows, columns=["method", "prompt", "n_train", "iou", "iou_low", "iou_high"])


def whole(figure) -> bool:
    """Nothing is outside of the figure."""
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return drawn.x0 > -0.02 and drawn.y0 > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02


def test_each_mask_is_drawn_with_its_iou(bottles):
    images, truths = bottles
    half = [truth & (np.arange(truth.shape[1]) < 20) for truth in truths]
    figure = segmentations(
        images, truths, {"before": half, "after": truths}, ["broken_large", "hole"], [[], [(1, 2, 9, 9)]]
    )
    grid = np.array(figure.axes).reshape(2, 3)
    assert [axes.get_title() for axes in grid[0]] == ["image and truth", "before\nIoU 0.50", "after\nIoU 1.00"]
    assert [axes.get_title() for axes in grid[1]] == ["", "IoU 0.50", "IoU 1.00"]
    for column, share in ((1, 0.5), (2, 1.0)):
        shown = np.asarray(grid[0, column].images[0].get_array())
        tinted = (shown[..., 2] > shown[..., 0] + 20).mean()  # the picture is grey, found pixels are blue
        assert tinted == pytest.approx(share * truths[0].mean(), rel=0.1)
    assert grid[0, 0].get_ylabel() == "broken large" and not grid[0, 0].patches and len(grid[1, 0].patches) == 2
    assert whole(figure)


def test_masks_of_another_number_or_size_are_refused(bottles):
    images, truths = bottles
    with pytest.raises(Hw3Error, match="before: found masks of"):
        segmentations(images, truths, {"before": truths[:1]})
    with pytest.raises(Hw3Error, match="truths: found masks of"):
        segmentations(images, truths[::-1], {})
    assert segmentations([], [], {}).axes[0].texts[0].get_text() == "no image"


def test_the_curve_draws_every_row_and_dashes_what_needs_no_training(table):
    figure = learning_curve(table)
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {"SAM, box prompt", "SAM, box prompt, not fine-tuned", "LR-ASPP"} <= set(labels)
    assert "anomaly map, learns from no mask" in labels and len(labels) == 8
    dashed = sorted(line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--")
    assert dashed == [0.3, 0.4, 0.4, 0.4]
    drawn = sorted(round(float(y), 6) for bars in axes.containers for y in bars.lines[0].get_ydata())
    assert drawn == sorted(round(float(v), 6) for v in table.loc[table["n_train"] > 0, "iou"])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "10", "20"]
    assert whole(figure)


def test_a_curve_of_one_split_has_no_intervals_and_a_missing_column_is_refused(table):
    assert whole(learning_curve(table.assign(iou_low=np.nan, iou_high=np.nan)))
    with pytest.raises(Hw3Error, match="no column n_train"):
        learning_curve(table.drop(columns="n_train"))
    assert learning_curve(table[:0]).axes[0].texts
