"""What is in a category, how large its defects are, and what would spoil results.

python docs/examples/dataset_statistics.py [CATEGORY]
"""

import sys

from hw3lib.data import check_category, class_counts, defect_statistics, get, imbalance_ratio, load_table

category = sys.argv[1] if len(sys.argv) > 1 else "synthetic/bottle"
table = load_table(get(category), category)
print(class_counts(table))
print(f"largest class over smallest: {imbalance_ratio(table):.1f}")
areas = defect_statistics(table).groupby("defect")["area"].median()
print("median area of a defect, share of the image:", areas.round(4).to_dict())
print(check_category(table).summary())
