from . import (
    annotate,
    anomaly,
    classify,
    cli,
    core,
    course,
    data,
    errors,
    imbalance,
    inspection,
    networks,
    report,
    runs,
    sweep,
    views,
)
from .data import ImageStack, list_categories, load_table, read_image, read_mask
from .errors import Hw3Error
from .networks import pick_device
from .runs import RunFolder

__version__: str

__all__ = [
    "Hw3Error",
    "ImageStack",
    "RunFolder",
    "__version__",
    "annotate",
    "anomaly",
    "classify",
    "cli",
    "core",
    "course",
    "data",
    "errors",
    "imbalance",
    "inspection",
    "list_categories",
    "load_table",
    "networks",
    "pick_device",
    "read_image",
    "read_mask",
    "report",
    "runs",
    "sweep",
    "views",
]
