from .check import CheckReport, check_category
from .fetch.sources import get
from .folders.find import list_categories
from .groups import find_groups, products
from .labels import class_names
from .pixels.images import read_image, read_row
from .pixels.reading import Reading
from .regions.masks import load_masks, read_mask
from .splits import (
    classification_images,
    repeated_splits,
    sample_per_class,
    splittable,
    stratified_folds,
    stratified_split,
)
from .stack import ImageStack
from .statistics import class_counts, defect_statistics, image_dimensions, imbalance_ratio, mean_mask
from .synthetic.draws import redraw
from .table import digest, load_table

__all__ = [
    "CheckReport",
    "ImageStack",
    "Reading",
    "check_category",
    "class_counts",
    "class_names",
    "classification_images",
    "defect_statistics",
    "digest",
    "find_groups",
    "get",
    "image_dimensions",
    "imbalance_ratio",
    "list_categories",
    "load_masks",
    "load_table",
    "mean_mask",
    "products",
    "read_image",
    "read_mask",
    "read_row",
    "repeated_splits",
    "redraw",
    "sample_per_class",
    "splittable",
    "stratified_folds",
    "stratified_split",
]
