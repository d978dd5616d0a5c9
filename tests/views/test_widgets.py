"""hw3lib.views.widgets: the error gallery, and controls that draw anew; headless, a still figure stands in."""

import matplotlib

matplotlib.use("Agg")

from types import SimpleNamespace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hw3lib.anomaly.calibration import ColourScale
from hw3lib.classify import Attempt, Result
from hw3lib.classify.explain import Explanation
from hw3lib.data import load_masks, load_table
from hw3lib.errors import Hw3Error
from hw3lib.networks.callbacks import History
from hw3lib.views import widgets
from hw3lib.views.plots import anomaly as anomaly_plots
from hw3lib.views.plots import explain as explain_plots
from hw3lib.views.plots import imbalance as imbalance_plots
from hw3lib.views.widgets import choices
from hw3lib.views.widgets.controls import interactive

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
    # Where it was right once, that is no part of how sure the mistake was; the scratch was taken for two others.
    assert texts(figure) == [
        "dent\ntaken for good\n95% sure\nwrong 1 of 2 times",
        "dent\ntaken for scratch\n70% sure\nwrong 2 of 2 times",
        "scratch\ntaken for dent\n54% sure\nwrong 2 of 2 times",
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


def controls(shown):
    return next(x for x in shown if isinstance(x, ipywidgets.VBox)).children[0].children


def parts(shown):
    """Picture and line of text under the controls."""
    _, picture, line = next(x for x in shown if isinstance(x, ipywidgets.VBox)).children
    return picture, line


def test_a_widget_draws_anew_when_a_control_moves(table, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    widgets.browse(table)
    split, defect, area, number, outline = controls(shown)
    picture, line = parts(shown)
    assert picture.alt == "test/dent/000.png" and "Image 1 of 4 chosen from 16" in line.value
    pictures = [picture.value]

    def drawn():
        pictures.append(picture.value)
        assert picture.value.startswith(b"\x89PNG") and pictures[-1] != pictures[-2]
        return picture.alt

    number.value = 3
    assert drawn() == "test/dent/002.png"
    outline.value = False
    assert drawn() == "test/dent/002.png"
    defect.value = "scratch"
    assert drawn() == "test/scratch/002.png" and number.max == 3
    split.value = "train"  # scratches are in the test split only
    assert drawn() == "no image is like this" and "No image" in line.value
    defect.value = "good"
    assert drawn() == "train/good/000.png" and number.max == 5


def test_images_are_chosen_by_split_class_and_area(table):
    areas = table.assign(area=np.where(table["is_defect"], np.arange(len(table)), np.nan))
    first = int(np.flatnonzero(table["defect"] == "dent")[0])
    assert len(widgets.choose_images(areas)) == len(table)
    assert list(widgets.choose_images(areas, area=(first + 1, first + 2)).index) == [first + 1, first + 2]
    assert set(widgets.choose_images(areas, "test", "good")["defect"]) == {"good"}
    assert len(widgets.choose_images(areas, "test", "good", (0.1, 100))) == 0  # no mask, no area


def test_an_error_in_a_drawing_is_a_sentence_under_the_last_figure(monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)

    def draw(number):
        if number == 2:
            raise Hw3Error("number=2: expected <another>")
        figure = Figure()
        figure.suptitle(f"number {number}")
        return figure

    interactive(draw, number=ipywidgets.IntSlider(1, 0, 3))
    picture, line = parts(shown)
    controls(shown)[0].value = 2
    assert picture.alt == "number 1" and "number=2: expected &lt;another&gt;" in line.value
    controls(shown)[0].value = 3
    assert picture.alt == "number 3" and line.value == ""


def test_grad_cams_are_browsed_by_attempt_class_decisions_and_page(images, explanation, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    second = Explanation(**{**vars(explanation), "attempt": Attempt("other", image_size=16)})
    drawn = []
    real = explain_plots.grad_cams
    monkeypatch.setattr(explain_plots, "grad_cams", lambda *a: drawn.append((a[0].attempt.name, *a[2:])) or real(*a))
    widgets.browse_grad_cams([explanation, second], images)
    attempt, true, decisions, page = controls(shown)
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
    assert "no such image" in parts(shown)[0].alt


def test_a_moved_threshold_is_drawn_with_the_chosen_image(images, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    scores = np.where(images["is_defect"], 5.0, 1.0) + 0.01 * np.arange(len(images))
    detector = SimpleNamespace(threshold_=3.0, map_threshold_=0.5, scale_=ColourScale(0, 1))
    maps = np.zeros((len(images), 8, 8), np.float32)
    drawn = []
    real = anomaly_plots.threshold_page
    monkeypatch.setattr(anomaly_plots, "threshold_page", lambda *a: drawn.append((a[2], a[5], a[6])) or real(*a))
    widgets.explore_threshold(SimpleNamespace(scores=scores, detector=detector, maps=maps), images)
    threshold, image = controls(shown)
    assert "0 false alarms in 4 good images, 0 of 7 defects missed" in parts(shown)[1].value
    assert threshold.min < scores.min() and threshold.max > scores.max()
    threshold.value = 5.0
    image.value = next(name for name in image.options if name.startswith("1: "))
    assert [row for *_, row in drawn] == [None, None, int(scores.argmax())]
    assert [value for value, *_ in drawn][:2] == [3.0, pytest.approx(5.0, abs=0.05)]
    assert {value for _, value, _ in drawn} == {0.5}
    threshold.value = threshold.max
    assert "0 false alarms in 4 good images, 7 of 7 defects missed" in parts(shown)[1].value


def test_a_walk_goes_between_the_chosen_images_of_a_class(images, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    pixels = np.arange(len(images), dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), np.uint8)
    walked = []
    monkeypatch.setattr(imbalance_plots, "latent_walk", lambda _, a, b: walked.append((a.max(), b.max())) or Figure())
    widgets.walk(None, pixels, images)
    defect, start, end = controls(shown)
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
    assert texts(shown[2]) == texts(explain_plots.grad_cams(explanation, images))


def history(*losses, stage="head"):
    return pd.DataFrame({"epoch": range(1, len(losses) + 1), "loss": losses, "accuracy": 0.5, "stage": stage})


def test_curves_of_an_attempt_stand_out_by_split(mistaken, monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    two = pd.concat([history(3.0, 2.0), history(1.0, stage="all")], ignore_index=True)
    figure = widgets.attempt_curves([history(2.0, 1.0, 0.5), two], 1)
    lines = {tuple(line.get_ydata()): line for line in figure.axes[0].lines}
    assert lines[3.0, 2.0, 1.0].get_linewidth() > lines[2.0, 1.0, 0.5].get_linewidth()
    assert [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == ":"] == [2.5]
    mistaken.histories = [history(2.0, 1.0), history(1.5, 1.2)]
    widgets.explore_attempts([mistaken])
    _, split = controls(shown)
    assert "over 2 splits" in parts(shown)[1].value
    split.value = "2"
    assert parts(shown)[0].alt == "tiny, split 2"
    assert "split 2: 50%" in parts(shown)[1].value  # two of four are right: the good one and the other dent


def test_a_live_explorer_follows_the_newest_training_or_the_chosen_one(monkeypatch, shown):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    explorer = widgets.AttemptExplorer(seconds=0)
    explorer.show()
    (choice,), picture = controls(shown), shown[0].children[1]
    assert picture.alt == "no training curve is kept"

    def train(name, losses):
        training = SimpleNamespace(name=name, is_main=True, history=History())
        explorer.on_start(training)
        for epoch, loss in enumerate(losses, 1):
            training.history.rows.append({"epoch": epoch, "loss": loss, "accuracy": 0.5})
            explorer.on_epoch(training)
        explorer.on_end(training)

    train("attempt 'a'", [2.0, 1.0])
    train("attempt 'a'", [3.0])
    assert picture.alt == "attempt 'a', 2"
    choice.value = "attempt 'a', 1"
    train("attempt 'b'", [4.0])
    assert picture.alt == "attempt 'a', 1" and choice.value == "attempt 'a', 1"
    choice.value = choice.options[0]
    assert picture.alt == "attempt 'b', 1"
    assert list(explorer.histories["attempt 'a', 1"]["loss"]) == [2.0, 1.0]


@pytest.fixture
def gallery(shown, images, mistaken, tmp_path, monkeypatch):
    """Opens the error gallery; returns its class, page, tiles' labels and line."""
    monkeypatch.delenv("HW3_HEADLESS", raising=False)

    def open_():
        shown.clear()
        widgets.relabel(mistaken, images, tmp_path / "run" / "labels.json")
        (true, _), tiles, line = controls(shown), *shown[0].children[1:]
        return true, lambda: [tile.children[2] for tile in tiles.children], line

    return open_


def test_a_choice_survives_another_class_and_another_opening(gallery, images, tmp_path):
    true, labels, line = gallery()
    assert [label.value for label in labels()] == ["not looked at"] * 3
    assert labels()[0].options == ("not looked at", "keep", "good", "scratch", "unsure")
    labels()[0].value = "scratch"
    assert (tmp_path / "run" / "labels.json").is_file() and "1 of 11 images" in line.value
    true.value = "scratch"
    assert [label.value for label in labels()] == ["not looked at"]
    labels()[0].value = "unsure"
    true.value = "all"
    assert [label.value for label in labels()] == ["scratch", "not looked at", "unsure"]
    _, labels, line = gallery()
    assert [label.value for label in labels()] == ["scratch", "not looked at", "unsure"]
    labels()[0].value = "not looked at"
    assert "1 of 11 images" in line.value
    assert list(choices.apply(images, tmp_path / "run" / "labels.json")["defect"]) == list(images["defect"])


def test_a_choice_that_cannot_be_written_is_remembered_and_said(gallery, tmp_path, monkeypatch):
    true, labels, line = gallery()
    with monkeypatch.context() as broken:
        broken.setattr(choices, "atomic_path", lambda _: (_ for _ in ()).throw(Hw3Error("the disk is full.")))
        labels()[0].value = "keep"
    assert "the disk is full. Your choice is remembered" in line.value
    true.value = "scratch"
    true.value = "all"
    assert labels()[0].value == "keep"
    labels()[1].value = "unsure"
    assert len(choices.Choices(tmp_path / "run" / "labels.json")) == 2


def test_the_gallery_has_a_static_twin(images, mistaken, monkeypatch, shown, tmp_path, capsys):
    monkeypatch.setenv("HW3_HEADLESS", "1")
    widgets.relabel(mistaken, images, tmp_path / "labels.json")
    assert texts(shown[0]) == texts(widgets.mistakes(mistaken, images))
    assert capsys.readouterr().out == "0 of 11 images were looked at.\n" and not (tmp_path / "labels.json").exists()


@pytest.mark.parametrize("set_to, shown", [("1", []), ("", [(1, 2)])])
def test_a_widget_for_a_person_is_shown_only_where_there_is_one(set_to, shown, monkeypatch):
    monkeypatch.setenv("HW3_HEADLESS", set_to)
    called = []
    widgets.in_person(lambda *arguments: called.append(arguments), 1, 2)
    assert called == shown


def test_controls_are_labelled_in_the_language_here_and_keep_their_values(shown, monkeypatch):
    monkeypatch.delenv("HW3_HEADLESS", raising=False)
    monkeypatch.setenv("HW3_LANGUAGE", "zh-TW")
    seen = []
    split = ipywidgets.Dropdown(options=["all splits", "1"], value="1", description="split")
    page = ipywidgets.IntSlider(1, 1, 3, description="page")
    interactive(
        lambda split, page: seen.append(split) or Figure(), lambda **_: "No image is like this.", split=split, page=page
    )
    split.value = "all splits"
    assert seen[-1] == "all splits" and [label for label, _ in split.options] == ["所有切分", "1"]
    assert (split.description, page.description) == ("切分", "頁")
    assert "沒有這樣的影像。" in shown[0].children[-1].value
