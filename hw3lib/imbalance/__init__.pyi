from .comparison import compare_methods as compare_methods
from .leak import Leak as Leak, leak_experiment as leak_experiment
from .longtail import (
    class_sizes as class_sizes,
    describe_long_tail as describe_long_tail,
    effective_classes as effective_classes,
    effective_samples as effective_samples,
    gini as gini,
    head_tail_split as head_tail_split,
    lorenz as lorenz,
    make_longtail as make_longtail,
)
from .methods.balanced import BalancedBatchSampler as BalancedBatchSampler
from .methods.feature_cloud import FeatureCloud as FeatureCloud, cloud_logits as cloud_logits
from .methods.losses import (
    LogitAdjustment as LogitAdjustment,
    class_balanced_weights as class_balanced_weights,
    focal_loss as focal_loss,
    inverse_frequency_weights as inverse_frequency_weights,
)
from .methods.table import METHODS as METHODS
from .oversamplers.copy_paste import CopyPaste as CopyPaste
from .oversamplers.deepsmote import DeepSmote as DeepSmote
from .oversamplers.lro import LroStyle as LroStyle
from .oversamplers.smote import RandomOversampler as RandomOversampler, SmoteOversampler as SmoteOversampler
from .recognition import Made as Made, Recognition as Recognition, recognised as recognised
