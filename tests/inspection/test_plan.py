"""How many photographs: a learning curve with intervals, and what is promised, of a category and of a plain folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.cli.main import main
from hw3lib.data.pixels.reading import PLAIN
from hw3lib.errors import Hw3Error
from hw3lib.inspection import plan as module
from hw3lib.inspection.plan import plan
from tests.helpers.plates import small_types
from tests.helpers.shots import plate

FAST = {"image_size": 32, "ratio": 0.5}


@pytest.fixture(scope="module")
def category(tmp_path_factory) -> Path:
    """48 good plates, and 12 with bright spots."""
    folder, rng = tmp_path_factory.mktemp("plan") / "plates", np.random.default_rng(0)
    for part, number in (("train/good", 44), ("test/good", 4), ("test/spot", 12)):
        (folder / part).mkdir(parents=True)
        for i in range(number):
            picture = plate(rng, 64)
            if part.endswith("spot"):
                picture[20:36, 20:36] = 255
            Image.fromarray(picture).save(folder / part / f"{i:03d}.png")
    return folder


def test_a_category_gives_a_curve_whose_sizes_double(category, tmp_path, capsys):
    out, plot = tmp_path / "plan.csv", tmp_path / "plan.png"
    arguments = ["inspect", "plan", str(category), "--image-size", "32", "--draws", "2", "-p", "ratio", "1"]
    assert main([*arguments, "--out", str(out), "--plot", str(plot)]) == 0
    table, said = pd.read_csv(out), capsys.readouterr().out
    assert table["products"].tolist() == [4, 8, 16, 32] and table["auroc"].between(0.5, 1).all()
    assert table["good_score"].min() > 0.2 * table["good_score"].max()  # what judges was not learned from
    assert (np.diff(table["good_score"]) < 0).all() and (table["good_score_low"] <= table["good_score"]).all()
    assert table["promised"].tolist() == pytest.approx([1 / 5, 1 / 9, 1 / 17, 1 / 33]) and plot.stat().st_size > 5000
    assert "All 48 good products can promise a false-alarm rate of 2.04 % at the least, twice as many 1.03 %" in said
    assert "5 % takes 19 (enough)" in said and "1 % takes 99 (51 more)" in said
    assert "The last doubling changed image AUROC by" in said and "can be expected to change it by" in said


def test_a_folder_of_good_photographs_tells_how_its_scores_fall(category):
    found = plan(category / "train" / "good", settings=FAST, draws=2, echo=lambda _: None)
    assert found.table["auroc"].isna().all() and found.doubling.value < 0
    assert found.table["products"].tolist() == [4, 8, 16, 32]
    assert "the score of a new good photograph" in found.said[-2] and "AUROC" not in " ".join(found.said)


def test_too_few_are_refused_before_the_work(category, tmp_path):
    for i in range(20):
        Image.fromarray(plate(np.random.default_rng(i), 64)).save(tmp_path / f"{i}.png")
    with pytest.raises(Hw3Error, match="found 20 good products, expected at least 43 for a curve"):
        plan(tmp_path, settings=FAST)
    with pytest.raises(Hw3Error, match="--draws 1: expected 2 or more"):
        plan(category, settings=FAST, draws=1)


def test_labelled_defects_have_a_curve_of_their_own(home, monkeypatch):
    small_types(monkeypatch)
    said = []
    table, more, words = module._types(home / "plates", PLAIN, 3, 0, False, said.append)
    assert table["products"].tolist() == [1, 2] and (table["accuracy"] > 0.9).all()  # red and blue blots
    assert more.value == pytest.approx(table["accuracy"][1] - table["accuracy"][0])
    assert words[0].startswith("1 labelled of each type: types recognised") and "recognition of types" in words[-1]


def test_a_category_of_one_type_has_no_curve_over_types(category):
    found = plan(category, settings=FAST, draws=2, echo=lambda _: None)
    assert found.types is None and found.said[-1].startswith("No curve over labelled defects: found spot 12;")
