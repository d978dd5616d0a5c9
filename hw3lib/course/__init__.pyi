from . import build, checks, exercises, grading, predictions
from .predictions import outcome, predict

__all__ = ["build", "checks", "exercises", "grading", "outcome", "predict", "predictions"]
