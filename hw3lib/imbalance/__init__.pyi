from .comparison import compare_methods
from .leak import Leak, leak_experiment
from .longtail import (
    class_sizes,
    describe_long_tail,
    effective_classes,
    effective_samples,
    gini,
    head_tail_split,
    lorenz,
    make_longtail,
)
from .methods.balanced import BalancedBatchSampler
from .methods.feature_cloud import FeatureCloud, cloud_logits
from .methods.losses import LogitAdjustment, class_balanced_weights, focal_loss, inverse_frequency_weights
from .methods.table import METHODS
from .oversamplers.copy_paste import CopyPaste
from .oversamplers.deepsmote import DeepSmote
from .oversamplers.lro import LroStyle
from .oversamplers.smote import RandomOversampler, SmoteOversampler
from .recognition import Made, Recognition, recognised

__all__ = [
    "METHODS",
    "BalancedBatchSampler",
    "CopyPaste",
    "DeepSmote",
    "FeatureCloud",
    "Leak",
    "LogitAdjustment",
    "LroStyle",
    "Made",
    "RandomOversampler",
    "Recognition",
    "SmoteOversampler",
    "class_balanced_weights",
    "class_sizes",
    "cloud_logits",
    "compare_methods",
    "describe_long_tail",
    "effective_classes",
    "effective_samples",
    "focal_loss",
    "gini",
    "head_tail_split",
    "inverse_frequency_weights",
    "leak_experiment",
    "lorenz",
    "make_longtail",
    "recognised",
]
