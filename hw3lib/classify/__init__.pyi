from .attempts import Attempt
from .evaluate import Calibration, calibration, confusion, per_class
from .experiment import Fitted, check, fit_splits, run
from .models import SimpleCNN, build, count_parameters
from .result import Result, leaderboard

__all__ = [
    "Attempt",
    "Calibration",
    "Fitted",
    "Result",
    "SimpleCNN",
    "build",
    "calibration",
    "check",
    "confusion",
    "count_parameters",
    "fit_splits",
    "leaderboard",
    "per_class",
    "run",
]
