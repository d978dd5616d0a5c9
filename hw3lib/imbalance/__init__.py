"""Chapter 3: long tails, how to measure and make them, and what can be done about them."""

from .balanced import BalancedBatchSampler
from .comparison import compare
from .copy_paste import CopyPaste
from .deepsmote import DeepSmote
from .feature_cloud import FeatureCloud, cloud_logits
from .leak import Leak, leak_experiment
from .longtail import (
    class_sizes,
    describe,
    effective_classes,
    effective_samples,
    gini,
    head_tail_split,
    lorenz,
    make_longtail,
)
from .losses import LogitAdjustment, class_balanced_weights, focal_loss, inverse_frequency_weights
from .lro import LroStyle
from .methods import METHODS
from .oversamplers import RandomOversampler, SmoteOversampler
from .recognition import Recognition, recognisable

__all__ = [
    "METHODS",
    "BalancedBatchSampler",
    "CopyPaste",
    "DeepSmote",
    "FeatureCloud",
    "Leak",
    "LogitAdjustment",
    "LroStyle",
    "RandomOversampler",
    "Recognition",
    "SmoteOversampler",
    "class_balanced_weights",
    "class_sizes",
    "cloud_logits",
    "compare",
    "describe",
    "effective_classes",
    "effective_samples",
    "focal_loss",
    "gini",
    "head_tail_split",
    "inverse_frequency_weights",
    "leak_experiment",
    "lorenz",
    "make_longtail",
    "recognisable",
]
