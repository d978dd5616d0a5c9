"""Learn what good products look like, set a threshold that says what it promises, and score other photographs.

python docs/examples/fit_and_score_a_detector.py [CATEGORY]
"""

import sys

from hw3lib.anomaly import PatchCore, image_metrics
from hw3lib.data import ImageStack, get, load_table

category = sys.argv[1] if len(sys.argv) > 1 else "synthetic/bottle"
table = load_table(get(category), category)
good, test = table[(table["split"] == "train") & ~table["is_defect"]], table[table["split"] == "test"]
detector = PatchCore(image_size=128).fit(ImageStack.load(good, 128), false_alarm_rate=0.2)
scores, maps = detector.score(ImageStack.load(test, 128))
print(f"{(scores > detector.threshold_).sum()} of {len(test)} called anomalous; heat maps {maps.shape}")
print(f"image AUROC {image_metrics(test['is_defect'].to_numpy(), scores).auroc:.3f}")
detector.save("example-detector")
