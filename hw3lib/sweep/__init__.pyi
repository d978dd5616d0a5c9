from .cluster import Cluster, local, slurm
from .engine import Sweep, run_sweep
from .planning import check_sweep, plan
from .results import gather, load, table
from .spec import Spec, read_spec
from .store import Cell, Folders, Store

__all__ = [
    "Cell",
    "Cluster",
    "Folders",
    "Spec",
    "Store",
    "Sweep",
    "check_sweep",
    "gather",
    "load",
    "local",
    "plan",
    "read_spec",
    "run_sweep",
    "slurm",
    "table",
]
