"""The four reports as data, and what repeating them takes. Runs from end to end are in test_reproduction.py."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hw3lib.classify import Attempt, Result
from hw3lib.classify.student_reports.reports import REPORTS, Hypothesis
from hw3lib.classify.student_reports.verdicts import (
    SUBSTITUTES,
    describe_protocol,
    fit_to,
    missing_weights,
    say,
    splits,
    substitute,
    verdicts,
    with_weights,
)
from hw3lib.data.fetch.official import OFFICIAL
from hw3lib.errors import Hw3Error
from hw3lib.networks import backbones

REPORT = pytest.mark.parametrize("report", REPORTS.values(), ids=lambda report: report.name)


def images(counts: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame({"defect": [name for name, count in counts.items() for _ in range(count)]})


def real(name: str) -> pd.DataFrame:
    """As many images of each class as the official test folder has."""
    counts = OFFICIAL[name]
    return images({"good": counts.test_good, **counts.defects})


def test_every_row_of_the_four_tables_is_there():
    numbers = {name: [row.number for row in report.rows] for name, report in REPORTS.items()}
    assert numbers == {
        "carpet": [0, 1, 2, 3, 4],
        "wood": [0, 1, 2, 3, 4],
        "bottle": [1, 2, 3, 4],
        "capsule": list(range(1, 11)),
    }


@pytest.mark.parametrize(
    ("name", "number", "reported"),
    [
        ("carpet", 0, {"accuracy": 0.4167, "train_accuracy": 1, "train_loss": 0.22, "val_loss": 2.54}),
        ("carpet", 2, {"accuracy": 0.9091, "train_accuracy": 1, "train_loss": 0.21, "val_loss": 0.95}),
        ("carpet", 4, {"accuracy": 0.7727, "val_accuracy": 0.7727, "train_loss": 0.04, "val_loss": 1.72}),
        ("wood", 0, {"accuracy": 0.23, "train_accuracy": 0.245}),
        ("wood", 4, {"accuracy": 0.692, "train_accuracy": 0.83, "test_accuracy": 0.692}),
        ("bottle", 1, {"accuracy": 0.375}),
        ("bottle", 4, {"accuracy": 0.875}),
        ("capsule", 1, {"accuracy": 0.4167, "train_loss": 1.73, "train_accuracy": 0.2396, "val_loss": 1.752}),
        ("capsule", 3, {"accuracy": 0.375, "val_accuracy": 0.0833, "val_loss": 2.042, "train_accuracy": 0.1875}),
        ("capsule", 9, {"accuracy": 0.75, "val_accuracy": 0.625, "train_loss": 1.443, "test_accuracy": 0.75}),
        ("capsule", 10, {"accuracy": 0.4583, "val_loss": 1.682, "train_accuracy": 0.3229}),
    ],
)
def test_reported_figures(name, number, reported):
    assert reported.items() <= REPORTS[name].row(number).reported.items()


@pytest.mark.parametrize(
    ("name", "number", "settings"),
    [
        ("carpet", 0, {"arch": "resnet18", "images_per_class": 8, "image_size": 32, "epochs": 50, "patience": 10}),
        ("carpet", 3, {"arch": "resnet50", "strategy": "fine-tune", "lr": 1e-3, "batch_size": 32}),
        ("carpet", 4, {"arch": "resnet34", "lr": 1e-2, "optimiser": "adam", "images_per_class": None}),
        ("wood", 0, {"arch": "simple_cnn", "optimiser": "sgd", "epochs": 30, "lr": 1e-3}),
        ("wood", 1, {"arch": "simple_cnn", "optimiser": "adam"}),
        ("wood", 2, {"arch": "resnet18", "strategy": "scratch"}),
        ("wood", 3, {"arch": "resnet18", "strategy": "transfer", "epochs": 30}),
        ("wood", 4, {"strategy": "two-stage", "fine_tune_epochs": 10, "fine_tune_lr": 1e-4, "fine_tune_stages": None}),
        ("bottle", 2, {"arch": "resnet34", "strategy": "fine-tune", "batch_size": 16, "epochs": 50, "lr": 1e-3}),
        ("bottle", 3, {"arch": "resnet18", "strategy": "scratch", "batch_size": 32, "epochs": 50, "lr": 5e-3}),
        ("bottle", 4, {"arch": "resnet18", "batch_size": 16, "epochs": 100, "lr": 1e-3, "image_size": 128}),
        ("capsule", 1, {"arch": "resnet18", "image_size": 32, "rotation": 0, "colour_jitter": 0, "epochs": 200}),
        ("capsule", 2, {"arch": "efficientnet_v2_l", "batch_size": 4, "normalise": False, "cosine": True}),
        ("capsule", 9, {"image_size": 512, "normalise": True, "rotation": 10, "colour_jitter": 0.1, "batch_size": 32}),
    ],
)
def test_settings_of_the_rows(name, number, settings):
    attempt = REPORTS[name].row(number).attempt
    assert {field: getattr(attempt, field) for field in settings} == settings


@pytest.mark.parametrize(
    ("name", "number", "low", "high"), [
        ("carpet", 2, 72, 97),
        ("wood", 4, 50, 83),
        ("capsule", 9, 55, 88),
        ("bottle", 4, 53, 98),
    ]
)  # fmt: skip
def test_wilson_intervals_of_the_best_reported_figures(name, number, low, high):
    found = REPORTS[name].row(number).interval()
    assert [round(100 * end) for end in (found.low, found.high)] == [low, high]


@REPORT
def test_reports_are_consistent(report):
    names = [row.attempt.name for row in report.rows]
    assert len(set(names)) == len(names) and len({row.attempt.key for row in report.rows}) == len(names)
    assert report.rows[0].number == report.baseline
    assert max(report.rows, key=lambda row: row.reported["accuracy"]).number == report.best
    for h in report.hypotheses:
        assert report.row(h.better).reported["accuracy"] > report.row(h.worse).reported["accuracy"]
    assert (report.best, report.baseline) in [(h.better, h.worse) for h in report.hypotheses]
    for row in report.rows:
        correct = row.reported["accuracy"] * row.n_test
        assert abs(correct - round(correct)) < 0.03, "no whole number of images gives this accuracy"


def test_an_unknown_row_is_refused():
    with pytest.raises(Hw3Error, match="row 5: the bottle report has the rows 1, 2, 3, 4"):
        REPORTS["bottle"].row(5)


@REPORT
def test_splits_have_the_reports_sizes_and_come_back_with_the_seed(report):
    table = real(report.name)
    pairs = splits(report, table, 4, 7)
    for train, test in pairs:
        assert (len(train), len(test)) == (report.n_train, report.n_test)
        assert len(np.intersect1d(train, test)) == 0
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        counts = table["defect"].iloc[np.r_[train, test]].value_counts()
        if report.per_class:
            assert (counts == report.per_class).all()
        else:
            whole = table["defect"].value_counts() * (report.n_train + report.n_test) / len(table)
            assert (counts - whole).abs().max() < 1
        assert table["defect"].iloc[test].nunique() == table["defect"].nunique()
    assert len({test.tobytes() for _, test in pairs}) == 4
    again, other = splits(report, table, 4, 7), splits(report, table, 4, 8)
    assert all(np.array_equal(a, b) for p, q in zip(pairs, again, strict=True) for a, b in zip(p, q, strict=True))
    assert not all(np.array_equal(p[1], q[1]) for p, q in zip(pairs, other, strict=True))


def test_each_repeat_draws_other_images():
    drawn = {tuple(np.sort(np.r_[train, test])) for train, test in splits(REPORTS["bottle"], real("bottle"), 5)}
    assert len(drawn) == 5


def test_the_bottle_tests_two_images_a_class():
    table = real("bottle")
    for _, test in splits(REPORTS["bottle"], table, 3):
        assert (table["defect"].iloc[test].value_counts() == 2).all()


def test_a_smaller_category_is_split_in_the_same_proportion_and_says_so():
    table = images(dict.fromkeys("abcdef", 18))
    pairs = splits(REPORTS["capsule"], table, 2)
    assert [(len(train), len(test)) for train, test in pairs] == [(86, 22)] * 2
    said = describe_protocol(REPORTS["capsule"], table)
    assert said == (
        "each repeat draws 108 of 108 images: 86 to train on, 22 to test on (the report: 96 and 24, 20 a class)"
    )
    assert describe_protocol(REPORTS["bottle"], real("bottle")) == (
        "each repeat draws 40 of 83 images: 32 to train on, 8 to test on, 10 a class"
    )


def test_a_class_with_few_images_gives_what_it_has():
    table = images({"a": 30, "b": 30, "c": 5})
    train, test = splits(REPORTS["bottle"], table, 2)[0]
    assert table["defect"].iloc[np.r_[train, test]].value_counts().to_dict() == {"a": 10, "b": 10, "c": 5}
    assert len(test) == 5


@pytest.mark.parametrize("counts", [{"a": 20, "b": 1}, dict.fromkeys("abcd", 2)], ids=["single", "no room"])
@REPORT
def test_too_few_images_for_the_split_are_refused(report, counts):
    with pytest.raises(Hw3Error, match="Images a class: {'a'"):
        splits(report, images(counts), 2)


@pytest.mark.parametrize(("repeats", "seed", "field"), [(1, 0, "repeats=1"), (2, -1, "seed=-1")])
def test_numbers_that_make_no_sense_are_refused(repeats, seed, field):
    with pytest.raises(Hw3Error, match=field):
        splits(REPORTS["wood"], real("wood"), repeats, seed)


def test_images_per_class_shrink_with_the_category():
    carpet = REPORTS["carpet"]
    baseline = carpet.row(0).attempt

    def fitted(table):
        return fit_to(baseline, carpet, table, splits(carpet, table, 3)).images_per_class

    assert fitted(real("carpet")) == 8
    assert fitted(images(dict.fromkeys("abcdef", 9))) == 4
    assert fitted(images({"a": 100, "b": 5})) == 4  # four fifths of b's images
    table = real("carpet")
    assert fit_to(carpet.row(1).attempt, carpet, table, splits(carpet, table, 2)) is carpet.row(1).attempt


def test_substitutes_keep_their_rank_and_say_what_they_stand_for():
    changed = {row.number: substitute(row.attempt) for row in REPORTS["carpet"].rows}
    assert [a.arch[-5:] for a in changed.values()] == ["lite0", "lite0", "lite1", "lite2", "lite1"]
    assert changed[4].name == "EfficientNet-Lite1 for ResNet34, rate 0.01"
    assert changed[4].differences(REPORTS["carpet"].row(4).attempt).keys() == {"arch"}
    best = substitute(REPORTS["capsule"].row(9).attempt)
    assert best.name == "EfficientNet-Lite2 for EfficientNet_v2_l, 512 px, normalised" and best.normalise
    assert not substitute(REPORTS["capsule"].row(2).attempt).normalise
    with pytest.raises(Hw3Error, match="no substitute for 'vgg11'; expected resnet18"):
        substitute(Attempt("x", "vgg11", "transfer"))


def test_every_pretrained_network_of_the_reports_has_a_substitute():
    needed = {row.attempt.arch for r in REPORTS.values() for row in r.rows if row.attempt.strategy != "scratch"}
    assert needed == SUBSTITUTES.keys()
    for report in REPORTS.values():
        for row in report.rows:
            if row.attempt.strategy != "scratch":
                assert " for " in substitute(row.attempt).name


@pytest.fixture
def offline(monkeypatch):
    """ResNet18's weights are there, those of no other torchvision network; the list gets what was tried to load."""
    tried = []

    def load(name, **_):
        tried.append(name)
        raise Hw3Error(f"no ImageNet weights for {name!r}. Looked for them. Three ways out:\n  1. this")

    found = [{"name": name, "weights": "found", "where": ""} for name in ("resnet18", *backbones.LITE)]
    monkeypatch.setattr(backbones, "available", lambda: found)
    monkeypatch.setattr(backbones, "load", load)
    return tried


