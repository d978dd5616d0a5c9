"""Chapter 2: attempts at classifying defect types, run over repeated splits and compared on the same images."""

from .attempts import Attempt
from .evaluate import confusion, corrected_interval, wilson_interval
from .experiment import Result, leaderboard, run
from .models import SimpleCNN, build
from .trainer import predict, train

__all__ = [
    "Attempt",
    "Result",
    "SimpleCNN",
    "build",
    "confusion",
    "corrected_interval",
    "leaderboard",
    "predict",
    "run",
    "train",
    "wilson_interval",
]
