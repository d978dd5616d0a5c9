"""hw3lib.anomaly.comparison and robustness: intervals, figures of a detector, changed images, and the words."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score, roc_auc_score

from hw3lib import anomaly
from hw3lib.anomaly.comparison import (
    DetectorEvaluation,
    beats_guessing,
    compare_detectors,
    compare_types,
    describe_alarms,
    describe_best_f1,
    describe_detectors,
    evaluate,
)
from hw3lib.anomaly.maps import upsample
from hw3lib.anomaly.metrics.metrics import PixelMetrics
from hw3lib.anomaly.robustness import robustness_table
from hw3lib.anomaly.thresholds import f1_best_threshold
from hw3lib.anomaly.variants import light
from hw3lib.core.intervals import auroc_difference, auroc_interval
from hw3lib.data import ImageStack, load_table
from hw3lib.errors import Hw3Error
from hw3lib.views import plots

SIDE = 64


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, make_category):
    folder = tmp_path_factory.mktemp("comparison")
    make_category(folder / "widget", {"train/good": 12, "test/good": 5, "test/dent": 4}, size=(96, 80))
    table = load_table(folder, "widget")
    good, test = table[table["split"] == "train"], table[table["split"] == "test"].reset_index(drop=True)
    stacks = [ImageStack.load(part, SIDE) for part in (good, test)]
    made = [
        evaluate(kind(image_size=SIDE, **more), stacks[0], test, stacks[1], held_out=0.4, false_alarm_rate=0.3)
        for kind, more in ((anomaly.NearestImages, {}), (anomaly.PaDiM, {"dimensions": 10}))
    ]
    return made, test, stacks


def fake(label, is_defect, scores, **metrics):
    auroc = roc_auc_score(is_defect, scores)
    figures = {
        "image_auroc": auroc,
        "aupro": np.nan,
        "aupimo": np.nan,
        "f1": 0.8,
        "f1_low": 0.7,
        "f1_high": 0.9,
        "fit_seconds": 1.0,
        "ms_per_image": 10.0,
    }
    return DetectorEvaluation(None, label, is_defect, scores, None, figures | metrics)


def test_an_auroc_comes_with_an_interval_that_holds_it():
    rng = np.random.default_rng(0)
    is_defect = np.arange(60) < 25
    scores = rng.normal(size=60) + is_defect
    found = auroc_interval(is_defect, scores)
    assert found.value == pytest.approx(roc_auc_score(is_defect, scores))
    # By brute force: images resampled, each kind among itself.
    drawn = []
    for _ in range(500):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(is_defect == kind), (is_defect == kind).sum()) for kind in (0, 1)]
        )
        drawn.append(roc_auc_score(is_defect[rows], scores[rows]))
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.025)


def test_ties_count_half_in_an_auroc():
    is_defect, scores = np.array([True, True, False, False]), np.array([1.0, 2.0, 1.0, 0.0])
    assert auroc_interval(is_defect, scores).value == 3.5 / 4


def test_a_difference_is_paired_on_the_same_images():
    rng = np.random.default_rng(1)
    is_defect = np.arange(80) < 40
    scores = rng.normal(size=80) + is_defect
    worse = scores - 0.05 * is_defect  # nearly the same scores: apart the two intervals would overlap widely
    found = auroc_difference(is_defect, scores, worse)
    assert found.value == pytest.approx(roc_auc_score(is_defect, scores) - roc_auc_score(is_defect, worse))
    alone = auroc_interval(is_defect, scores)
    assert found.high - found.low < 0.1 < 0.15 < alone.high - alone.low


def test_what_an_evaluation_says_can_be_computed_again(evaluated):
    made, test, stacks = evaluated
    for e in made:
        is_defect = test["is_defect"].to_numpy(bool)
        assert e.metrics["image_auroc"] == pytest.approx(roc_auc_score(is_defect, e.scores))
        above = e.detector.predict(stacks[1])
        assert e.metrics["false_alarm_rate"] == above[~is_defect].mean()
        assert e.metrics["detection_rate"] == above[is_defect].mean()
        assert e.metrics["fit_seconds"] > 0 and e.metrics["ms_per_image"] > 0
        assert e.metrics["f1"] == pytest.approx(f1_score(is_defect, above))
        assert e.metrics["f1_low"] < e.metrics["f1"] <= e.metrics["f1_high"]
    assert np.isnan(made[0].metrics["aupro"]) and np.isnan(made[0].metrics["aupimo_high"])
    counted = PixelMetrics()
    for row, anomaly_map in zip(test.itertuples(), made[1].maps, strict=True):
        mask = np.zeros((80, 96), bool) if isinstance(row.mask, float) else np.array(Image.open(row.mask)) > 0
        counted.update(mask, upsample(anomaly_map, (80, 96)))
    for name, value in (("aupro", counted.aupro()), ("aupimo", counted.aupimo().mean())):
        low, found, high = (made[1].metrics[f"{name}{end}"] for end in ("_low", "", "_high"))
        assert found == pytest.approx(value) and 0 <= low <= found <= high <= 1 and low < high
    assert made[0].metrics["memory_bank"] == len(stacks[0]) - 5


def test_pixel_figures_are_taken_at_the_size_of_the_masks(evaluated, monkeypatch):
    made, test, _ = evaluated
    from hw3lib.anomaly import comparison as module

    seen = []
    original = module.upsample
    monkeypatch.setattr(module, "upsample", lambda maps, shape: seen.append(shape) or original(maps, shape))
    again = module.pixel_metrics(test, made[1].maps)
    assert set(seen) == {(80, 96)}
    assert again["aupro"] == made[1].metrics["aupro"]


def test_a_category_without_masks_has_no_pixel_figures(evaluated):
    made, test, _ = evaluated
    from hw3lib.anomaly.comparison import pixel_metrics

    assert all(np.isnan(v) for v in pixel_metrics(test.assign(mask=np.nan), made[1].maps).values())


def test_good_images_alone_say_how_many_false_alarms_there_are(evaluated):
    _, test, stacks = evaluated
    good = test[~test["is_defect"]].reset_index(drop=True)
    images = stacks[1].images[~test["is_defect"].to_numpy()]
    kinds = {"first": (anomaly.NearestImages, {}), "second": (anomaly.PaDiM, {"dimensions": 10})}
    made = [
        evaluate(
            kind(image_size=SIDE, **more), stacks[0], good, images, label=label, held_out=0.4, false_alarm_rate=0.3
        )
        for label, (kind, more) in kinds.items()
    ]
    unknown = ("image_auroc", "f1_max", "f1", "f1_low", "pixel_auroc", "aupro", "aupimo", "detection_rate")
    for e in made:
        assert all(np.isnan(e.metrics[key]) for key in unknown)
        assert e.metrics["false_alarm_rate"] == (e.scores > e.detector.threshold_).mean()
        alarms = int((e.scores > e.detector.threshold_).sum())
        assert re.fullmatch(rf"It stops {alarms} of 5 good test images \([\d.]+ % to [\d.]+ %\)\.", describe_alarms(e))
    table = compare_detectors(made)
    assert list(table["detector"]) == ["first", "second"]  # in the order given
    assert table[["auroc_low", "behind"]].isna().all(axis=None)
    assert beats_guessing(table, "first") == "not measured, as said above"
    assert describe_best_f1(made[0]) == "Here all test images are good, so there is no F1 and no such threshold."
    changed = robustness_table(made, images, conditions={"as photographed": lambda x: x, "darker": lambda x: x // 2})
    assert changed["image_auroc"].isna().all() and changed["false_alarm_rate"].notna().all()
    text = describe_detectors(table, changed, 0.3)
    assert text.startswith("No AUROC was measured") and "at 30 % false alarms stop" in text and "nan" not in text
    assert "with the image darker, second calls" in text
    page = plots.anomaly.threshold_page(good, made[1].scores, 1.0, made[1].maps, made[1].detector.scale_)
    shown = [text.get_text() for axes in page.axes for text in axes.texts]
    assert shown.count("needs good and\ndefective images") == 2
    for figure in (plots.anomaly.detectors(table), plots.anomaly.robustness(changed)):
        assert any("not measured" in text.get_text() for text in figure.axes[0].texts)


def test_what_is_said_of_a_threshold_where_both_kinds_are_there(evaluated):
    made, test, _ = evaluated
    assert re.fullmatch(
        r"It stops \d of 5 good .*\) and \d of 4 defective test images \(.*\)\.", describe_alarms(made[1])
    )
    assert describe_best_f1(made[1]) == str(f1_best_threshold(made[1].is_defect, made[1].scores))
    table = compare_detectors(made)
    for row in table.itertuples():
        assert beats_guessing(table, row.detector) is bool(row.auroc_p <= 0.05 and row.image_auroc > 0.5)


def test_each_type_of_defect_is_compared_with_all_good_images():
    is_defect, defects = np.arange(6) >= 2, ["good", "good", "dent", "cut", "dent", "dent"]
    scores = np.array([1.0, 2.0, 3.0, 1.5, 0.0, 4.0])
    groups = np.array([0, 1, 2, 3, 4, 4])
    first, second = fake("A", is_defect, scores), fake("B", is_defect, -scores)
    second.groups = groups
    table = compare_types([first, second], defects)
    assert table["detector"].tolist() == ["A", "A", "B", "B"] and table["defect"].tolist() == ["dent", "cut"] * 2
    assert table["images"].tolist() == [3, 1] * 2
    # Dents of 3, 0 and 4 win 2, 0 and 2 of 2 each; the cut of 1.5 one of two.
    assert table["image_auroc"].tolist() == pytest.approx([4 / 6, 1 / 2, 2 / 6, 1 / 2])
    dent = np.array([0, 1, 2, 4, 5])
    for row, own in ((0, {}), (2, {"groups": groups[dent]})):
        expected = auroc_interval(is_defect[dent], (scores if row == 0 else -scores)[dent], **own)
        limits = expected.value, expected.low, expected.high
        assert tuple(table.loc[row, ["image_auroc", "auroc_low", "auroc_high"]]) == pytest.approx(limits)


def test_a_table_of_other_images_is_refused(evaluated):
    _, test, stacks = evaluated
    with pytest.raises(Hw3Error, match="8 rows for 9 images"):
        evaluate(anomaly.PaDiM(image_size=SIDE), stacks[0], test.iloc[1:], stacks[1])


def test_the_best_comes_first_and_the_others_say_how_far_behind_they_are():
    is_defect = np.arange(40) < 20
    good, bad = is_defect + 0.0, np.tile([0.0, 1.0], 20)
    table = compare_detectors([fake("guessing", is_defect, bad), fake("perfect", is_defect, good)])
    assert list(table["detector"]) == ["perfect", "guessing"]
    assert np.isnan(table["behind"].iloc[0]) and table["behind"].iloc[1] == 0.5
    assert table["behind_low"].iloc[1] > 0 and table["behind_p"].iloc[1] < 0.01


def test_one_detector_among_many_must_lead_by_more():
    y, perfect = np.arange(63) < 42, (np.arange(63) < 42) + np.linspace(0, 0.4, 63)
    other = np.r_[np.linspace(0, 0.3, 7), perfect[7:]]  # seven defective images among the good ones
    two, many = (
        compare_detectors([fake("perfect", y, perfect), *(fake(f"{i}", y, other) for i in range(n))]) for n in (1, 4)
    )
    assert two["behind_p"].iloc[1] < 0.05 < many["behind_p"].iloc[1] == pytest.approx(4 * two["behind_p"].iloc[1])
    assert two["behind_low"].iloc[1] == many["behind_low"].iloc[1]


def test_of_equal_ones_the_better_map_comes_first_and_none_last():
    is_defect = np.arange(40) < 20
    score = is_defect + 0.0
    shown = {"no map": np.nan, "blurred": 0.5, "sharp": 0.9}
    table = compare_detectors([fake(name, is_defect, score, aupro=value) for name, value in shown.items()])
    assert list(table["detector"]) == ["sharp", "blurred", "no map"]


@pytest.mark.parametrize("strength", [0.0, 0.02, 1.0])
def test_the_words_are_true_of_what_was_measured(strength):
    rng = np.random.default_rng(2)
    is_defect = np.arange(60) < 30
    noise = rng.normal(size=60)
    figures = {"false_alarm_rate": 0.1, "detection_rate": 0.75, "aupro": 0.5}
    figures |= {"aupimo": 0.25, "aupimo_low": 0.125, "aupimo_high": 0.375}
    table = compare_detectors(
        [
            fake("A", is_defect, noise + 3 * is_defect, **figures),
            fake("B", is_defect, noise + 3 * is_defect - strength * 3 * is_defect, **figures),
        ]
    )
    conditions = pd.DataFrame(
        {
            "condition": ["as photographed", "20 % darker"] * 2,
            "detector": ["A", "A", "B", "B"],
            "image_auroc": [0.9, 0.61, 0.9, 0.6],
            "false_alarm_rate": [0.1, 0.83, 0.1, 1.0],
            "images": 24,
        }
    )
    text = describe_detectors(table, conditions, 0.05)
    first, second = table["detector"]
    tied = table["image_auroc"].nunique() == 1
    assert text.startswith(f"On the test images {'A and B rank first, each' if tied else first + ' ranks first'} with")
    apart = f"Its lead over {second} is statistically significant." in text
    assert apart == (table["behind_p"].iloc[1] <= 0.05) != (f"Its lead over {second} is not significant." in text)
    assert ("Not significantly better than guessing: " in text) == (table["auroc_p"] > 0.05).any()
    worst = {"A": "0.610", "B": "0.600"}[first]
    assert f"on 24 of them {first} reaches 0.900 as they are, {worst} with the image 20 % darker" in text
    assert "The F1 of that threshold is 0.800 (0.700 to 0.900)." in text
    assert "AUPRO 0.500, and AUPIMO, of hardly any false alarm, 0.250 (0.125 to 0.375)." in text
    assert 60 <= len(text.split()) <= 170


def test_robustness_scores_changed_images_with_detectors_as_they_are(evaluated):
    made, _, stacks = evaluated
    before = [e.detector.threshold_ for e in made]
    rows = np.array([0, 2, 5, 6, 8])
    conditions = {"as it is": lambda images: images, "darker": light(0.5, 0.5, 0.5)}
    table = robustness_table(made, stacks[1][rows], rows, conditions=conditions, asked_rate=0.3)
    assert list(table["condition"]) == ["as it is"] * 2 + ["darker"] * 2
    assert [e.detector.threshold_ for e in made] == before
    for e, row in zip(made, table.itertuples(), strict=False):
        assert row.image_auroc == pytest.approx(roc_auc_score(e.is_defect[rows], e.scores[rows]))
        assert row.false_alarm_rate == (e.scores[rows] > e.detector.threshold_)[~e.is_defect[rows]].mean()
    assert ((table["auroc_low"] <= table["image_auroc"]) & (table["image_auroc"] <= table["auroc_high"])).all()
    assert (table["images"] == 5).all()
    darker = made[0].detector.decision_function(light(0.5, 0.5, 0.5)(stacks[1][rows]))
    above = darker > made[0].detector.threshold_
    assert table["detection_rate"].iloc[2] == above[made[0].is_defect[rows]].mean()
    assert not np.allclose(darker, made[0].scores[rows])
    assert (table["asked_rate"] == 0.3).all()


def ends(found):
    return found.low, found.high


def test_an_interval_counts_products_and_not_their_photographs():
    rng = np.random.default_rng(2)
    is_defect, scores = np.arange(60) < 25, rng.normal(size=60)
    alone = ends(auroc_interval(is_defect, scores + is_defect))
    assert ends(auroc_interval(is_defect, scores + is_defect, np.arange(60))) == pytest.approx(alone, abs=1e-9)
    # Each photographed five times, with the same score: five times the images, and no more known.
    five = np.repeat(is_defect, 5), np.repeat(scores + is_defect, 5)
    together = ends(auroc_interval(*five, np.repeat(np.arange(60), 5)))
    assert together == pytest.approx(alone, abs=1e-9)
    low, high = ends(auroc_interval(*five))
    assert high - low < 0.6 * (alone[1] - alone[0])