def attempts(name: str) -> dict[int, Attempt]:
    return {row.number: row.attempt for row in REPORTS[name].rows}


def test_weights_are_looked_for_once_and_only_where_they_are_needed(offline):
    assert missing_weights(attempts("wood").values()) == {} and offline == []
    missing = missing_weights([*attempts("bottle").values(), *attempts("carpet").values()])
    assert offline == ["resnet34", "resnet50"]
    assert missing["resnet34"] == "no ImageNet weights for 'resnet34'. Looked for them."


def test_only_networks_without_weights_are_substituted(offline):
    capsule, substitutes = with_weights(REPORTS["capsule"], attempts("capsule"), allow_substitutes=True)
    assert substitutes == {"EfficientNet_v2_l": "EfficientNet-Lite2"}
    assert {n: a.arch for n, a in capsule.items() if n in (1, 2, 10)} == {
        1: "resnet18", 2: "tf_efficientnet_lite2", 10: "resnet18",
    }  # fmt: skip
    bottle, substitutes = with_weights(REPORTS["bottle"], attempts("bottle"), allow_substitutes=True)
    assert [a.arch for a in bottle.values()] == ["resnet34", "tf_efficientnet_lite1", "resnet18", "resnet18"]
    assert say(substitutes) == "EfficientNet-Lite1 for ResNet34 stands in"
    assert with_weights(REPORTS["wood"], attempts("wood"), allow_substitutes=True) == (attempts("wood"), {})


