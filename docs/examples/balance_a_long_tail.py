"""Answers to rare defects on the same splits: what each gains on plain training, with an interval.

python docs/examples/balance_a_long_tail.py [CATEGORY]
"""

import sys

from hw3lib.data import classification_images, get, load_table, repeated_splits
from hw3lib.imbalance import METHODS, compare_methods

category = sys.argv[1] if len(sys.argv) > 1 else "synthetic/bottle"
images = classification_images(load_table(get(category), category))
print("known methods:", ", ".join(METHODS))
methods = ["plain", "post-hoc logit adjustment", "copy-paste"]
compared = compare_methods(images, repeated_splits(images, 3), methods=methods, ratios=[5], image_size=128)
print(compared.table().to_string())
