"""Accuracy, not speed: the long tails of generated images once more, on independent sets with more images than quick.

Splits of one small set share their images, which makes every interval wide. Nothing limits how many generated images
there are: here each set has as many images of each class as the category, and tests what the others taught. Methods
that want images without labels are left out: what they gain would depend on how many of these are drawn.
"""

from __future__ import annotations

from hw3lib.core.places import project_root
from hw3lib.data import class_counts, classification_images, get, load_table, redraw
from hw3lib.imbalance import METHODS

from .longtail import CHEAP, run


def main(category: str, data: str | None, count: int = 10, ratios: tuple[float, ...] = (5, 10)) -> None:
    """Print a table for each ratio, the best method first, and the ceiling beneath it.

    Args:
        category, data: one that is generated, and where it is or is to be.
        count: sets; each is run with every defect type as the tail once.
        ratios: of the largest to the smallest defect type.
    """
    table = load_table(get(category, data, progress=False), category)
    per_class = int(class_counts(classification_images(table))["total"].min())
    keep = project_root() / "runs" / "benchmark-longtail"
    images, sets = redraw(table, n_sets=count, per_class=per_class, keep=keep)
    run(category, images, sets, [m for m in CHEAP if METHODS[m].kind != "unlabelled"], ratios)
