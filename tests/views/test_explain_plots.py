"""hw3lib.views.plots.explain.regions: what a defect-guided classifier looked at again."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest

from hw3lib.classify.guided.classifier import GuidedFeatures
from hw3lib.data import load_masks, load_table, read_image
from hw3lib.views.plots import explain as explain_plots

BOX = np.array([0.25, 0.5, 0.75, 1.0])


@pytest.fixture
def images(category):
    table = load_table(category.parent, "widget")
    return table[table["split"] == "test"].reset_index(drop=True)


@pytest.fixture
def features(images):
    maps = np.arange(len(images), dtype=np.float32)[:, None, None] * np.ones((4, 4), np.float32)
    return GuidedFeatures({}, maps, np.tile(BOX, (len(images), 1)), np.ones((8, 3)), images["is_defect"].to_numpy())


def panels(figure):
    """Axes of the three lines: images, maps, regions."""
    drawn = [a for a in figure.axes if a.images]
    return np.array(drawn).reshape(3, -1)


def test_regions_take_the_classes_in_turn_and_wrap_round(images, features):
    titles = [[a.get_title() for a in panels(explain_plots.regions(features, images, page))[0]] for page in range(3)]
    assert titles[0] == ["good", "dent", "scratch"] * 2
    assert len(titles[1]) == len(images) - 6 and titles[2] == titles[0]


def test_regions_show_what_lies_in_the_box(images, features):
    figure = explain_plots.regions(features, images)
    first = images.index[images["defect"] == "dent"][0]
    whole = read_image(images["image"][first])
    height, width = whole.shape[:2]
    shown = panels(figure)[2][1].images[0].get_array()
    assert np.array_equal(shown, whole[height // 2 :, width // 4 : 3 * width // 4])
    for axes in panels(figure)[:2, 1]:
        left, right, bottom, top = axes.images[0].get_extent()
        (x, y), side = axes.patches[0].get_xy(), right - left
        assert (x - left) / side == pytest.approx(BOX[0]) and (y - top) / (bottom - top) == pytest.approx(BOX[1])
        assert axes.patches[0].get_width() / side == pytest.approx(0.5)


def test_regions_say_how_much_of_the_defect_they_hold(images, features):
    mask = load_masks(images, 192)
    wanted = []
    for i in [images.index[images["defect"] == name][0] for name in ("good", "dent", "scratch")]:
        share = mask[i, 96:, 48:144].sum() / max(mask[i].sum(), 1)
        wanted.append(f"{share:.0%} of the defect" if mask[i].any() else "no defect")
    assert [a.get_title() for a in panels(explain_plots.regions(features, images))[2]][:3] == wanted
    bare = explain_plots.regions(features, images.assign(mask=None))
    assert [a.get_title() for a in panels(bare)[2]][:3] == ["no defect", "no mask", "no mask"]


def test_anomaly_maps_share_one_scale(images, features):
    maps = [a.images[0] for a in panels(explain_plots.regions(features, images))[1]]
    assert {m.get_clim() for m in maps} == {(0, len(images) - 1)}
    assert [m.get_array().max() for m in maps[:2]] == [0, images.index[images["defect"] == "dent"][0]]


def test_regions_are_not_cut_off(images, features):
    figure = explain_plots.regions(features, images)
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 > -0.02 and drawn.y0 > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02, drawn
