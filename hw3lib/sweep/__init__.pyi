from .engine import Sweep, run_sweep
from .executors import Cluster, Executor, Processes, slurm
from .planning import check_sweep, plan
from .results import gather, load, table
from .spec import Spec, read_spec
from .store import Cell, Folders, Store

__all__ = [
    "Cell",
    "Cluster",
    "Executor",
    "Folders",
    "Processes",
    "Spec",
    "Store",
    "Sweep",
    "check_sweep",
    "gather",
    "load",
    "plan",
    "read_spec",
    "run_sweep",
    "slurm",
    "table",
]
