"""hw3lib.views.plots.dataset: figures show what they are given, and nothing is cut off."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hw3lib.classify import Attempt, Result, calibration, leaderboard
from hw3lib.classify.explain import Explanation, peaks
from hw3lib.data import defect_statistics, load_masks, load_table
from hw3lib.errors import Hw3Error
from hw3lib.views.plots import classify as classify_plots
from hw3lib.views.plots import dataset as plots
from hw3lib.views.plots import explain as explain_plots
from hw3lib.views.plots.style import outline


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
    outline(axes, mask)
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
    figure = classify_plots.leaderboard(board, "baseline")
    nothing_cut_off(figure)
    assert {f"{a:.0%}" for a in board["accuracy"]} <= set(texts(figure))
    nothing_cut_off(classify_plots.curves(results))
    figure = classify_plots.confusions(results)
    nothing_cut_off(figure)
    numbers = [int(t) for t in texts(figure) if t.isdigit()]
    assert sum(numbers) == 2 * 24


def test_working_sizes(table):
    figure = plots.working_sizes(list(table.head(2).itertuples()), [8, 16])
    nothing_cut_off(figure)
    assert [i.get_array().shape[0] for a in figure.axes for i in a.images] == [8, 16, 8, 16]


@pytest.fixture
def explanation(table):
    """Of the 11 test images: the last dent is taken for a scratch; the maps miss two of the other dents."""
    images = table[table["split"] == "test"].reset_index(drop=True)
    classes = ["good", "dent", "scratch"]
    y = np.array([classes.index(d) for d in images["defect"]])
    y_pred = np.where(np.arange(len(y)) == np.flatnonzero(y == 1)[3], 2, y)
    probabilities = np.full((len(y), 3), 0.02, np.float32)
    probabilities[np.arange(len(y)), y_pred] = 0.96 - 0.01 * np.arange(len(y))
    masks = load_masks(images, 32)
    maps = masks.astype(np.float32)
    for i in np.flatnonzero(y == 1)[1:3]:
        maps[i] = np.roll(maps[i], 16, 0)
    maps[y == 0, 3, 3] = 1
    return images, Explanation(Attempt("tiny", image_size=32), classes, np.arange(len(y)), y, y_pred, probabilities,
                               maps, masks)  # fmt: skip


def crosses(figure):
    """Where the peaks are marked: row and column."""
    return [(line.get_ydata()[0], line.get_xdata()[0]) for a in figure.axes for line in a.lines if line.get_mew() == 2]


def test_grad_cams_show_the_surest_of_each_class_with_mask_and_peak(explanation):
    images, explained = explanation
    figure = explain_plots.grad_cams(explained, images)
    nothing_cut_off(figure)
    found = texts(figure)
    assert [t.split("\n")[0] for t in found if "true" in t] == [
        f"true: {name}" for name in ("good", "dent", "scratch") * 2
    ]
    best = explained.confidence[[np.flatnonzero(explained.y == label)[0] for label in range(3)]]
    assert [t.split("\n")[2] for t in found if "true" in t][:3] == [f"{c:.0%} sure" for c in best]
    assert [t for t in found if t in ("hit", "miss", "no defect")] == [
        "no defect",
        "hit",
        "hit",
        "no defect",
        "miss",
        "hit",
    ]
    shown = [np.flatnonzero(explained.y == label)[i] for i in (0, 1) for label in range(3)]
    assert crosses(figure) == [tuple(p) for p in peaks(explained.maps[shown])]
    assert len([a for a in figure.axes if a.collections]) == 8
    overlays = [a.images[1].get_array() for a in figure.axes if len(a.images) == 2]
    assert all((a == explained.maps[i]).all() for a, i in zip(overlays, shown, strict=True))


@pytest.mark.parametrize(
    ("decisions", "true", "outcome"),
    [
        ("hits", None, {"hit": 4}),
        ("misses", None, {"miss": 2}),
        ("wrong", None, {"hit": 1}),
        ("all", "good", {"no defect": 4}),
    ],
)
def test_grad_cams_of_chosen_decisions(explanation, decisions, true, outcome):
    images, explained = explanation
    found = texts(explain_plots.grad_cams(explained, images, true, decisions))
    assert {k: found.count(k) for k in ("hit", "miss", "no defect") if k in found} == outcome
    wrong = [t for t in found if "true: dent\nsaid: scratch" in t]
    assert len(wrong) == (decisions == "wrong")


def test_grad_cams_turn_pages_and_wrap_round(explanation):
    images, explained = explanation
    pages = [texts(explain_plots.grad_cams(explained, images, page=page)) for page in range(3)]
    assert [sum("true" in t for t in page) for page in pages] == [6, 5, 6] and pages[0] == pages[2] != pages[1]
    assert texts(explain_plots.grad_cams(explained, images, "good", "wrong")) == ["no such image"]
    with pytest.raises(Hw3Error, match="decisions='right': expected one of all, hits, misses, wrong"):
        explain_plots.grad_cams(explained, images, decisions="right")


def test_a_map_without_evidence_has_no_peak(explanation):
    images, explained = explanation
    explained.maps[:] = 0
    figure = explain_plots.grad_cams(explained, images)
    assert crosses(figure) == [] and "miss: no evidence" in texts(figure)


def test_pointing_shows_shares_intervals_and_baselines(explanation):
    table = explanation[1].pointing()
    figure = explain_plots.pointing(table)
    nothing_cut_off(figure)
    assert {"all (4 of 6)", "dent (1 of 3)", "scratch (3 of 3)"} <= set(texts(figure))
    lines = {line.get_label(): line.get_xdata().tolist() for line in figure.axes[0].lines}
    for label, column in (("peak of Grad-CAM", "share"), ("centre of the image", "centre"), ("random pixel", "random")):
        assert lines[label] == table[column].tolist()[::-1]
    intervals = [segment[:, 0].tolist() for segment in figure.axes[0].collections[0].get_segments()]
    assert intervals == table[["ci_low", "ci_high"]].to_numpy()[::-1].tolist()
    assert texts(explain_plots.pointing(table.assign(images=0))) == ["no correct decision on an image with a mask"]


def test_reliability_shows_each_bin_with_its_count_and_the_error():
    table = pd.DataFrame({"confidence": [np.nan, 0.5, 0.9], "accuracy": [np.nan, 0.6, 0.7], "count": [0, 10, 30]})
    figure = classify_plots.reliability(table)
    nothing_cut_off(figure)
    assert {"10", "30", "expected calibration error 17.5 %"} <= set(texts(figure))
    measured = next(line for line in figure.axes[0].lines if line.get_label() == "measured")
    assert measured.get_xydata().tolist() == [[0.5, 0.6], [0.9, 0.7]]
    assert texts(classify_plots.reliability(table.head(1))) == ["no decision"]


def test_reliability_agrees_with_the_calibration_it_draws():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 60)
    measured = calibration(rng.integers(0, 3, 60), probabilities)
    assert f"expected calibration error {100 * measured.ece:.1f} %" in texts(classify_plots.reliability(measured.table))


def test_per_class_writes_every_figure(results):
    table = results[0].per_class()
    figure = classify_plots.per_class(table)
    nothing_cut_off(figure)
    found = texts(figure)
    assert {"good (8)", "dent (8)", "scratch (8)", "precision", "recall", "F1"} <= set(found)
    numbers = [f"{100 * v:.0f}" for v in table[["precision", "recall", "f1"]].to_numpy().ravel()]
    assert any(found[i : i + 9] == numbers for i in range(len(found)))
