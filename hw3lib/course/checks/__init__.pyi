from .annotate import average_precision, dropped_components, run_lengths, voc_box
from .anomaly import aupro, beats_pooled_features, conformal_threshold, p_value, shift_padim
from .base import CheckFailed, NotAnswered
from .classify import beats_nearest_mean, choose_epoch, exchange_head, leak_free, wilson, wrong_reason
from .dataset import fair_split, farthest_type, imbalance_ratio, own_figures, same_photograph
from .imbalance import (
    cheapest_threshold,
    class_balanced_weights,
    copy_paste,
    logit_adjustment,
    oversample_after_split,
)
from .inspection import drift_alarm, false_drift_alarms, judges, type_set
from .progress import hint, solution
from .report import (
    capstone_inspection,
    capstone_question,
    capstone_report,
    claims,
    honest_summary,
    intervals_agree,
    points_an_image,
)

__all__ = [
    "CheckFailed",
    "NotAnswered",
    "aupro",
    "average_precision",
    "beats_nearest_mean",
    "beats_pooled_features",
    "capstone_inspection",
    "capstone_question",
    "capstone_report",
    "cheapest_threshold",
    "choose_epoch",
    "claims",
    "class_balanced_weights",
    "conformal_threshold",
    "copy_paste",
    "drift_alarm",
    "dropped_components",
    "exchange_head",
    "fair_split",
    "false_drift_alarms",
    "farthest_type",
    "hint",
    "honest_summary",
    "imbalance_ratio",
    "intervals_agree",
    "judges",
    "leak_free",
    "logit_adjustment",
    "oversample_after_split",
    "own_figures",
    "p_value",
    "points_an_image",
    "run_lengths",
    "same_photograph",
    "shift_padim",
    "solution",
    "type_set",
    "voc_box",
    "wilson",
    "wrong_reason",
]
