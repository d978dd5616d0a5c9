from .compose import Report, build
from .pictures import stacked
from .runs import MEASURED, Run, chosen_run, find_run, newest_run

__all__ = ["MEASURED", "Report", "Run", "build", "chosen_run", "find_run", "newest_run", "stacked"]
