"""hw3lib.views.plots.imbalance: figures show what they are given, and nothing is cut off."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest

from hw3lib.errors import Hw3Error
from hw3lib.imbalance import DeepSmote
from hw3lib.views.plots import imbalance as plots


def texts(figure):
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


def nothing_cut_off(figure):
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert drawn.x0 > -0.02 and drawn.y0 > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02, drawn


def shown(axes):
    return [np.asarray(image.get_array()) for image in axes.get_images()]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(["broken_large", "good", "poke"], [4, 7, 2])
    return rng.integers(0, 256, (13, 3, 32, 32), dtype=np.uint8), y


@pytest.fixture(scope="module")
def model(data):
    model = DeepSmote(steps=3, width=2, latent_dim=5, batch_size=4, random_state=0)
    model.resampled = model.fit_resample(*data)
    return model


def test_long_tail_writes_counts_and_gini_and_colours_the_parts():
    table = pd.DataFrame({"defect": ["good"] * 60 + ["broken_large"] * 20 + ["poke"] * 10})
    figure = plots.long_tail(table)
    nothing_cut_off(figure)
    assert {"broken large", "head", "medium", "tail"} <= set(texts(figure))
    assert [t.get_text() for t in figure.axes[0].texts] == ["60", "20", "10"]
    assert any(t.startswith("Gini 0.37") for t in texts(figure))
    bars = figure.axes[0].containers[0]
    assert [bar.get_width() for bar in bars] == [60, 20, 10]
    assert [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in bars] == list(plots.COLOURS.values())
    curve = next(line for line in figure.axes[1].lines if line.get_label() == "Lorenz curve")
    assert curve.get_ydata() == pytest.approx([0, 1 / 9, 1 / 3, 1])


def test_made_images_stand_above_their_nearest_real_image():
    X = np.zeros((5, 3, 8, 8), np.uint8)
    X[:, 0] = np.array([0, 10, 100, 110, 200])[:, None, None]
    y = np.array(["big", "big", "big", "small", "small"])
    new = X[[3]].copy()
    new[:, 0] -= 4  # 106: nearest is 110, by 4 grey levels in one of three channels
    figure = plots.made_images(X, y, np.concatenate([X, new]), np.append(y, "small"), columns=3)
    nothing_cut_off(figure)
    grid = np.array(figure.axes).reshape(3, 3)
    assert [shown(axes)[0][0, 0, 0] for axes in grid[0] if axes.get_images()] == [110, 200]
    assert shown(grid[1, 0])[0][0, 0, 0] == 106 and shown(grid[2, 0])[0][0, 0, 0] == 110
    assert grid[2, 0].get_title() == f"small\n{4 / 3**0.5:.3g} away"
    assert not grid[1, 1].get_images()


def test_made_images_can_be_compared_by_features():
    X = np.zeros((3, 3, 8, 8), np.uint8)
    X[:, 0] = np.array([0, 50, 100])[:, None, None]
    X_new, y = np.concatenate([X, X[:1]]), np.array(["a", "a", "b"])
    features = np.array([[0.0], [5.0], [9.0]]), np.array([[0.0], [5.0], [9.0], [8.0]])
    figure = plots.made_images(X, y, X_new, np.append(y, "b"), columns=2, features=features)
    near = np.array(figure.axes).reshape(3, 2)[2, 0]
    assert shown(near)[0][0, 0, 0] == 100 and near.get_title() == "b\n1 away"


def test_made_images_show_every_class_that_grew(data, model):
    figure = plots.made_images(*data, *model.resampled, columns=3)
    nothing_cut_off(figure)
    assert {"broken large\nreal", "poke\ngenerated", "poke\nnearest real"} <= set(texts(figure))
    assert "good\nreal" not in texts(figure)


def test_made_images_want_the_real_ones_first(data, model):
    X, y = data
    with pytest.raises(Hw3Error, match="images of X first"):
        plots.made_images(X, y, model.resampled[0][::-1], model.resampled[1])
    assert "no image was generated" in texts(plots.made_images(X, y, X, y))


def test_latent_map_shows_every_image_and_joins_parents(data, model):
    y, y_new = data[1], model.resampled[1]
    figure = plots.latent_map(model, y, y_new)
    nothing_cut_off(figure)
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["broken large, 4 real", "broken large, 3 generated", "good, 7 real", "poke, 2 real",
                      "poke, 5 generated"]  # fmt: skip
    assert sorted(len(c.get_offsets()) for c in figure.axes[0].collections) == [2, 3, 4, 5, 7]
    assert len(figure.axes[0].lines) == 2 * 8
    # A point between two others stays between them on any plane.
    line, other = figure.axes[0].lines[:2]
    ends = np.array([line.get_xydata()[0], other.get_xydata()[0]])
    made = line.get_xydata()[1]
    assert np.linalg.norm(made - ends, axis=1).sum() == pytest.approx(np.linalg.norm(ends[0] - ends[1]), rel=1e-4)


def test_latent_walk_goes_from_one_image_to_the_other(data, model):
    X = data[0]
    figure = plots.latent_walk(model, X[0], X[1], steps=4)
    nothing_cut_off(figure)
    assert [axes.get_title() for axes in figure.axes] == ["real", "0%", "33%", "67%", "100%", "real"]
    pictures = [shown(axes)[0].transpose(2, 0, 1) for axes in figure.axes]
    assert np.array_equal(pictures[0], X[0]) and np.array_equal(pictures[-1], X[1])
    ends = model.decode(model.encode(X[:2]))
    assert np.array_equal(pictures[1], ends[0]) and np.array_equal(pictures[4], ends[1])
    with pytest.raises(Hw3Error, match="steps=1"):
        plots.latent_walk(model, X[0], X[1], steps=1)


def test_latent_map_of_nothing_says_so(data):
    X, y = data
    model = DeepSmote()
    chosen = np.r_[0, 1, 4, 5]
    model.fit_resample(X[chosen], y[chosen])
    assert "no image was generated" in texts(plots.latent_map(model, y[chosen], y[chosen]))


@pytest.mark.parametrize("above", [False, True])
def test_the_ranking_shows_every_method_and_the_ceiling_above_them(above):
    rows = [("best", 0.6, 0.1, 0.05, 0.15, "helps"), ("plain", 0.5, np.nan, np.nan, np.nan, "")]
    columns = ["method", "tail_recall", "gain", "gain_low", "gain_high", "verdict"]
    table = pd.DataFrame(rows, columns=columns)
    ceiling = pd.Series(("all images", 0.7, 0.2, 0.1, 0.3, "helps"), index=columns)
    figure = plots.ranking(table, ceiling if above else None)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["plain", "best", *["all images"] * above]
    assert right.lines[0].get_xdata().tolist() == pytest.approx([50, 60, *[70] * above])
    assert ("nothing cut away" in texts(figure)) == above
    nothing_cut_off(figure)
