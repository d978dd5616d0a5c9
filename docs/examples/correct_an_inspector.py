"""A line with a person beside it: learn, score, ask, learn on from the answers, and watch for drift.

python docs/examples/correct_an_inspector.py [CATEGORY]
"""

import sys

from hw3lib.data import get, load_table
from hw3lib.inspection import corrections, fit, monitor, score

category = sys.argv[1] if len(sys.argv) > 1 else "synthetic/bottle"
place = get(category) / category
fit.fit(place, "inspector", settings={"image_size": 128}, false_alarm_rate=0.2)
score.score("inspector", [place], "results")
store = corrections.answers.Store("inspector.review.sqlite")
for row in load_table(place.parent, place.name).query("split == 'test'").itertuples():
    store.answer(row.image, "defect" if row.is_defect else "good", row.defect)  # as on the page of `hw3 inspect review`
corrections.update.update("inspector")
print(monitor.monitor("inspector", ["results"]).said)
