"""Chapter 2: attempts at classifying defect types, run over repeated splits and compared on the same images."""

from .attempts import Attempt
from .augment import RandomAugment
from .callbacks import Callback, Checkpoint, EarlyStopping, History, LiveCurves, ProgressBar
from .evaluate import (
    Calibration,
    balanced_accuracy,
    calibration,
    confusion,
    corrected_interval,
    per_class,
    wilson_interval,
)
from .experiment import Fitted, check, fit_splits, run
from .models import SimpleCNN, build, count_parameters
from .result import Result, class_names, leaderboard
from .trainer import predict, train

__all__ = [
    "Attempt",
    "Calibration",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Fitted",
    "History",
    "LiveCurves",
    "ProgressBar",
    "RandomAugment",
    "Result",
    "SimpleCNN",
    "balanced_accuracy",
    "build",
    "calibration",
    "check",
    "class_names",
    "confusion",
    "corrected_interval",
    "count_parameters",
    "fit_splits",
    "leaderboard",
    "per_class",
    "predict",
    "run",
    "train",
    "wilson_interval",
]
