from .engine import Sweep, run
from .executors import Cluster, Executor, Processes, slurm
from .planning import check, plan
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
    "check",
    "gather",
    "load",
    "plan",
    "read_spec",
    "run",
    "slurm",
    "table",
]
