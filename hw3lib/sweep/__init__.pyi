from .cluster import Cluster as Cluster, local as local, slurm as slurm
from .engine import Sweep as Sweep, run_sweep as run_sweep
from .planning import check_sweep as check_sweep, plan as plan
from .results import gather as gather, load as load, table as table
from .spec import Spec as Spec, read_spec as read_spec
from .store import Cell as Cell, Folders as Folders, Store as Store
