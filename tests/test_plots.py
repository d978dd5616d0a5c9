"""hw3lib.plots and hw3lib.widgets: figures show what they are given, and nothing is cut off."""

import matplotlib

matplotlib.use("Agg")

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hw3lib import plots, widgets
from hw3lib.classify import Attempt, leaderboard
from hw3lib.classify.experiment import Result
from hw3lib.data import defect_statistics, load_table


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def table(category):
    return load_table(category.parent, "widget")


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    found = []
    for name, skill in (("baseline", 0.4), ("a much longer name of an attempt", 0.9)):
        y = [np.arange(6) % 3 for _ in range(4)]
        y_pred = [np.where(rng.random(6) < skill, a, (a + 1) % 3) for a in y]
        history = pd.DataFrame({"epoch": [1, 2, 1], "loss": [1.0, 0.5, 0.4], "stage": ["head", "head", "all"]})
        found.append(Result(Attempt(name), ["good", "dent", "scratch"], 10, 6, y, y_pred, [np.arange(6)] * 4,
                            [history] * 4, [1.0] * 4))  # fmt: skip
    return found


def texts(figure):
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


def nothing_cut_off(figure):
    """Everything that is drawn, ticks outside the axes' limits aside, lies within the figure."""
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert drawn.x0 > -0.02 and drawn.y0 > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02, drawn


def test_class_distribution_writes_the_numbers(table):
    figure = plots.class_distribution(table)
    nothing_cut_off(figure)
    assert {"5", "4", "3", "0", "good", "dent", "scratch", "train", "test"} <= set(texts(figure))


def test_samples_show_every_class_with_its_mask(table):
    figure = plots.samples(table, columns=3)
    nothing_cut_off(figure)
    assert {"good", "dent", "scratch"} <= set(texts(figure))
    outlined = [a for a in figure.axes if a.collections]
    assert len([a for a in figure.axes if a.images]) == 9 and len(outlined) == 6


def test_outline_lies_on_the_border_of_the_mask():
    _, axes = plt.subplots()
    mask = np.zeros((10, 12), bool)
    mask[3:6, 4:9] = True
    plots.outline(axes, mask)
    points = np.concatenate([p.vertices for c in axes.collections for p in c.get_paths()])
    assert points.min(0) == pytest.approx([3.5, 2.5]) and points.max(0) == pytest.approx([8.5, 5.5])


def test_defect_figures(table):
    for figure in (plots.defect_area(defect_statistics(table)), plots.defect_position(table)):
        nothing_cut_off(figure)
        assert {"dent", "scratch"} <= set(texts(figure))


def test_category_without_masks_says_so(table):
    bare = table.assign(mask=None)
    for figure in (plots.defect_area(defect_statistics(bare)), plots.defect_position(bare)):
        assert "this category has no masks" in texts(figure)


def test_result_figures(results):
    board = leaderboard(results)
    figure = plots.leaderboard(board, "baseline")
    nothing_cut_off(figure)
    assert {f"{a:.0%}" for a in board["accuracy"]} <= set(texts(figure))
    nothing_cut_off(plots.curves(results))
    figure = plots.confusions(results)
    nothing_cut_off(figure)
    numbers = [int(t) for t in texts(figure) if t.isdigit()]
    assert sum(numbers) == 2 * 24


def test_working_sizes(table):
    figure = plots.working_sizes(list(table.head(2).itertuples()), [8, 16])
    nothing_cut_off(figure)
    assert [i.get_array().shape[0] for a in figure.axes for i in a.images] == [8, 16, 8, 16]


def test_mistakes_shows_only_mistakes(results, table):
    images = table[table["split"] == "test"].reset_index(drop=True)
    figure = widgets.mistakes(results[0], images)
    wrong = {r for rows, a, b in zip(results[0].test, results[0].y, results[0].y_pred, strict=True)
             for r in rows[a != b]}  # fmt: skip
    assert len([a for a in figure.axes if a.images]) == len(wrong) > 0
    assert all("taken for" in t for t in texts(figure))
    perfect = results[0]
    perfect.y_pred = perfect.y
    assert texts(widgets.mistakes(perfect, images)) == ["no mistake"]


def test_widget_draws_anew_when_a_control_moves(table, monkeypatch):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    shown, drawn = [], []
    monkeypatch.setattr("IPython.display.display", lambda x: shown.append(x))
    real = widgets.one_image
    monkeypatch.setattr(widgets, "one_image", lambda *a: drawn.append(a[1:]) or real(*a))
    widgets.browse(table)
    box = next(x for x in shown if isinstance(x, ipywidgets.VBox))
    defect, number, outline = box.children[0].children
    assert drawn == [("dent", 0, True)]
    number.value = 2
    defect.value = "good"
    outline.value = False
    assert [len(f.axes[0].collections) for f in shown if isinstance(f, matplotlib.figure.Figure)] == [2, 2, 0, 0]
    assert drawn[1:] == [("dent", 2, True), ("good", 2, True), ("good", 2, False)]


def test_headless_shows_the_static_twin(table, results, monkeypatch):
    monkeypatch.setenv("HW3_HEADLESS", "1")
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda x: shown.append(x))
    widgets.browse(table)
    widgets.browse_mistakes(results, table[table["split"] == "test"].reset_index(drop=True))
    assert [type(x) for x in shown] == [matplotlib.figure.Figure] * 2