def test_missing_weights_are_an_error_with_all_ways_out(offline, monkeypatch):
    with pytest.raises(Hw3Error) as error:
        with_weights(REPORTS["bottle"], attempts("bottle"), allow_substitutes=False)
    said = str(error.value)
    for part in (
        "bottle report",
        "(rows: 2)",
        "'resnet34'",
        "internet",
        "TORCH_HOME",
        "--substitute: EfficientNet-Lite1",
    ):
        assert part in said
    assert "--rows 1 3 4" in said and "Three ways" not in said
    with pytest.raises(Hw3Error, match="rows: 2, 3, 4") as error:
        with_weights(REPORTS["carpet"], attempts("carpet"), allow_substitutes=False)
    assert "--rows 0 1: only" in str(error.value)
    monkeypatch.setattr(backbones, "available", lambda: [])
    with pytest.raises(Hw3Error, match="rows: 0, 1, 2, 3, 4") as error:
        with_weights(REPORTS["carpet"], attempts("carpet"), allow_substitutes=False)
    assert "--rows" not in str(error.value)


def test_substitutes_without_weights_are_an_error(offline, monkeypatch):
    monkeypatch.setattr(backbones, "available", lambda: [])
    with pytest.raises(
        Hw3Error, match="substitutes' ImageNet weights are missing too:\nno ImageNet weights for 'tf_eff"
    ):
        with_weights(REPORTS["bottle"], attempts("bottle"), allow_substitutes=True)


