"""Drift: a false alarm as seldom as is said, a shift found soon, defects that are stopped no shift, and the command."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from hw3lib.anomaly import PatchCore
from hw3lib.cli.main import main
from hw3lib.errors import Hw3Error
from hw3lib.inspection import monitor
from hw3lib.inspection.monitor import Monitor, properties_of, read_results
from hw3lib.inspection.score import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")


def time_to_alarm(
    seed: int, limit: float, change: int | None = None, shift: float = 0.0, good: int = 60, **more
) -> int:
    """Photographs until there is an alarm, of a stream with 3 % of defects whose scores rise from one photograph on."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=good)
    watch = Monitor(scores, np.sort(scores)[-3], seed=seed, **more)
    for t in range(20_000):
        defect = rng.uniform() < 0.03
        score = rng.normal() + 9 * defect + (shift if change is not None and t >= change else 0)
        if watch.add(score) >= limit:
            return t + 1
    return 20_000


def test_false_alarms_are_as_seldom_as_is_said():
    """The mean of so many runs is 4 standard errors or so above: no luck of a seed makes this pass or fail."""
    times = [time_to_alarm(seed, 100) for seed in range(150)]
    assert np.mean(times) > 100


def test_what_few_good_photographs_show_by_chance_is_no_drift():
    """Compared with 25 good ones alone most of these runs have an alarm; with all before, one in ten at most."""
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        watch = Monitor(rng.normal(size=25), 9.0, seed=seed)
        alarms += max(watch.add(score) for score in rng.normal(size=1000)) >= 10_000
    assert alarms <= 5


def test_what_a_long_run_keeps_is_bounded(monkeypatch):
    monkeypatch.setattr(monitor, "_KEPT", 50)
    rng = np.random.default_rng(0)
    watch = Monitor(rng.normal(size=30), 100.0)
    for score in rng.normal(size=200):
        watch.add(score, {"brightness": score})
    assert [len(chart.before) for chart in watch._charts.values()] == [50, 50]


@pytest.mark.parametrize(("shift", "most"), [(1.0, 80), (-1.0, 80), (3.0, 25), (12.0, 25)])
def test_a_shift_is_found_after_some_photographs_at_a_false_alarm_in_10_000(shift, most):
    delays = [time_to_alarm(seed, 10_000, 150, shift) - 150 for seed in range(12)]
    assert min(delays) > 0 and np.median(delays) <= most


def test_good_photographs_that_score_higher_than_new_ones_are_no_drift():
    """As those do that were scored without their own patches; what is higher still is one, and so is a later shift."""
    rng = np.random.default_rng(0)
    levels = {}
    for name, shift in (("lower", -3.0), ("higher", 2.0)):
        watch = Monitor(rng.normal(size=80), 1.6, exchangeable=False)
        levels[name] = [watch.add(score) for score in np.minimum(rng.normal(size=300), 1.2) * 0.2 + shift / 2]
    assert max(levels["lower"]) < 10_000 < max(levels["higher"][:60])
    watch = Monitor(rng.normal(size=80), 1.6, exchangeable=False)
    before = [watch.add(score) for score in rng.normal(-3, 0.3, 100)]
    assert max(before) < 10_000 < max(watch.add(score) for score in rng.normal(-2.5, 0.3, 60))
    assert watch.sign == ("score", "higher")


def test_light_and_lens_are_seen_where_scores_are_what_they_were():
    rng = np.random.default_rng(0)
    watch = Monitor(rng.normal(size=60), 1.7)
    same = [watch.add(s, {"brightness": b, "sharpness": x}) for s, b, x in rng.normal(size=(200, 3))]
    dark = [watch.add(s, {"brightness": b - 1.5, "sharpness": x}) for s, b, x in rng.normal(size=(60, 3))]
    assert max(same) < 10_000 <= max(dark) and watch.sign == ("brightness", "lower")


def test_properties_are_those_of_the_photograph():
    pixels = np.random.default_rng(0).integers(60, 180, (64, 64, 3), dtype=np.uint8)
    found = {}
    for name, picture in {
        "plain": Image.fromarray(pixels),
        "darker": Image.fromarray((0.8 * pixels).astype(np.uint8)),
        "warmer": Image.fromarray((pixels * np.array([1.0, 0.9, 0.8])).astype(np.uint8)),
        "blurred": Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)),
    }.items():
        found[name] = properties_of(np.asarray(picture))
    assert found["darker"]["brightness"] == pytest.approx(0.8 * found["plain"]["brightness"], rel=0.02)
    assert found["warmer"]["colour"] == pytest.approx(math.log(1 / 0.8), abs=0.02)
    assert abs(found["darker"]["colour"]) < 0.02 and found["blurred"]["sharpness"] < found["plain"]["sharpness"] - 0.5


