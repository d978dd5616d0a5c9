"""Average precision against values computed by hand from COCO's definition, and against torchvision's boxes."""

import numpy as np
import pandas as pd
import pytest

from hw3lib.annotate.boxes.metrics import Boxes, mean_average_precision, truth_of
from hw3lib.annotate.instances import Instance
from hw3lib.errors import Hw3Error

A, B = [10, 10, 30, 30], [50, 50, 90, 70]


def test_perfect_boxes_have_an_average_precision_of_one():
    truth = [Boxes.of([A, B], None, [0, 1]), Boxes.of([], None, [])]
    found = mean_average_precision(
        truth, [Boxes.of([A, B], [0.9, 0.1], [0, 1]), Boxes.of([], [], [])], ["dent", "hole"]
    )
    assert (found.map50, found.map50_95) == pytest.approx((1, 1))
    assert found.per_class == pytest.approx({"dent": 1, "hole": 1})


def test_half_of_the_boxes_found_gives_51_of_101_recall_levels():
    found = mean_average_precision([Boxes.of([A, B], None, [0, 0])], [Boxes.of([A], [0.9], [0])], ["dent"])
    assert found.map50 == pytest.approx(51 / 101)


def test_a_wrong_box_of_a_higher_score_halves_the_precision():
    truth = [Boxes.of([A], None, [0]), Boxes.of([], None, [])]
    better, worse = Boxes.of([B], [0.9], [0]), Boxes.of([A], [0.5], [0])
    assert mean_average_precision(truth, [worse, better], ["dent"]).map50 == pytest.approx(0.5)
    assert mean_average_precision(truth, [Boxes.of([A], [0.95], [0]), better], ["dent"]).map50 == pytest.approx(1)


def test_a_second_box_on_the_same_defect_is_wrong():
    truth = [Boxes.of([A, B], None, [0, 0])]
    found = Boxes.of([A, A, B], [0.9, 0.8, 0.7], [0, 0, 0])
    # Precision 1 up to a recall of a half, then 2 of 3.
    assert mean_average_precision(truth, [found], ["dent"]).map50 == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_counts_at_the_overlaps_that_it_reaches():
    moved = [10, 10, 30, 24]  # 14 of 20 rows: an intersection over union of 0.7
    found = mean_average_precision([Boxes.of([A], None, [0])], [Boxes.of([moved], [0.9], [0])], ["dent"])
    assert found.map50 == pytest.approx(1)
    assert found.map50_95 == pytest.approx(0.5)  # 0.5, 0.55, 0.6, 0.65, 0.7 of ten levels


def test_a_box_of_another_class_does_not_count_and_a_class_without_truth_is_left_out():
    truth = [Boxes.of([A, B], None, [0, 1])]
    found = mean_average_precision(truth, [Boxes.of([A, B], [0.9, 0.9], [0, 0])], ["dent", "hole", "crack"])
    assert found.per_class == {"dent": pytest.approx(1), "hole": 0}
    assert found.map50 == pytest.approx(0.5)


def test_the_truth_is_that_of_the_instances():
    table = pd.DataFrame({"image": ["a", "b", "c"]})
    mask = np.zeros((20, 30), bool)
    mask[4:9, 5:25] = True
    truth = truth_of(table, [Instance.from_mask(1, "hole", mask)], ["dent", "hole"])
    assert [len(t.labels) for t in truth] == [0, 1, 0]
    assert truth[1].boxes.tolist() == [[5, 4, 25, 9]] and truth[1].labels.tolist() == [1]
    with pytest.raises(Hw3Error, match="image 7; expected 0 to 2"):
        truth_of(table, [Instance.from_mask(7, "hole", mask)], ["hole"])


def test_what_cannot_be_measured_is_refused():
    nothing, box = Boxes.of([], None, []), Boxes.of([A], None, [0])
    with pytest.raises(Hw3Error, match="no true box on 1 images"):
        mean_average_precision([nothing], [box], ["dent"])
    with pytest.raises(Hw3Error, match="truth of 1 images, predictions of 2"):
        mean_average_precision([box], [box, box], ["dent"])
    with pytest.raises(Hw3Error, match=r"labels \[3\]: expected 0 to 0"):
        mean_average_precision([box], [Boxes.of([A], None, [3])], ["dent"])
    with pytest.raises(Hw3Error, match="1 boxes, 2 scores"):
        Boxes.of([A], [0.1, 0.2], [0])


def test_nothing_is_printed(capfd):
    mean_average_precision([Boxes.of([A], None, [0])], [Boxes.of([], None, [])], ["dent"])
    assert capfd.readouterr().out == ""