def result(attempt: Attempt, right: list[int]) -> Result:
    """An outcome of 4 splits of 10 test images, of which ``right`` are correct."""
    y = [np.zeros(10, int)] * 4
    return Result(
        attempt, ["good", "dent"], 40, 10, y, [np.arange(10) >= n for n in right], [np.arange(10)] * 4, [], [1.0] * 4
    )


def test_findings_are_tested_on_paired_differences():
    findings = (Hypothesis("a", 2, 1), Hypothesis("b", 1, 2), Hypothesis("c", 3, 1), Hypothesis("d", 4, 1))
    report = replace(REPORTS["bottle"], hypotheses=findings)
    right = {1: [3, 4, 5, 6], 2: [7, 8, 9, 9], 3: [6, 5, 4, 3]}
    results = {number: result(report.row(number).attempt, counts) for number, counts in right.items()}
    table = verdicts(report, results, substituted=[3])
    assert table["hypothesis"].tolist() == ["a", "b", "c"]
    assert table["verdict"].tolist() == ["held", "refuted", "not significant"]
    assert table["substituted"].tolist() == [False, False, True]
    assert table["difference"].tolist() == pytest.approx([0.375, -0.375, 0.0])
    gain = results[2].gain(results[1])
    assert tuple(table.loc[0, ["difference", "low", "high"]]) == (gain.value, gain.low, gain.high)
    assert table["p"].tolist() == pytest.approx([3 * gain.p, 3 * gain.p, 1])  # the smallest of three, times three
    assert verdicts(report, {}).empty
