from .compose import Report, build
from .runs import MEASURED, find_run, newest_run

__all__ = ["MEASURED", "Report", "build", "find_run", "newest_run"]
