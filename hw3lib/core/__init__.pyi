from .files import atomic_path
from .intervals import Design, Interval, auroc_interval, corrected_interval, difference_interval, holm, wilson_interval
from .places import project_root
from .scores import balanced_accuracy

__all__ = [
    "Design",
    "Interval",
    "atomic_path",
    "auroc_interval",
    "balanced_accuracy",
    "corrected_interval",
    "difference_interval",
    "holm",
    "project_root",
    "wilson_interval",
]
