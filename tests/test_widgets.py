"""hw3lib.widgets: the error gallery, and controls that draw anew; headless, a still figure stands in."""

import matplotlib

matplotlib.use("Agg")

from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure

from hw3lib import anomaly_plots, imbalance_plots, plots, widgets
from hw3lib.anomaly.maps import Scale
from hw3lib.classify import Attempt, Result
from hw3lib.classify.explain import Explanation
from hw3lib.data import load_masks, load_table
from hw3lib.errors import Hw3Error

CLASSES = ["good", "dent", "scratch"]


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would display."""
    found = []
    monkeypatch.setattr("IPython.display.display", found.append)
    return found


@pytest.fixture
def table(category):
    return load_table(category.parent, "widget")


@pytest.fixture
def images(table):
    return table[table["split"] == "test"].reset_index(drop=True)


def result(images, *splits):
    """Result of splits that test the given ``{position: probabilities}``."""
    labels = np.array([CLASSES.index(d) for d in images["defect"]])
    p = [np.array(list(s.values()), np.float32) for s in splits]
    test = [np.array(list(s)) for s in splits]
    return Result(
        Attempt("tiny"), CLASSES, 5, len(splits[0]), [labels[rows] for rows in test], [q.argmax(1) for q in p], test,
        seconds=[1.0] * len(splits), probabilities=p,
    )  # fmt: skip


@pytest.fixture
def mistaken(images):
    """Good 0 is right; a dent is wrong twice, 90 % and 50 % sure; another once, 95 %, and right with 1 % for that."""
    dent, other = np.flatnonzero(images["defect"] == "dent")[:2]
    good = int(np.flatnonzero(images["defect"] == "good")[0])
    scratch = int(np.flatnonzero(images["defect"] == "scratch")[0])
    return result(
        images,
        {good: [0.8, 0.1, 0.1], dent: [0.05, 0.05, 0.9], other: [0.95, 0.03, 0.02], scratch: [0.5, 0.1, 0.4]},
        {good: [0.7, 0.1, 0.2], dent: [0.1, 0.4, 0.5], other: [0.01, 0.98, 0.01], scratch: [0.1, 0.54, 0.36]},
    )


def texts(figure):
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]


def test_mistakes_come_with_the_most_confident_first(mistaken, images):
    figure = widgets.mistakes(mistaken, images)
    # The scratch was taken for good with 30 % in the mean and for a dent with 32 %.
    assert texts(figure) == [
        "dent\ntaken for scratch\n70% sure\nwrong 2 of 2 times",
        "dent\ntaken for good\n48% sure\nwrong 1 of 2 times",
        "scratch\ntaken for dent\n32% sure\nwrong 2 of 2 times",
    ]
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 > -0.02 and drawn.y0 > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02


def test_mistakes_of_one_class_and_no_more_than_asked_for(mistaken, images):
    assert [t.split("\n")[0] for t in texts(widgets.mistakes(mistaken, images, "scratch"))] == ["scratch"]
    assert len(texts(widgets.mistakes(mistaken, images, most=2))) == 2
    assert texts(widgets.mistakes(mistaken, images, "good")) == ["no mistake"]


def test_mistakes_without_probabilities_are_refused(mistaken, images):
    mistaken.probabilities = []
    with pytest.raises(Hw3Error, match="'tiny' keeps no probabilities"):
        widgets.mistakes(mistaken, images)


@pytest.fixture
def explanation(images):
    y = np.array([CLASSES.index(d) for d in images["defect"]])
    masks = load_masks(images, 16)
    p = np.eye(3, dtype=np.float32)[y]
    return Explanation(Attempt("tiny", image_size=16), CLASSES, np.arange(len(y)), y, y, p, masks * 1.0, masks)


def test_a_widget_draws_anew_when_a_control_moves(table, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    drawn = []
    real = widgets.one_image
    monkeypatch.setattr(widgets, "one_image", lambda *a: drawn.append(a[1:]) or real(*a))
    widgets.browse(table)
    box = next(x for x in shown if isinstance(x, ipywidgets.VBox))
    defect, number, outline = box.children[0].children
    assert drawn == [("dent", 0, True)]
    number.value = 2
    defect.value = "good"
    outline.value = False
    assert [len(f.axes[0].collections) for f in shown if isinstance(f, Figure)] == [2, 2, 0, 0]
    assert drawn[1:] == [("dent", 2, True), ("good", 2, True), ("good", 2, False)]


def test_grad_cams_are_browsed_by_attempt_class_decisions_and_page(images, explanation, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    second = Explanation(**{**vars(explanation), "attempt": Attempt("other", image_size=16)})
    drawn = []
    real = plots.grad_cams
    monkeypatch.setattr(plots, "grad_cams", lambda *a: drawn.append((a[0].attempt.name, *a[2:])) or real(*a))
    widgets.browse_grad_cams([explanation, second], images)
    attempt, true, decisions, page = next(x for x in shown if isinstance(x, ipywidgets.VBox)).children[0].children
    assert page.max == 1
    page.value = 1
    decisions.value = "misses"
    true.value = "dent"
    attempt.value = "other"
    assert drawn == [
        ("tiny", None, "all", 0),
        ("tiny", None, "all", 1),
        ("tiny", None, "misses", 1),
        ("tiny", "dent", "misses", 1),
        ("other", "dent", "misses", 1),
    ]
    assert "no such image" in texts([f for f in shown if isinstance(f, Figure)][-1])


def test_a_moved_threshold_is_drawn_with_the_chosen_image(images, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    scores = np.where(images["is_defect"], 5.0, 1.0) + 0.01 * np.arange(len(images))
    detector = SimpleNamespace(threshold_=3.0, map_threshold_=0.5, scale_=Scale(0, 1))
    maps = np.zeros((len(images), 8, 8), np.float32)
    drawn = []
    real = anomaly_plots.threshold_page
    monkeypatch.setattr(anomaly_plots, "threshold_page", lambda *a: drawn.append((a[2], a[5], a[6])) or real(*a))
    widgets.explore_threshold(SimpleNamespace(scores=scores, detector=detector, maps=maps), images)
    threshold, image = next(x for x in shown if isinstance(x, ipywidgets.VBox)).children[0].children
    assert threshold.min < scores.min() and threshold.max > scores.max()
    threshold.value = 5.0
    image.value = next(name for name in image.options if name.startswith("1: "))
    assert [row for *_, row in drawn] == [None, None, int(scores.argmax())]
    assert [value for value, *_ in drawn][:2] == [3.0, pytest.approx(5.0, abs=0.05)]
    assert {value for _, value, _ in drawn} == {0.5}


def test_a_walk_goes_between_the_chosen_images_of_a_class(images, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    pixels = np.arange(len(images), dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    walked = []
    monkeypatch.setattr(imbalance_plots, "latent_walk", lambda _, a, b: walked.append((a.max(), b.max())) or Figure())
    widgets.walk(None, pixels, images)
    defect, start, end = next(x for x in shown if isinstance(x, ipywidgets.VBox)).children[0].children
    defect.value = "dent"
    end.value = 2
    rows = {name: np.flatnonzero(images["defect"] == name) for name in ("good", "dent")}
    assert walked[1:] == [(rows["dent"][0], rows["dent"][1]), (rows["dent"][0], rows["dent"][2])]


def test_headless_shows_the_static_twin(table, images, mistaken, explanation, monkeypatch, shown):
    monkeypatch.setenv("HW3_HEADLESS", "1")
    widgets.browse(table)
    widgets.browse_mistakes([mistaken], images)
    widgets.browse_grad_cams([explanation], images)
    assert [type(x) for x in shown] == [Figure] * 3
    assert texts(shown[1]) == texts(widgets.mistakes(mistaken, images))
    assert texts(shown[2]) == texts(plots.grad_cams(explanation, images))
