from .intervals import auroc_interval, corrected_interval, difference_interval, wilson_interval
from .scores import balanced_accuracy

__all__ = ["auroc_interval", "balanced_accuracy", "corrected_interval", "difference_interval", "wilson_interval"]
