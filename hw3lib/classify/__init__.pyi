from . import guided as guided
from .attempts import Attempt as Attempt
from .evaluate import (
    Calibration as Calibration,
    calibration as calibration,
    confusion as confusion,
    per_class as per_class,
)
from .experiment import (
    Fitted as Fitted,
    check_attempt as check_attempt,
    fit_splits as fit_splits,
    run_attempt as run_attempt,
)
from .explain import (
    Explanation as Explanation,
    explain_attempt as explain_attempt,
    grad_cam as grad_cam,
    pointing_game as pointing_game,
)
from .models import SimpleCNN as SimpleCNN, build as build
from .result import Result as Result, leaderboard as leaderboard
from .student_reports.comparison import compared as compared, verdicts as verdicts
