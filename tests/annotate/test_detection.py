"""The plain baseline, what all detectors of boxes share, their comparison and its figures."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hw3lib.annotate.boxes.base import BoxDetector
from hw3lib.annotate.boxes.comparison import compare, detection_runs, detection_summary, in_turn, learning_curve
from hw3lib.annotate.boxes.fcos import Fcos
from hw3lib.annotate.boxes.metrics import Boxes, mean_average_precision, truth_of
from hw3lib.annotate.instances import from_masks
from hw3lib.data import load_table
from hw3lib.errors import Hw3Error
from hw3lib.networks.symmetries import boxes_mirrored_by_bits, mirrored_by_bits
from hw3lib.views.plots.boxes import boxes_on_images, learning_curves


@pytest.fixture
def widget(tmp_path, make_category):
    """Table and instances of 4 good, 4 dented and 3 scratched images, 40x32 pixels."""
    make_category(tmp_path / "widget", {"train/good": 1, "test/good": 4, "test/dent": 4, "test/scratch": 3})
    table = load_table(tmp_path, "widget")
    table = table[table["split"] == "test"].reset_index(drop=True)
    return table, from_masks(table)


def rectangles(folder, count, seed=0):
    """Images of 96x64 pixels with one bright rectangle each, whose box is known."""
    rng, rows, found = np.random.default_rng(seed), [], []
    for number in range(count):
        pixels = rng.integers(60, 90, (64, 96, 3), dtype=np.uint8)
        x, y = int(rng.integers(4, 56)), int(rng.integers(4, 34))
        mask = np.zeros((64, 96), np.uint8)
        mask[y : y + 24, x : x + 32] = 255
        pixels[mask > 0] = (230, 200, 40)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        Image.fromarray(mask).save(folder / f"{number}_mask.png")
        rows.append((str(folder / f"{number}.png"), "patch", True, str(folder / f"{number}_mask.png"), 96, 64))
    table = pd.DataFrame(rows, columns=["image", "defect", "is_defect", "mask", "width", "height"])
    found = from_masks(table)
    return table, found


def test_every_symmetry_moves_boxes_as_it_moves_pixels():
    image = torch.zeros(1, 16, 16)
    image[:, 3:6, 8:15] = 1
    seen = set()
    for symmetry in range(8):
        down, across = torch.nonzero(mirrored_by_bits(image, symmetry)[0], as_tuple=True)
        box = boxes_mirrored_by_bits(torch.tensor([[8.0, 3, 15, 6]]), symmetry, 16)[0].tolist()
        assert box == [across.min(), down.min(), across.max() + 1, down.max() + 1]
        seen.add(tuple(box))
    assert len(seen) == 8


def test_the_baseline_learns_to_find_a_rectangle_that_it_did_not_find_before(tmp_path):
    table, instances = rectangles(tmp_path, 12)
    test = [9, 10, 11]
    truth = [truth_of(table, instances, ["patch"])[row] for row in test]
    scores = []

    def measure(epoch, detector):
        if epoch in (0, 20):
            scores.append(mean_average_precision(truth, detector.predict(table, test), ["patch"]).map50)

    detector = Fcos(size=64, epochs=20, batch_size=3).fit(table, instances, range(9), each_epoch=measure)
    assert scores[0] < 0.2 and scores[1] > 0.8
    assert detector.history_[-1] < detector.history_[0] / 2
    best = detector.predict(table, [9])[0]
    # Boxes are in the pixels of the original, 96x64, not of the 64x64 that the network saw.
    assert np.abs(best.boxes[0] - truth[0].boxes[0]).max() < 8


def test_the_same_seed_gives_the_same_boxes_and_a_saved_detector_too(widget, tmp_path):
    table, instances = widget
    state = torch.random.get_rng_state()
    first, second = (Fcos(size=64, epochs=1).fit(table, instances, range(8)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    other = Fcos(size=64, epochs=1, seed=1).fit(table, instances, range(8))
    loaded = BoxDetector.load(first.save(tmp_path / "saved"))
    assert isinstance(loaded, Fcos) and loaded.classes_ == ["dent", "scratch"] and loaded.size == 64
    boxes = [detector.predict(table, [0, 5]) for detector in (first, second, loaded, other)]
    for one, two, three in zip(*boxes[:3], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))
    assert not all(np.array_equal(one.scores, two.scores) for one, two in zip(boxes[0], boxes[3], strict=True))


def test_only_the_training_rows_are_read(widget):
    table, instances = widget
    table = table.copy()
    table.loc[8:, "image"] = "missing.png"
    detector = Fcos(size=32, epochs=1, patience=1, validation=0.4).fit(table, instances, range(8))
    assert len(detector.history_) == 1


def test_early_stopping_keeps_the_best_network(widget, monkeypatch):
    table, instances = widget
    scores = iter([0.1, 0.5, 0.3, 0.2])
    states = []

    def score(self, held, truth):
        assert len(held) == len(truth) == 4 and set(held["image"]) <= set(table["image"][:10])
        states.append({name: value.clone() for name, value in self._network.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(Fcos, "_score", score)
    detector = Fcos(size=32, epochs=8, patience=2, validation=0.4).fit(table, instances, range(10))
    assert len(detector.history_) == 4
    kept = detector._network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in states[1].items())
    assert not all(torch.equal(kept[name], value) for name, value in states[3].items())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 100}, "size=100, expected a multiple of 32"),
        ({"epochs": -1}, "epochs=-1, expected a whole number from 0"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"patience": 1, "validation": 1.5}, "validation=1.5"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong, message):
    with pytest.raises(Hw3Error, match=message):
        Fcos(**wrong)


def test_training_images_without_boxes_and_a_diverging_loss_are_refused(widget):
    table, instances = widget
    with pytest.raises(Hw3Error, match="no box on the 2 training images"):
        Fcos(size=32).fit(table, instances, np.flatnonzero(table["defect"] == "good")[:2])
    with pytest.raises(Hw3Error, match="not fitted"):
        Fcos().predict(table)
    with pytest.raises(Hw3Error, match="lower learning rate"):
        Fcos(size=32, epochs=5, lr=1e12).fit(table, instances, range(8))


def test_a_folder_that_holds_no_detector_is_refused(widget, tmp_path):
    with pytest.raises(Hw3Error, match="no saved detector of boxes"):
        BoxDetector.load(tmp_path / "nothing")
    table, instances = widget
    folder = Fcos(size=32, epochs=0).fit(table, instances, range(8)).save(tmp_path / "saved")
    for file in ("detector.json", "weights.safetensors"):
        content = (folder / file).read_bytes()
        at = len(content) // 2
        (folder / file).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(Hw3Error, match=f"{file}: is damaged"):
            BoxDetector.load(folder)
        (folder / file).write_bytes(content)
    facts = json.loads((folder / "detector.json").read_text())
    (folder / "detector.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(Hw3Error, match="format 99"):
        BoxDetector.load(folder)


def test_the_gain_is_the_paired_difference_with_its_corrected_interval():
    table = pd.DataFrame(
        {
            "model": ["a", "a", "b", "b"],
            "map50_before": [0.1, 0.2, 0.0, 0.0],
            "map50_after": [0.5, 0.8, 0.9, 0.9],
            "seconds": [1.0, 3.0, 1.0, 1.0],
            "text": ["", "", "learned", "learned"],
            "train": 30,
            "test": 10,
        }
    )
    found = detection_summary(table)
    assert found["model"].tolist() == ["b", "a"]
    a = found.iloc[1]
    # Differences 0.4 and 0.6: variance 0.02; t with one degree of freedom at 97.5 % is 12.706.
    half = 12.706204736 * np.sqrt(0.02 * (1 / 2 + 10 / 30))
    assert (a["gain"], a["gain_low"], a["gain_high"]) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert (a["map50_before"], a["map50_after"], a["seconds"], a["n_splits"]) == pytest.approx((0.15, 0.65, 2, 2))
    assert np.isnan(detection_summary(table.iloc[[0]])["gain_low"].iloc[0])


def test_models_are_compared_before_and_after_on_the_same_splits(tmp_path):
    table, instances = rectangles(tmp_path, 8)
    models = {"short": Fcos(size=32, epochs=1), "long": Fcos(size=32, epochs=2)}
    splits = [(np.arange(6), np.array([6, 7])), (np.arange(2, 8), np.array([0, 1]))]
    seen = []
    found = detection_runs(
        table, instances, models, splits, done=lambda row, detector: seen.append((row["split"], detector))
    )
    assert [(split, detector.epochs) for split, detector in seen] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert found["epochs"].tolist() == [1, 2, 1, 2]
    # Both begin with the same random head.
    assert found["map50_before"][0] == found["map50_before"][1]
    assert not models["short"].classes_
    truth = [truth_of(table, instances, ["patch"])[row] for row in splits[1][1]]
    again = mean_average_precision(truth, seen[3][1].predict(table, splits[1][1]), ["patch"])
    assert found["map50_after"][3] == again.map50
    means = compare(table, instances, {"short": models["short"]}, splits[:1])
    assert means["map50_after"].tolist() == [found["map50_after"][0]] and means["n_splits"].tolist() == [1]


def test_a_learning_curve_adds_images_class_by_class(widget):
    table, instances = widget
    order = in_turn(table, range(11), {i.row for i in instances}, 0)
    assert sorted(order) == list(range(11))
    names = table["defect"].to_numpy()[order].tolist()
    assert names[:9] == ["dent", "scratch", "good"] * 3
    curve = learning_curve(table, instances, {"a": Fcos(size=32, epochs=1)}, [(order[:8], order[8:])], sizes=(4, 8, 40))
    assert curve["images"].tolist() == [4, 8]
    assert curve["map50"].between(0, 1).all()
    with pytest.raises(Hw3Error, match="expected some between 1 and 8"):
        learning_curve(table, instances, {"a": Fcos()}, [(order[:8], order[8:])], sizes=(40,))


def test_the_figure_shows_true_and_predicted_boxes(widget):
    table, instances = widget
    truth = truth_of(table, instances, instances.classes)
    found = [Boxes.of([[1, 2, 9, 9], [0, 0, 5, 5]], [0.9, 0.1], [0, 1])] * len(table)
    figure = boxes_on_images(table, truth, found, instances.classes, rows=[4, 0])
    dented = figure.axes[0]
    assert dented.get_title() == table["defect"].iloc[4]
    drawn = {tuple(np.round([*p.get_xy(), *p.get_bbox().max], 3)) for p in dented.patches}
    assert drawn == {tuple(truth[4].boxes[0]), (1, 2, 9, 9)}
    assert [text.get_text() for text in dented.texts] == ["dent 0.90"]
    with pytest.raises(Hw3Error, match="predictions of 1"):
        boxes_on_images(table, truth, found[:1], instances.classes)
    with pytest.raises(Hw3Error, match="expected positions from 0 to 10"):
        boxes_on_images(table, truth, found, instances.classes, rows=[11])


def test_the_figure_of_a_learning_curve_has_a_line_a_model():
    curve = pd.DataFrame({"model": ["a", "a", "b", "b"], "images": [5, 10] * 2, "map50": [0.1, 0.2, 0.3, 0.4]})
    axes = learning_curves(curve).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert axes.lines[0].get_xydata().tolist() == [[5, 0.1], [10, 0.2]]


def test_the_rate_warms_up_for_a_tenth_of_the_steps_and_falls_to_zero_along_a_cosine(widget, rates):
    Fcos(size=64, epochs=2, batch_size=4, lr=1e-3, patience=None).fit(*widget, range(3, 11))
    cosine = [(1 + np.cos(np.pi * step / 3)) / 2 for step in range(3)]
    assert rates == pytest.approx([1e-3 * share for share in (1, *cosine)]) and rates.groups[0]["weight_decay"] == 1e-4
