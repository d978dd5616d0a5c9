"""``hw3 sweep``."""

import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from hw3lib.cli.options import GOES_ON, Data, command, option, say
from hw3lib.errors import Hw3Error


@command(
    "Run a grid: categories x attempts, detectors and answers to imbalance x seeds x profiles. SPEC is a YAML\n"
    "file, checked before anything runs. What is finished is not run again, a cell that fails does not stop the\n"
    "rest, and the results become one table, runs/sweeps/NAME/results.parquet. Exit code 1 if a cell failed.",
    "hw3 sweep detectors.yaml --dry-run",
    "hw3 sweep detectors.yaml --workers 4",
    "hw3 sweep detectors.yaml --cluster tcp://10.0.0.1:8786  # of `dask scheduler`; workers with --nthreads 1",
    "hw3 sweep detectors.yaml --slurm slurm.yaml  # the arguments of dask_jobqueue.SLURMCluster, and jobs: N",
    interrupted=GOES_ON,
)
def sweep(
    spec: Annotated[str, option("what to run", metavar="SPEC.yaml")],
    *,
    workers: Annotated[
        int | None, option("workers on this machine (default: one a core)", either="where", metavar="N")
    ] = None,
    cluster: Annotated[
        str | None,
        option("of a Dask scheduler, whose workers share the file system", either="where", metavar="ADDRESS"),
    ] = None,
    slurm: Annotated[
        str | None,
        option("YAML file that describes SLURM jobs, which become Dask workers", either="where", metavar="FILE"),
    ] = None,
    data: Data = None,
    name: Annotated[
        str | None, option("results go to runs/sweeps/NAME (default: the name of SPEC)", either="place")
    ] = None,
    out: Annotated[str | None, option("results go to this folder", either="place", metavar="DIR")] = None,
    dry_run: Annotated[bool, option("check SPEC, list the cells, and run none")] = False,
) -> int:
    from hw3lib import sweep
    from hw3lib.core.files import atomic_path, expanded, refuse_existing
    from hw3lib.core.places import project_root
    from hw3lib.data.folders.find import refuse_inside_category
    from hw3lib.runs.kernel import sigterm_interrupts

    name = name or Path(spec).stem
    if not re.fullmatch(r"\w[\w.+ -]*", name):
        raise Hw3Error(f"the sweep's name is {name!r}; expected letters, digits and any of . _ - +, but no folder")
    folder = project_root() / "runs" / "sweeps" / name
    if out is not None:
        folder = expanded(out).resolve()
        if not (folder / "data").is_dir():  # which is made first
            refuse_existing(folder, True, "spec.yaml", "a sweep")
    with sigterm_interrupts():
        refuse_inside_category(folder, option="the sweep's folder")
        cells = sweep.plan(sweep.read_spec(spec), data, folder, progress=sys.stderr.isatty(), echo=say)
        store = sweep.Store(folder)
        todo = [cell for cell in cells if not store.finished(cell.key)]
        kinds = Counter(cell.kind for cell in cells)
        say(f"{len(cells)} cells ({', '.join(f'{n} {kind}' for kind, n in kinds.items())}), {len(todo)} to run")
        if dry_run:
            for cell in cells:
                say(f"  {'to run' if cell in todo else 'done  '}  {cell.key[:12]}  {cell}")
            return 0
        sweep.check_sweep(todo, say)
        with atomic_path(folder / "spec.yaml") as temporary:
            shutil.copyfile(spec, temporary)
        if not todo:
            return _report(sweep.Sweep(folder, len(cells), kept=len(cells), results=sweep.gather(cells, folder)))
        made = sweep.slurm(slurm) if slurm else sweep.Cluster(cluster) if cluster else sweep.local(workers)
        there = made.workers
        say(f"Dask scheduler at {made.address}: {there} workers" + ("" if there else "; waiting for the first"))
        done = sweep.run_sweep(cells, folder, made, echo=say)
    return _report(done)


def _report(done: Any) -> int:
    from hw3lib.sweep.engine import duration

    say(
        f"{done.kept + done.done} of {done.cells} cells are finished, {done.kept} of them before; "
        f"{len(done.failed)} failed; {duration(done.seconds)}"
    )
    for cell, message, log in done.failed:
        print(f"failed: {cell}: {message}\n  log: {log}", file=sys.stderr)
    say(f"results: {done.results}")
    return 1 if done.failed else 0
