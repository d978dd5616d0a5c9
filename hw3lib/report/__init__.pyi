from .compose import Report as Report, build as build
from .pictures import stacked as stacked
from .runs import (
    MEASURED as MEASURED,
    Run as Run,
    chosen_run as chosen_run,
    find_run as find_run,
    newest_run as newest_run,
)
