"""Masks to COCO instances with splits that keep the classes in proportion, and what the format could not hold.

python docs/examples/annotate_to_coco.py [CATEGORY]
"""

import sys

from hw3lib.annotate import FORMATS, Dataset, from_masks, round_trip, split_images
from hw3lib.data import get, load_table

category = sys.argv[1] if len(sys.argv) > 1 else "synthetic/bottle"
table = load_table(get(category), category)
table = table[table["split"] == "test"].reset_index(drop=True)
data = Dataset.of(table, from_masks(table), split_images(table))
written = FORMATS["coco"].write("example-coco", data)
same = round_trip(data, FORMATS["coco"].read(written.folder))
print(f"{written.instances} instances on {written.images} images in {written.folder}")
print("lost:", written.lost)
print(f"read again: {'the same' if same.exact else f'IoU {same.iou:.3f}'}")
