from . import guided
from .attempts import Attempt
from .evaluate import Calibration, calibration, confusion, per_class
from .experiment import Fitted, check_attempt, fit_splits, run_attempt
from .explain import Explanation, explain_attempt, grad_cam, pointing_game
from .models import SimpleCNN, build
from .result import Result, leaderboard
from .student_reports.comparison import compared, verdicts

__all__ = [
    "Attempt",
    "Calibration",
    "Explanation",
    "Fitted",
    "Result",
    "SimpleCNN",
    "build",
    "calibration",
    "check_attempt",
    "compared",
    "confusion",
    "explain_attempt",
    "fit_splits",
    "grad_cam",
    "guided",
    "leaderboard",
    "per_class",
    "pointing_game",
    "run_attempt",
    "verdicts",
]
