"""A network from scratch and a pretrained one on the same splits, and whether the difference is significant.

python docs/examples/compare_attempts.py [CATEGORY]
"""

import sys

from hw3lib.classify import Attempt, leaderboard, run_attempt
from hw3lib.data import classification_images, get, load_table, repeated_splits

category = sys.argv[1] if len(sys.argv) > 1 else "synthetic/bottle"
images = classification_images(load_table(get(category), category))
splits = repeated_splits(images, 3)
attempt = Attempt("pretrained", "tf_efficientnet_lite0", "transfer", image_size=128, batch_size=16)
scratch, pretrained = (
    run_attempt(tried, images, splits) for tried in (Attempt("from scratch", batch_size=16), attempt)
)
print(leaderboard([scratch, pretrained]).to_string())
gain = pretrained.gain(scratch)
print(f"gain {gain.points()}, {gain.verdict()}")
