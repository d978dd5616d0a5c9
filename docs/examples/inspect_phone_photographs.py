"""The whole loop of `hw3 inspect` on photographs as a telephone takes them, or on a category that is there.

python docs/examples/inspect_phone_photographs.py [CATEGORY FOLDER | NUMBER OF PHOTOGRAPHS [WIDTH]]
"""

import csv
import sys
from pathlib import Path

import numpy as np

from hw3lib.cli.main import main
from hw3lib.data import load_table, phone_category

first, width = [*sys.argv[1:], "60", "2048"][:2] if len(sys.argv) != 2 else (sys.argv[1], "2048")
place = Path(first)
if first.isdecimal():  # of ten photographs four teach what is good, three are good and three have defects
    tenth = max(1, int(first) // 20)
    counts = {"train/good": 8 * tenth, "test/good": 6 * tenth, "test/hole": 3 * tenth, "test/cut": 3 * tenth}
    place = phone_category("phone", counts, width=int(width))
test = load_table(place.parent, place.name).query("split == 'test'").sample(frac=1, random_state=0)  # as they come
test = test.sort_values("defect", kind="stable")
today, tomorrow = test[::2], test[1::2]  # what is corrected today judges nothing tomorrow
files = {day: part["image"].tolist() for day, part in (("today", today), ("tomorrow", tomorrow))}


def hw3(*arguments: str, codes: tuple[int, ...] = (0,)) -> None:
    print("\nhw3 inspect", *(a for a in arguments if a not in test["image"].tolist()))
    code = main(["inspect", *arguments])
    assert code in codes, f"exit code {code}, expected {codes}"


def results(folder: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(folder, "results.csv").open(encoding="utf-8-sig")))


hw3("fit", str(place / "train" / "good"), "--out", "inspector", "--false-alarm-rate", "0.2", "--force")
hw3("score", "inspector", *files["today"], "--out", "today", "--force", codes=(0, 3))
answers = [("file", "answer", "type")]
answers += [
    (row.image, "defect" if row.is_defect else "good", row.defect * row.is_defect) for row in today.itertuples()
]
with Path("answers.csv").open("w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows(answers)
hw3("review", "inspector", "today", "--answers", "answers.csv")
hw3("update", "inspector")
hw3("score", "inspector", *files["tomorrow"], "--out", "tomorrow", "--format", "csv", "--force", codes=(3,))
hw3("monitor", "inspector", "tomorrow", "--usual", "0.7", "--plot", "drift.png", codes=(0, 3))
hw3("card", "inspector", "--on", str(place), "--out", "card.html")

print()
for day, part in (("today", today), ("tomorrow", tomorrow)):
    rows = results(day)
    assert [row["file"] for row in rows] == files[day] and not any(row["reason"] for row in rows)
    stopped = np.array([row["anomalous"] == "True" for row in rows])
    bad = part["is_defect"].to_numpy()
    of = f"{stopped[bad].sum()} of {bad.sum()} defects and {stopped[~bad].sum()} of {(~bad).sum()} good stopped"
    print(f"{day}: {of}")
    assert stopped[bad].mean() > stopped[~bad].mean(), "defects are stopped no more often than good products"
named = [row["types"].split("|") for row, defect in zip(rows, part["defect"], strict=True) if defect in row["types"]]
print(f"tomorrow: the type is among those named of {len(named)} defects, {sum(map(len, named))} names")
assert all(Path(name).stat().st_size > 1000 for name in ("card.html", "card.pdf", "drift.png"))
assert [folder.name for folder in sorted(Path("inspector.versions").iterdir())][:2] == ["0001", "0002"]
print("every photograph has its row, the card and the plot are there, and both versions are kept")
