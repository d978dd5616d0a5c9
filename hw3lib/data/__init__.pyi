from .check import CheckReport as CheckReport, check_category as check_category
from .fetch.sources import get as get
from .folders.find import list_categories as list_categories
from .groups import find_groups as find_groups, products as products
from .labels import class_names as class_names
from .pixels.images import read_image as read_image, read_row as read_row
from .pixels.reading import Reading as Reading
from .regions.masks import load_masks as load_masks, read_mask as read_mask
from .splits import (
    classification_images as classification_images,
    repeated_splits as repeated_splits,
    sample_per_class as sample_per_class,
    splittable as splittable,
    stratified_folds as stratified_folds,
    stratified_split as stratified_split,
)
from .stack import ImageStack as ImageStack
from .statistics import (
    class_counts as class_counts,
    defect_statistics as defect_statistics,
    image_dimensions as image_dimensions,
    imbalance_ratio as imbalance_ratio,
    mean_mask as mean_mask,
)
from .synthetic.draws import redraw as redraw
from .synthetic.line import production_line as production_line
from .synthetic.phone import phone_category as phone_category
from .table import digest as digest, load_table as load_table
