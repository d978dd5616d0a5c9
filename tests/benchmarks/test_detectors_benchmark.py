"""The comparison of detectors over sets: every row can be made, and what leaving one set out chooses."""

import pandas as pd
import pytest

from benchmarks.accuracy import detectors as benchmark
from hw3lib.anomaly.registry import make_detector


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
