"""The table of verdicts: what is decided is bold, or italic where it is equivalence, and counted."""

from benchmarks.accuracy.verdicts import table, verdicts


def test_what_is_decided_is_marked_and_counted():
    design = {"design": "3 sets"}
    rows = [
        {"method": name, "ratio": ratio, "gain": gain, "gain_low": 0.01, "gain_high": 0.1, "gain_p": p, "verdict": said}
        for name, ratio, gain, p, said in (
            ("plain", 9, None, None, ""),
            ("a", 9, 0.05, 0.01, "helps"),
            ("b", 9, 0.02, 0.2, "not significant"),
            ("c", 9, 0.02, 0.2, "equivalent"),
            ("a", 2, 1, 0, "helps"),
        )
    ]
    one = verdicts(design | {"methods": rows}, "03")
    assert one.to_dict() == {
        "design": "3 sets", "a": "**+5.0 (+1.0 to +10.0)**", "b": "+2.0 (+1.0 to +10.0)",
        "c": "*+2.0 (+1.0 to +10.0)*", "decided": "2 of 3"
    }  # fmt: skip
    finding = {"finding": "more", "difference": -0.1, "low": -0.2, "high": -0.01, "p": 0.03, "verdict": "refuted"}
    other = verdicts(design | {"hypotheses": [finding]}, "02")
    assert table({"x": one, "y": other.rename({"more": "a"})}).splitlines() == [
        "|  | x | y |",
        "| --- | --- | --- |",
        "| design | 3 sets | 3 sets |",
        "| a | **+5.0 (+1.0 to +10.0)** | **-10.0 (-20.0 to -1.0)** |",
        "| b | +2.0 (+1.0 to +10.0) |  |",
        "| c | *+2.0 (+1.0 to +10.0)* |  |",
        "| decided | 2 of 3 | 1 of 1 |",
    ]
