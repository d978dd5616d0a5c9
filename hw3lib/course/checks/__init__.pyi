from .annotate import dropped_components, mask_iou, run_lengths, voc_box
from .anomaly import beats_pooled_features, conformal_threshold, p_value, region_overlap
from .base import CheckFailed, NotAnswered
from .classify import beats_nearest_mean, best_epoch, exchange_head, wilson
from .dataset import fair_split, farthest_type, imbalance_ratio
from .imbalance import class_balanced_weights, logit_adjustment, oversample_after_split, smote_point
from .progress import hint, solution
from .report import honest_summary, intervals_agree, points_an_image

__all__ = [
    "CheckFailed",
    "NotAnswered",
    "beats_nearest_mean",
    "beats_pooled_features",
    "best_epoch",
    "class_balanced_weights",
    "conformal_threshold",
    "dropped_components",
    "exchange_head",
    "fair_split",
    "farthest_type",
    "hint",
    "honest_summary",
    "imbalance_ratio",
    "intervals_agree",
    "logit_adjustment",
    "mask_iou",
    "oversample_after_split",
    "p_value",
    "region_overlap",
    "points_an_image",
    "run_lengths",
    "smote_point",
    "solution",
    "voc_box",
    "wilson",
]
