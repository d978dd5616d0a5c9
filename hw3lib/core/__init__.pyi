from .files import atomic_path
from .intervals import auroc_interval, corrected_interval, difference_interval, wilson_interval
from .places import project_root
from .scores import balanced_accuracy

__all__ = [
    "atomic_path",
    "auroc_interval",
    "balanced_accuracy",
    "corrected_interval",
    "difference_interval",
    "project_root",
    "wilson_interval",
]
