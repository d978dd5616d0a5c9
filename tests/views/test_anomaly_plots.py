"""hw3lib.views.plots.anomaly: figures show what they say, and nothing is cut off."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hw3lib.anomaly.calibration import ColourScale
from hw3lib.anomaly.maps import overlay
from hw3lib.anomaly.thresholds import p_values
from hw3lib.data import load_masks, load_table, read_image
from hw3lib.errors import Hw3Error
from hw3lib.views.plots import anomaly as anomaly_plots
from hw3lib.views.plots.style import TILE

SCALE = ColourScale(0, 2)


@pytest.fixture
def images(category):
    table = load_table(category.parent, "widget")
    return table[table["split"] == "test"].reset_index(drop=True)


@pytest.fixture
def maps(images):
    """Defects stand out the more the later the image; good images are flat."""
    return (load_masks(images, 16) * (1 + np.arange(len(images))[:, None, None]) / 4).astype(np.float32)


@pytest.fixture
def scores(maps):
    return maps.max((1, 2)) + np.linspace(0, 0.1, len(maps), dtype=np.float32)


def whole(figure) -> bool:
    """Nothing is outside of the figure."""
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return drawn.x0 > -0.02 and drawn.y0 > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02


def tiles(figure, lines: int):
    return np.array([axes for axes in figure.axes if axes.images]).reshape(lines, -1)


def test_heat_maps_take_the_classes_in_turn_with_good_ones_first(images, maps, scores):
    grid = tiles(anomaly_plots.heat_maps(images, maps, SCALE, 0.5, scores), 6)
    names = [line[0].get_ylabel().split("\n")[0] for line in grid]
    assert names == ["good", "dent", "scratch"] * 2
    first = images.index[images["defect"] == "dent"][0]
    assert grid[1][0].get_ylabel() == f"dent\nscore {scores[first]:.3g}"


def test_heat_maps_show_the_chosen_images_and_what_lies_above_the_threshold(images, maps):
    rows = [len(images) - 1, 0]
    grid = tiles(anomaly_plots.heat_maps(images, maps, SCALE, 0.5, rows=rows), 2)
    for line, row in zip(grid, rows, strict=True):
        picture = read_image(images["image"][row], TILE)
        assert np.array_equal(line[0].images[0].get_array(), picture)
        assert np.array_equal(line[2].images[0].get_array(), overlay(picture, maps[row], SCALE))
        shown = line[3].images[0].get_array()
        bright = (shown == picture).all(-1)
        assert bright.any() == (row != 0)  # image 0 is good: all of it is dimmed
    # A white contour goes round the centre of the defect.
    white = [c for c in grid[0][3].collections if np.allclose(c.get_edgecolor(), 1)]
    y, x = np.argwhere(load_masks(images.iloc[[rows[0]]], TILE)[0]).mean(0)
    assert len(white) == 1 and any(path.contains_point((x, y)) for path in white[0].get_paths())


def test_what_a_threshold_misses_is_shown_lowest_score_first(images, maps, scores):
    defects = scores[images["is_defect"].to_numpy()]
    threshold = float(np.sort(defects)[2])  # as high as the third, which is then not above
    figure = anomaly_plots.missed(images, maps, SCALE, 0.5, scores, threshold)
    labels = [line[0].get_ylabel().split("score ")[1] for line in tiles(figure, 3)]
    assert labels == [f"{score:.3g}" for score in np.sort(defects)[:3]]
    for table, said in ((images, "no defect is missed"), (images.assign(is_defect=False), "no defective image")):
        figure = anomaly_plots.missed(table, maps, SCALE, 0.5, scores, float(defects.min()) - 1)
        assert said in [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def test_most_and_least_are_ordered_from_both_ends(images, maps, scores):
    p = p_values(np.zeros(9), scores)
    grid = tiles(anomaly_plots.most_and_least(images, maps, scores, p, SCALE, columns=3), 2)
    order = np.argsort(scores)
    for line, rows in zip(grid, (order[::-1], order), strict=True):
        for axes, row in zip(line, rows, strict=False):
            name = images["defect"][row]
            assert axes.get_title() == f"{name}\nscore {scores[row]:.3g}\np = {p[row]:.2g}"
            picture = read_image(images["image"][row], TILE)
            assert np.array_equal(axes.images[0].get_array(), overlay(picture, maps[row], SCALE))


def test_the_page_of_a_threshold_counts_and_shows_the_nearest_image(images, maps, scores):
    y = images["is_defect"].to_numpy()
    for threshold in (-1.0, 0.05, float(scores[6]) + 1e-3, 99.0):
        figure = anomaly_plots.threshold_page(images, scores, threshold, maps, SCALE)
        called = scores > threshold
        titles = [axes.get_title() for axes in figure.axes]
        assert f"{(called & ~y).sum()} false alarms, {(~called & y).sum()} defects missed" in titles
        matrix = next(axes for axes in figure.axes if axes.get_xlabel() == "called")
        shown = [int(text.get_text()) for text in matrix.texts]
        assert shown == [(~called & ~y).sum(), (called & ~y).sum(), (~called & y).sum(), (called & y).sum()]
        row = int(np.argmin(np.abs(scores - threshold)))
        said = "called anomalous" if called[row] else "called good"
        assert f"{images['defect'][row]}\nscore {scores[row]:.3g}: {said}" in titles
        picture = read_image(images["image"][row], TILE)
        image = next(axes for axes in figure.axes if axes.images)
        assert np.array_equal(image.images[0].get_array(), overlay(picture, maps[row], SCALE))
        plt.close(figure)


def test_the_page_shows_the_image_that_was_asked_for(images, maps, scores):
    figure = anomaly_plots.threshold_page(images, scores, 0.5, maps, SCALE, map_threshold=0.7, row=5)
    image = next(axes for axes in figure.axes if axes.images)
    assert image.get_title().startswith(images["defect"][5])
    assert [c.levels.tolist() for c in image.collections][-1] == [0.7]


@pytest.fixture
def conditions():
    rows = [
        (condition, detector, 1 - i / 10 - k / 50, i / 4)
        for i, condition in enumerate(["as photographed", "darker", "rotated by 90 degrees"])
        for k, detector in enumerate(["patchcore", "padim", "one_class_svm", "knn", "svdd", "ganomaly"])
    ]
    return pd.DataFrame(rows, columns=["condition", "detector", "image_auroc", "false_alarm_rate"])


def test_robustness_draws_every_detector_in_every_condition(conditions):
    figure = anomaly_plots.robustness(conditions.assign(asked_rate=0.05))
    for axes, column in zip(figure.axes, ("image_auroc", "false_alarm_rate"), strict=True):
        marked = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
        looks = {(line.get_color(), line.get_marker(), line.get_markerfacecolor()) for line in marked}
        assert len(marked) == len(looks) == 6
        found = {
            (line.get_label().replace(" ", "_"), round(y), round(float(x), 9))
            for line in marked
            for x, y in line.get_xydata()
        }
        names = list(dict.fromkeys(conditions["condition"]))
        wanted = {(r.detector, names.index(r.condition), round(getattr(r, column), 9)) for r in conditions.itertuples()}
        assert found == wanted
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == names
    assert "5 %" in figure.axes[1].get_xlabel()


def test_a_table_without_a_column_is_refused_and_an_empty_one_says_so(conditions):
    with pytest.raises(Hw3Error, match="no column image_auroc"):
        anomaly_plots.robustness(conditions.drop(columns="image_auroc"))
    figure = anomaly_plots.robustness(conditions[:0])
    assert figure.axes[0].texts[0].get_text() == "no condition"


def test_maps_that_are_not_one_an_image_are_refused(images, maps, scores):
    with pytest.raises(Hw3Error, match="one an image"):
        anomaly_plots.heat_maps(images, maps[:-1], SCALE, 0.5)
    with pytest.raises(Hw3Error, match="and 3 scores"):
        anomaly_plots.threshold_page(images, scores[:3], 0.5, maps, SCALE)
    with pytest.raises(Hw3Error, match="rows="):
        anomaly_plots.heat_maps(images, maps, SCALE, 0.5, rows=[len(images)])
    with pytest.raises(Hw3Error, match="row="):
        anomaly_plots.threshold_page(images, scores, 0.5, maps, SCALE, row=-1)


def test_no_figure_is_cut_off(images, maps, scores, conditions):
    named = images.assign(defect=images["defect"].replace("dent", "metal_contamination"))
    for figure in (
        anomaly_plots.heat_maps(named, maps, SCALE, 0.5, scores),
        anomaly_plots.most_and_least(named, maps, scores, p_values(np.zeros(99), scores), SCALE),
        anomaly_plots.threshold_page(named, scores, 0.4, maps, SCALE, row=4),
        anomaly_plots.robustness(conditions),
    ):
        assert whole(figure), [axes.get_title() for axes in figure.axes]
