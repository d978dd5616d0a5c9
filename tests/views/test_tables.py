"""Tables are shown with a figure and its interval in one column; what they were made of stays."""

import numpy as np
import pandas as pd

from hw3lib.views import tables


def test_a_figure_takes_its_limits_in_and_says_its_unit(monkeypatch):
    table = pd.DataFrame(
        {
            "attempt": ["baseline", "2 transfer"],
            "accuracy": [0.5, 0.693],
            "ci_low": [0.4, 0.538],
            "ci_high": [0.6, 0.814],
            "gain": [np.nan, 0.127],
            "gain_low": [np.nan, 0.031],
            "gain_high": [np.nan, 0.222],
            "image_auroc": [0.9994, 1.0],
            "auroc_low": [0.9, 0.95],
            "auroc_high": [1.0, 1.0],
            "needed": [192, 680],
            "gain_p": [np.nan, 0.01234],
        }
    )
    before = table.copy()
    monkeypatch.setenv("HW3_LANGUAGE", "en")
    shown = tables.shown(table)
    assert list(shown) == ["attempt", "accuracy", "gain", "image auroc", "needed", "gain p"]
    assert shown.loc[1].tolist() == [
        *("2 transfer", "69.3 % (53.8 to 81.4)", "+12.7 (+3.1 to +22.2)", "1.000 (0.950 to 1.000)", 680, "0.0123"),
    ]
    assert shown.loc[0, ["gain", "gain p"]].tolist() == ["-", ""]
    monkeypatch.setenv("HW3_LANGUAGE", "zh-TW")
    told = tables.shown(table.set_index("attempt"))
    assert list(told) == ["準確率", "增益", "影像 AUROC", "所需影像數", "增益的 p"] and told.index[0] == "基準"
    assert told.iloc[1, 0] == "69.3 %（53.8 至 81.4）"
    pd.testing.assert_frame_equal(table, before)
