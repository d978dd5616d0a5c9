"""The comparison of detectors over sets: every row can be made, and what leaving one set out chooses."""

from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks.accuracy import detectors as benchmark
from hw3lib.anomaly.registry import make_detector
from hw3lib.data import load_table


@pytest.mark.parametrize("label", benchmark.ROWS)
def test_every_row_is_a_detector_with_settings_that_it_has(label):
    detector = make_detector(*benchmark.ROWS[label])
    default = make_detector(benchmark.ROWS[label][0], {})
    assert (detector == default) == (not benchmark.ROWS[label][1])


def test_a_set_has_no_say_in_what_is_measured_on_it(capsys):
    rows = {"PatchCore": [90.0, 80.0, 70.0], "whitened": [91.0, 81.0, 10.0]}
    benchmark._print_left_out(pd.DataFrame(rows, index=["a", "b", "c"]).T)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert lines == [
        ["a", "PatchCore", "90.0,", "the", "default", "90.0"],
        ["b", "PatchCore", "80.0,", "the", "default", "80.0"],
        ["c", "whitened", "10.0,", "the", "default", "70.0"],
    ]


def test_a_figure_is_kept_for_the_images_it_was_measured_on(make_category, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "_folder", lambda: tmp_path / "kept")
    monkeypatch.setattr(benchmark, "evaluate", lambda *_, **__: SimpleNamespace(metrics={"measured": next(measured)}))
    measured = iter(range(9))
    counts = {"train/good": 3, "test/good": 2, "test/dent": 2}
    folders = [make_category(tmp_path / name, counts, seed=seed) for seed, name in enumerate("ab")]
    sets = [load_table(folder.parent, folder.name) for folder in folders]
    found = [benchmark._Category(table).figures("Mahalanobis")["measured"] for table in (*sets, *sets)]
    assert found == [0, 1, 0, 1]