def test_defects_that_come_in_numbers_are_no_drift_of_what_passes_but_of_their_share():
    for usual, drifted in ((0.6, False), (0.1, True)):
        rng = np.random.default_rng(0)
        watch = Monitor(rng.normal(size=60), 4.0, usual=usual)
        before = [watch.add(score, {"brightness": light}) for score, light in rng.normal(size=(100, 2))]
        defects = rng.uniform(size=100) < 0.3
        after = [
            watch.add(score + 9 * defect, {"brightness": light - 4 * defect})
            for (score, light), defect in zip(rng.normal(size=(100, 2)), defects, strict=True)
        ]
        assert max(before) < 10_000 and (max(after) >= 10_000) == drifted
    assert watch.sign == ("share", "higher")


def test_equal_scores_are_no_drift():
    """A detector with few values gives ranks that tie."""
    rng = np.random.default_rng(0)
    watch = Monitor(rng.integers(0, 4, 60), 3.5)
    assert max(watch.add(score) for score in rng.integers(0, 4, 2000)) < 10_000


def test_products_that_were_photographed_several_times_count_once_and_few_are_not_compared_with():
    rng = np.random.default_rng(0)
    scores, new = np.repeat(rng.normal(size=30), 4), rng.normal(4, 1, 15)
    found = {}
    for name, groups in (
        ("alone", np.arange(120)),
        ("of 30", np.repeat(np.arange(30), 4)),
        ("of 15", np.arange(120) // 8),
    ):
        watch = Monitor(scores, 100.0, groups=groups)
        found[name] = max(watch.add(score) for score in new)
    assert found["alone"] > 10 * found["of 30"] > 100 * found["of 15"]


def test_what_cannot_be_read_counts_not_and_a_share_is_a_share():
    watch = Monitor(np.arange(30.0), 40.0)
    assert watch.add(math.nan) == 0
    with pytest.raises(Hw3Error, match="usual share of anomalous photographs: 1.5"):
        Monitor(np.arange(30.0), 40.0, usual=1.5)


@pytest.fixture(scope="module")
def inspector(tmp_path_factory) -> tuple[Path, np.ndarray, float]:
    rng = np.random.default_rng(0)
    model = PatchCore(image_size=32, ratio=0.5).fit(rng.integers(60, 200, (30, 3, 32, 32), dtype=np.uint8))
    folder = tmp_path_factory.mktemp("monitor") / "inspector"
    model.save(folder)
    return folder, model.good_scores_, model.threshold_


def results(folder: Path, scores: np.ndarray, threshold: float) -> Path:
    folder.mkdir()
    with (folder / "results.csv").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerow(["no.png", "", "", "", f"{threshold:.9g}", "", "is empty"])
        for i, score in enumerate(scores):
            table.writerow([f"{i}.png", f"{score:.9g}", "", score > threshold, f"{threshold:.9g}", "", ""])
    return folder


def test_the_command_says_when_it_drifted_draws_it_and_has_an_exit_code(inspector, tmp_path, capsys):
    folder, good, threshold = inspector
    rng = np.random.default_rng(1)
    same = results(tmp_path / "same", rng.choice(good, 60), threshold)
    spread = np.std(good)
    other = results(tmp_path / "other", rng.choice(good, 60) + 2 * spread, threshold)
    assert main(["inspect", "monitor", str(folder), str(same)]) == 0
    assert "60 photographs" in (said := capsys.readouterr().out) and "nothing says that production has drifted" in said
    plot = tmp_path / "drift.png"
    assert main(["inspect", "monitor", str(folder), str(same), str(other / "results.csv"), "--plot", str(plot)]) == 3
    said = capsys.readouterr().out
    assert "Production has drifted: an alarm at photograph" in said and plot.stat().st_size > 5000
    assert 60 < int(said.split("alarm at photograph ")[1].split()[0]) <= 100 and "first alarm: " in said
    assert "judged by scores alone" in said and "0.png: cannot be decoded" in said
    assert main(["inspect", "monitor", str(folder), str(same), "--mean-time", "2"]) == 2


def test_what_is_no_result_is_refused(inspector, tmp_path, capsys):
    folder, good, threshold = inspector
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(Hw3Error, match=r"notes.csv: is no table of results \('score'\)"):
        read_results(tmp_path / "notes.csv")
    with pytest.raises(Hw3Error, match="no results, results.csv is missing"):
        read_results(tmp_path)
    both = [results(tmp_path / name, good[:3], limit) for name, limit in (("a", threshold), ("b", threshold + 1))]
    assert main(["inspect", "monitor", str(folder), *map(str, both)]) == 2
    assert "scored with the thresholds" in capsys.readouterr().err
