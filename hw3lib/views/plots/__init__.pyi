from . import anomaly, boxes, classify, dataset, explain, imbalance, masks, student_reports, style
from .style import nothing

__all__ = [
    "anomaly",
    "boxes",
    "classify",
    "dataset",
    "explain",
    "imbalance",
    "masks",
    "nothing",
    "student_reports",
    "style",
]
