"""Figures of a line: what is drawn where."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hw3lib.views.plots import inspection


@pytest.fixture
def photographs(tmp_path):
    """Forty photographs; those from number 31 on are darker."""
    files = []
    for number in range(40):
        files.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", (20, 16), (200 - number, 90, 80)).save(files[-1])
    defect = np.array(["good"] * 36 + ["bent_pin", "rust"] * 2)[np.random.default_rng(0).permutation(40)]
    light = np.r_[np.ones(30), np.linspace(0.95, 0.5, 10)]
    return pd.DataFrame(
        {"file": files, "defect": defect, "is_defect": defect != "good", "light": light, "threshold": 2.0}
    ).assign(score=np.arange(1, 41) / 10)


def test_photographs_of_good_products_and_of_each_type_with_their_light(photographs):
    figure = inspection.line(photographs)
    titles = [axes.get_title().split(": ") for axes in figure.axes]
    numbers = [int(number) for number, _ in titles]
    assert numbers == sorted(set(numbers)) and [name for _, name in titles].count("good") == 4
    assert {name for _, name in titles} == {"good", "bent pin", "rust"}
    for axes, number in zip(figure.axes, numbers, strict=True):
        row = photographs.iloc[number - 1]
        assert axes.get_title() == f"{number}: {row['defect'].replace('_', ' ')}"
        assert axes.get_xlabel() == f"light {row['light']:.0%}" and axes.images[0].get_array()[0, 0, 0] == 201 - number
    assert figure.axes[0].get_title().startswith("1:") and figure.axes[-1].get_xlabel() in (
        "light 50%",
        "light 55%",
        "light 70%",
    )
    plt.close(figure)


@pytest.mark.parametrize("unseen", ["rust", None])
def test_scores_stand_over_their_numbers_by_what_they_show(photographs, unseen):
    figure = inspection.scores(photographs, unseen)
    drawn = {line.get_label(): line for line in figure.axes[0].lines}
    names = {"good": photographs["defect"] == "good", "labelled types": photographs["is_defect"]}
    if unseen:
        names = names | {"labelled types": photographs["defect"] == "bent_pin"}
        names["rust, unseen"] = photographs["defect"] == "rust"
    for name, rows in names.items():
        assert drawn[name].get_xdata().tolist() == (np.flatnonzero(rows) + 1).tolist()
        np.testing.assert_allclose(drawn[name].get_ydata(), photographs["score"][rows] / 2)
    assert ("rust, unseen" in drawn) == bool(unseen)
    (old,) = (patch for patch in figure.axes[0].patches if patch.get_label() == "the lamp ages")
    assert old.get_x() == 30.5 and old.get_x() + old.get_width() == 40.5
    plt.close(figure)


def test_evidence_stands_over_the_numbers_of_the_whole_line():
    figure = inspection.evidence({"one": np.array([1.0, 10, 1e9]), "two": np.array([1, 2, 3])}, 100, first=7, began=8)
    one, two, limit, change = figure.axes[0].lines
    assert one.get_xdata().tolist() == [8, 9, 10] and one.get_ydata().tolist() == [1, 10, 3000]
    assert (one.get_linestyle(), two.get_linestyle()) == ("-", "--") and one.get_color() != two.get_color()
    assert limit.get_ydata() == [100, 100] and change.get_xdata() == [8.5, 8.5]
    plt.close(figure)
