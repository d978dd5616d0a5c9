"""The benchmark of large categories, on small ones: all stages, a process of their own, and what the table says."""

import re

import numpy as np
import pandas as pd
import pytest

from benchmarks.speed import scale
from hw3lib.anomaly.registry import load


@pytest.mark.filterwarnings("ignore::hw3lib.anomaly.FewGoodImages")
def test_all_stages_follow_one_another(tmp_path):
    for stage in scale.STAGES:
        scale.STAGES[stage](tmp_path, 60)  # each checks what it made
    features = np.fromfile(tmp_path / "features.f32", np.float32).reshape(60, -1)
    assert np.isfinite(features).all() and len(np.unique(features, axis=0)) == 60
    assert load(tmp_path / "detector").n_good_ == 48  # all to train
    assert len(pd.read_csv(tmp_path / "results/results.csv")) == 60


def test_a_stage_in_a_process_of_its_own_tells_seconds_and_peaks(tmp_path):
    scale.make(tmp_path / "data", 20)
    found = scale._in_fresh_process("table", tmp_path, 20)
    assert 0 < found["before"] <= found["peak_anonymous"] <= found["peak_resident"]
    assert found["seconds"] > 0 and found["processor_seconds"] > 0
    with pytest.raises(RuntimeError, match="stage table of 21 images failed"):
        scale._in_fresh_process("table", tmp_path, 21)


def invented(time: float, per_image: float) -> pd.DataFrame:
    """Stages whose time grows by a power of the size, and whose memory grows by bytes an image."""
    return pd.DataFrame(
        [
            {
                "images": n,
                "stage": stage,
                "seconds": 0.0,
                "processor_seconds": 1e-3 * n**time,
                "peak_anonymous": 1e8 + per_image * n,
            }
            for n in (1000, 10_000, 100_000)
            for stage in scale.STAGES
        ]
    )


def test_exponents_and_what_an_image_adds_are_found_again():
    table = scale.growth(invented(1.1, 80)).set_index("stage")
    assert (table["time_exponent"] == 1.1).all() and (table["bytes_per_image"] == 80).all()
    assert table.loc["table", "hours_at_goal"] == pytest.approx(1e-3 * 1e7**1.1 / 3600, abs=0.01)
    assert table.loc["all", "hours_at_goal"] == pytest.approx(len(scale.STAGES) * table.loc["table", "hours_at_goal"])
    assert table.loc["all", "gb_at_goal"] == 0.9


@pytest.mark.parametrize(
    ("per_image", "said"), [(100, "grows by 9.9%, .*: holds"), (500, "grows by 49.3%, .*: is missed")]
)
def test_the_verdict_is_on_the_peak_of_the_pipeline(per_image, said):
    table = invented(1, per_image)
    assert re.search(said, scale.verdict(table))


def test_the_figure_is_drawn_for_one_size_too(tmp_path):
    for sizes in ((1000,), (1000, 10_000)):
        table = invented(1, 10)
        scale.draw(table[table["images"].isin(sizes)], tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
